"""What the story prints, and the second set of books it keeps by itself to check the first.

The expected balances are added up from what the story did, never read from the daemon, and compared to the unit.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

from rich.console import Console
from rich.table import Table

DECIMALS = {"ETH": 18, "SOL": 9, "USDC": 6}


class Wrong(Exception):
    """An amount is not what it must be."""


def units(text: str, asset: str) -> int:
    """ "1.5" of an asset as its integer units."""
    scaled = Decimal(text).scaleb(DECIMALS[asset])
    assert scaled == scaled.to_integral_value(), "an amount of the story is whole units"
    return int(scaled)


def shown(amount: int, asset: str) -> str:
    """Integer units for people."""
    whole, rest = divmod(abs(amount), 10 ** DECIMALS[asset])
    fraction = str(rest).rjust(DECIMALS[asset], "0").rstrip("0")
    sign = "-" if amount < 0 else ""
    return f"{sign}{whole:,}{'.' + fraction if fraction else ''} {asset}"


class Paper:
    """The story's own books, its printed tables and its summary file."""

    def __init__(self) -> None:
        self.console = Console(width=120, soft_wrap=False)
        self.expected: dict[tuple[str, str], int] = {}
        self.outside: dict[tuple[str, str, str], int] = {}  # chain, recipient, asset → what they must have
        self._steps: list[dict[str, object]] = []

    def owe(self, user: str, asset: str, amount: int) -> None:
        """A user must have so much more (or less) available."""
        self.expected[user, asset] = self.expected.get((user, asset), 0) + amount

    def pay(self, chain: str, recipient: str, asset: str, amount: int) -> None:
        """Somebody outside must have got so much more."""
        key = (chain, recipient, asset)
        self.outside[key] = self.outside.get(key, 0) + amount

    def title(self, number: int, text: str) -> None:
        """A step begins."""
        self.console.print()
        self.console.rule(f"[bold]{number}. {text}", align="left")

    def say(self, text: str) -> None:
        """One line of the story."""
        self.console.print(f"   {text}", highlight=False)

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """A table after a step; it goes into the summary file too."""
        self.console.print(f"\n   [bold]{name}[/]", highlight=False)
        table = Table(pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*row)
        self.console.print(table)
        self._steps.append({"table": name, "columns": list(columns), "rows": [list(row) for row in rows]})

    def check(self, what: str, found: object, must: object) -> None:
        """Raise `Wrong` unless they are equal."""
        if found != must:
            raise Wrong(f"{what}: found {found!r}, must be {must!r}")

    def write(self, path: Path, summary: dict[str, object]) -> None:
        """`build/demo.json`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"schema": 1, **summary, "steps": self._steps}, indent=2) + "\n")
