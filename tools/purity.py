"""What import contracts can't see: floats, hash order, clocks and other chance inside the pure rooms.

A ledger that is re-executed elsewhere must come to the same roots, byte for byte. A set iterates in hash order, which
differs from process to process; a dict iterates in insertion order, which differs between a state that was replayed
and one that was loaded from a snapshot; a float rounds. So the pure rooms use none of them where order or rounding can
show. The rules know types only by annotation and by how a name was assigned, so they are conservative: an iteration
that is in fact ordered is excused by `# ordered: <why>` on its line, and an excuse that excuses nothing is a fault too.

    python -m tools.purity          # judge the pure rooms named in pyproject.toml
"""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools.kinds import DICTS, SETS, Kinds, annotated, called, learn
from tools.sources import ROOT, Source, sources

TIMED = ("pure-pool", "pure-pausing")
"""The one pure contract whose rooms count seconds and rates, which are floats: it moves no money."""

FORBIDDEN_MODULES = frozenset(
    (
        "asyncio",
        "datetime",
        "io",
        "logging",
        "os",
        "pathlib",
        "random",
        "secrets",
        "socket",
        "ssl",
        "subprocess",
        "sys",
        "tempfile",
        "threading",
        "time",
        "uuid",
    )
)
FORBIDDEN_NAMES = frozenset(
    ("__import__", "breakpoint", "eval", "exec", "globals", "hash", "id", "input", "locals", "open", "print", "vars")
)
FLOAT_NAMES = frozenset(("float", "complex", "round"))
SET_METHODS = frozenset(("union", "intersection", "difference", "symmetric_difference"))
DICT_VIEWS = frozenset(("items", "keys", "values"))
BLIND_TO_ORDER = frozenset(("sum", "any", "all", "len", "set", "frozenset"))
BLIND_WITHOUT_KEY = frozenset(("sorted", "min", "max"))  # with a key, ties come in the order they were found
SHOWS_ORDER = frozenset(
    (
        "list",
        "sorted",
        "tuple",
        "iter",
        "enumerate",
        "zip",
        "map",
        "filter",
        "reversed",
        "str",
        "repr",
        "min",
        "max",
        "next",
        "deque",
        "join",
    )
)


@dataclass(frozen=True, order=True, slots=True)
class Fault:
    """One line of a pure room that isn't pure; `str` of it is what an editor can jump to."""

    path: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}"


def judge(rooms: Iterable[Source], *, floats: bool) -> list[Fault]:
    """All faults of the files of one contract, which are read together because a field's type is declared in one and
    iterated over in another. `floats` allows floats (rooms that count seconds)."""
    files = list(rooms)
    kinds = learn([file.tree for file in files])
    return sorted(fault for file in files for fault in _Judge(file, kinds, floats=floats).faults())


def pure_rooms(root: Path = ROOT) -> dict[str, list[Source]]:
    """Contract id → the files of its rooms, for each contract in pyproject.toml whose id starts with `pure-`."""
    options = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = options["tool"]["importlinter"]["contracts"]
    return {
        contract["id"]: _files(contract["rooms"], contract.get("excluding", []), root)
        for contract in contracts
        if contract["id"].startswith("pure-")
    }


def _files(rooms: list[str], excluding: list[str], root: Path) -> list[Source]:
    found = {source.path: source for room in rooms for source in _room(room, root)}
    for room in excluding:
        for source in _room(room, root):
            found.pop(source.path, None)
    return [found[path] for path in sorted(found)]


def _room(expression: str, root: Path) -> Iterator[Source]:
    """A module expression's files: a module is a file, a package all files below it."""
    pattern = expression.replace(".", "/")
    for place in sorted((*root.glob(pattern), *root.glob(f"{pattern}.py"))):
        if place.is_dir() or place.suffix == ".py":
            yield from sources(place.relative_to(root).as_posix(), root=root)


def _blind(call: ast.Call) -> bool:
    """Whether the order of what it is given makes no difference to a call's result."""
    if not isinstance(call.func, ast.Name):
        return False
    keys = [keyword.value for keyword in call.keywords if keyword.arg == "key"]
    tieless = not keys or _by_unique_key(call.args, keys[0])
    return call.func.id in BLIND_TO_ORDER or (call.func.id in BLIND_WITHOUT_KEY and tieless)


def _by_unique_key(given: list[ast.expr], key: ast.expr) -> bool:
    """Items sorted by a dict's own key, of which there are no two: the values need not be comparable."""
    match given, key:
        case (
            [ast.Call(func=ast.Attribute(attr="items"), args=[])],
            ast.Lambda(body=ast.Subscript(value=ast.Name(), slice=ast.Constant(value=0)))
            | ast.Call(func=ast.Name(id="itemgetter") | ast.Attribute(attr="itemgetter"), args=[ast.Constant(value=0)]),
        ):
            return True
        case _:
            return False


class _Judge:
    """One file's faults. Names are known by the function they stand in, so that two functions may use one name."""

    def __init__(self, file: Source, kinds: Kinds, *, floats: bool) -> None:
        self.file, self.kinds, self.floats = file, kinds, floats
        self.excused: set[int] = set()
        self.parents = {child: node for node in ast.walk(file.tree) for child in ast.iter_child_nodes(node)}
        self.names: dict[ast.AST, dict[str, str]] = {}
        self.types: dict[ast.AST, dict[str, str]] = {}
        for node in ast.walk(file.tree):
            self._learn_type(node)
        for node in ast.walk(file.tree):
            self._learn_name(node)

    def faults(self) -> Iterator[Fault]:
        """Everything impure in the file, then the excuses that excused nothing."""
        for node in ast.walk(self.file.tree):
            yield from self._names_and_modules(node)
            if not self.floats:
                yield from self._floats(node)
            yield from self._order(node)
        for line, comment in self.file.comments.items():
            if comment.startswith("ordered:") and line not in self.excused:
                yield self._fault(line, "`# ordered:` excuses nothing here: remove it, or give it its reason")

    def _fault(self, line: int, what: str) -> Fault:
        return Fault(self.file.path, line, what)

    def _names_and_modules(self, node: ast.AST) -> Iterator[Fault]:
        match node:
            case ast.Import(names=names):
                imported = [alias.name for alias in names]
            case ast.ImportFrom(module=str(module)):
                imported = [module]
            case ast.Name(id=name, ctx=ast.Load()) if name in FORBIDDEN_NAMES:
                yield self._fault(node.lineno, f"`{name}`: a pure room sees its arguments and nothing else")
                return
            case ast.Global():
                yield self._fault(node.lineno, "`global`: a pure room has no state of its own")
                return
            case _:
                return
        for name in imported:
            if name.partition(".")[0] in FORBIDDEN_MODULES:
                yield self._fault(node.lineno, f"`{name}`: no clock, chance, environment or I/O in a pure room")

    def _floats(self, node: ast.AST) -> Iterator[Fault]:
        match node:
            case ast.Constant(value=float() | complex() as value):
                yield self._fault(node.lineno, f"`{value}`: amounts are integers, a float rounds")
            case ast.Name(id=name, ctx=ast.Load()) if name in FLOAT_NAMES:
                yield self._fault(node.lineno, f"`{name}`: amounts are integers, a float rounds")
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield self._fault(node.lineno, "`/` makes a float: divide with `//` and say which way it rounds")
            case ast.BinOp(op=ast.Pow(), right=ast.UnaryOp(op=ast.USub())):
                yield self._fault(node.lineno, "a negative power makes a float")
            case _:
                pass

    def _order(self, node: ast.AST) -> Iterator[Fault]:
        for iterated in self._iterated(node):
            kind = self._kind(iterated)
            if not kind:
                continue
            lines = range(iterated.lineno, (iterated.end_lineno or iterated.lineno) + 1)
            if self.file.excused(iterated, "ordered"):
                self.excused.update(lines)
                continue
            cure = "wrap it in sorted(...), or excuse it with `# ordered: <why>`"
            yield self._fault(iterated.lineno, f"iterates over a {kind} in an order that is not a fact: {cure}")

    def _iterated(self, node: ast.AST) -> Iterator[ast.expr]:
        """The expressions whose order this node shows to anyone."""
        match node:
            case ast.For(iter=iterated) | ast.Starred(value=iterated) | ast.YieldFrom(value=iterated):
                yield iterated
            case ast.FormattedValue(value=iterated):
                yield iterated
            case ast.GeneratorExp() | ast.ListComp() | ast.DictComp() if not self._feeds_the_blind(node):
                yield from (generator.iter for generator in node.generators)
            case ast.Call(func=ast.Attribute(attr="fromkeys"), args=[iterated, *_]):
                yield iterated
            case ast.Call(func=func, args=args) if called(func) in SHOWS_ORDER:
                yield from () if _blind(node) or self._feeds_the_blind(node) else args
            case ast.Call(func=ast.Attribute(value=iterated, attr="popitem")):
                yield iterated
            case ast.Call(func=ast.Attribute(value=iterated, attr="pop"), args=[]) if self._kind(iterated) == "set":
                yield iterated
            case _:
                pass

    def _feeds_the_blind(self, node: ast.AST) -> bool:
        """Whether the node is what a call works on to which order makes no difference."""
        match self.parents.get(node):
            case ast.Call(args=[first, *_]) as call if first is node:
                return _blind(call)
            case _:
                return False

    def _kind(self, node: ast.expr) -> str:
        """ "set", "dict", or nothing for what is ordered or unknown."""
        match node:
            case ast.Set() | ast.SetComp():
                return "set"
            case ast.Dict() | ast.DictComp():
                return "dict"
            case ast.Name() if self._written(node):
                return ""
            case ast.Name(id=name):
                return self._name(node, name) or self.kinds.constants.get(name, "")
            case ast.Attribute(value=owner, attr=name):
                return self._fields(owner).get(name, self.kinds.attributes.get(name, ""))
            case ast.BinOp(op=ast.BitOr() | ast.BitAnd() | ast.Sub() | ast.BitXor(), left=left, right=right):
                return self._kind(left) or self._kind(right)
            case ast.IfExp(body=left, orelse=right) | ast.BoolOp(values=[left, right]):
                return self._kind(left) or self._kind(right)
            case ast.NamedExpr(value=value):
                return self._kind(value)
            case ast.Call():
                return self._result(node)
            case _:
                return ""

    def _result(self, node: ast.Call) -> str:
        name = called(node.func)
        if isinstance(node.func, ast.Attribute):
            if name in DICT_VIEWS and not node.args:
                return "" if self._written(node.func.value) else "dict"
            if name in SET_METHODS:
                return "set"
            if name == "copy":
                return self._kind(node.func.value)
        elif name in SETS | DICTS:
            return "set" if name in SETS else "dict"
        return self.kinds.results.get(name, "")

    def _written(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and self.kinds.constants.get(node.id) == "written"

    def _name(self, node: ast.AST, name: str) -> str:
        return self._look_up(self.names, node, name)

    def _fields(self, owner: ast.expr) -> dict[str, str]:
        """The fields of the class that a variable is annotated with, where both are known."""
        if not isinstance(owner, ast.Name):
            return {}
        return self.kinds.classes.get(self._look_up(self.types, owner, owner.id), {})

    def _look_up(self, known: dict[ast.AST, dict[str, str]], node: ast.AST, name: str) -> str:
        scope: ast.AST | None = node
        while scope is not None:
            if name in known.get(scope, {}):
                return known[scope][name]
            scope = self.parents.get(scope)
        return ""

    def _learn_type(self, node: ast.AST) -> None:
        match node:
            case (
                ast.arg(arg=name, annotation=ast.expr() as said)
                | ast.AnnAssign(target=ast.Name(id=name), annotation=said)
                | ast.MatchAs(pattern=ast.MatchClass(cls=said), name=str(name))
                | ast.Call(func=ast.Name(id="isinstance"), args=[ast.Name(id=name), said])
            ) if called(said) in self.kinds.classes:
                self.types.setdefault(self._scope(node), {})[name] = called(said)
            case _:
                pass

    def _learn_name(self, node: ast.AST) -> None:
        match node:
            case ast.arg(arg=name, annotation=annotation):
                kind = annotated(annotation, self.kinds)
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation):
                kind = annotated(annotation, self.kinds)
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.NamedExpr(target=ast.Name(id=name), value=value)
            ):
                kind = self._kind(value)
            case _:
                return
        scope = self.names.setdefault(self._scope(node), {})
        # Once a set, always a set: a later `x = sorted(x)` should have got a name of its own.
        scope[name] = scope.get(name) or kind

    def _scope(self, node: ast.AST) -> ast.AST:
        scope = self.parents[node]
        while not isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.Module)):
            scope = self.parents[scope]
        return scope


def main() -> int:
    """Print every fault of the pure rooms; 1 when there is one."""
    found = [fault for room, files in pure_rooms().items() for fault in judge(files, floats=room in TIMED)]
    for fault in found:
        sys.stderr.write(f"{fault}\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main())
