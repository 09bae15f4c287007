"""How many requests may be in flight at a provider: a limit that its slowness teaches, and places for the most urgent.

Pure. Rate limits speak; a queue inside the provider doesn't, it only gets slow. So each kind of work has a limit of its
own that follows the gradient between how long answers usually take and how long they take now: where they take
longer, more of them waiting there helps nobody.
"""

from __future__ import annotations

from chains.pool.calls import Priority
from chains.pool.methods import MethodClass
from chains.pool.settings import ConcurrencySettings

_BROADCAST = Priority.BROADCAST
"""By this name, because every call passes here and an enumeration's own members are slow to look up."""


class Gradient:
    """The limit for one kind of work. Judged in rounds of good answers: the median of a round against the best median
    of late, which grows slowly stale, because blocks get larger and providers move."""

    __slots__ = ("_cut_at", "_pressed", "_round", "_settings", "_usual", "ceiling", "in_flight", "limit")

    def __init__(self, settings: ConcurrencySettings, ceiling: int) -> None:
        self._settings = settings
        self.ceiling = max(1, min(settings.most, ceiling))
        self.limit = float(min(settings.first, self.ceiling))
        self.in_flight = 0
        self._round: list[float] = []
        self._usual = 0.0
        self._pressed = False
        self._cut_at = float("-inf")

    @property
    def usual(self) -> float:
        """Seconds that an unhurried answer takes; 0 while unknown."""
        return self._usual

    def free(self, extra: int = 0) -> bool:
        """Whether one more may go out; `extra` places count for the most urgent."""
        return self.in_flight < int(self.limit) + extra

    def take(self) -> None:
        """One more is out."""
        self.in_flight += 1
        if self.in_flight >= int(self.limit):
            self._pressed = True

    def answered(self, seconds: float) -> None:
        """One good answer took this long."""
        settings = self._settings
        self._round.append(seconds)
        answers = len(self._round)
        if answers < settings.round_answers or answers < int(self.limit):
            return
        median = sorted(self._round)[len(self._round) // 2]
        self._round.clear()
        stale = self._usual * settings.stale_factor
        self._usual = median if self._usual == 0.0 else min(median, stale)
        pressed, self._pressed = self._pressed, False
        fair = max(self._usual, settings.noise_seconds) * settings.tolerance
        gradient = max(0.5, min(1.0, fair / max(median, 1e-9)))
        if gradient >= 1.0 and not pressed:
            return  # nobody wanted more, so nothing was learned about more
        target = self.limit * gradient + self.limit**0.5
        smoothed = self.limit + settings.smoothing * (target - self.limit)
        self.limit = max(float(min(settings.least, self.ceiling)), min(smoothed, float(self.ceiling)))

    def timed_out(self, now: float, sent_at: float) -> None:
        """No answer in a fair time; one cut for all that were out together."""
        if sent_at <= self._cut_at:
            return
        self._cut_at = now
        least = float(min(self._settings.least, self.ceiling))
        self.limit = max(least, self.limit * self._settings.timeout_factor)


class Slots:
    """`limit` requests at once, whatever they ask, of which the last `reserved` are for broadcasts and own-transaction
    status; and within it a learned limit for each kind of work, beyond which only these may go by `reserved` more. With
    so few slots that nothing would be left for the others, fewer are reserved."""

    __slots__ = ("gradients", "in_flight", "limit", "reserved")

    def __init__(self, limit: int, reserved: int, settings: ConcurrencySettings | None = None) -> None:
        self.limit = limit
        self.reserved = min(reserved, limit - 1)
        self.in_flight = 0
        learned = settings or ConcurrencySettings()
        self.gradients = {kind: Gradient(learned, limit - self.reserved) for kind in MethodClass}

    def free(self, priority: Priority, kind: MethodClass) -> bool:
        """Whether one more of this class and kind may go out."""
        gradient = self.gradients[kind]
        if priority is _BROADCAST:
            return self.in_flight < self.limit and gradient.free(self.reserved)
        return self.in_flight < self.limit - self.reserved and gradient.in_flight < int(gradient.limit)

    def take(self, priority: Priority, kind: MethodClass) -> None:
        """One more is out. Only when `free`."""
        assert self.free(priority, kind), "more requests in flight than allowed"
        self.in_flight += 1
        self.gradients[kind].take()

    def give_back(self, kind: MethodClass) -> None:
        """One is over, whatever became of it."""
        gradient = self.gradients[kind]
        assert gradient.in_flight > 0, "a slot was given back twice"
        assert self.in_flight > 0, "a slot was given back twice"
        self.in_flight -= 1
        gradient.in_flight -= 1
