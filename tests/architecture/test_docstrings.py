"""Every module says why it exists, and every public class and function what it promises."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tools.sources import Source, sources

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def silent(source: Source) -> Iterator[str]:
    """`path:line: name` of everything that owes a docstring and has none.

    Private names, dunder methods, overloads and what is defined inside a function owe none; nor do the methods of a
    private class, nor those of a Protocol whose class says what they mean.
    """
    if not ast.get_docstring(source.tree):
        yield f"{source.path}:1: the module"
    yield from _silent(source.path, source.tree.body)


def _silent(path: str, body: list[ast.stmt]) -> Iterator[str]:
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_") or _named(node, "overload"):
            continue
        if not ast.get_docstring(node):
            yield f"{path}:{node.lineno}: {node.name}"
        if isinstance(node, ast.ClassDef) and "Protocol" not in map(_name, node.bases):
            yield from _silent(path, node.body)


def _named(node: Definition, decorator: str) -> bool:
    # A property's setter is documented by its getter.
    return any(_name(known) in {decorator, "setter"} for known in node.decorator_list)


def _name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case ast.Subscript(value=value) | ast.Call(func=value):
            return _name(value)
        case _:
            return ""


def test_nothing_public_is_silent() -> None:
    found = [place for source in sources("custody", "chains", "tools") for place in silent(source)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        '"""Why."""\ndef f(): ...',
        '"""Why."""\nasync def f(): ...',
        '"""Why."""\nclass A: ...',
        '"""Why."""\nclass A:\n    """What."""\n    def f(self): ...',
        '"""Why."""\nclass A(Protocol): ...',
    ],
)
def test_a_missing_docstring_is_caught(text: str) -> None:
    assert list(silent(Source("a.py", text)))


@pytest.mark.parametrize(
    "text",
    [
        '"""Why."""\ndef _f(): ...',
        '"""Why."""\nclass A:\n    """What."""\n    def __init__(self): ...\n    def _f(self): ...',
        '"""Why."""\nclass A(Protocol[T]):\n    """What."""\n    def f(self): ...',
        '"""Why."""\n@overload\ndef f(): ...',
        '"""Why."""\ndef f():\n    """What."""\n    def g(): ...',
        '"""Why."""\nclass A:\n    """What."""\n    @x.setter\n    def x(self, x): ...',
    ],
)
def test_what_owes_no_docstring_is_left_alone(text: str) -> None:
    assert list(silent(Source("a.py", text))) == []
