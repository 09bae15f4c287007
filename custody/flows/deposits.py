"""A chain's cursor: the one worker that moves it, range by range, whatever is on hold.

Pauses never stop it: a deposit is recorded as soon as it can be trusted, and the ledger decides when to credit it. On
its way the worker keeps the watched set and the ledger's list in step, so that an address is handed out only after
the scanner knows it, and takes balance samples exactly at the cursor for reconciliation.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import msgspec
import structlog

from chains.errors import ChainError, Permanent, Retryable
from chains.observations import Balance, Block, Range
from chains.ports import Adapter, Tier, WatchList
from custody import intake
from custody.drafting import tokens_of
from custody.flows.condition import Condition
from custody.flows.roster import Entry, Roster
from custody.ledger import invariants
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.sequencer import Busy, Receipt
from custody.views.books import Books
from custody.voice import Voice
from custody.wallets.reconciliation import Statement

_log = structlog.get_logger(__name__)

_PASSING = (Rejection.SCAN_STALE.code, Rejection.SCAN_NOT_JOINED.code)
"""Refusals of a range that the next look usually cures: an address or a token came in between."""


class WatchSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`poll_seconds` between looks when nothing is new; `range_limit` positions in one range; `backoff_seconds` after
    a failed look, doubling up to `backoff_cap_seconds`; `identify_seconds` between looks at which chain it is;
    `pace_cap_seconds`: the longest rest between two ranges while catching up at a pace."""

    poll_seconds: float = 1.0
    range_limit: int = 64
    backoff_seconds: float = 0.5
    backoff_cap_seconds: float = 15.0
    identify_seconds: float = 600.0
    pace_cap_seconds: float = 10.0


class Pacing(NamedTuple):
    """`allowance`: requests a second that scanning may take now; `spent`: requests that reading took so far."""

    allowance: Callable[[], float]
    spent: Callable[[], int]


@dataclass(slots=True)
class _Comparison:
    position: int
    samples: tuple[Balance, ...]
    done: asyncio.Future[tuple[Statement, ...] | None]


class ChainWatch:
    """Scans one chain from the ledger's cursor on."""

    def __init__(
        self,
        adapter: Adapter,
        voice: Voice,
        books: Books,
        roster: Roster,
        condition: Condition,
        settings: WatchSettings,
        pacing: Pacing | None = None,
    ) -> None:
        self.chain = adapter.chain
        self._adapter = adapter
        self._voice = voice
        self._books = books
        self._roster = roster
        self._condition = condition
        self._settings = settings
        self._pacing = pacing
        self._watch = WatchList()
        self._comparison: _Comparison | None = None
        self._most = settings.range_limit
        self._refusals = 0
        self._identified_at: float | None = None

    async def run(self) -> None:
        """Until cancelled. A chain's trouble is waited out here; anything else is a bug and ends the daemon."""
        backoff = self._settings.backoff_seconds
        while True:
            loop = asyncio.get_running_loop()
            began, spent = loop.time(), 0 if self._pacing is None else self._pacing.spent()
            self._condition.looking = True
            try:
                moved = await self.step()
            except ChainError as exc:
                self._condition.failed(exc)
                _log.warning("scan_failed", chain=self.chain, code=exc.code, error=exc.message)
                await asyncio.sleep(backoff)
                backoff = min(2 * backoff, self._settings.backoff_cap_seconds)
                continue
            except Busy:
                moved = False
            finally:
                self._condition.looking = False
            backoff = self._settings.backoff_seconds
            if not moved:
                await self._rest()
            elif self._pacing is not None:
                cost = self._pacing.spent() - spent
                await asyncio.sleep(self._owed(cost, self._pacing.allowance(), loop.time() - began))

    def _owed(self, cost: int, allowance: float, took: float) -> float:
        """Seconds to rest after a range that took so many requests and so long, to keep within the allowance. A range
        that would want too long a rest was too large."""
        most = self._settings.pace_cap_seconds
        owed = max(0.0, cost / allowance - took)
        if owed > most:
            self._most = max(1, int(self._most * most / (2.0 * owed)))
        return min(owed, most)

    async def _rest(self) -> None:
        """Until the next poll, or sooner when an address waits to be watched."""
        changed = self._roster.changed
        if self._roster.entries(self.chain, self._watch.version):
            return
        try:
            async with asyncio.timeout(self._settings.poll_seconds):
                await changed.wait()
        except TimeoutError:
            return

    async def step(self) -> bool:
        """One look: whether another should follow at once. Raises `ChainError`, `Busy`."""
        await self._identify()
        await self._acknowledge()
        await self._compare()
        state = self._books.state
        row = state.cursors.need(self.chain)
        self._watch.list_tokens(tokens_of(state, self.chain), state.chains.need(self.chain).tokens)
        cursor = Block(
            position=row.position, height=row.height, hash=row.hash, parent_position=0, parent_hash="", time=0
        )
        found = await self._adapter.scan(cursor, self._watch, self._limit(row.position))
        if found is None:
            self._condition.scanned()
            await self._compare()
            return False
        answer = await self._voice.say(lambda ledger, seq: intake.scanned(found, ledger=ledger, seq=seq))
        if not accepted(answer):
            return self._refused(answer.code, found)
        self._condition.scanned()
        self._refusals = 0
        self._most = min(2 * self._most, self._settings.range_limit)
        self._condition.cursor_time = found.blocks[-1].time
        await self._compare()
        return True

    def _refused(self, code: str, found: Range) -> bool:
        """What a refused range asks for: half as much, where it is too large for one transaction; another look, once,
        where the ledger moved on meanwhile. Raises `Retryable` (`scan_stale`, `scan_not_joined`) and `Permanent`
        (`scan_refused`): no look will help, and a person must know."""
        _log.warning("scan_refused", chain=self.chain, code=code, first=found.first, last=found.last)
        if code == Rejection.FIELD_OUT_OF_BOUNDS.code and len(found.blocks) > 1:
            self._most = max(1, (found.last - found.first + 1) // 2)
            return True
        self._refusals += 1
        where = f"the ledger refuses what blocks {found.first} to {found.last} show"
        if code not in _PASSING:
            raise Permanent("scan_refused", f"{where}: {code}")
        if self._refusals > 1:
            raise Retryable(code, where)
        return False

    async def _identify(self) -> None:
        """That the providers serve the ledger's chain, at the start and from time to time: an endpoint can be moved to
        another network behind our back."""
        now = asyncio.get_running_loop().time()
        if self._identified_at is None or now - self._identified_at >= self._settings.identify_seconds:
            await self._adapter.identify()
            self._identified_at = now

    async def _acknowledge(self) -> None:
        """Watch what the ledger attested since, then tell the ledger, address by address in its order."""
        for entry in self._roster.entries(self.chain, self._watch.version):
            self._watch.add(entry.address, Tier(entry.tier))
        watched = self._books.state.chains.need(self.chain).watched
        for entry in self._roster.entries(self.chain, watched):
            if entry.order > self._watch.version:
                break
            answer = await self._voice.say(partial(_assigned, self.chain, entry))
            if not accepted(answer):
                _log.warning("address_not_assigned", chain=self.chain, code=answer.code)
                return

    def _limit(self, position: int) -> int:
        """Ranges end exactly where balances were sampled."""
        if self._comparison is None or self._comparison.position <= position:
            return self._most
        return min(self._most, self._comparison.position - position)

    async def compare(self, position: int, samples: tuple[Balance, ...]) -> tuple[Statement, ...] | None:
        """Have the ledger compare balances, all valid at one finalized position, when the cursor stands exactly there.

        The chain's statements at that moment, None when the cursor had already passed. One comparison at a time;
        a cancelled one is forgotten.
        """
        assert self._comparison is None, "one comparison at a time"
        done: asyncio.Future[tuple[Statement, ...] | None] = asyncio.get_running_loop().create_future()
        self._comparison = _Comparison(position=position, samples=samples, done=done)
        try:
            return await done
        finally:
            self._comparison = None

    async def _compare(self) -> None:
        wanted = self._comparison
        if wanted is None or wanted.done.done():
            return
        cursor = self._books.state.cursors.need(self.chain).position
        if cursor > wanted.position:
            wanted.done.set_result(None)
        if cursor != wanted.position:
            return
        # Before the ledger's verdict, which may put a surplus into suspense and so make the books equal.
        mine = tuple(item for chain, item in invariants.statements(self._books.state) if chain == self.chain)
        answer = await self._voice.say(
            lambda ledger, seq: intake.observed(self.chain, cursor, wanted.samples, ledger=ledger, seq=seq)
        )
        if not accepted(answer):
            _log.warning("balances_refused", chain=self.chain, code=answer.code)
        if not wanted.done.done():
            wanted.done.set_result(mine if accepted(answer) else None)


def accepted(answer: Receipt | Rejection) -> bool:
    """Whether the ledger took it."""
    return isinstance(answer, Receipt) and answer.ok


def _assigned(chain: str, entry: Entry, ledger: str, seq: int) -> tx.AddressAssigned:
    return tx.AddressAssigned(ledger=ledger, seq=seq, chain=chain, address=entry.address, watched=entry.order)
