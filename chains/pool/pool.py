"""The pool: one chain's providers behind one door, where every call is limited, ordered, bounded and accounted for.

This is only the shell. What may be sent, to whom and when is decided synchronously by the pure rooms (`queue`,
`selection`, `provider` and what it holds); then the shell acts: it sends, waits, wakes. No decision is taken across an
`await`, and a permit that was granted is given back in `finally`, whatever happened to the call meanwhile.

Waiting is the event loop's (timers and futures), so under a virtual-time loop the whole pool runs in virtual time;
`clock` must be that loop's `time`, or a monotonic clock that runs at the same speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from chains.errors import ChainError, NoProvider, Retryable, cap
from chains.pool.breaker import State
from chains.pool.calls import Answer, Call, Priority
from chains.pool.classify import TREATMENT, Blame, Classification, Fault, Kind, classify, classify_fault
from chains.pool.events import PoolEvents, ProviderHealth, Traffic, Unobserved
from chains.pool.flights import Flight, Flights
from chains.pool.jsonrpc import Request, read, undecodable
from chains.pool.limiter import Accounts
from chains.pool.methods import method_class
from chains.pool.provider import NEVER, Permit, Provider
from chains.pool.queue import Queue, Ticket, unserved
from chains.pool.retries import HedgeBudget, RetryBudget
from chains.pool.selection import Inquiry, Step, broadcast_error, choose, error_of
from chains.pool.service import FAIR
from chains.pool.settings import PoolSettings, ProviderSettings
from chains.pool.shedding import Shedding
from chains.pool.transport import HttpTransport, Transport, TransportFault

T = TypeVar("T")

_HEDGED = frozenset({Priority.HEAD, Priority.LIVE})
"""Reads whose lateness is felt at once, and which may be asked twice without harm."""

_OK = Classification(kind=Kind.OK, name=Kind.OK.value)


class _Attempt:
    """What came of one send: a decoded value, or what was found instead."""

    __slots__ = ("cause", "found", "may_have_left", "raw", "value")

    def __init__(self) -> None:
        self.cause: Exception | None = None
        self.value: object = None
        self.raw = msgspec.Raw(b"")
        self.found: Classification | None = None
        self.may_have_left = True


class _Hedge:
    """A read that may be asked twice: the first attempt's time limit, the second one's task, and its answer."""

    __slots__ = ("answer", "first", "task")

    def __init__(self) -> None:
        self.first: asyncio.Timeout | None = None
        self.task: asyncio.Task[None] | None = None
        self.answer: _Attempt | None = None


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


class Pool:
    """`Upstream` over real providers. `family` is `solana` or `evm`, for the tables of classification.

    Attempts of one call leave time for the next provider: while others could still be asked, an attempt gets at most
    half of what remains until the deadline, unless that is less than a fair wait for this provider (and never more than
    its `timeout_seconds`). Reads at the head that take unusually long are asked a second time elsewhere, a few of them;
    reads that are on their way already, with the same parameters, are not sent again but shared.
    """

    def __init__(
        self,
        chain: str,
        family: str,
        providers: Sequence[tuple[ProviderSettings, Transport]],
        *,
        clock: Callable[[], float],
        settings: PoolSettings | None = None,
        accounts: Accounts | None = None,
        events: PoolEvents | None = None,
    ) -> None:
        self.chain = chain
        self._family = family
        self._clock = clock
        self._settings = settings or PoolSettings()
        self._events: PoolEvents = events or Unobserved()
        now = clock()
        limiters = accounts or Accounts()
        self._providers = tuple(
            Provider(i, s, self._settings, limiters.limiter(s.metered_as, s.requests_per_second, now, s.metering))
            for i, (s, _) in enumerate(providers)
        )
        self._names = tuple(provider.name for provider in self._providers)
        if not self._names or len(set(self._names)) != len(self._names):
            raise ValueError(f"{chain}: at least one provider, each with a name of its own")
        self._transports = {s.name: transport for s, transport in providers}
        self._by_name = {provider.name: provider for provider in self._providers}
        self._announced = {provider.name: (State.CLOSED, State.CLOSED, State.CLOSED) for provider in self._providers}
        self._queue = Queue(self._settings.queue_bound)
        self._budget = RetryBudget(chain, self._settings, now)
        self._hedges = HedgeBudget(self._settings)
        self._shedding = Shedding(self._settings)
        self._sent_away: tuple[Priority, ...] = ()
        self._flights = Flights()
        self._offered = [0] * len(Priority)
        self._answered = [0] * len(Priority)
        self._request_id = 0
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER
        self._closed = False

    # --- what an rpc room sees (calls.Upstream) ---

    def providers(self) -> tuple[str, ...]:
        """Names of all configured providers, in the order of the configuration."""
        return self._names

    def report_integrity(self, provider: str, reason: str) -> None:
        """Quarantine a provider, until `release`."""
        self._by_name[provider].integrity.set(self._clock(), cap(reason))
        self._announce(self._by_name[provider])
        self._dispatch()

    async def call(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """See `Upstream.call`. A broadcast is sent to one provider, once."""
        deadline = self._clock() + call.deadline
        while True:
            flight, leads = self._flights.join_or_lead(call)
            if not leads and flight is not None:
                shared = await self._overhear(flight, call, decoder, deadline)
                if shared is None:
                    continue
                return shared.value  # type: ignore[return-value]  # the decoder of this very call made it a T
            if flight is None:
                return (await self._inquire(call, decoder, deadline)).value  # type: ignore[return-value]  # as above
            heard: _Attempt | None = None
            try:
                heard = await self._inquire(call, decoder, deadline)
            finally:
                for waiting in self._flights.landed(flight):
                    _tell(waiting, heard)
            return heard.value  # type: ignore[return-value]  # as above

    async def _overhear(
        self, flight: Flight, call: Call, decoder: msgspec.json.Decoder[T], deadline: float
    ) -> _Attempt | None:
        """Wait for the answer to the same question; None when there was none, or none that this decoder takes."""
        waiting: asyncio.Future[_Attempt | None] = asyncio.get_running_loop().create_future()
        flight.waiting.append(waiting)
        try:
            async with asyncio.timeout(deadline - self._clock()):
                heard = await waiting
        except TimeoutError as late:
            raise Retryable("too_late", f"{self.chain}: {call.method}: the same question is still open") from late
        if heard is None:
            return None
        mine = _Attempt()
        try:
            mine.value = decoder.decode(heard.raw)
        except msgspec.MsgspecError:
            return None
        return mine

    async def _inquire(self, call: Call, decoder: msgspec.json.Decoder[T], deadline: float) -> _Attempt:
        """The whole story of one call: ask, fail over, give up. Returns the attempt that was answered."""
        inquiry = Inquiry(self.chain, call.method, self._settings.max_attempts)
        self._offered[call.priority] += 1
        while True:
            permit = await self._admit(call, deadline, inquiry, self._providers)
            attempt = await self._attempt(permit, call, decoder, deadline, inquiry)
            self._count_answer(call, attempt)
            if attempt.found is None:
                return attempt
            if call.broadcast:
                raise self._broadcast_error(permit, call, attempt) from attempt.cause
            step = inquiry.note(permit.provider.name, attempt.found, self._names)
            if step is Step.STOP or not await self._may_go_on(step, call, inquiry, deadline):
                raise inquiry.error(self._names) from attempt.cause

    def _count_answer(self, call: Call, attempt: _Attempt) -> None:
        if attempt.found is None or TREATMENT[attempt.found.kind].blame is Blame.SUCCESS:
            self._answered[call.priority] += 1

    async def call_from(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """See `Upstream.call_from`."""
        answer = await self._ask_one(self._by_name[provider], call, decoder, self._clock() + call.deadline)
        if answer is None:
            why = self._by_name[provider].obstacle(self._clock()) or "may not be asked now"
            raise NoProvider("no_provider", f"{self.chain}: {call.method}: {provider}: {why}")
        if answer.error is not None:
            raise answer.error
        return answer.value  # type: ignore[return-value]  # without an error there is the decoder's value

    def preferred(self) -> tuple[str, ...]:
        """See `Upstream.preferred`: nobody in trouble before anybody who is not, then the least busy."""
        now = self._clock()
        able = [provider for provider in self._providers if not provider.obstacle(now)]
        able.sort(key=lambda p: (p.failing_since is not None, p.slots.in_flight / p.slots.limit, p.asked, p.order))
        return tuple(provider.name for provider in able)

    async def call_each(self, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[Answer[T], ...]:
        """See `Upstream.call_each`. In the order of the configuration."""
        deadline = self._clock() + call.deadline
        tasks: list[asyncio.Task[Answer[T] | None]] = []
        async with asyncio.TaskGroup() as group:
            tasks.extend(group.create_task(self._ask_one(p, call, decoder, deadline)) for p in self._providers)
        return tuple(answer for task in tasks if (answer := task.result()) is not None)

    # --- what the composition, operators and flows see ---

    def report_heights(self, provider: str, *, latest: int | None = None, finalized: int | None = None) -> None:
        """Remember how far a provider says the chain is, for `health` and for choosing the freshest."""
        self._by_name[provider].report_heights(latest, finalized)

    def cordon(self, provider: str, reason: str) -> None:
        """Keep a provider out, for `reason` (never empty), until `uncordon`. What is on its way to it comes home."""
        self._by_name[provider].cordoned = cap(reason)
        self._dispatch()

    def uncordon(self, provider: str) -> None:
        """Let it in again; its latches stay as they are."""
        self._by_name[provider].cordoned = ""
        self._dispatch()

    def release(self, provider: str) -> None:
        """Open a provider's latches (quarantine, refused key), because a person has looked."""
        self._by_name[provider].release()
        self._announce(self._by_name[provider])
        self._dispatch()

    def health(self, now: float) -> tuple[ProviderHealth, ...]:
        """A snapshot of every provider, in the order of the configuration; `now` by the pool's clock."""
        return tuple(provider.health(now) for provider in self._providers)

    def traffic(self) -> dict[Priority, Traffic]:
        """What has been asked of the pool since it began, and how much of it was answered, by class."""
        return {
            priority: Traffic(offered=self._offered[priority], answered=self._answered[priority])
            for priority in Priority
        }

    def queue_depths(self) -> dict[Priority, int]:
        """How many calls are waiting, by class."""
        return {priority: self._queue.depth(priority) for priority in Priority}

    def waits(self) -> dict[Priority, float]:
        """Seconds that the first of each class has waited, where anybody waits."""
        now = self._clock()
        return {priority: now - since for priority, since in self._queue.oldest().items()}

    async def close(self) -> None:
        """Refuse what waits, close the transports. Calls in flight end as their connections do."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for ticket in self._queue.drain():
            _waiter(ticket).settle(None, NoProvider("no_provider", f"{self.chain}: the pool is closed"))
        for transport in self._transports.values():
            await transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # --- getting a permit ---

    async def _admit(self, call: Call, deadline: float, inquiry: Inquiry, providers: Sequence[Provider]) -> Permit:
        """A permit to send, waited for in line if need be. Raises `NoProvider`, or `Retryable` (`queue_full`,
        `too_late`, `crowded`); or what the call has heard already, when nobody is left who could say more."""
        now = self._clock()
        if self._closed:
            raise NoProvider("no_provider", f"{self.chain}: the pool is closed")
        if not len(self._queue):
            choice = choose(providers, call, inquiry, now)
            if choice.provider is not None:
                return choice.provider.begin(now, call.priority, call.method)
        # Sent later than this it could not be answered in time. Whoever is late already may still go if there is room.
        ample = min(provider.service.ample(method_class(call.method)) for provider in providers)
        start_by = max(deadline - min(ample, call.deadline / 2.0), now)
        self._refuse_if_too_late(call, start_by, now)
        ticket = Ticket(call, start_by, inquiry, providers, now)
        waiter = ticket.payload = _Waiter()
        displaced = self._queue.enter(ticket)
        if displaced is not None:
            self._events.shed(self.chain, displaced.call.priority, "queue_full")
            error = Retryable("queue_full", f"{self.chain}: {displaced.call.method}: {len(self._queue)} calls wait")
            _waiter(displaced).settle(None, error)
        if displaced is not ticket:
            self._dispatch()
        if waiter.permit is None and waiter.error is None:
            await self._wait_in_line(ticket, waiter, start_by - now)
        if waiter.permit is None:
            raise waiter.error or AssertionError("a ticket was settled with nothing")
        return waiter.permit

    async def _wait_in_line(self, ticket: Ticket, waiter: _Waiter, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        waiter.wake = loop.create_future()
        timer = loop.call_later(seconds, self._expire, ticket)
        try:
            await waiter.wake
        except BaseException:
            # The permit may have been granted in the same turn of the loop in which the call was cancelled.
            if waiter.permit is not None:
                self._give_back(waiter.permit, None, sent=False)
            raise
        finally:
            timer.cancel()
            self._queue.leave(ticket)

    def _refuse_if_too_late(self, call: Call, start_by: float, now: float) -> None:
        """Admission by deadline: who would only come to the front after it is told so at once; and so is who belongs
        to a class that is being sent away."""
        if not len(self._queue):
            return
        if self._sent_away and call.priority in self._sent_away:
            self._events.shed(self.chain, call.priority, "crowded")
            raise Retryable("crowded", f"{self.chain}: {call.method}: more urgent calls have been waiting too long")
        ahead = self._queue.ahead_of(call.priority)
        if ahead == 0:
            return
        rate = sum(p.throughput(now) for p in self._providers if not p.obstacle(now))
        if rate > 0.0 and now + ahead / rate > start_by:
            self._events.shed(self.chain, call.priority, "too_late")
            raise Retryable("too_late", f"{self.chain}: {call.method}: {ahead} calls wait at {rate:.1f} a second")

    def _expire(self, ticket: Ticket) -> None:
        self._queue.leave(ticket)
        waiter = _waiter(ticket)
        if waiter.permit is None and waiter.error is None:
            waiter.settle(None, unserved(ticket, self._names, self._clock()))

    # --- deciding, then waking ---

    def _dispatch(self) -> None:
        """Hand out what can be handed out now and set the timer for when there may be more."""
        if not len(self._queue):
            self._shedding.calm()
            return
        now = self._clock()
        self._send_away(now)
        plan = self._queue.plan(self._providers, now)
        for ticket, permit in plan.grants:
            _waiter(ticket).settle(permit, None)
        for ticket in plan.hopeless:
            _waiter(ticket).settle(None, unserved(ticket, self._names, now))
        self._set_timer(plan.wake_at, now)

    def _send_away(self, now: float) -> None:
        self._sent_away = self._shedding.judge(now, self._queue.oldest())
        for priority in self._sent_away:
            for ticket in self._queue.send_away(priority):
                self._events.shed(self.chain, priority, "crowded")
                reason = "more urgent calls have been waiting too long"
                error = Retryable("crowded", f"{self.chain}: {ticket.call.method}: {reason}")
                _waiter(ticket).settle(None, error)

    def _set_timer(self, at: float, now: float) -> None:
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._timer_at = None, at
        if at < NEVER:
            # Not in zero time: a rounding error must not become a busy loop.
            self._timer = asyncio.get_running_loop().call_later(max(at - now, 0.0005), self._ring)

    def _ring(self) -> None:
        self._timer, self._timer_at = None, NEVER
        self._dispatch()

    # --- sending ---

    async def _attempt(
        self, permit: Permit, call: Call, decoder: msgspec.json.Decoder[T], deadline: float, inquiry: Inquiry
    ) -> _Attempt:
        """Send once, and where it is worth it a second time to somebody else. Of the two the first good answer counts
        and the other is called off; when there is none, what the first one said."""
        hedge_after = self._hedge_after(permit.provider, call)
        if hedge_after == 0.0:
            return await self._send(permit, call, decoder, deadline, inquiry, None)
        hedge = _Hedge()
        timer = asyncio.get_running_loop().call_later(
            hedge_after, self._hedge, hedge, permit.provider, call, decoder, deadline, inquiry
        )
        try:
            return await self._send(permit, call, decoder, deadline, inquiry, hedge)
        finally:
            timer.cancel()
            if hedge.task is not None:
                hedge.task.cancel()
                await asyncio.wait([hedge.task])

    def _hedge_after(self, provider: Provider, call: Call) -> float:
        """Seconds after which a read is worth asking twice; 0: it isn't."""
        if len(self._providers) < 2 or call.broadcast or call.priority not in _HEDGED:
            return 0.0
        self._hedges.earn()
        usual = provider.service.usual(method_class(call.method))
        return max(usual, self._settings.hedge_floor_seconds) if usual > 0.0 else 0.0

    def _hedge(
        self,
        hedge: _Hedge,
        first: Provider,
        call: Call,
        decoder: msgspec.json.Decoder[T],
        deadline: float,
        inquiry: Inquiry,
    ) -> None:
        """The first one takes unusually long: ask another, if one is free, nobody waits and nobody is throttled."""
        now = self._clock()
        if self._closed or len(self._queue) or any(p.limiter.strained(now) for p in self._providers):
            return
        others = [p for p in self._providers if p is not first and p.name not in inquiry.asked]
        choice = choose(others, call, inquiry, now)
        if (
            choice.provider is None
            or choice.provider.breaker.state(now) is not State.CLOSED
            or not self._hedges.spend()
        ):
            return
        permit = choice.provider.begin(now, call.priority, call.method)
        hedge.task = asyncio.create_task(self._ask_too(hedge, permit, call, decoder, deadline, inquiry))
        # A task that is cancelled before its first step never enters its own `finally`.
        hedge.task.add_done_callback(lambda _: self._give_back(permit, None, sent=False) if permit.open else None)

    async def _ask_too(
        self,
        hedge: _Hedge,
        permit: Permit,
        call: Call,
        decoder: msgspec.json.Decoder[T],
        deadline: float,
        inquiry: Inquiry,
    ) -> None:
        attempt = await self._send(permit, call, decoder, deadline, inquiry, None)
        if attempt.found is None and hedge.first is not None:
            hedge.answer = attempt
            hedge.first.reschedule(asyncio.get_running_loop().time())

    async def _send(
        self,
        permit: Permit,
        call: Call,
        decoder: msgspec.json.Decoder[T],
        deadline: float,
        inquiry: Inquiry,
        hedge: _Hedge | None,
    ) -> _Attempt:
        """Send once. The permit is given back here, with what was learnt, also when the call is cancelled."""
        attempt = _Attempt()
        outcome: Classification | None = None
        sent, seconds = False, 0.0
        try:
            seconds = self._patience(permit.provider, call, deadline, inquiry)
            sent = True
            async with asyncio.timeout(seconds) as limit:
                if hedge is not None:
                    hedge.first = limit
                outcome = await self._exchange(permit.provider, call, decoder, attempt)
        except TimeoutError as late:
            if hedge is not None and hedge.answer is not None:
                return hedge.answer
            attempt.cause = late
            fair = permit.provider.fair_wait(seconds, call.method, self._clock())
            outcome = classify_fault(Fault.TIMEOUT if fair else Fault.HURRIED, f"no answer within {seconds:.1f} s")
        except TransportFault as fault:
            attempt.cause, attempt.may_have_left = fault, fault.may_have_left
            outcome = classify_fault(fault.fault, fault.message)
        finally:
            if hedge is not None:
                hedge.first = None
            self._give_back(permit, outcome, sent=sent)
        if outcome is not _OK:
            attempt.found = outcome
        return attempt

    async def _exchange(
        self, provider: Provider, call: Call, decoder: msgspec.json.Decoder[T], attempt: _Attempt
    ) -> Classification:
        self._request_id += 1
        request = Request(self._request_id, call.method, call.params)
        response = await self._transports[provider.name].send(request)
        result = read(request.id, response.status, response.headers, response.body)
        if isinstance(result, msgspec.Raw):
            try:
                attempt.value = decoder.decode(result)
                attempt.raw = result
            except msgspec.MsgspecError as exc:
                attempt.cause = exc
                return classify(self._family, provider.vendor, undecodable(f"{call.method}: {cap(exc)}"))
            return _OK
        return classify(self._family, provider.vendor, result)

    def _patience(self, provider: Provider, call: Call, deadline: float, inquiry: Inquiry) -> float:
        now = self._clock()
        left = deadline - now
        if call.broadcast:
            return min(left, provider.settings.timeout_seconds)
        others = any(p is not provider and p.name not in inquiry.silent and not p.shut(now) for p in self._providers)
        if others:
            left = min(left, max(left / 2.0, FAIR * provider.service.usual(method_class(call.method))))
        return min(left, provider.settings.timeout_seconds)

    def _give_back(self, permit: Permit, outcome: Classification | None, *, sent: bool) -> None:
        provider = permit.provider
        now = self._clock()
        provider.finish(permit, now, outcome, sent=sent)
        if outcome is _OK:
            self._budget.earn()
        self._dispatch()
        if sent:
            result = outcome.kind.value if outcome is not None else "cancelled"
            seconds = now - permit.granted_at
            self._events.request_finished(self.chain, provider.name, method_class(permit.method), result, seconds)
        if outcome is not None and outcome.kind is Kind.THROTTLED:
            limiter = provider.limiter
            self._events.limiter_changed(self.chain, provider.name, limiter.tokens(now), limiter.rate(now))
        self._announce(provider)

    def _announce(self, provider: Provider) -> None:
        states = provider.states(self._clock())
        before = self._announced[provider.name]
        if states == before:
            return
        self._announced[provider.name] = states
        for breaker, old, new in zip(("error", "auth", "integrity"), before, states, strict=True):
            if old is not new:
                self._events.breaker_changed(self.chain, provider.name, breaker, new)

    async def _may_go_on(self, step: Step, call: Call, inquiry: Inquiry, deadline: float) -> bool:
        """Pay for a retry where it is one, and pause before the same provider is asked again."""
        now = self._clock()
        choice = choose(self._providers, call, inquiry, now)
        if choice.hopeless(deadline):
            return True  # at the door it is told why
        again = choice.provider is not None and choice.provider.name in inquiry.asked
        if step is Step.ASK_OTHERS and not again:
            return True
        if not self._budget.spend(now):
            return False
        if again:
            pause = self._budget.backoff(inquiry.troubles)
            if now + pause >= deadline:
                return False
            await asyncio.sleep(pause)
        return True

    async def _ask_one(
        self, provider: Provider, call: Call, decoder: msgspec.json.Decoder[T], deadline: float
    ) -> Answer[T] | None:
        """One provider's answer to a call put to all; None when it may not be asked."""
        inquiry = Inquiry(self.chain, call.method, 1)
        inquiry.silent.update(name for name in self._names if name != provider.name)
        self._offered[call.priority] += 1
        try:
            permit = await self._admit(call, deadline, inquiry, (provider,))
        except NoProvider:
            return None
        except ChainError as exc:
            return Answer[T](provider.name, None, exc)
        attempt = await self._attempt(permit, call, decoder, deadline, inquiry)
        self._count_answer(call, attempt)
        if attempt.found is None:
            value: T = attempt.value  # type: ignore[assignment]  # the decoder of this very call made it a T
            return Answer[T](provider.name, value, None)
        if call.broadcast:
            return Answer[T](provider.name, None, self._broadcast_error(permit, call, attempt))
        return Answer[T](provider.name, None, error_of(self.chain, call.method, provider.name, attempt.found))

    def _broadcast_error(self, permit: Permit, call: Call, attempt: _Attempt) -> ChainError:
        assert attempt.found is not None
        return broadcast_error(
            self.chain, call, permit.provider.name, attempt.found, may_have_left=attempt.may_have_left
        )


def _waiter(ticket: Ticket) -> _Waiter:
    assert isinstance(ticket.payload, _Waiter)
    return ticket.payload


def _tell(waiting: object, heard: _Attempt | None) -> None:
    assert isinstance(waiting, asyncio.Future)
    if not waiting.done():
        waiting.set_result(heard)


def open_pool(
    chain: str,
    family: str,
    providers: Sequence[ProviderSettings],
    *,
    settings: PoolSettings | None = None,
    accounts: Accounts | None = None,
    events: PoolEvents | None = None,
) -> Pool:
    """A pool over HTTP, on the running event loop's clock. Close it, or use it as an async context manager."""
    return Pool(
        chain,
        family,
        [(provider, HttpTransport(provider)) for provider in providers],
        clock=asyncio.get_running_loop().time,
        settings=settings,
        accounts=accounts,
        events=events,
    )
