"""Which names in the pure rooms hold a set or a dict, learnt from the source alone.

A type checker would know better and take a hundred times as long. Annotations are complete here (mypy is strict), so
names and fields are believed to be what any file of the same contract declares them to be. Where two classes give one
field name to a tuple and to a dict, the class of an annotated variable decides, and without one the dict is believed.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field

SETS = frozenset(("set", "frozenset", "Set", "AbstractSet", "MutableSet"))
DICTS = frozenset(("dict", "Mapping", "MutableMapping", "defaultdict", "Counter", "OrderedDict", "ChainMap"))


@dataclass(slots=True)
class Kinds:
    """Names known to hold a "set" or a "dict": by annotation of a field, a function's result, or a type's alias."""

    attributes: dict[str, str] = field(default_factory=dict)
    results: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)
    classes: dict[str, dict[str, str]] = field(default_factory=dict)
    """Class → its declared fields → "set", "dict" or nothing."""
    constants: dict[str, str] = field(default_factory=dict)
    """Module constants, by their upper-case names: "set", "dict", or "written" for a dict in the source's own order."""


def learn(trees: list[ast.Module]) -> Kinds:
    """What the files of one contract say about their names, aliases first because annotations use them."""
    kinds = Kinds()
    for tree in trees:
        _learn_aliases(tree, kinds)
    for tree in trees:
        _learn(tree, kinds)
    return kinds


def called(node: ast.expr) -> str:
    """The last name of what is named or called: `b` of `b`, `a.b`, `a.b[...]` and `a.b(...)`."""
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value):
            return called(value)
        case ast.Call(func=func):
            return called(func)
        case _:
            return ""


def annotated(annotation: ast.expr | None, kinds: Kinds) -> str:
    """ "set" or "dict" when an annotation says so, also as one side of a union or inside Final, ClassVar, Annotated."""
    match annotation:
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return annotated(left, kinds) or annotated(right, kinds)
        case ast.Subscript(value=value, slice=inner) if called(value) in {
            "Final",
            "ClassVar",
            "Optional",
            "Annotated",
        }:
            return annotated(inner.elts[0] if isinstance(inner, ast.Tuple) else inner, kinds)
        case ast.Constant(value=str(text)):
            return annotated(ast.parse(text, mode="eval").body, kinds)
        case ast.expr():
            name = called(annotation)
            return "set" if name in SETS else "dict" if name in DICTS else kinds.aliases.get(name, "")
        case _:
            return ""


def _constant(value: ast.expr | None, annotation: ast.expr | None, kinds: Kinds) -> str:
    match value:
        case ast.Dict(keys=keys) if None not in keys:
            return "written"
        case ast.Call(func=ast.Name(id="MappingProxyType"), args=[inner]):
            return _constant(inner, None, kinds)
        case ast.Set() | ast.SetComp():
            return "set"
        case ast.Dict() | ast.DictComp():
            return "dict"
        case ast.Call(func=ast.Name(id=name)) if name in SETS | DICTS:
            return "set" if name in SETS else "dict"
        case _:
            return annotated(annotation, kinds)


def _learn_aliases(tree: ast.Module, kinds: Kinds) -> None:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=ast.Subscript() as value):
                kind = annotated(value, kinds)
            case ast.AnnAssign(
                target=ast.Name(id=name), annotation=ast.Name(id="TypeAlias"), value=ast.expr() as value
            ):
                kind = annotated(value, kinds)
            case _:
                continue
        if kind:
            kinds.aliases[name] = kind


def _learn(tree: ast.Module, kinds: Kinds) -> None:
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if name.isupper():
                _note(kinds.constants, name, _constant(value, None, kinds))
            case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, value=value) if name.isupper():
                _note(kinds.constants, name, _constant(value, annotation, kinds))
            case _:
                pass
    for part in ast.walk(tree):
        match part:
            case ast.ClassDef(name=class_name, body=body):
                fields = kinds.classes.setdefault(class_name, {})
                for line in body:
                    if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                        fields[line.target.id] = annotated(line.annotation, kinds)
                        _note(kinds.attributes, line.target.id, fields[line.target.id])
            case ast.AnnAssign(target=ast.Attribute(attr=name), annotation=annotation):
                _note(kinds.attributes, name, annotated(annotation, kinds))
            case ast.FunctionDef(name=name, returns=returns, decorator_list=decorators):
                known = kinds.attributes if "property" in map(called, decorators) else kinds.results
                _note(known, name, annotated(returns, kinds))
            case _:
                pass


def _note(known: dict[str, str], name: str, kind: str) -> None:
    if kind:
        known[name] = kind
