"""How fast an account may be asked: tokens with reservations, over every window its plan is counted in.

Pure: `now` is monotonic seconds, one token is one unit of the plan (a request, where methods have no costs). The
account is what providers meter by, so one limiter is shared by all endpoints, and all chains, that use it. Broadcasts
and head reads each fill a bucket of their own first and spill over into the common one; so a token is waiting for them
however hard the rest is pushing, and nothing is wasted while they are quiet. How many tokens there are a second is
`pace`'s; the longer stretches of a plan, with the same shares in each, are `windows`'.

A call that costs more than one token goes as soon as there is one, and leaves a debt that the next ones wait for: so a
costly call is never starved by cheap ones that always fit in before it. Whose debt it is, is kept apart: what catching
up owes, no broadcast waits for.
"""

from __future__ import annotations

from chains.pool.calls import Priority
from chains.pool.pace import Pace
from chains.pool.settings import LimiterSettings, Metering
from chains.pool.windows import Counted

_BROADCAST, _HEAD, _BACKFILL = Priority.BROADCAST, Priority.HEAD, Priority.BACKFILL
"""By these names, because every call passes here and an enumeration's own members are slow to look up."""

_FULL = 1.0 - 1e-9
"""A token that waiting has refilled, as floating point adds it up."""

_LATE_SECONDS = 0.03
"""How late a timer may ring without the tokens of that time being lost."""

_STRAIN_SECONDS = 10.0
"""After a freeze, before anything is sent that could be left unsent."""


class Limiter:
    """One account's tokens. Starts at 0.85 of the contract's rate and never goes above the contract.

    While nothing was refused, the buckets hold together the difference between the contract's rate and ours, but a
    token each at least, so that a burst on top of the steady rate still stays within one second's contract wherever the
    plan is above a few requests a second. Once the account has said stop, a burst is a token each.
    """

    __slots__ = (
        "_backfill",
        "_backfill_full",
        "_calls",
        "_common",
        "_common_full",
        "_common_share",
        "_costs",
        "_counted",
        "_head",
        "_head_full",
        "_pace",
        "_plan",
        "_settings",
        "_sized_for",
        "_units",
        "_updated",
        "_urgent",
        "_urgent_full",
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
        self._costs = self._plan.costs
        self._calls, self._units = 0, 0.0
        counted = Counted(self._plan, settings)
        self._counted = counted or None
        self._common_share = 1.0 - settings.urgent_share - settings.head_share
        self._updated = now
        rate = self._pace.rate(now)
        self._size(rate)
        room = max(0.0, self.contract - rate)
        self._urgent, self._head = self._urgent_full, self._head_full
        self._common = max(1.0, room * self._common_share)
        self._backfill = max(1.0, room * settings.backfill_share)

    def rate(self, now: float) -> float:
        """What we believe the account bears, in units a second."""
        return self._pace.rate(now)

    def calls(self, now: float) -> float:
        """The same in calls a second, by what those made so far cost on the average: endpoints that share the account
        and methods that cost much are in it as often as they were called."""
        return self.rate(now) * self._calls / self._units if self._calls else self.rate(now)

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
        """When the fullest of the plan's windows has room again for an ordinary read: `now`, or later."""
        return now if self._counted is None else self._counted.spent_until(now)

    def tokens(self, now: float) -> float:
        """What is in the common bucket, for the metric; below zero is a costly call's debt."""
        self._refill(now)
        return self._common

    def ready_at(self, now: float, priority: Priority, method: str = "") -> float:
        """The earliest time a request of this class may go: `now`, or later."""
        if now < self._pace.frozen_until:
            return self._pace.frozen_until
        if self._common >= 1.0 and priority is not _BACKFILL and self._counted is None:
            return now  # what was there at the last count is there still
        self._refill(now)
        wait = self._wait(now, priority)
        if wait > 0.0:
            self._pace.pushed(now)
        if priority is _BACKFILL and self._backfill < _FULL:
            wait = max(wait, (1.0 - self._backfill) / (self._pace.rate(now) * self._settings.backfill_share))
        ready = now if wait <= 0.0 else now + wait
        return ready if self._counted is None else max(ready, self._counted.ready_at(now, priority, method))

    def _wait(self, now: float, priority: Priority) -> float:
        """Seconds until there is a token: in the common bucket, in the class's own, or in both together."""
        common = self._common
        if priority is _BROADCAST:
            own, share = self._urgent, self._settings.urgent_share
        elif priority is _HEAD:
            own, share = self._head, self._settings.head_share
        else:
            return 0.0 if common >= _FULL else (_FULL - common) / (self._pace.rate(now) * self._common_share)
        if max(own, 0.0) + max(common, 0.0) >= _FULL:
            return 0.0
        rate = self._pace.rate(now)
        together = (_FULL - own - common) / (rate * (share + self._common_share))
        if common >= 0.0:
            return together
        # The others are in debt: until they are out of it the class has its own share alone.
        return min((_FULL - own) / (rate * share), max(together, -common / (rate * self._common_share)))

    def take(self, now: float, priority: Priority, method: str = "") -> None:
        """Spend what a call costs. Only when `ready_at` is `now`."""
        self._refill(now)
        cost = 1.0
        if self._costs:
            cost = self._costs.get(method, 1.0)
            self._calls += 1
            self._units += cost
        if priority is _BROADCAST:
            self._urgent -= self._share_out(cost, self._urgent)
        elif priority is _HEAD:
            self._head -= self._share_out(cost, self._head)
        else:
            assert self._common >= 1.0 - 1e-6, "a token was spent that nobody had"
            self._common -= cost
            if priority is _BACKFILL:
                self._backfill -= cost
        if self._counted is not None:
            self._counted.take(now, priority, method)

    def _share_out(self, cost: float, own: float) -> float:
        """What a class with a bucket of its own pays out of it: first what it has, then what the common one has, and
        what is missing then is its own debt."""
        common = max(self._common, 0.0)
        assert max(own, 0.0) + common >= 1.0 - 1e-6, "a token was spent that nobody had"
        lent = min(common, max(cost - max(own, 0.0), 0.0))
        self._common -= lent
        return cost - lent

    def give_back(self, now: float, taken_at: float, priority: Priority, method: str = "") -> None:
        """A request that was granted at `taken_at` and never sent."""
        self._refill(now)
        cost = self._costs.get(method, 1.0)
        if self._costs:
            self._calls -= 1
            self._units -= cost
        if priority is _BROADCAST:
            self._urgent += cost  # what is more than it holds spills over with the next refill
        elif priority is _HEAD:
            self._head += cost
        else:
            self._common += cost
            if priority is _BACKFILL:
                self._backfill += cost
        if self._counted is not None:
            self._counted.give_back(taken_at, priority, method)

    def succeeded(self, sent_at: float) -> None:
        """The account answered a request sent at `sent_at`."""
        self._pace.succeeded(sent_at)

    def throttled(self, now: float, sent_at: float, pause: float) -> None:
        """The account said stop, to a request sent at `sent_at`, asking for `pause` seconds (0: it doesn't say); see
        `Pace.throttled`. A new freeze leaves the buckets empty, and debts as they are."""
        self._refill(now)
        if self._pace.throttled(now, sent_at, pause):
            self._sized_for = -1.0
            self._urgent, self._head = min(self._urgent, 0.0), min(self._head, 0.0)
            self._common, self._backfill = min(self._common, 0.0), min(self._backfill, 0.0)
            self._updated = self._pace.frozen_until

    def _refill(self, now: float) -> None:
        elapsed = now - self._updated
        if elapsed <= 0.0:
            return
        self._updated = now
        rate = self._pace.rate(now)
        if rate != self._sized_for:
            self._size(rate)
        self._backfill += rate * elapsed * self._settings.backfill_share
        if self._backfill > self._backfill_full:
            self._backfill = self._backfill_full
        common = self._common + rate * elapsed * self._common_share
        urgent = self._urgent + rate * elapsed * self._settings.urgent_share
        if urgent > self._urgent_full:
            common += urgent - self._urgent_full
            urgent = self._urgent_full
        head = self._head + rate * elapsed * self._settings.head_share
        if head > self._head_full:
            common += head - self._head_full
            head = self._head_full
        if common > 0.0 and (urgent < 0.0 or head < 0.0):
            common, urgent = _repay(common, urgent)
            common, head = _repay(common, head)
        self._urgent, self._head = urgent, head
        self._common = common
        if common > self._common_full:
            self._common = self._common_full

    def _size(self, rate: float) -> None:
        """How much the buckets hold at a rate."""
        settings = self._settings
        room = 0.0 if self._pace.was_refused else max(0.0, self.contract - rate)
        self._sized_for = rate
        self._urgent_full = max(1.0, room * settings.urgent_share)
        self._head_full = max(1.0, room * settings.head_share)
        late = rate * _LATE_SECONDS
        self._common_full = max(2.0, room * self._common_share, late)
        # Half over some seconds and not in each instant: what the others leave is not wasted while they draw breath.
        self._backfill_full = max(2.0, rate * settings.backfill_share * settings.backfill_seconds)


def _repay(common: float, own: float) -> tuple[float, float]:
    """A debt of the urgent is paid off with whatever there is: they go first in this, too."""
    paid = min(common, max(-own, 0.0))
    return common - paid, own + paid


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
