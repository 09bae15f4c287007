"""The pool's door: a permit at once where one is free, else a place in line, and somebody who wakes whoever is next.

A shell around `queue`, `selection` and `shedding`, which decide; here it is only waited and woken. No decision is taken
across an `await`. A permit that was granted to somebody who has gone meanwhile is given back by whoever finds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from chains.errors import ChainError, NoProvider, Retryable
from chains.pool.calls import Call, Priority
from chains.pool.events import PoolEvents
from chains.pool.provider import NEVER, Permit, Provider
from chains.pool.queue import Queue, Ticket, unserved
from chains.pool.selection import Inquiry, ample_time, choose
from chains.pool.settings import PoolSettings
from chains.pool.shedding import Shedding

_SOON = 0.0005
"""Seconds before the line is looked at again, at least: a rounding error must not become a busy loop."""

_UNKNOWN_PART = 0.25
"""Of a call's time, left for the answer while nobody knows how long one takes: with nothing left everybody is sent too
late where answers are slow, and so nobody ever finds out."""

_MOST_PART = 0.95
"""Of a call's time, the most that is left for the answer: who is sent with less than an answer takes is sent in vain,
so where an answer takes nearly all the time there is, nobody may stand in line for longer than a moment."""

_URGENT_PART = 0.5
"""The same for a broadcast, which is worth sending however late its answer may be."""


class _Waiter:
    """The shell's side of a ticket: how it ends, and how it is woken if it had to wait."""

    __slots__ = ("error", "permit", "wake")

    def __init__(self) -> None:
        self.permit: Permit | None = None
        self.error: ChainError | None = None
        self.wake: asyncio.Future[None] | None = None

    def settle(self, permit: Permit | None, error: ChainError | None) -> None:
        self.permit, self.error = permit, error
        if self.wake is not None and not self.wake.done():
            self.wake.set_result(None)


class Admission:
    """Everybody who wants to send, and the queue they stand in."""

    def __init__(
        self,
        chain: str,
        providers: Sequence[Provider],
        settings: PoolSettings,
        events: PoolEvents,
        clock: Callable[[], float],
    ) -> None:
        self._chain, self._clock, self._events = chain, clock, events
        self._providers = providers
        self._names = tuple(provider.name for provider in providers)
        self._several = len(providers) > 1
        self.queue = Queue(settings.queue_bound)
        self._shedding = Shedding(settings)
        self._sent_away: tuple[Priority, ...] = ()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self.closed = False

    def depths(self) -> dict[Priority, int]:
        """How many are waiting, by class."""
        return {priority: self.queue.depth(priority) for priority in Priority}

    def at_once(self, call: Call, inquiry: Inquiry, providers: Sequence[Provider], now: float) -> Permit | None:
        """A permit that is free now, when nobody waits for it; None: stand in line."""
        if self.closed or self.queue.waiting:
            return None
        provider = choose(providers, call, inquiry, now).provider
        return None if provider is None else provider.begin(now, call.priority, call.method)

    async def in_line(self, call: Call, deadline: float, inquiry: Inquiry, providers: Sequence[Provider]) -> Permit:
        """A permit that is waited for. Raises `NoProvider`, or `Retryable` (`queue_full`, `too_late`, `crowded`); or
        what the call has heard already, when nobody is left who could say more."""
        if self.closed:
            raise NoProvider("no_provider", f"{self._chain}: the pool is closed")
        now = self._clock()
        # Sent later than this it could not be answered in time. Whoever is late already may still go if there is room.
        start_by = max(deadline - _time_to_answer(call, ample_time(providers, call.method, now)), now)
        self._refuse_if_too_late(call, start_by, now)
        ticket = Ticket(call, start_by, inquiry, providers, now)
        waiter = ticket.payload = _Waiter()
        displaced = self.queue.enter(ticket)
        if displaced is not None:
            self._events.shed(self._chain, displaced.call.priority, "queue_full")
            error = Retryable("queue_full", f"{self._chain}: {displaced.call.method}: {self.queue.waiting} calls wait")
            _waiter(displaced).settle(None, error)
        if displaced is not ticket:
            self.dispatch()
        if waiter.permit is None and waiter.error is None:
            await self._wait(ticket, waiter, start_by - now)
        if waiter.permit is None:
            raise waiter.error or AssertionError("a ticket was settled with nothing")
        return waiter.permit

    async def _wait(self, ticket: Ticket, waiter: _Waiter, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiter.wake = loop.create_future()
        timer = loop.call_later(seconds, self._expire, ticket)
        try:
            await waiter.wake
        except BaseException:
            # The permit may have been granted in the same turn of the loop in which the call was cancelled.
            if waiter.permit is not None:
                self.hand_back(waiter.permit)
            raise
        finally:
            timer.cancel()
            self.queue.leave(ticket)

    def hand_back(self, permit: Permit) -> None:
        """A permit that nothing was sent under: the next in line has it."""
        permit.provider.finish(permit, self._clock(), None, sent=False)
        self.dispatch()

    def _refuse_if_too_late(self, call: Call, start_by: float, now: float) -> None:
        """Admission by deadline: who would only come to the front after it is told so at once; and so is who belongs
        to a class that is being sent away."""
        if not self.queue.waiting:
            self._shedding.calm()
            return
        if self._sent_away and call.priority in self._sent_away:
            self._events.shed(self._chain, call.priority, "crowded")
            raise Retryable("crowded", f"{self._chain}: {call.method}: more urgent calls have been waiting too long")
        ahead = self.queue.ahead_of(call.priority)
        if ahead == 0:
            return
        rate = sum(p.throughput(now) for p in self._providers if not p.obstacle(now))
        if rate > 0.0 and now + ahead / rate > start_by:
            self._events.shed(self._chain, call.priority, "too_late")
            raise Retryable("too_late", f"{self._chain}: {call.method}: {ahead} calls wait at {rate:.1f} a second")

    def _expire(self, ticket: Ticket) -> None:
        self.queue.leave(ticket)
        waiter = _waiter(ticket)
        if waiter.permit is None and waiter.error is None:
            waiter.settle(None, unserved(ticket, self._names, self._clock()))

    def dispatch(self) -> None:
        """Hand out what can be handed out now and set the timer for when there may be more."""
        if not self.queue.waiting:
            return
        now = self._clock()
        self._send_away(now)
        plan = self.queue.plan(self._providers, now)
        for ticket, permit in plan.grants:
            _waiter(ticket).settle(permit, None)
        for ticket in plan.hopeless:
            _waiter(ticket).settle(None, unserved(ticket, self._names, now))
        self._set_timer(plan.wake_at, now)

    def _send_away(self, now: float) -> None:
        # Who waits for one that is shut doesn't wait because there are too many: not while others are there to serve.
        shut = [provider for provider in self._providers if provider.shut(now)] if self._several else []
        oldest = self.queue.oldest(shut if len(shut) < len(self._providers) else ())
        self._sent_away = self._shedding.judge(now, oldest)
        for priority in self._sent_away:
            for ticket in self.queue.send_away(priority):
                self._events.shed(self._chain, priority, "crowded")
                reason = "more urgent calls have been waiting too long"
                error = Retryable("crowded", f"{self._chain}: {ticket.call.method}: {reason}")
                _waiter(ticket).settle(None, error)

    def _set_timer(self, at: float, now: float) -> None:
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, at
        if at < NEVER:
            self._timer = asyncio.get_running_loop().call_later(max(at - now, _SOON), self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self.dispatch()

    def close(self) -> None:
        """Refuse what waits and whoever comes."""
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        for ticket in self.queue.drain():
            _waiter(ticket).settle(None, NoProvider("no_provider", f"{self._chain}: the pool is closed"))


def _time_to_answer(call: Call, ample: float) -> float:
    """Seconds of a call's time that are left for the answer; `ample` 0: nobody knows how long one takes."""
    if ample == 0.0:
        return call.deadline * _UNKNOWN_PART
    most = _URGENT_PART if call.priority is Priority.BROADCAST else _MOST_PART
    return min(ample, call.deadline * most)


def _waiter(ticket: Ticket) -> _Waiter:
    assert isinstance(ticket.payload, _Waiter)
    return ticket.payload
