"""Automatic holds: set when a chain can't be trusted to answer, lifted when it can again, with the cause on record.

The rules are `custody.pausing`'s; this flow measures, steps them, and speaks to the ledger only through holds under
the relay's key: `auto:provider` and `auto:finality`, a hold for each direction, which it lifts again, and
`auto:integrity` where no further look will help, which ends by a person's judgement.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import structlog

from chains.errors import ChainError
from chains.observations import Block, Source
from chains.pool.calls import Priority
from chains.pool.events import ProviderHealth
from chains.pool.methods import MethodClass, method_class
from chains.ports import Adapter
from custody.flows.condition import Condition
from custody.flows.cordons import Cordons
from custody.flows.deposits import accepted
from custody.flows.holding import hold_automatically
from custody.flows.ports import PoolControl
from custody.ledger import transactions as tx
from custody.ledger.lifecycle import AttemptState
from custody.ledger.state import Hold
from custody.pausing.causes import Causes
from custody.pausing.facts import Finding, Look, SourceFact, standing
from custody.pausing.machine import Act, Circumstances, Machine, PauseState
from custody.pausing.pace import Stagger, allowance
from custody.pausing.settings import PauseSettings
from custody.sequencer import Busy
from custody.views.books import Books
from custody.voice import Voice

_log = structlog.get_logger(__name__)

DIRECTIONS = ("deposits", "withdrawals")


class Standing(NamedTuple):
    """One direction's pause as it stands, for people. `since`: unix milliseconds; `queue_age`: seconds that the oldest
    has waited; `estimate`: seconds until it may resume, None while nobody can say."""

    direction: str
    state: PauseState
    since: int
    cause: str
    reason: str
    queue_age: float
    estimate: float | None


class Bearings(NamedTuple):
    """What the controller is told beside the chain's own parts. `clock`: unix milliseconds. `oldest`: since when the
    oldest in a direction's queue has waited, unix milliseconds. `attempt_age`: seconds that our oldest signed attempt
    has been out."""

    clock: Callable[[], int]
    oldest: Callable[[str, str], int | None]
    attempt_age: Callable[[], float]


class PauseController:
    """One chain's automatic holds. `quorum`: how many providers must state a fact of money."""

    def __init__(
        self,
        adapter: Adapter,
        condition: Condition,
        pool: PoolControl,
        cordons: Cordons,
        voice: Voice,
        books: Books,
        bearings: Bearings,
        settings: PauseSettings,
        *,
        quorum: int,
        stagger: Stagger,
    ) -> None:
        now = asyncio.get_running_loop().time()
        self._chain = adapter.chain
        self._adapter, self._condition, self._pool = adapter, condition, pool
        self._cordons, self._voice, self._books, self._bearings = cordons, voice, books, bearings
        self._settings, self._quorum, self._stagger = settings, quorum, stagger
        self._causes = Causes(settings)
        self._machines = {direction: Machine(settings, now) for direction in DIRECTIONS}
        self._sources: dict[str, Source] = {}
        self._surveys = self._canaries = 0
        self._capacity = 0.0
        self._stopped = False
        self._freed_at = float("-inf")

    async def run(self) -> None:
        """Until cancelled: looks, and beside them surveys, which may hang as long as a provider does."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._survey_for_ever())
            group.create_task(self._look_for_ever())

    async def _look_for_ever(self) -> None:
        while True:
            try:
                await self.step()
            except Busy:
                _log.warning("ledger_busy", chain=self._chain)
            await asyncio.sleep(self._settings.poll_seconds)

    async def _survey_for_ever(self) -> None:
        settings = self._settings
        while True:
            await self.survey()
            probing = any(machine.holding for machine in self._machines.values())
            await asyncio.sleep(settings.canary_seconds if probing else settings.survey_seconds)

    async def survey(self) -> None:
        """Ask every provider where it stands; each such survey is a canary too."""
        row = self._books.state.cursors.need(self._chain)
        cursor = Block(
            position=row.position, height=row.height, hash=row.hash, parent_position=0, parent_hash="", time=0
        )
        # A canary may be asked twice: one lost answer in a hundred must not keep a chain paused for hours.
        quorate = await self._ask_around(cursor) or await self._ask_around(cursor)
        self._surveys += 1
        self._canaries += quorate

    async def _ask_around(self, cursor: Block) -> bool:
        """Whether a quorum says where it stands."""
        try:
            sources = await self._adapter.sources(cursor)
        except ChainError as exc:
            _log.info("survey_failed", chain=self._chain, code=exc.code)
            sources = ()
        self._sources = {source.provider: source for source in sources}
        told = [source for source in sources if source.latest is not None and source.finalized is not None]
        return len(told) >= self._quorum

    async def step(self) -> None:
        """One look, and at most one hold set or lifted for each direction. Raises `Busy`."""
        await self._cordons.step()
        now = asyncio.get_running_loop().time()
        if await self._integrity():
            return
        look = self._look(now)
        self._capacity = look.capacity
        findings = dict(zip(DIRECTIONS, self._causes.judge(now, look), strict=True))
        able = standing(look, self._settings.lag_positions)
        agreed = sum(1 for one in able if one.confirms) >= self._quorum
        for direction, machine in self._machines.items():  # ordered: deposits first
            await self._advance(now, machine, direction, findings[direction], look, agreed=agreed)

    async def _advance(
        self, now: float, machine: Machine, direction: str, finding: Finding, look: Look, *, agreed: bool
    ) -> None:
        mine = self._mine(direction)
        accounts = [item.account for item in self._pool.health(now)]
        before = machine.state
        act = machine.step(
            now,
            finding,
            Circumstances(
                held_since=None if mine is None else now - (self._bearings.clock() - mine[1].since) / 1000.0,
                drained=self._drained(direction),
                agreed=agreed,
                free=self._stagger.free(self._chain, accounts, now, self._settings.stagger_seconds),
                caught_up=self._caught_up(now, direction, machine),
                surveys=look.surveys,
                canaries=look.canaries,
            ),
        )
        if mine is not None and machine.holding and not machine.reason:
            machine.cause, machine.reason = mine[1].cause, mine[1].reason  # it was set in an earlier life
        if machine.state is not before:
            _log.info(
                "pause_state", chain=self._chain, direction=direction, state=machine.state.name, reason=machine.reason
            )
            if machine.state is PauseState.CATCHING_UP:
                self._stagger.resumed(self._chain, accounts, now)
        if act is Act.HOLD:
            await self._hold(machine.cause, direction, self._told(machine, direction))
        elif act is Act.LIFT and mine is not None:
            await self._lift(mine[0])

    def _caught_up(self, now: float, direction: str, machine: Machine) -> bool:
        if direction == "withdrawals":
            return machine.ramp(now) >= 1.0
        return self._causes.eta <= self._settings.goodput_seconds

    def _drained(self, direction: str) -> bool:
        if direction == "deposits":
            return not self._condition.looking
        state = self._books.state
        mine = [str(key[0]) for key, chain in state.open_attempts.rows() if chain == self._chain]
        return all(state.attempts.need(name).state is not AttemptState.PREPARED for name in mine)

    def _look(self, now: float) -> Look:
        health = self._pool.health(now)
        traffic = self._pool.traffic()
        condition = self._condition
        live = traffic[Priority.LIVE]
        return Look(
            sources=tuple(self._source(item) for item in health),
            quorum=self._quorum,
            cursor=self._books.state.cursors.need(self._chain).position,
            capacity=self._bearable(health),
            demand=sum(count.sent for priority, count in traffic.items() if priority is not Priority.BACKFILL),
            offered=live.offered,
            answered=live.answered,
            failing=condition.failing_for(),
            trouble=f"{condition.error_code}: {condition.error}",
            strikes=self._cordons.strikes,
            strike=self._cordons.last_strike,
            attempt_age=self._bearings.attempt_age(),
            looked_ago=0.0 if condition.scanned_at is None else now - condition.scanned_at,
            surveys=self._surveys,
            canaries=self._canaries,
        )

    def _source(self, item: ProviderHealth) -> SourceFact:
        sick = item.failing_for is not None and item.failing_for >= self._settings.sick_seconds
        why = item.reason or (f"{item.last_error} for {int(item.failing_for or 0.0)} s" if sick else "")
        told = self._sources.get(item.name)
        latest, finalized = item.latest, item.finalized
        if told is not None:
            latest = told.latest if latest is None else latest
            finalized = told.finalized if finalized is None else finalized
        return SourceFact(
            name=item.name,
            usable=item.may_ask and not sick,
            why=why,
            sends=all(method_class(method) is not MethodClass.WRITE for method in item.unsupported),
            latest=latest,
            finalized=finalized,
            confirms=None if told is None else told.confirms,
        )

    def _bearable(self, health: tuple[ProviderHealth, ...]) -> float:
        """Each account once, however many endpoints of it are configured."""
        rates = {item.account: item.learned_calls for item in health if item.may_ask}
        return sum(rates.values())

    # --- what others see ---

    def standings(self) -> tuple[Standing, ...]:
        """Both directions as they stand now."""
        now = asyncio.get_running_loop().time()
        wall = self._bearings.clock()
        stopped = self._contradicted()
        if stopped is not None:
            return tuple(
                Standing(
                    direction=direction,
                    state=PauseState.PAUSED,
                    since=stopped.since,
                    cause=stopped.cause,
                    reason=stopped.reason,
                    queue_age=self._queue_age(direction),
                    estimate=None,
                )
                for direction in DIRECTIONS
            )
        return tuple(
            Standing(
                direction=direction,
                state=machine.state,
                since=wall - int((now - machine.since) * 1000.0),
                cause=machine.cause,
                reason=machine.reason,
                queue_age=self._queue_age(direction),
                estimate=machine.estimate(now),
            )
            for direction, machine in self._machines.items()  # ordered: deposits first
        )

    def payout_share(self) -> float:
        """The part of what may usually be in flight that payouts may have out now."""
        return self._machines["withdrawals"].ramp(asyncio.get_running_loop().time())

    def scan_allowance(self) -> float:
        """Requests a second that the cursor may take; infinite when nothing but the pool's limits slows it down."""
        machine = self._machines["deposits"]
        now = asyncio.get_running_loop().time()
        return allowance(self._settings, machine.state, machine.since, now, self._capacity, self._causes.required)

    def _queue_age(self, direction: str) -> float:
        oldest = self._bearings.oldest(self._chain, direction)
        return 0.0 if oldest is None else max(0.0, (self._bearings.clock() - oldest) / 1000.0)

    def _told(self, machine: Machine, direction: str) -> str:
        age = self._queue_age(direction)
        estimate = machine.least_pause() + self._settings.windows * self._settings.window_seconds
        waits = f"; the oldest in the queue has waited {age:.0f} s" if age else ""
        return f"{machine.reason}{waits}; {estimate:.0f} s at least once this is over"

    # --- holds ---

    async def _integrity(self) -> bool:
        """A chain that contradicts itself waits for a person: nothing is judged meanwhile."""
        condition = self._condition
        now = asyncio.get_running_loop().time()
        stands = self._contradicted() is not None
        if self._stopped and not stands:
            self._freed_at = now  # a person has lifted it: what was seen before they did is no reason any more
        self._stopped = stands
        if condition.for_a_person() < self._settings.sick_seconds:
            return stands
        looked_since = condition.looked_at is not None and condition.looked_at > self._freed_at
        if not stands and looked_since:
            reason = f"the chain can't be read ({condition.error_code}: {condition.error})"
            await self._hold("integrity", "all", reason)
            self._stopped = True
        return stands or looked_since

    def _contradicted(self) -> Hold | None:
        return next((hold for _, hold in self._own() if hold.cause == "integrity" and hold.direction == "all"), None)

    def _own(self) -> list[tuple[str, Hold]]:
        rows = [(str(key[0]), hold) for key, hold in self._books.state.holds.rows()]
        return [(n, hold) for n, hold in rows if hold.origin == "auto" and hold.chain == self._chain and _whole(hold)]

    def _mine(self, direction: str) -> tuple[str, Hold] | None:
        """Our own hold on a direction; one on both, from an older version, counts for either."""
        own = [item for item in self._own() if item[1].cause in ("provider", "finality")]
        return next((item for item in own if item[1].direction in (direction, "both")), None)

    async def _hold(self, cause: str, direction: str, reason: str) -> None:
        answer = await hold_automatically(
            self._voice, self._books, cause=cause, direction=direction, reason=reason, chain=self._chain
        )
        _log.warning(
            "held", chain=self._chain, direction=direction, cause=cause, accepted=accepted(answer), reason=reason
        )

    async def _lift(self, hold: str) -> None:
        answer = await self._voice.say(
            lambda ledger, seq: tx.HoldLifted(
                ledger=ledger, seq=seq, hold=hold, reason="the providers answer again", actor="auto"
            )
        )
        _log.info("resumed", chain=self._chain, accepted=accepted(answer), hold=hold)


def _whole(hold: Hold) -> bool:
    return not (hold.provider or hold.asset or hold.account or hold.wallet)
