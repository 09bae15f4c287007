"""The options that all commands share, and how a command ends: the exit codes are part of the outside contract."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import NoReturn

import click


class Exit(IntEnum):
    """What a script sees."""

    OK = 0
    USAGE = 2
    REFUSED = 3
    UNREACHABLE = 4
    NEEDS_APPROVAL = 5
    TIMED_OUT = 6
    CONFIGURATION = 78


@dataclass(frozen=True, slots=True)
class Options:
    """As given before the command. `wait`: seconds a command may wait for its effect, None not to wait."""

    output: str
    socket: Path
    key: Path
    yes: bool
    wait: float | None

    @property
    def json(self) -> bool:
        """Whether the answer goes to a program."""
        return self.output == "json"


def confirm(options: Options, question: str) -> None:
    """Ask, unless `--yes`; a no, or nobody there to answer, is a refusal."""
    if options.yes:
        return
    try:
        agreed = click.confirm(question, err=True)
    except click.Abort:
        agreed = False
    if not agreed:
        fail(Exit.REFUSED, "not confirmed; nothing happened (--yes doesn't ask)")


def fail(code: Exit, message: str) -> NoReturn:
    """Say why on stderr and leave."""
    click.echo(f"custodyctl: {message}", err=True)
    sys.exit(code)
