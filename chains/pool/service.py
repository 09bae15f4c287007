"""How long a provider usually takes, so that a call is sent while there is still time for the answer.

Under overload a queue serves everyone just before their deadline; a call sent with less time left than an answer takes
is work for nothing, and its time-out would be held against a provider that did nothing wrong. Mean and deviation are
smoothed as in RFC 6298 (section 2), from good answers only, for each class of methods. Pure.
"""

from __future__ import annotations

from chains.pool.methods import MethodClass

FAIR = 2.0
"""A time-out is held against the provider when it had at least this many times its usual time."""

STALE_SECONDS = 10.0
"""Without a good answer for so long, what was usual says nothing: then every time-out counts."""


class ServiceTime:
    """Smoothed service time in seconds, by method class."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[MethodClass, list[float]] = {}

    def observe(self, method_class: MethodClass, seconds: float) -> None:
        """One good answer took this long."""
        known = self._known.get(method_class)
        if known is None:
            self._known[method_class] = [seconds, seconds / 2.0]
            return
        off = seconds - known[0]
        known[1] += (abs(off) - known[1]) / 4.0
        known[0] += off / 8.0

    def mean(self, method_class: MethodClass) -> float:
        """Smoothed mean; 0 while nothing is known."""
        known = self._known.get(method_class)
        return 0.0 if known is None else known[0]

    def ample(self, method_class: MethodClass) -> float:
        """What hardly any answer exceeds: mean plus six deviations; 0 while nothing is known. Under overload everyone
        is sent at the last moment, and then whatever exceeds this is lost work."""
        known = self._known.get(method_class)
        return 0.0 if known is None else known[0] + 6.0 * known[1]

    def usual(self, method_class: MethodClass) -> float:
        """What nearly all answers stay below: mean plus two deviations; 0 while nothing is known."""
        known = self._known.get(method_class)
        return 0.0 if known is None else known[0] + 2.0 * known[1]
