"""The stretches a plan is counted in beside its rate (ten seconds, a day), with what each class may have of them.

Pure: `now` is monotonic seconds. In every window the most urgent have a share that nobody else can use up, be it by
the second or by the day; what they have used of the window already is not held back a second time. The price is known:
a share that its class leaves unused in a window is nobody's. A window is no bucket, nothing flows back into it before
it is over, so what was lent from a share could not be had again when it is wanted.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from chains.pool.calls import Priority
from chains.pool.methods import MethodClass, method_class
from chains.pool.settings import LimiterSettings, Metering

_PARTS = 20
"""A window is counted in so many parts; the oldest part leaves it as a whole."""

_EXACT = 1e-9
"""Units that floating point may be off by."""


@dataclass(frozen=True, slots=True)
class Shares:
    """Units of one window: kept for broadcasts and own-transaction status, kept for head reads, and the most that
    backfill may have."""

    urgent: float = 0.0
    head: float = 0.0
    backfill: float = float("inf")


class _Use:
    """Units by who used them; `rest` is everybody without a share, backfill included."""

    __slots__ = ("backfill", "head", "rest", "urgent")

    def __init__(self, urgent: float = 0.0, head: float = 0.0, rest: float = 0.0, backfill: float = 0.0) -> None:
        self.urgent, self.head, self.rest, self.backfill = urgent, head, rest, backfill

    def add(self, priority: Priority, units: float) -> None:
        if priority is Priority.BROADCAST:
            self.urgent += units
        elif priority is Priority.HEAD:
            self.head += units
        else:
            self.rest += units
            if priority is Priority.BACKFILL:
                self.backfill += units

    def less(self, part: _Use) -> _Use:
        return _Use(
            self.urgent - part.urgent, self.head - part.head, self.rest - part.rest, self.backfill - part.backfill
        )


class Window:
    """At most `limit` units in any stretch of `seconds`, and in it the shares. Counts from the start of the process:
    what was spent before a restart only the provider knows, and says by a throttle.

    What is larger than all that its class can have goes when the class has nothing else in the window, and what is
    larger than the window goes into an empty one: odd plans slow a call down, they don't shut it out.
    """

    __slots__ = ("_parts", "_step", "_used", "limit", "seconds", "shares")

    def __init__(self, seconds: float, limit: float, shares: Shares | None = None) -> None:
        self.seconds, self.limit = seconds, limit
        self.shares = shares or Shares()
        self._step = seconds / _PARTS
        self._parts: deque[tuple[int, _Use]] = deque()
        self._used = _Use()

    def ready_at(self, now: float, cost: float, priority: Priority) -> float:
        """When `cost` more of this class fits in."""
        self._forget(now)
        left = self._used
        if self._fits(left, cost, priority):
            return now
        for part, use in self._parts:
            # What leaves may give a share back to its class, but never more than it makes room: so the first part
            # after which it fits is the answer.
            left = left.less(use)
            if self._fits(left, cost, priority):
                return self._leaves(part)
        return self._leaves(self._parts[-1][0]) if self._parts else now

    def take(self, now: float, cost: float, priority: Priority) -> None:
        """Count `cost`."""
        part = int(now / self._step)
        if not self._parts or self._parts[-1][0] != part:
            self._parts.append((part, _Use()))
        self._parts[-1][1].add(priority, cost)
        self._used.add(priority, cost)

    def give_back(self, taken_at: float, cost: float, priority: Priority) -> None:
        """What was counted at `taken_at` was never sent."""
        counted = int(taken_at / self._step)
        for part, use in reversed(self._parts):
            if part == counted:
                use.add(priority, -cost)
                self._used.add(priority, -cost)
                return

    def _fits(self, used: _Use, cost: float, priority: Priority) -> bool:
        shares = self.shares
        total, most = used.urgent + used.head + used.rest, self.limit + _EXACT
        held, room = 0.0, self.limit
        if priority is not Priority.BROADCAST:
            held += max(0.0, shares.urgent - used.urgent)
            room -= shares.urgent
        if priority is not Priority.HEAD:
            held += max(0.0, shares.head - used.head)
            room -= shares.head
        if priority is Priority.BACKFILL and used.backfill + min(cost, shares.backfill) > shares.backfill + _EXACT:
            return False
        return total + min(cost, self.limit) <= most and total + held + min(cost, room) <= most

    def _leaves(self, part: int) -> float:
        return (part + 1 + _PARTS) * self._step

    def _forget(self, now: float) -> None:
        while self._parts and self._leaves(self._parts[0][0]) <= now:
            self._used = self._used.less(self._parts.popleft()[1])
        if not self._parts:
            self._used = _Use()


class Counted:
    """Everything a plan counts beside its rate: its windows, and the methods that have a rate of their own."""

    __slots__ = ("_costs", "_methods", "_windows")

    def __init__(self, plan: Metering, settings: LimiterSettings) -> None:
        self._costs = plan.costs
        dearest = max((units for name, units in plan.costs.items() if _writes(name)), default=1.0)
        self._windows = tuple(
            Window(seconds, units, _of_plan(units, dearest, settings)) for seconds, units in plan.windows
        )
        self._methods = {
            method: Window(1.0, rate, _of_method(method, rate, settings))
            for method, rate in sorted(plan.method_rates.items())
        }

    def __bool__(self) -> bool:
        return bool(self._windows or self._methods)

    def ready_at(self, now: float, priority: Priority, method: str) -> float:
        """When a call fits into all of them: `now`, or later."""
        cost = self._costs.get(method, 1.0)
        ready = now
        for window in self._windows:
            ready = max(ready, window.ready_at(now, cost, priority))
        own = self._methods.get(method)
        return ready if own is None else max(ready, own.ready_at(now, 1.0, priority))

    def take(self, now: float, priority: Priority, method: str) -> None:
        """Count a call."""
        cost = self._costs.get(method, 1.0)
        for window in self._windows:
            window.take(now, cost, priority)
        own = self._methods.get(method)
        if own is not None:
            own.take(now, 1.0, priority)

    def give_back(self, taken_at: float, priority: Priority, method: str) -> None:
        """A call that was counted at `taken_at` and never sent."""
        cost = self._costs.get(method, 1.0)
        for window in self._windows:
            window.give_back(taken_at, cost, priority)
        own = self._methods.get(method)
        if own is not None:
            own.give_back(taken_at, 1.0, priority)

    def spent_until(self, now: float) -> float:
        """When the fullest of the plan's windows has room again for an ordinary read: `now`, or later."""
        return max((window.ready_at(now, 1.0, Priority.LIVE) for window in self._windows), default=now)


def _of_plan(units: float, dearest: float, settings: LimiterSettings) -> Shares:
    """Whole units, and for a broadcast at least what the dearest one costs, where that leaves half for the others."""
    urgent = max(units * settings.urgent_share // 1.0, min(dearest, units / 2.0))
    return Shares(urgent, units * settings.head_share // 1.0, units * settings.backfill_share)


def _of_method(method: str, rate: float, settings: LimiterSettings) -> Shares:
    """Whole calls. What hands in a transaction is only ever a broadcast: nobody is there to keep a share from. Backfill
    has no bound here: half of the account's rate is its bound, and after a second there is room again."""
    if _writes(method):
        return Shares()
    return Shares(rate * settings.urgent_share // 1.0, rate * settings.head_share // 1.0)


def _writes(method: str) -> bool:
    return method_class(method) is MethodClass.WRITE
