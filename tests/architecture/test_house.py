"""The house rules that no linter knows: nothing left undone or switched off unsaid, no test that sleeps or patches."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tools.sources import ROOT, Source, sources

TWIN_ROOMS = ("codec", "finality", "rpc", "watcher", "composer", "broadcaster", "adapter")
NOT_CHAINS = ("pool", "devnet")
WAITING = ("tests/peers/", "tests/e2e/", "tests/soak/", "tests/eventually.py")
VIRTUAL = "tests.virtualtime"
SELF = "tests/architecture/test_house.py"

UNDONE = re.compile(r"\b(TODO|FIXME|XXX|HACK|NotImplementedError|NotImplemented\(|xfail)\b|pragma: no cover")
NOQA = re.compile(r"noqa(?P<codes>: ?[A-Z]+[0-9]+(, ?[A-Z]+[0-9]+)*)?(?P<rest>.*)")
IGNORE = re.compile(r"type: ignore(?P<codes>\[[a-z, -]+\])?(?P<rest>.*)")


def undone(source: Source) -> Iterator[str]:
    """Words that say that something isn't finished or isn't tested."""
    for number, line in enumerate(source.text.splitlines(), 1):
        if found := UNDONE.search(line):
            yield f"{source.path}:{number}: {found[0]}"


def switched_off(source: Source) -> Iterator[str]:
    """Linter and type checker silenced without a code, or without a reason after it on the same line."""
    for number, comment in source.comments.items():
        for pattern in (NOQA, IGNORE):
            found = pattern.search(comment)
            if found and (not found["codes"] or not re.search(r"\w{2}", found["rest"])):
                yield f"{source.path}:{number}: `{comment}` wants a code and, after it, a reason"


def sleeping(source: Source) -> Iterator[str]:
    """Calls of `sleep` for more than nothing, less `asyncio.sleep` where the file's clock is the virtual one, or where
    a line says so: `# virtual: <whose clock>`."""
    virtual = any(isinstance(node, ast.ImportFrom) and node.module == VIRTUAL for node in source.tree.body)
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="asyncio"), attr="sleep")) if virtual:
                pass
            case ast.Call(func=ast.Name(id="sleep") | ast.Attribute(attr="sleep"), args=args):
                nothing = args and isinstance(args[0], ast.Constant) and args[0].value == 0
                if not nothing and not source.excused(node, "virtual"):
                    yield f"{source.path}:{node.lineno}: sleeps"
            case _:
                pass


def patching(source: Source) -> Iterator[str]:
    """Mocks and patched attributes: when a fake is hard to write, the port is wrong."""
    for node in ast.walk(source.tree):
        match node:
            case ast.ImportFrom(module="unittest", names=names) if "mock" in [alias.name for alias in names]:
                yield f"{source.path}:{node.lineno}: unittest.mock"
            case ast.Import(names=[ast.alias(name="unittest.mock")]) | ast.ImportFrom(module="unittest.mock"):
                yield f"{source.path}:{node.lineno}: unittest.mock"
            case ast.Attribute(value=ast.Name(id="monkeypatch"), attr="setattr" | "setitem" | "delattr"):
                yield f"{source.path}:{node.lineno}: monkeypatch.{node.attr}"
            case _:
                pass


def hidden_imports(source: Source) -> Iterator[str]:
    """Imports inside a function, less those that keep the command line quick: `# lazy: <why>`."""
    for function in ast.walk(source.tree):
        if isinstance(function, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for node in ast.walk(function):
                if isinstance(node, (ast.Import, ast.ImportFrom)) and not source.excused(node, "lazy"):
                    yield f"{source.path}:{node.lineno}: imports inside {function.name}"


def furnished_doorways(source: Source) -> Iterator[str]:
    """Package files that hold more than their docstring: a name has one place, and a contract on a room's modules must
    not miss what its doorway imports."""
    if source.path.endswith("__init__.py"):
        for node in source.tree.body:
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
                yield f"{source.path}:{node.lineno}: a package says why it exists, and nothing else"


def report(found: list[str]) -> None:
    """Fail with one line for each place."""
    assert not found, "\n".join(found)


SHIPPED = ("custody", "chains")
ALL = (*SHIPPED, "tools", "tests")


def test_nothing_is_left_undone() -> None:
    report([place for source in sources(*ALL) if source.path != SELF for place in undone(source)])


def test_nothing_is_switched_off_unsaid() -> None:
    report([place for source in sources(*ALL) for place in switched_off(source)])


def test_no_test_sleeps() -> None:
    asleep = [source for source in sources("tests") if not source.path.startswith(WAITING)]
    report([place for source in asleep for place in sleeping(source)])


def test_no_test_patches() -> None:
    report([place for source in sources("tests") for place in patching(source)])


def test_no_import_is_hidden() -> None:
    report([place for source in sources(*SHIPPED) for place in hidden_imports(source)])


def test_doorways_are_empty() -> None:
    report([place for source in sources(*SHIPPED) for place in furnished_doorways(source)])


def test_chains_are_twins() -> None:
    places = [place for place in sorted((ROOT / "chains").iterdir()) if (place / "__init__.py").exists()]
    chains = [place for place in places if place.name not in NOT_CHAINS]
    assert chains, "there is no chain"
    report([f"{c.name} has no {room}.py" for c in chains for room in TWIN_ROOMS if not (c / f"{room}.py").exists()])


PLANTED = {
    "undone": (undone, "x = 1  # " + "TODO later"),
    "not implemented": (undone, "raise NotImplemented" + "Error"),
    "expected failure": (undone, "@pytest.mark.x" + "fail"),
    "uncovered": (undone, "x = 1  # pragma" + ": no cover"),
    "noqa without a code": (switched_off, "x = 1  # noqa"),
    "noqa without a reason": (switched_off, "x = 1  # noqa: S603"),
    "ignore without a code": (switched_off, "x = 1  # type: ignore -- it is fine"),
    "ignore without a reason": (switched_off, "x = 1  # type: ignore[attr-defined]"),
    "ignore whose reason is another switch": (switched_off, "x = 1  # noqa: E501, S603"),
    "sleep": (sleeping, "time.sleep(1)"),
    "sleep for a variable": (sleeping, "await sleep(pause)"),
    "sleep beside the virtual clock": (sleeping, "from tests.virtualtime import run\ntime.sleep(5)"),
    "mock": (patching, "from unittest.mock import Mock"),
    "mock by module": (patching, "from unittest import mock"),
    "patched attribute": (patching, "monkeypatch.setattr(x, 'y', 1)"),
    "hidden import": (hidden_imports, "def f():\n    import x"),
    "doorway": (furnished_doorways, '"""Why."""\nfrom x import y'),
}

ACCEPTED = {
    "noqa with a reason": (switched_off, "x = 1  # noqa: S603 -- the path is our own"),
    "ignore with a reason": (switched_off, "x = 1  # type: ignore[attr-defined]  # the stubs lack it"),
    "yielding to the loop": (sleeping, "await asyncio.sleep(0)"),
    "virtual sleep": (sleeping, "from tests.virtualtime import run\nasync def f():\n    await asyncio.sleep(5)"),
    "environment": (patching, "monkeypatch.setenv('A', 'b')"),
    "lazy import": (hidden_imports, "def f():\n    import x  # lazy: pause must answer within 150 ms"),
    "empty doorway": (furnished_doorways, '"""Why."""\n'),
}


@pytest.mark.parametrize(("rule", "text"), PLANTED.values(), ids=PLANTED.keys())
def test_planted_breaches_are_caught(rule: object, text: str) -> None:
    assert callable(rule)
    assert list(rule(Source("custody/__init__.py", f"{text}\n")))


@pytest.mark.parametrize(("rule", "text"), ACCEPTED.values(), ids=ACCEPTED.keys())
def test_what_has_its_reason_is_accepted(rule: object, text: str) -> None:
    assert callable(rule)
    assert list(rule(Source("custody/__init__.py", f"{text}\n"))) == []
