"""How much an account has served of late: what a penalty is measured against.

Pure: `now` is monotonic seconds. Counted by when a request was sent, because that is when its provider counts it.
"""

from __future__ import annotations

from collections import deque

_PART = 0.2
"""Seconds that are counted together: a fiftieth of the shortest stretch that anybody asks about."""


class Served:
    """Good answers by the time of their requests, for the last `seconds`."""

    __slots__ = ("_most", "_parts")

    def __init__(self, seconds: float) -> None:
        self._most = int(seconds / _PART) + 1
        self._parts: deque[list[int]] = deque()

    def count(self, sent_at: float) -> None:
        """One more, sent at that time. Answers come out of order; one that is late is counted with the latest."""
        part = int(sent_at / _PART)
        parts = self._parts
        if parts and part <= parts[-1][0]:
            parts[-1][1] += 1
            return
        parts.append([part, 1])
        while parts[0][0] <= part - self._most:
            parts.popleft()

    def within(self, since: float, until: float) -> int:
        """How many were sent after `since` and not after `until`, to the part."""
        first, last = int(since / _PART), int(until / _PART)
        return sum(count for part, count in self._parts if first < part <= last)
