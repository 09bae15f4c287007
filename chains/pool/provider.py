"""Everything the pool knows about one provider, and the one answer it is kept for: may it be asked, and when?

Pure: `now` is monotonic seconds. A permit is the right to send one request; taking it moves limiter, slots and breaker
together, and giving it back, with an outcome or without, moves them all again.
"""

from __future__ import annotations

from math import inf

from chains.errors import cap
from chains.pool.breaker import ErrorBreaker, Latch, State
from chains.pool.calls import Priority
from chains.pool.classify import TREATMENT, Blame, Classification, Fault, Kind
from chains.pool.concurrency import Slots
from chains.pool.events import ProviderHealth
from chains.pool.limiter import Limiter
from chains.pool.methods import MethodClass, method_class
from chains.pool.service import FAIR, STALE_SECONDS, ServiceTime
from chains.pool.settings import PoolSettings, ProviderSettings

_OK, _SUCCESS, _BROADCAST = Kind.OK, Blame.SUCCESS, Priority.BROADCAST
"""By these names, because every call passes here and an enumeration's own members are slow to look up."""

NEVER = inf
"""Until a person does something."""

_SPENT_SECONDS = 1.0
"""Waiting longer than this for a window of the plan is an obstacle to tell people of; less is pacing."""


class Permit:
    """The right to send one request to one provider; given back exactly once, through `Provider.finish`."""

    __slots__ = ("epoch", "granted_at", "kind", "method", "open", "priority", "provider")

    def __init__(self, provider: Provider, epoch: int, granted_at: float, priority: Priority, method: str) -> None:
        self.provider = provider
        self.epoch = epoch
        self.granted_at = granted_at
        self.priority = priority
        self.method = method
        self.kind = method_class(method)
        self.open = True


class Provider:
    """The state of one configured provider. `order` is its place in the configuration."""

    __slots__ = (
        "_last_error",
        "_last_error_at",
        "_last_success_at",
        "_unsupported",
        "_useless_from",
        "_worked",
        "asked",
        "auth",
        "breaker",
        "cordoned",
        "failing_since",
        "finalized",
        "integrity",
        "latest",
        "limiter",
        "name",
        "order",
        "pool_settings",
        "service",
        "settings",
        "slots",
        "unknown_errors",
        "vendor",
    )

    def __init__(self, order: int, settings: ProviderSettings, pool_settings: PoolSettings, limiter: Limiter) -> None:
        self.order, self.name, self.vendor = order, settings.name, settings.known_vendor
        self.settings, self.pool_settings = settings, pool_settings
        self.limiter = limiter
        self.slots = Slots(settings.concurrency, pool_settings.urgent_slots, pool_settings.concurrency)
        self.breaker = ErrorBreaker(settings.name, pool_settings.breaker)
        self.auth, self.integrity = Latch(), Latch()
        self.service = ServiceTime()
        self.asked = 0
        self.unknown_errors = 0
        self.cordoned = ""
        self.latest: int | None = None
        self.finalized: int | None = None
        self.failing_since: float | None = None
        self._useless_from = pool_settings.breaker.slow_seconds
        self._unsupported: dict[str, float] = {}
        self._worked: dict[str, float] = {}
        self._last_error: Classification | None = None
        self._last_error_at = 0.0
        self._last_success_at: float | None = None

    def ready_at(self, now: float, priority: Priority, method: str) -> float | None:
        """When it may be asked: `now`; later; `NEVER`; or None, when a request in flight must end first."""
        if self._unsupported:
            until = self._unsupported.get(method, 0.0)
            if until > now:
                return NEVER if self._kept_out() else until
        return self.open_at(now, priority, method_class(method), method)

    def open_at(self, now: float, priority: Priority, kind: MethodClass | None, method: str = "") -> float | None:
        """The same for a kind of work, None being whichever has room; without a method, no method's own limits
        count."""
        if self.cordoned or self.auth.reason or self.integrity.reason:
            return NEVER
        limited_until = self.limiter.ready_at(now, priority, method)
        if not self.breaker.closed:
            broken_until = self.breaker.ready_at(now, urgent=priority is _BROADCAST)
            if broken_until is None:
                return limited_until if limited_until > now else None
            limited_until = max(broken_until, limited_until)
        if limited_until > now:
            return limited_until
        slots = self.slots
        free = slots.free(priority, kind) if kind else any(slots.free(priority, each) for each in MethodClass)
        return now if free else None

    def _kept_out(self) -> bool:
        return bool(self.auth.reason or self.integrity.reason or self.cordoned)

    def begin(self, now: float, priority: Priority, method: str) -> Permit:
        """Take a permit. Only when `ready_at` is `now`."""
        self.limiter.take(now, priority, method)
        permit = Permit(self, self.breaker.enter(now, urgent=priority is _BROADCAST), now, priority, method)
        self.slots.take(priority, permit.kind)
        self.asked += 1
        return permit

    def finish(self, permit: Permit, now: float, outcome: Classification | None, *, sent: bool) -> None:
        """Give a permit back. `outcome` None: cancelled, and if not even `sent`, the token was not spent."""
        assert permit.open, "a permit was given back twice"
        permit.open = False
        self.slots.give_back(permit.kind)
        if outcome is None:
            self.breaker.leave(permit.epoch, now, None)
            if not sent:
                self.limiter.give_back(now, permit.granted_at, permit.priority, permit.method)
            return
        kind = outcome.kind
        blame = TREATMENT[kind].blame
        seconds = now - permit.granted_at
        gradient = self.slots.gradients[permit.kind]
        if blame is _SUCCESS:
            slow = seconds > self._useless_from and seconds > self._useless_after(gradient.usual)
            self.breaker.leave(permit.epoch, now, blame, slow=slow)
            self._last_success_at, self.failing_since = now, None
            self.limiter.succeeded(permit.granted_at)
            self.service.observe(permit.kind, seconds)
            if kind is _OK:
                gradient.answered(seconds)
                self._worked[permit.method] = inf
            else:
                self._learn(permit, now, outcome)
            return
        self.breaker.leave(permit.epoch, now, blame)
        if outcome.name in {Fault.TIMEOUT, Fault.HURRIED}:
            gradient.timed_out(now, permit.granted_at)
        if self.failing_since is None and outcome.kind is not Kind.HURRIED:
            self.failing_since = now
        self._learn(permit, now, outcome)

    def _useless_after(self, usual: float) -> float:
        breaker = self.pool_settings.breaker
        return max(breaker.slow_factor * usual, breaker.slow_seconds)

    def offers(self, method: str, now: float) -> bool:
        """Whether the provider is known to offer a method that it has just refused: it has answered it, and hasn't
        refused it ever since for as long as a refusal would be believed. Or one hiccup at every provider would take a
        method from us that all of them have."""
        known = self._worked.get(method)
        if known is None:
            return False
        refused_from = self._worked[method] = min(known, now)
        if now - refused_from < self.pool_settings.unsupported_ttl_seconds:
            return True
        del self._worked[method]
        return False

    def _learn(self, permit: Permit, now: float, outcome: Classification) -> None:
        if outcome.kind is Kind.THROTTLED:
            self.limiter.throttled(now, permit.granted_at, outcome.pause)
        elif outcome.kind is Kind.AUTH:
            self.auth.set(now, f"{outcome.name}: {cap(outcome.message)}")
        elif outcome.kind is Kind.UNSUPPORTED:
            self._unsupported[permit.method] = now + self.pool_settings.unsupported_ttl_seconds
        elif outcome.kind is Kind.UNKNOWN:
            self.unknown_errors += 1
        if outcome.kind is not Kind.CHAIN_VERDICT:
            self._last_error, self._last_error_at = outcome, now

    def report_heights(self, latest: int | None, finalized: int | None) -> None:
        """What it last said about the chain; None leaves a value as it was."""
        self.latest = self.latest if latest is None else latest
        self.finalized = self.finalized if finalized is None else finalized

    def release(self) -> None:
        """A person has looked: the latches open, and what was learned about methods is forgotten."""
        self.auth.release()
        self.integrity.release()
        self._unsupported.clear()

    def fair_wait(self, seconds: float, method: str, now: float) -> bool:
        """Whether a call without an answer had waited long enough for the provider to be blamed."""
        last = self._last_success_at
        if last is None or now - last > STALE_SECONDS:
            return True
        return seconds >= FAIR * self.service.usual(method_class(method))

    def throughput(self, now: float) -> float:
        """Requests a second that it may be given: by its rate, and by how many are out and how long answers take."""
        rate = self.limiter.rate(now)
        flights = 0.0
        for kind, gradient in self.slots.gradients.items():  # ordered: by kind, as declared
            seconds = self.service.mean(kind)
            if seconds <= 0.0:
                return rate
            flights += gradient.limit / seconds
        return min(rate, flights)

    def shut(self, now: float) -> bool:
        """Whether there is no counting on it now: nobody may ask it, or only those who find out whether it is back."""
        if self._kept_out() or now < self.limiter.frozen_until():
            return True
        return self.breaker.state(now) is not State.CLOSED

    def away(self, now: float) -> bool:
        """Whether it can't be asked for longer than a moment, or only when those who try it out are back."""
        soon = now + self.pool_settings.away_seconds
        if self._kept_out() or self.limiter.frozen_until() > soon:
            return True
        back = self.breaker.ready_at(now)
        return back is None or back > soon

    def obstacle(self, now: float) -> str:
        """Why it may not be asked now, for people; empty when it may (or only waits for a token or a slot)."""
        if self.integrity.reason:
            return f"quarantined: {self.integrity.reason}"
        if self.auth.reason:
            return f"locked out: {self.auth.reason}"
        if self.cordoned:
            return f"cordoned: {self.cordoned}"
        if self.breaker.state(now) is State.OPEN:
            at = self.breaker.ready_at(now)
            assert at is not None
            return f"breaker open for {at - now:.1f} s more{self._because()}"
        frozen = self.limiter.frozen_until() - now
        if frozen > 0.0:
            return f"throttled, paused for {frozen:.1f} s more"
        spent = self.limiter.spent_until(now) - now
        return f"the plan's quota is used up for {spent:.0f} s more" if spent > _SPENT_SECONDS else ""

    def lacks(self, method: str, now: float) -> str:
        """Why it isn't asked for this method, for people; empty when it is."""
        until = self._unsupported.get(method, 0.0)
        return f"doesn't offer {method}, asked again in {until - now:.0f} s" if until > now else ""

    def _because(self) -> str:
        return f" ({self._last_error.name})" if self._last_error else ""

    def calm(self) -> bool:
        """Whether all its breakers are closed."""
        return self.breaker.closed and not self.auth.reason and not self.integrity.reason

    def states(self, now: float) -> tuple[State, State, State]:
        """The breakers: error, auth, integrity."""
        return self.breaker.state(now), self.auth.state, self.integrity.state

    def health(self, now: float) -> ProviderHealth:
        """The snapshot."""
        error, auth, integrity = self.states(now)
        reason = self.obstacle(now)
        last = self._last_error
        return ProviderHealth(
            name=self.name,
            host=self.settings.host,
            account=self.limiter.name,
            may_ask=not reason,
            reason=reason,
            error_breaker=error,
            auth_breaker=auth,
            integrity_breaker=integrity,
            last_error=last.name if last else "",
            last_error_message=cap(last.message) if last else "",
            last_error_ago=now - self._last_error_at if last else None,
            last_success_ago=None if self._last_success_at is None else now - self._last_success_at,
            failing_for=None if self.failing_since is None else now - self.failing_since,
            frozen_for=max(0.0, self.limiter.frozen_until() - now),
            in_flight=self.slots.in_flight,
            concurrency=self.slots.limit,
            learned_concurrency={str(kind): int(self.slots.gradients[kind].limit) for kind in MethodClass},
            unknown_errors=self.unknown_errors,
            cordoned=self.cordoned,
            unsupported=tuple(method for method, until in sorted(self._unsupported.items()) if until > now),
            learned_rate=self.limiter.rate(now),
            learned_calls=self.limiter.calls(now),
            contract_rate=self.limiter.contract,
            tokens=self.limiter.tokens(now),
            latest=self.latest,
            finalized=self.finalized,
        )
