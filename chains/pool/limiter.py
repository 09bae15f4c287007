"""How fast an account may be asked: tokens with reservations, over every window its plan is counted in.

Pure: `now` is monotonic seconds, one token is one unit of the plan (a request, where methods have no costs). The
account is what providers meter by, so one limiter is shared by all endpoints, and all chains, that use it. Broadcasts
and head reads each fill a bucket of their own first and spill over into the common one; so a token is waiting for them
however hard the rest is pushing, and nothing is wasted while they are quiet. How many tokens there are a second is
`pace`'s.

A call that costs more than one token goes as soon as there is one, and leaves a debt that the next ones wait for: so a
costly call is never starved by cheap ones that always fit in before it.
"""

from __future__ import annotations

from collections import deque

from chains.pool.calls import Priority
from chains.pool.pace import Pace
from chains.pool.settings import LimiterSettings, Metering

_FULL = 1.0 - 1e-9
"""A token that waiting has refilled, as floating point adds it up."""

_LATE_SECONDS = 0.03
"""How late a timer may ring without the tokens of that time being lost."""

_STRAIN_SECONDS = 10.0
"""After a freeze, before anything is sent that could be left unsent."""

_PARTS = 20
"""A window is counted in so many parts; the oldest part leaves it as a whole."""


class Window:
    """At most `limit` units in any stretch of `seconds`. Counts from the start of the process: what was spent before a
    restart only the provider knows, and says by a throttle."""

    __slots__ = ("_parts", "_step", "_used", "limit", "seconds")

    def __init__(self, seconds: float, limit: float) -> None:
        self.seconds, self.limit = seconds, limit
        self._step = seconds / _PARTS
        self._parts: deque[list[float]] = deque()
        self._used = 0.0

    def ready_at(self, now: float, cost: float) -> float:
        """When `cost` more fits in; what is larger than the whole window fits into an empty one."""
        self._forget(now)
        missing = self._used + cost - self.limit
        if missing <= 1e-9:
            return now
        for part, units in self._parts:
            missing -= units
            if missing <= 1e-9:
                return self._leaves(part)
        return self._leaves(self._parts[-1][0]) if self._parts else now

    def take(self, now: float, cost: float) -> None:
        """Count `cost`, which is negative for what was never sent."""
        part = float(int(now / self._step))
        if not self._parts or self._parts[-1][0] != part:
            self._parts.append([part, 0.0])
        self._parts[-1][1] += cost
        self._used += cost

    def _leaves(self, part: float) -> float:
        return (part + 1.0 + _PARTS) * self._step

    def _forget(self, now: float) -> None:
        while self._parts and self._leaves(self._parts[0][0]) <= now:
            self._used -= self._parts.popleft()[1]
        if not self._parts:
            self._used = 0.0


class Limiter:
    """One account's tokens. Starts at 0.85 of the contract's rate and never goes above the contract.

    While nothing was refused, the buckets hold together the difference between the contract's rate and ours, but a
    token each at least, so that a burst on top of the steady rate still stays within one second's contract wherever the
    plan is above a few requests a second. Once the account has said stop, a burst is a token each.
    """

    __slots__ = (
        "_backfill",
        "_common",
        "_common_share",
        "_head",
        "_methods",
        "_pace",
        "_plan",
        "_settings",
        "_updated",
        "_urgent",
        "_windows",
        "contract",
        "name",
    )

    def __init__(
        self,
        name: str,
        requests_per_second: float,
        settings: LimiterSettings,
        now: float,
        plan: Metering | None = None,
    ) -> None:
        self.name, self.contract, self._settings = name, requests_per_second, settings
        self._plan = plan or Metering()
        self._pace = Pace(name, requests_per_second, settings, now)
        self._windows = tuple(Window(seconds, units) for seconds, units in self._plan.windows)
        self._methods = {method: Window(1.0, rate) for method, rate in sorted(self._plan.method_rates.items())}
        self._common_share = 1.0 - settings.urgent_share - settings.head_share
        self._updated = now
        room = max(0.0, self.contract - self._pace.rate(now))
        self._urgent = max(1.0, room * settings.urgent_share)
        self._head = max(1.0, room * settings.head_share)
        self._common = max(1.0, room * self._common_share)
        self._backfill = max(1.0, room * settings.backfill_share)

    def rate(self, now: float) -> float:
        """What we believe the account bears, in units a second."""
        return self._pace.rate(now)

    @property
    def plan(self) -> Metering:
        """How the account is metered beside its rate."""
        return self._plan

    def frozen_until(self) -> float:
        """The account is not asked before this time."""
        return self._pace.frozen_until

    def strained(self, now: float) -> bool:
        """Whether the account said stop a moment ago: no time to send more than must be sent."""
        return self._pace.was_refused and now < self._pace.frozen_until + _STRAIN_SECONDS

    def spent_until(self, now: float) -> float:
        """When the fullest of the plan's windows has room again: `now`, or later."""
        return max((window.ready_at(now, 1.0) for window in self._windows), default=now)

    def tokens(self, now: float) -> float:
        """What is in the common bucket, for the metric; below zero is a costly call's debt."""
        self._refill(now)
        return self._common

    def ready_at(self, now: float, priority: Priority, method: str = "") -> float:
        """The earliest time a request of this class may go: `now`, or later."""
        if now < self._pace.frozen_until:
            return self._pace.frozen_until
        if self._common >= 1.0 and priority is not Priority.BACKFILL and not (self._windows or self._methods):
            return now  # what was there at the last count is there still
        self._refill(now)
        settings = self._settings
        wait = 0.0
        if priority is Priority.BROADCAST:
            missing, share = _FULL - self._urgent - self._common, settings.urgent_share
        elif priority is Priority.HEAD:
            missing, share = _FULL - self._head - self._common, settings.head_share
        else:
            missing, share = _FULL - self._common, 0.0
        if missing > 0.0:
            wait = missing / (self._pace.rate(now) * (share + self._common_share))
            self._pace.pushed(now)
        if priority is Priority.BACKFILL and self._backfill < _FULL:
            wait = max(wait, (1.0 - self._backfill) / (self._pace.rate(now) * settings.backfill_share))
        ready = now if wait <= 0.0 else now + wait
        if self._windows or self._methods:
            ready = max(ready, self._counted(now, method))
        return ready

    def _counted(self, now: float, method: str) -> float:
        cost = self._plan.costs.get(method, 1.0)
        ready = now
        for window in self._windows:
            ready = max(ready, window.ready_at(now, cost))
        own = self._methods.get(method)
        return ready if own is None else max(ready, own.ready_at(now, 1.0))

    def take(self, now: float, priority: Priority, method: str = "") -> None:
        """Spend what a call costs. Only when `ready_at` is `now`."""
        self._refill(now)
        cost = self._plan.costs.get(method, 1.0) if self._plan.costs else 1.0
        own = 0.0
        if priority is Priority.BROADCAST:
            own = max(0.0, min(self._urgent, cost))
            self._urgent -= own
        elif priority is Priority.HEAD:
            own = max(0.0, min(self._head, cost))
            self._head -= own
        elif priority is Priority.BACKFILL:
            self._backfill -= cost
        assert self._common + own >= min(cost, 1.0) - 1e-6, "a token was spent that nobody had"
        self._common -= cost - own
        if self._windows or self._methods:
            self._count(now, method, cost)

    def give_back(self, now: float, priority: Priority, method: str = "") -> None:
        """A request that was granted and never sent."""
        cost = self._plan.costs.get(method, 1.0)
        self._common += cost
        if priority is Priority.BACKFILL:
            self._backfill += cost
        self._count(now, method, -cost)

    def _count(self, now: float, method: str, cost: float) -> None:
        for window in self._windows:
            window.take(now, cost)
        own = self._methods.get(method)
        if own is not None:
            own.take(now, 1.0 if cost > 0.0 else -1.0)

    def succeeded(self, sent_at: float) -> None:
        """The account answered a request sent at `sent_at`."""
        self._pace.succeeded(sent_at)

    def throttled(self, now: float, sent_at: float, pause: float) -> None:
        """The account said stop, to a request sent at `sent_at`, asking for `pause` seconds (0: it doesn't say); see
        `Pace.throttled`. A new freeze leaves the buckets empty."""
        self._refill(now)
        if self._pace.throttled(now, sent_at, pause):
            self._urgent, self._head, self._common, self._backfill = 0.0, 0.0, min(self._common, 0.0), 0.0
            self._updated = self._pace.frozen_until

    def _refill(self, now: float) -> None:
        elapsed = now - self._updated
        if elapsed <= 0.0:
            return
        self._updated = now
        settings, rate = self._settings, self._pace.rate(now)
        fresh, late = rate * elapsed, rate * _LATE_SECONDS
        room = 0.0 if self._pace.was_refused else max(0.0, self.contract - rate)
        common = self._common + fresh * self._common_share
        urgent = self._urgent + fresh * settings.urgent_share
        full = max(1.0, room * settings.urgent_share)
        if urgent > full:
            common += urgent - full
            urgent = full
        head = self._head + fresh * settings.head_share
        full = max(1.0, room * settings.head_share)
        if head > full:
            common += head - full
            head = full
        self._urgent, self._head = urgent, head
        self._common = min(common, max(2.0, room * self._common_share, late))
        backfill = self._backfill + fresh * settings.backfill_share
        self._backfill = min(backfill, max(2.0, room * settings.backfill_share, late))


class Accounts:
    """The limiters by account. Pools of several chains share one, when their providers' plans are shared."""

    __slots__ = ("_limiters", "_settings")

    def __init__(self, settings: LimiterSettings | None = None) -> None:
        self._settings = settings or LimiterSettings()
        self._limiters: dict[str, Limiter] = {}

    def limiter(self, account: str, requests_per_second: float, now: float, plan: Metering | None = None) -> Limiter:
        """The account's one limiter. Raises `ValueError` when two endpoints state different plans for an account."""
        known = self._limiters.get(account)
        if known is None:
            known = self._limiters[account] = Limiter(account, requests_per_second, self._settings, now, plan)
        elif known.contract != requests_per_second:
            raise ValueError(
                f"account {account!r}: {known.contract:g} and {requests_per_second:g} requests per second; one of them"
            )
        elif known.plan != (plan or Metering()):
            raise ValueError(f"account {account!r}: two endpoints state different windows, costs or method rates")
        return known
