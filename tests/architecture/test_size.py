"""Size is a smell: what has outgrown its limit is looked at again, and split or listed here with a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from tools.sources import Source, sources

MODULE_LINES = 400
FUNCTION_LINES = 70

REVIEWED: dict[str, str] = {
    "chains/solana/codec.py": "the wire shapes and the deposit rules that read them, in one place as on the twin chain",
    "chains/evm/facts.py": "block to facts, one pass: its parts are read together or not at all",
    "custody/ledger/transactions.py": "a list of types, each a few lines; its length is the number of things to say",
}
"""`path` or `path:function` → why it may be larger. An entry that is not needed any more fails the test."""


def oversized(source: Source) -> Iterator[str]:
    """The names, as `REVIEWED` has them, of everything in the file that is over its limit."""
    if source.lines > MODULE_LINES:
        yield source.path
    for node in ast.walk(source.tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno is not None
            if node.end_lineno - node.lineno + 1 > FUNCTION_LINES:
                yield f"{source.path}:{node.name}"


def test_nothing_has_outgrown_its_limit_unseen() -> None:
    found = {name for source in sources("custody", "chains", "tools") for name in oversized(source)}
    assert sorted(found - REVIEWED.keys()) == [], "split it, or list it with a reason"
    assert sorted(REVIEWED.keys() - found) == [], "no longer oversized: take it off the list"
    assert all(REVIEWED.values())


def test_the_limits_are_enforced() -> None:
    short, long = "    x = 1\n" * (FUNCTION_LINES - 1), "    x = 1\n" * FUNCTION_LINES
    assert list(oversized(Source("a.py", f"def f():\n{short}"))) == []
    assert list(oversized(Source("a.py", f"async def f():\n{long}"))) == ["a.py:f"]
    assert list(oversized(Source("a.py", "x = 1\n" * MODULE_LINES))) == []
    assert list(oversized(Source("a.py", "x = 1\n" * (MODULE_LINES + 1)))) == ["a.py"]
