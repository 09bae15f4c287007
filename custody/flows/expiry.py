"""The end of holds whose time has run out, which the ledger allows the relay by the block's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from custody.ledger import transactions as tx
from custody.ledger.state import Hold
from custody.sequencer import Busy
from custody.views.books import Books
from custody.voice import Voice

_log = structlog.get_logger(__name__)


class HoldExpiry:
    """Ends holds whose time has run out."""

    def __init__(self, voice: Voice, books: Books, clock: Callable[[], int], poll_seconds: float = 1.0) -> None:
        self._voice = voice
        self._books = books
        self._clock = clock
        self._poll = poll_seconds

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.step()
            except Busy:
                _log.warning("ledger_busy")
            await asyncio.sleep(self._poll)

    async def step(self) -> None:
        """Lift every hold that has run out. Raises `Busy`."""
        for name, _ in self.due():
            await self._voice.say(partial(_expired, name))

    def due(self) -> list[tuple[str, Hold]]:
        """Holds past their end by the daemon's clock; the ledger checks again by the block's."""
        now = self._clock()
        return [(str(key[0]), hold) for key, hold in self._books.state.holds.rows() if 0 < hold.until <= now]


def _expired(hold: str, ledger: str, seq: int) -> tx.HoldLifted:
    return tx.HoldLifted(ledger=ledger, seq=seq, hold=hold, reason="its time has run out", actor="auto")
