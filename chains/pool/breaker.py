"""When a provider is left alone: the error breaker that comes back by itself, and latches that wait for a person.

Pure: `now` is monotonic seconds. The breaker counts what the *provider* did wrong; being throttled or being asked a
wrong question is not among it. A pause lasts for a part of the outage so far, so that a recovery is noticed within
that part of it: one that was away for ten seconds is missed for one more, and one that was away for an hour is not
knocked at every second. Half open, it hands out few permits, and a permit that is returned without an outcome
(a cancelled call) frees its place again: a probe that vanishes must not wedge the breaker.
"""

from __future__ import annotations

from collections import deque
from enum import IntEnum

from chains.pool.classify import Blame
from chains.pool.settings import BreakerSettings
from chains.pool.spread import spread

_BUCKETS = 30
"""Parts of the window: old failures leave it in steps of a thirtieth."""


class State(IntEnum):
    """The values are those of the metric `chains_breaker_state`."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


_CLOSED, _SUCCESS, _NEUTRAL = State.CLOSED, Blame.SUCCESS, Blame.NEUTRAL
"""By these names, because every call passes here and an enumeration's own members are slow to look up."""


class ErrorBreaker:
    """Closed → open on too many failures, or answers slow beyond use → half open after a pause → closed on a few good
    answers in a row.

    `closed` says that all is well, as nearly always, and is cheaper to ask than `state`. `name` only seeds the spread
    of pauses. Every `enter` must be matched by exactly one `leave` with its ticket.
    """

    __slots__ = (
        "_buckets",
        "_closed_at",
        "_epoch",
        "_failing_since",
        "_failures_in_a_row",
        "_good_probes",
        "_name",
        "_open_until",
        "_opened",
        "_outage_since",
        "_probes",
        "_probes_allowed",
        "_settings",
        "_state",
        "closed",
    )

    def __init__(self, name: str, settings: BreakerSettings) -> None:
        self._name, self._settings = name, settings
        self._state = State.CLOSED
        self.closed = True
        self._buckets: deque[list[int]] = deque()
        self._epoch = 0
        self._opened = 0
        self._outage_since: float | None = None
        self._open_until = 0.0
        self._closed_at = 0.0
        self._failing_since = 0.0
        self._failures_in_a_row = 0
        self._probes = 0
        self._probes_allowed = 1
        self._good_probes = 0

    def state(self, now: float) -> State:
        """Where it stands; an open breaker whose pause is over is half open, asked or not."""
        if self._state is State.OPEN and now >= self._open_until:
            return State.HALF_OPEN
        return self._state

    def ready_at(self, now: float, *, urgent: bool = False) -> float | None:
        """When a call may pass: `now`, the end of the pause, or None while the probes that are out decide it. For the
        most `urgent` there is one place more, or heavy reads that hang would keep them out for as long as they do."""
        if self._state is _CLOSED:
            return now
        if self._state is State.OPEN:
            return max(now, self._open_until)
        if self._state is State.HALF_OPEN and self._probes >= self._probes_allowed + urgent:
            return None
        return now

    def enter(self, now: float, *, urgent: bool = False) -> int:
        """Let one call pass; the ticket says under which epoch. Only when `ready_at` is `now`."""
        if self._state is _CLOSED:
            return self._epoch
        if self._state is State.OPEN:
            assert now >= self._open_until, "an open breaker lets nothing pass"
            self._state = State.HALF_OPEN
            self._epoch += 1
            self._probes, self._probes_allowed, self._good_probes = 0, 1, 0
        if self._state is State.HALF_OPEN:
            assert self._probes < self._probes_allowed + urgent, "more probes than allowed"
            self._probes += 1
        return self._epoch

    def leave(self, ticket: int, now: float, blame: Blame | None, *, slow: bool = False) -> None:
        """One call is over; `blame` None: without an outcome; `slow`: answered, but beyond all use. Calls of an earlier
        epoch say nothing about this one."""
        if ticket != self._epoch:
            return
        if self._state is _CLOSED:
            if blame is _SUCCESS and not slow and self._outage_since is None:
                self._bucket(now)[1] += 1
                self._failures_in_a_row = 0
            elif blame is not None and blame is not _NEUTRAL:
                self._leave_closed(now, failed=blame is not _SUCCESS, slow=slow)
        elif self._state is State.HALF_OPEN:
            self._probes -= 1
            self._leave_half_open(now, blame)

    def _leave_half_open(self, now: float, blame: Blame | None) -> None:
        if blame is Blame.FAILURE:
            self._open(now)
        elif blame is Blame.SUCCESS:
            self._good_probes += 1
            self._probes_allowed += max(1, self._probes_allowed // 2)
            if self._good_probes >= self._settings.probes_to_close:
                self._close(now)

    def _leave_closed(self, now: float, *, failed: bool, slow: bool) -> None:
        settings = self._settings
        if self._outage_since is not None and now - self._closed_at >= settings.calm_seconds:
            self._outage_since = None
        bucket = self._bucket(now)
        bucket[1] += 1
        bucket[2] += failed
        bucket[3] += slow
        if slow:
            calls, slows = (sum(bucket[i] for bucket in self._buckets) for i in (1, 3))
            if calls >= settings.min_calls and slows >= calls * settings.slow_ratio:
                self._open(now)
                return
        if not failed:
            self._failures_in_a_row = 0
            return
        if self._failures_in_a_row == 0:
            self._failing_since = now
        self._failures_in_a_row += 1
        silent = (
            self._failures_in_a_row >= settings.silent_failures and now - self._failing_since >= settings.silent_seconds
        )
        calls, failures = (sum(bucket[i] for bucket in self._buckets) for i in (1, 2))
        if silent or (calls >= settings.min_calls and failures >= calls * settings.failure_ratio):
            self._open(now)

    def _bucket(self, now: float) -> list[int]:
        """The part of the window that is being counted: slot, calls, failures, slow answers."""
        slot = now * _BUCKETS // self._settings.window_seconds
        buckets = self._buckets
        if buckets and buckets[-1][0] == slot:
            return buckets[-1]
        buckets.append([int(slot), 0, 0, 0])
        while buckets[0][0] <= slot - _BUCKETS:
            buckets.popleft()
        return buckets[-1]

    def _open(self, now: float) -> None:
        settings = self._settings
        if self._outage_since is None:
            self._outage_since = now
        pause = max(settings.open_seconds, settings.outage_part * (now - self._outage_since))
        pause = min(pause, settings.open_cap_seconds)
        pause *= 1.0 + settings.spread * (2.0 * spread(self._name, self._opened) - 1.0)
        self._opened += 1
        self._state, self._open_until = State.OPEN, now + pause
        self.closed = False
        self._epoch += 1

    def _close(self, now: float) -> None:
        self._state, self._closed_at = State.CLOSED, now
        self.closed = True
        self._epoch += 1
        self._buckets.clear()
        self._failures_in_a_row = 0


class Latch:
    """Set by a fact, released by a person: a refused key, a proven lie. The first reason stays."""

    __slots__ = ("reason", "since")

    def __init__(self) -> None:
        self.reason = ""
        self.since = 0.0

    @property
    def state(self) -> State:
        """Open while latched."""
        return State.OPEN if self.reason else State.CLOSED

    def set(self, now: float, reason: str) -> None:
        """Latch, for `reason` (never empty)."""
        if not self.reason:
            self.reason, self.since = reason or "unnamed", now

    def release(self) -> None:
        """A person has looked."""
        self.reason = ""
