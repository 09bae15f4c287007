"""When the lowest classes are sent away so that they don't wait for what they won't get.

Pure: `now` is monotonic seconds. The sign is not a long queue but a stubborn one: somebody more urgent has been waiting
too long, and that for a while. Then backfill goes, and if that doesn't help, quorum re-reads. As the more urgent are
served first anyway, nothing is lost by it but false hope; and the moment they are served in time, all are let in again.
"""

from __future__ import annotations

from chains.pool.calls import Priority
from chains.pool.settings import PoolSettings

_SHEDDABLE = (Priority.BACKFILL, Priority.QUORUM)


class Shedding:
    """One queue's patience with its lower classes."""

    __slots__ = ("_late_since", "_settings")

    def __init__(self, settings: PoolSettings) -> None:
        self._settings = settings
        self._late_since: dict[Priority, float] = {}

    def calm(self) -> None:
        """Nobody waits at all."""
        if self._late_since:
            self._late_since.clear()

    def judge(self, now: float, oldest: dict[Priority, float]) -> tuple[Priority, ...]:
        """The classes to send away now. `oldest` is since when the first of each class that waits has waited."""
        settings = self._settings
        sent_away: list[Priority] = []
        for steps, priority in enumerate(_SHEDDABLE, start=1):
            late = any(now - since > settings.shed_delay_seconds for other, since in oldest.items() if other < priority)
            if not late:
                self._late_since.pop(priority, None)
                continue
            if now - self._late_since.setdefault(priority, now) >= steps * settings.shed_after_seconds:
                sent_away.append(priority)
        return tuple(sent_away)
