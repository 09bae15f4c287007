"""The README's tables, drawn from the code: what a stranger reads there is what the programs do.

`python -m tools.tables` writes them between the README's markers, `--check` says whether they are up to date.
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum, StrEnum
from http import HTTPStatus
from pathlib import Path
from types import UnionType
from typing import TypeVar

import msgspec

from custody.api.errors import TABLE
from custody.cli.context import Exit
from custody.ledger import transactions as tx
from custody.ledger.lifecycle import ATTEMPT, DEPOSIT, WITHDRAWAL
from custody.policy.parameters import Parameter

README = Path(__file__).parents[1] / "README.md"
_MARKED = re.compile(r"(?P<open><!-- table: (?P<name>[a-z-]+) -->\n)(?P<body>.*?)(?P<close><!-- end -->)", re.DOTALL)
_COMMON = ("ledger", "seq")
_WORDS = {str: "", int: "number", bool: "yes/no"}
_EXITS = {
    Exit.OK: "done",
    Exit.USAGE: "the command line is wrong",
    Exit.REFUSED: "refused: by the daemon, by a journal that proves nothing, by a difference, or not confirmed",
    Exit.UNREACHABLE: "nobody answers at the socket",
    Exit.NEEDS_APPROVAL: "another person, or a person's own key, must say it",
    Exit.TIMED_OUT: "`--wait` is over",
    Exit.CONFIGURATION: "a file is missing or wrong",
}


S = TypeVar("S", bound=StrEnum)


class Stale(Exception):
    """The README has no place for a table, or a place for one that nobody draws."""


def transactions() -> str:
    """Every type, who may say it, and its fields; then the structs within them."""
    rows = []
    parts: dict[type[msgspec.Struct], None] = {}
    for kind in tx.TYPES:
        who = "the founders, once" if kind is tx.Genesis else ", ".join(kind.ROLES)
        told = _fields(kind, _COMMON, parts)
        rows.append((f"`{kind.__struct_config__.tag}`", who + ("; quorum" if kind.QUORUM else ""), told, _first(kind)))
    nested: dict[str, tuple[str, str, str]] = {}
    while fresh := [part for part in parts if part.__name__ not in nested]:  # a part may have parts
        for part in fresh:
            nested[part.__name__] = (part.__name__, _fields(part, (), parts), _first(part))
    return (
        _table(("type", "who", "fields beside `type`, `ledger`, `seq`", "what it says"), rows)
        + "\n"
        + _table(("part", "fields", "what it is"), nested.values())
    )


def errors() -> str:
    """Every code the API can answer with."""
    rows = [
        (f"`{row.code}`", f"{row.status} {HTTPStatus(row.status).phrase}", "yes" if row.transient else "", row.message)
        for row in sorted(TABLE.values(), key=lambda row: (row.status, row.code))
    ]
    return _table(("code", "status", "transient", "what to do"), rows)


def lifecycles() -> str:
    """The three life cycles: each state and what may become of it."""
    told = [_lifecycle("Deposit", DEPOSIT), _lifecycle("Withdrawal", WITHDRAWAL), _lifecycle("Attempt", ATTEMPT)]
    return "\n".join(told)


def exits() -> str:
    """What a script sees of `custodyctl`."""
    return _table(("exit", "means"), [(str(int(code)), _EXITS[code]) for code in Exit])


def parameters() -> str:
    """The policy's numbers."""
    rows = [(f"`{item.label}`", f"each {item.scope.value}", str(item.default)) for item in Parameter]
    return _table(("parameter", "set for", "where none is set"), rows)


TABLES: Mapping[str, Callable[[], str]] = {
    "transactions": transactions,
    "errors": errors,
    "lifecycles": lifecycles,
    "exits": exits,
    "parameters": parameters,
}


def drawn(text: str) -> str:
    """A document with every marked table drawn anew. Raises `Stale`."""
    names = [found["name"] for found in _MARKED.finditer(text)]
    if sorted(names) != sorted(TABLES):
        raise Stale(f"the tables are {', '.join(sorted(TABLES))}; the document has places for {', '.join(names)}")
    return _MARKED.sub(lambda found: f"{found['open']}\n{TABLES[found['name']]()}\n{found['close']}", text)


def _lifecycle(name: str, moves: Mapping[tuple[S | None, str], S]) -> str:
    rows: dict[S | None, list[str]] = {}
    for (before, move), after in moves.items():
        rows.setdefault(before, []).append(f"{move} → `{after}`")
    for after in moves.values():
        rows.setdefault(after, [])
    shown = [
        (f"`{state}`" if state else "(new)", ", ".join(then) or ("it is over" if state else ""))
        for state, then in rows.items()
    ]
    return _table((name, "may"), shown)


def _fields(kind: type[msgspec.Struct], without: Sequence[str], parts: dict[type[msgspec.Struct], None]) -> str:
    hints = typing.get_type_hints(kind)
    told = []
    for name in kind.__struct_fields__:
        if name not in without:
            word = _word(hints[name], parts)
            told.append(f"`{name}`" + (f" ({word})" if word else ""))
    return ", ".join(told)


def _word(hint: object, parts: dict[type[msgspec.Struct], None]) -> str:
    """How a field's type is said; plain text, amounts included, is not said at all."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return f"list of {_word(inside[0], parts) or 'text'}"
    if origin is dict:
        return "text by name"
    if origin in (UnionType, typing.Union):
        return " or ".join(_word(item, parts) or "text" for item in inside if item is not type(None)) + " or null"
    assert isinstance(hint, type), f"nobody has said how {hint} is told"
    if issubclass(hint, msgspec.Struct):
        parts[hint] = None
        return hint.__name__
    return "role" if issubclass(hint, Enum) else _WORDS[hint]


def _first(kind: type) -> str:
    """The first sentence of what a class says of itself."""
    text = " ".join((inspect.getdoc(kind) or "").split())
    return text.partition(". ")[0].removesuffix(".") + "."


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines.extend("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    return "\n".join(lines) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    """Write or check."""
    parser = argparse.ArgumentParser(prog="python -m tools.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when a table is out of date")
    options = parser.parse_args(words)
    text = README.read_text()
    try:
        fresh = drawn(text)
    except Stale as exc:
        sys.stderr.write(f"{README.name}: {exc}\n")
        return 1
    if options.check:
        if fresh != text:
            sys.stderr.write(f"{README.name}: a table is out of date: python -m tools.tables\n")
        return int(fresh != text)
    README.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
