"""Data to stdout: JSON for programs, plain lines or a table for people. Tables are drawn by a library that is loaded
only then."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import click

from custody.cli.context import Options

SCHEMA = 1
PIPE_COLUMNS = 500


def show_json(answer: Mapping[str, Any]) -> None:
    """One object with its schema's number."""
    click.echo(json.dumps({"schema": SCHEMA, **answer}, indent=2, ensure_ascii=False))


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table, or one line that says that there is nothing."""
    from rich import box  # lazy: only tables need it, and it costs 100 ms
    from rich.console import Console  # lazy: as above
    from rich.table import Table  # lazy: as above
    from rich.text import Text  # lazy: as above

    listed = list(rows)
    if not listed:
        click.echo(f"{title}: none")
        return
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in listed:
        table.add_row(*(Text(_plain(item)) for item in row))
    # A pipe has no width: there a row is a line.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
    console.print(table)


def show_fields(answer: Mapping[str, Any], names: Sequence[str]) -> None:
    """Name and value, a line each."""
    width = max(len(name) for name in names)
    for name in names:
        click.echo(f"{name:<{width}}  {_plain(answer[name])}")


def say(line: str, *, err: bool = False) -> None:
    """One line of which parts come from the daemon; a terminal that is narrower gets it broken between words."""
    text = _plain(line)
    if (sys.stderr if err else sys.stdout).isatty():
        text = textwrap.fill(text, shutil.get_terminal_size().columns, subsequent_indent="  ")
    click.echo(text, err=err)


def show(options: Options, answer: Mapping[str, Any], line: str) -> None:
    """An act's answer: the object, or one line."""
    if options.json:
        show_json(answer)
    else:
        click.echo(line)


def moment(milliseconds: int | None) -> str:
    """Unix milliseconds as people read them, in UTC; `-` for none."""
    if not milliseconds:
        return "-"
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(milliseconds // 1000))


def span(seconds: float | None) -> str:
    """A length of time as people say it, in its largest fitting unit; `-` for none."""
    if seconds is None:
        return "-"
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"


def scope_of(hold: Mapping[str, Any]) -> str:
    """What a hold is about, in words."""
    if hold["provider"]:
        return f"provider {hold['provider']} of {hold['chain']}"
    named = (hold["chain"], hold["asset"], hold["account"], hold["wallet"])
    return " ".join(filter(None, named)) or "everything"


def origin_of(hold: Mapping[str, Any]) -> str:
    """Who or what set a hold."""
    return str(hold["actor"]) if hold["origin"] == "operator" else f"auto:{hold['cause']}"


def money(amount: Mapping[str, str], asset: str) -> str:
    """An amount as people read it."""
    return f"{amount['decimal']} {asset}"


def _plain(item: object) -> str:
    """Text from the daemon without control characters: a reason must not be able to move a cursor."""
    text = "yes" if item is True else "no" if item is False else "-" if item is None or item == "" else str(item)
    return "".join(char if char.isprintable() else "\ufffd" for char in text)
