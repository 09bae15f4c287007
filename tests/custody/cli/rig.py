"""The command line as a test calls it: in a thread, while the daemon's loop serves the socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from custody.custodyctl import main


@dataclass
class Said:
    """What one call of the command line said, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        found = json.loads(self.out)
        assert found["schema"] == 1
        return found


@dataclass
class Ctl:
    """`custodyctl` with a socket and an operator's key."""

    socket: Path
    key: Path

    async def __call__(self, *words: str, answer: str = "") -> Said:
        given = ["--socket", str(self.socket), "--key", str(self.key), *words]
        done = await asyncio.to_thread(CliRunner().invoke, main, given, input=answer)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        return Said(done.exit_code, done.stdout, done.stderr)

    async def json(self, *words: str) -> Any:
        """The object that `-o json` prints."""
        said = await self("-o", "json", *words)
        assert said.code == 0, said
        return said.json
