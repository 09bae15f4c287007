"""One timer for the time limits of everything that is on its way.

Nearly every request ends long before its time limit does, so a timer of its own would nearly always be made to be
thrown away. Here a request only says when it wants to be called; one timer of the loop's is set for the earliest and,
when it rings, for the next one of those that are still out. It is exact: who comes with an earlier time sets it anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from chains.pool.provider import NEVER

_EARLY = 1e-6
"""Seconds by which a timer may ring early: what floating point makes of the loop's time and ours."""


class Alarm(Protocol):
    """What can be called: `at` is by the pool's clock, and `NEVER` once there is nothing more to be called for."""

    at: float


A = TypeVar("A", bound=Alarm)


class Alarms(Generic[A]):
    """Those who want to be called. `ring` is called with each whose time has come, and leaves its next `at` in it."""

    __slots__ = ("_clock", "_pending", "_ring", "_timer", "_timer_at")

    def __init__(self, clock: Callable[[], float], ring: Callable[[A, float], None]) -> None:
        self._clock, self._ring = clock, ring
        self._pending: dict[A, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = NEVER

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, alarm: A) -> None:
        """Call it at `alarm.at`, unless it is dropped before."""
        self._pending[alarm] = None
        if alarm.at < self._timer_at:
            self._set(alarm.at)

    def drop(self, alarm: A) -> None:
        """Don't call it any more. The timer stays: the next one out will need it, or it rings for nobody."""
        self._pending.pop(alarm, None)

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().call_later(max(at - self._clock(), 0.0), self._wake)

    def _wake(self) -> None:
        self._timer, self._timer_at = None, NEVER
        now = self._clock()
        for alarm in [alarm for alarm in self._pending if alarm.at <= now + _EARLY]:
            self._ring(alarm, now)
        soonest = min((alarm.at for alarm in self._pending), default=NEVER)
        if soonest < self._timer_at:
            self._set(soonest)
