"""The pool's hands: one permit, one send, its time limits, and the second question to somebody else where it pays.

A permit comes back in `finally`, with what was learnt, whatever became of the call meanwhile; nothing here sends
anything twice under one permit. What an attempt cost and meant is decided elsewhere (`classify`, `provider`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from chains.errors import UNREADABLE, cap
from chains.pool.admission import Admission
from chains.pool.alarms import Alarms
from chains.pool.breaker import State
from chains.pool.calls import Call, Priority
from chains.pool.classify import Classification, Fault, Kind, classify, classify_fault
from chains.pool.events import PoolEvents
from chains.pool.jsonrpc import Request, read, undecodable
from chains.pool.provider import NEVER, Permit, Provider
from chains.pool.retries import HedgeBudget, RetryBudget
from chains.pool.selection import Inquiry, choose
from chains.pool.service import FAIR
from chains.pool.settings import PoolSettings
from chains.pool.transport import Response, Transport, TransportFault

_HEDGED = frozenset({Priority.HEAD, Priority.LIVE})
"""Reads whose lateness is felt at once, and which may be asked twice without harm."""

_OK = Classification(kind=Kind.OK, name=Kind.OK.value)
_OK_RESULT = Kind.OK.value
_THROTTLED, _BREAKERS, _CALM = Kind.THROTTLED, ("error", "auth", "integrity"), (State.CLOSED,) * 3


class Attempt:
    """One send: what came of it (a decoded value, or what was found instead), and when to look at it before it is over.

    `at` is the next such time: `hedge_at` for asking somebody else too, `half_at` for leaving the rest of the time to
    another provider, `over_at` for giving up.
    """

    __slots__ = (
        "_cancelling",
        "_task",
        "at",
        "better",
        "call",
        "called_off",
        "cause",
        "deadline",
        "decoder",
        "found",
        "half_at",
        "hedge_at",
        "inquiry",
        "may_have_left",
        "over_at",
        "permit",
        "raw",
        "second",
        "sent_at",
        "value",
    )

    at: float
    hedge_at: float
    half_at: float
    over_at: float
    sent_at: float
    _cancelling: int

    def __init__(
        self, permit: Permit, call: Call, decoder: msgspec.json.Decoder[Any], deadline: float, inquiry: Inquiry
    ) -> None:
        self.permit = permit
        self.call = call
        self.decoder = decoder
        self.deadline = deadline
        self.inquiry = inquiry
        self.value: object = None
        self.raw: msgspec.Raw | None = None
        self.found: Classification | None = None
        self.cause: Exception | None = None
        self.may_have_left = True
        self.second: asyncio.Task[None] | None = None
        self.better: Attempt | None = None
        self.called_off = False
        self._task: asyncio.Task[Any] | None = None

    def begin(self) -> None:
        """From here on the running task can be called off."""
        self._task = task = asyncio.current_task()
        assert task is not None, "a pool is used from a task"
        self._cancelling = task.cancelling()

    def call_off(self) -> None:
        """Its time is up, or it isn't wanted any more."""
        if self._task is not None and not self.called_off:
            self.called_off = True
            self._task.cancel()

    def end(self) -> bool:
        """Nobody can call it off any more. Whether somebody had, and nobody but we: then the cancellation ends here."""
        task, self._task = self._task, None
        return self.called_off and task is not None and task.uncancel() <= self._cancelling


class Sending:
    """All requests of one pool that are on their way; `sent` is how many have been begun, by class."""

    def __init__(
        self,
        chain: str,
        family: str,
        providers: Sequence[Provider],
        transports: Mapping[str, Transport],
        admission: Admission,
        budget: RetryBudget,
        settings: PoolSettings,
        events: PoolEvents,
        clock: Callable[[], float],
    ) -> None:
        self._chain, self._family, self._settings = chain, family, settings
        self._providers, self._admission, self._budget = providers, admission, budget
        self._events, self._clock = events, clock
        self._transports = tuple(transports[provider.name] for provider in providers)
        self._several = len(providers) > 1
        self._announced = [_CALM for _ in providers]
        self._hedges = HedgeBudget(settings)
        self._alarms: Alarms[Attempt] = Alarms(clock, self._look)
        self._request_id = 0
        self.sent = [0] * len(Priority)

    async def attempt(
        self,
        permit: Permit,
        call: Call,
        decoder: msgspec.json.Decoder[Any],
        deadline: float,
        inquiry: Inquiry,
        first: Attempt | None = None,
    ) -> Attempt:
        """Send once, and where it is worth it a second time to somebody else. Of the two the first good answer counts
        and the other is called off; when there is none, what the first one said. `first` is the one that this is the
        second of. The permit is given back here, with what was learnt, also when the call is cancelled."""
        attempt = Attempt(permit, call, decoder, deadline, inquiry)
        outcome: Classification | None = None
        try:
            self._set_out(attempt, first)
            self._request_id += 1
            self.sent[call.priority] += 1
            request = Request(self._request_id, call.method, call.params)
            response = await self._transports[permit.provider.order].send(request)
            outcome = self._understand(attempt, request.id, response)
        except asyncio.CancelledError as cancelled:
            if not attempt.end():
                raise
            if attempt.better is None:
                outcome = self._given_up(attempt, cancelled)
        except TransportFault as fault:
            attempt.cause, attempt.may_have_left = fault, fault.may_have_left
            outcome = classify_fault(fault.fault, fault.message)
        except Exception as foreign:
            # Whatever else an answer made our own code do: it is this provider's answer that can't be read, and nobody
            # else's call may suffer by it. What was sent may have arrived.
            attempt.cause = foreign
            outcome = classify_fault(Fault.GARBLED, f"{call.method}: {type(foreign).__name__}")
        finally:
            self._alarms.drop(attempt)
            attempt.end()
            self._give_back(permit, outcome)
            if attempt.second is not None:
                attempt.second.cancel()
                await asyncio.wait([attempt.second])
        if outcome is _OK:
            return attempt
        if attempt.better is not None:
            return attempt.better
        assert outcome is not None, "called off, and for nothing"
        attempt.found = outcome
        return attempt

    def _understand(self, attempt: Attempt, request_id: int, response: Response) -> Classification:
        result = read(request_id, response.status, response.headers, response.body)
        if isinstance(result, msgspec.Raw):
            try:
                attempt.value = attempt.decoder.decode(result)
            except UNREADABLE as exc:
                attempt.cause = exc
                result = undecodable(f"{attempt.call.method}: {cap(exc)}")
            else:
                attempt.raw = result
                return _OK
        provider = attempt.permit.provider
        found = classify(self._family, provider.vendor, result)
        if found.kind is Kind.UNSUPPORTED and provider.offers(attempt.call.method, self._clock()):
            return msgspec.structs.replace(found, kind=Kind.PROVIDER_BROKEN, name=Kind.PROVIDER_BROKEN.value)
        return found

    # --- time ---

    def _set_out(self, attempt: Attempt, first: Attempt | None) -> None:
        """Say when to look at it. While others could still be asked an attempt gets at most half of what remains until
        the deadline, unless that is less than a fair wait for this provider."""
        call, provider = attempt.call, attempt.permit.provider
        attempt.begin()
        attempt.sent_at = now = attempt.permit.granted_at
        attempt.hedge_at = attempt.half_at = NEVER
        left, over = attempt.deadline - now, provider.settings.timeout_seconds
        if left < over:
            over = left
        attempt.at = attempt.over_at = now + over
        if self._several and not call.broadcast:
            usual = provider.service.usual(attempt.permit.kind)
            half = left / 2.0
            if half < FAIR * usual:
                half = FAIR * usual
            if half < over:
                attempt.at = attempt.half_at = now + half
            if first is None and call.priority in _HEDGED:
                self._hedges.earn()
                if usual > 0.0:
                    after = self._settings.hedge_floor_seconds
                    if after < usual:
                        after = usual
                    attempt.hedge_at = now + after
                    if attempt.hedge_at < attempt.at:
                        attempt.at = attempt.hedge_at
        self._alarms.add(attempt)

    def _look(self, attempt: Attempt, now: float) -> None:
        """The time to look at it has come."""
        at = attempt.at
        if attempt.over_at <= at or (attempt.half_at <= at and self._others_left(attempt, now)):
            attempt.at = NEVER
            attempt.call_off()
            return
        if attempt.half_at <= at:
            attempt.half_at = NEVER
        if attempt.hedge_at <= at:
            attempt.hedge_at = NEVER
            self._ask_another(attempt, now)
        attempt.at = min(attempt.hedge_at, attempt.half_at, attempt.over_at)

    def _others_left(self, attempt: Attempt, now: float) -> bool:
        first, silent = attempt.permit.provider, attempt.inquiry.silent
        return any(p is not first and p.name not in silent and not p.shut(now) for p in self._providers)

    def _given_up(self, attempt: Attempt, cause: BaseException) -> Classification:
        seconds = self._clock() - attempt.sent_at
        late = TimeoutError()
        late.__cause__ = cause
        attempt.cause = late
        fair = attempt.permit.provider.fair_wait(seconds, attempt.call.method, self._clock())
        return classify_fault(Fault.TIMEOUT if fair else Fault.HURRIED, f"no answer within {seconds:.1f} s")

    # --- the second question ---

    def _ask_another(self, first: Attempt, now: float) -> None:
        """The first one takes unusually long: ask another, if one is free, nobody waits and nobody is throttled."""
        busy = self._admission.closed or self._admission.queue.waiting > 0
        if busy or any(p.limiter.strained(now) for p in self._providers):
            return
        asked = first.inquiry.asked
        others = [p for p in self._providers if p is not first.permit.provider and p.name not in asked]
        provider = choose(others, first.call, first.inquiry, now).provider
        if provider is None or provider.breaker.state(now) is not State.CLOSED or not self._hedges.spend():
            return
        permit = provider.begin(now, first.call.priority, first.call.method)
        first.second = asyncio.create_task(self._ask_too(first, permit))
        # A task that is cancelled before its first step never enters its own `finally`.
        first.second.add_done_callback(lambda _: self._admission.hand_back(permit) if permit.open else None)

    async def _ask_too(self, first: Attempt, permit: Permit) -> None:
        attempt = await self.attempt(permit, first.call, first.decoder, first.deadline, first.inquiry, first)
        if attempt.found is None and not first.called_off:
            first.better = attempt
            first.call_off()

    # --- permits ---

    def _give_back(self, permit: Permit, outcome: Classification | None) -> None:
        provider, admission = permit.provider, self._admission
        now = self._clock()
        provider.finish(permit, now, outcome, sent=True)
        if outcome is _OK:
            self._budget.earn()
            result = _OK_RESULT
        else:
            result = "cancelled" if outcome is None else outcome.kind.value
        if admission.queue.waiting:
            admission.dispatch()
        self._events.request_finished(self._chain, provider.name, permit.kind, result, now - permit.granted_at)
        if outcome is not None and outcome.kind is _THROTTLED:
            limiter = provider.limiter
            self._events.limiter_changed(self._chain, provider.name, limiter.tokens(now), limiter.rate(now))
        if self._announced[provider.order] is not _CALM or not provider.calm():
            self.announce(provider, now)

    def announce(self, provider: Provider, now: float) -> None:
        """Tell of breakers that stand otherwise than when they were last told of."""
        before = self._announced[provider.order]
        states = provider.states(now)
        if states == before:
            return
        self._announced[provider.order] = _CALM if states == _CALM else states
        for breaker, old, new in zip(_BREAKERS, before, states, strict=True):
            if old is not new:
                self._events.breaker_changed(self._chain, provider.name, breaker, new)
