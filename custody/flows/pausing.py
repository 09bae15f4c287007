"""Automatic holds: set when a chain can't be trusted to answer, lifted when it can again, with the cause on record.

This flow looks at the pool's health and at how the chain's own workers fare, and speaks to the ledger only through
holds under the relay's key: `auto:provider`, which it lifts again, and `auto:integrity` where no further look will
help, which ends by a person's judgement. It also ends operators' holds whose time has run out, which the ledger allows
the relay by the block's clock alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial

import msgspec
import structlog

from chains.pool.events import ProviderHealth
from custody.flows.condition import Condition
from custody.flows.deposits import accepted
from custody.ledger import transactions as tx
from custody.ledger.state import Hold
from custody.sequencer import Busy
from custody.views.books import Books
from custody.voice import Voice

_log = structlog.get_logger(__name__)


class PauseSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`poll_seconds` between looks. A chain is held after nobody answered for `grace_seconds`, and released after
    looks at it have succeeded for `calm_seconds`. A provider that has failed for `sick_seconds` without one good
    answer counts as not to be asked."""

    poll_seconds: float = 0.5
    grace_seconds: float = 10.0
    calm_seconds: float = 30.0
    sick_seconds: float = 5.0


class ProviderPause:
    """One chain's automatic hold."""

    def __init__(
        self,
        condition: Condition,
        health: Callable[[], Sequence[ProviderHealth]],
        voice: Voice,
        books: Books,
        settings: PauseSettings,
    ) -> None:
        self._chain = condition.chain
        self._condition = condition
        self._health = health
        self._voice = voice
        self._books = books
        self._settings = settings
        self._bad_since: float | None = None
        self._good_since: float | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.step()
            except Busy:
                _log.warning("ledger_busy", chain=self._chain)
            await asyncio.sleep(self._settings.poll_seconds)

    def _trouble(self) -> str:
        """Why no provider can be trusted to answer; empty when one can."""
        reasons: list[str] = []
        for item in self._health():
            if not item.may_ask:
                reasons.append(f"{item.name}: {item.reason}")
            elif item.failing_for is not None and item.failing_for >= self._settings.sick_seconds:
                reasons.append(f"{item.name}: {item.last_error} for {int(item.failing_for)} s")
            else:
                return ""
        return "no trustworthy provider (" + "; ".join(reasons) + ")"

    async def step(self) -> None:
        """One look and at most one hold set or lifted. Raises `Busy`."""
        now = asyncio.get_running_loop().time()
        trouble = self._trouble()
        if not trouble and self._condition.failing_for() >= self._settings.sick_seconds:
            trouble = f"the chain can't be read ({self._condition.error_code}: {self._condition.error})"
            if self._condition.for_a_person:
                if self._mine("integrity") is None:
                    await self._hold("integrity", trouble)
                return
        if trouble:
            self._bad_since = now if self._bad_since is None else self._bad_since
            self._good_since = None
            if now - self._bad_since >= self._settings.grace_seconds and self._mine("provider") is None:
                await self._hold("provider", trouble)
            return
        self._bad_since = None
        if self._condition.failing_since is not None:
            self._good_since = None
            return
        self._good_since = now if self._good_since is None else self._good_since
        mine = self._mine("provider")
        if mine is not None and now - self._good_since >= self._settings.calm_seconds:
            await self._lift(mine)

    def _mine(self, cause: str) -> str | None:
        for key, hold in self._books.state.holds.rows():
            if (hold.origin, hold.cause, hold.chain) == ("auto", cause, self._chain):
                return str(key[0])
        return None

    async def _hold(self, cause: str, reason: str) -> None:
        height = 0 if self._books.link is None else self._books.link.height
        answer = await self._voice.say(
            lambda ledger, seq: tx.HoldSet(
                ledger=ledger,
                seq=seq,
                hold=f"auto:{cause}:{self._chain}:{height}",
                chain=self._chain,
                asset="",
                account="",
                wallet="",
                provider="",
                direction="all" if cause == "integrity" else "both",
                origin="auto",
                cause=cause,
                reason=reason[:500],
                actor="auto",
                until=0,
            )
        )
        _log.warning("held", chain=self._chain, cause=cause, accepted=accepted(answer), reason=reason)

    async def _lift(self, hold: str) -> None:
        answer = await self._voice.say(
            lambda ledger, seq: tx.HoldLifted(
                ledger=ledger, seq=seq, hold=hold, reason="the providers answer again", actor="auto"
            )
        )
        _log.info("resumed", chain=self._chain, accepted=accepted(answer), hold=hold)


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
