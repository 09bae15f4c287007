"""The pool: one chain's providers behind one door, where every call is limited, ordered, bounded and accounted for.

This is only the shell. What may be sent, to whom and when is decided synchronously by the pure rooms (`queue`,
`selection`, `provider` and what it holds); then the shells act: `admission` waits and wakes, `sending` sends, and the
pool here tells the story of a call: ask, fail over, give up. No decision is taken across an `await`, and a permit that
was granted is given back in `finally`, whatever happened to the call meanwhile.

Waiting is the event loop's (timers and futures), so under a virtual-time loop the whole pool runs in virtual time;
`clock` must be that loop's `time`, or a monotonic clock that runs at the same speed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Generic, Self, TypeVar

import msgspec

from chains.errors import UNREADABLE, ChainError, NoProvider, Retryable, cap
from chains.pool.admission import Admission
from chains.pool.calls import Answer, Call, Priority
from chains.pool.events import PoolEvents, ProviderHealth, Traffic, Unobserved
from chains.pool.flights import Flight, Flights
from chains.pool.limiter import Accounts
from chains.pool.methods import MethodClass
from chains.pool.provider import Permit, Provider
from chains.pool.retries import RetryBudget
from chains.pool.selection import Inquiry, Step, broadcast_error, choose, error_of, tells
from chains.pool.sending import Attempt, Sending
from chains.pool.settings import PoolSettings, ProviderSettings
from chains.pool.transport import HttpTransport, Transport

T = TypeVar("T")

_HEAVY = MethodClass.HEAVY

_SLUGGISH = 2.0
"""A provider that takes so many times as long as the quickest is asked last by those who may choose."""


class _Overheard(Generic[T]):
    """Another call's answer, decoded for this one."""

    __slots__ = ("value",)

    def __init__(self, value: T) -> None:
        self.value = value


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
        self._clock = clock
        self._settings = settings or PoolSettings()
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
        self._budget = RetryBudget(chain, self._settings, now)
        observer: PoolEvents = events or Unobserved()
        self._door = Admission(chain, self._providers, self._settings, observer, clock)
        self._sending = Sending(
            chain,
            family,
            self._providers,
            self._transports,
            self._door,
            self._budget,
            self._settings,
            observer,
            clock,
        )
        self._flights = Flights()
        self._offered = [0] * len(Priority)
        self._answered = [0] * len(Priority)

    # --- what an rpc room sees (calls.Upstream) ---

    def providers(self) -> tuple[str, ...]:
        """Names of all configured providers, in the order of the configuration."""
        return self._names

    def report_integrity(self, provider: str, reason: str) -> None:
        """Quarantine a provider, until `release`."""
        self._by_name[provider].integrity.set(self._clock(), cap(reason))
        self._sending.announce(self._by_name[provider], self._clock())
        self._door.dispatch()

    async def call(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """See `Upstream.call`. A broadcast is sent to one provider, once."""
        now = self._clock()
        deadline = now + call.deadline
        while True:
            flight, leads = self._flights.join_or_lead(call)
            if flight is None:
                return (await self._inquire(call, decoder, deadline)).value  # type: ignore[return-value]  # the decoder of this very call made it a T
            if leads:
                break
            shared = await self._overhear(flight, call, decoder, deadline)
            if shared is not None:
                return shared.value
        heard: Attempt | None = None
        try:
            heard = await self._inquire(call, decoder, deadline)
        finally:
            for waiting in self._flights.landed(flight):
                _tell(waiting, heard)
        return heard.value  # type: ignore[return-value]  # as above

    async def _overhear(
        self, flight: Flight, call: Call, decoder: msgspec.json.Decoder[T], deadline: float
    ) -> _Overheard[T] | None:
        """Wait for the answer to the same question; None when there was none, or none that this decoder takes."""
        waiting: asyncio.Future[Attempt | None] = asyncio.get_running_loop().create_future()
        flight.waiting.append(waiting)
        try:
            async with asyncio.timeout(deadline - self._clock()):
                heard = await waiting
        except TimeoutError as late:
            raise Retryable("too_late", f"{self.chain}: {call.method}: the same question is still open") from late
        if heard is None:
            return None
        assert heard.raw is not None, "only a good answer is told"
        try:
            return _Overheard(decoder.decode(heard.raw))
        except UNREADABLE:
            return None

    async def _inquire(self, call: Call, decoder: msgspec.json.Decoder[T], deadline: float) -> Attempt:
        """The whole story of one call: ask, fail over, give up. Returns the attempt that was answered."""
        inquiry = Inquiry(self.chain, call.method, self._settings.max_attempts)
        self._offered[call.priority] += 1
        try:
            while True:
                permit = self._door.at_once(call, inquiry, self._providers, self._clock())
                if permit is None:
                    permit = await self._door.in_line(call, deadline, inquiry, self._providers)
                attempt = await self._sending.attempt(permit, call, decoder, deadline, inquiry)
                if attempt.found is None:
                    self._answered[call.priority] += 1
                    return attempt
                if call.broadcast:
                    raise self._broadcast_error(permit, call, attempt) from attempt.cause
                step = inquiry.note(permit.provider.name, attempt.found, self._names)
                if step is Step.STOP or not await self._may_go_on(step, call, inquiry, deadline):
                    raise inquiry.error(self._names) from attempt.cause
        except ChainError as error:
            self._answered[call.priority] += tells(error)
            raise

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
        """See `Upstream.preferred`: nobody in trouble, or sluggish with a block, before anybody who is not; then the
        least busy. How long a block takes is learned all the while, since lists of blocks are asked of everybody."""
        now = self._clock()
        able = [provider for provider in self._providers if not provider.obstacle(now)]
        quickest = min((seconds for p in able if (seconds := p.service.mean(_HEAVY)) > 0.0), default=0.0)
        able.sort(
            key=lambda p: (
                p.failing_since is not None,
                p.service.mean(_HEAVY) > _SLUGGISH * quickest + self._settings.concurrency.noise_seconds,
                p.slots.in_flight / p.slots.limit,
                p.asked,
                p.order,
            )
        )
        return tuple(provider.name for provider in able)

    async def call_each(self, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[Answer[T], ...]:
        """See `Upstream.call_each`. In the order of the configuration."""
        deadline = self._clock() + call.deadline
        tasks: list[asyncio.Task[Answer[T] | None]] = []
        async with asyncio.TaskGroup() as group:
            tasks.extend(group.create_task(self._ask_one(p, call, decoder, deadline)) for p in self._providers)
        answers = tuple(answer for task in tasks if (answer := task.result()) is not None)
        # One question, however many it was put to: a provider that is away is no question unanswered.
        self._offered[call.priority] += 1
        self._answered[call.priority] += any(answer.error is None or tells(answer.error) for answer in answers)
        return answers

    # --- what the composition, operators and flows see ---

    def report_heights(self, provider: str, *, latest: int | None = None, finalized: int | None = None) -> None:
        """Remember how far a provider says the chain is, for `health` and for choosing the freshest."""
        self._by_name[provider].report_heights(latest, finalized)

    def cordon(self, provider: str, reason: str) -> None:
        """Keep a provider out, for `reason` (never empty), until `uncordon`. What is on its way to it comes home."""
        self._by_name[provider].cordoned = cap(reason)
        self._door.dispatch()

    def uncordon(self, provider: str) -> None:
        """Let it in again; its latches stay as they are."""
        self._by_name[provider].cordoned = ""
        self._door.dispatch()

    def release(self, provider: str) -> None:
        """Open a provider's latches (quarantine, refused key), because a person has looked."""
        self._by_name[provider].release()
        self._sending.announce(self._by_name[provider], self._clock())
        self._door.dispatch()

    def health(self, now: float) -> tuple[ProviderHealth, ...]:
        """A snapshot of every provider, in the order of the configuration; `now` by the pool's clock."""
        return tuple(provider.health(now) for provider in self._providers)

    def traffic(self) -> dict[Priority, Traffic]:
        """What has been asked of the pool since it began, and how much of it was answered, by class."""
        return {
            priority: Traffic(
                offered=self._offered[priority],
                answered=self._answered[priority],
                sent=self._sending.sent[priority],
            )
            for priority in Priority
        }

    def queue_depths(self) -> dict[Priority, int]:
        """How many calls are waiting, by class."""
        return self._door.depths()

    def waits(self) -> dict[Priority, float]:
        """Seconds that the first of each class has waited, where anybody waits."""
        now = self._clock()
        return {priority: now - since for priority, since in self._door.queue.oldest().items()}

    async def close(self) -> None:
        """Refuse what waits, close the transports. Calls in flight end as their connections do."""
        self._door.close()
        for transport in self._transports.values():
            await transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

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
        only = (provider,)
        try:
            permit = self._door.at_once(call, inquiry, only, self._clock())
            if permit is None:
                if self._goes_without(provider, call):
                    return None
                permit = await self._door.in_line(call, deadline, inquiry, only)
        except NoProvider:
            return None
        except ChainError as exc:
            return Answer[T](provider.name, None, exc)
        attempt = await self._sending.attempt(permit, call, decoder, deadline, inquiry)
        if attempt.found is None:
            value: T = attempt.value  # type: ignore[assignment]  # the decoder of this very call made it a T
            return Answer[T](provider.name, value, None)
        if call.broadcast:
            return Answer[T](provider.name, None, self._broadcast_error(permit, call, attempt))
        return Answer[T](provider.name, None, error_of(self.chain, call.method, provider.name, attempt.found))

    def _goes_without(self, provider: Provider, call: Call) -> bool:
        """Whether a question to this one provider isn't worth standing in line for: it is away, and somebody is there
        to say the same. What is most urgent waits for it all the same."""
        if call.broadcast or call.priority is Priority.BROADCAST:
            return False
        now = self._clock()
        return provider.away(now) and not all(other.away(now) for other in self._providers)

    def _broadcast_error(self, permit: Permit, call: Call, attempt: Attempt) -> ChainError:
        assert attempt.found is not None
        return broadcast_error(
            self.chain, call, permit.provider.name, attempt.found, may_have_left=attempt.may_have_left
        )


def _tell(waiting: object, heard: Attempt | None) -> None:
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
