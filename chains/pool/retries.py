"""How often one may ask again: a budget that grows with success, so that trouble is never answered with more load.

Pure: `now` is monotonic seconds. Only trouble costs (a throttle, a time-out, a sick node). Asking a second provider
because the first one *answered* "not yet" or "not here" is a new question, and free.
"""

from __future__ import annotations

from chains.pool.settings import PoolSettings
from chains.pool.spread import spread

_SAVED = 5.0
"""Second questions that may be saved up."""


class RetryBudget:
    """A tenth of a retry for each success, a trickle for quiet chains, and a bounded stock of both."""

    __slots__ = ("_backoffs", "_balance", "_name", "_settings", "_updated")

    def __init__(self, name: str, settings: PoolSettings, now: float) -> None:
        self._name, self._settings = name, settings
        self._balance = settings.retry_burst
        self._updated = now
        self._backoffs = 0

    def earn(self) -> None:
        """One call succeeded."""
        settings = self._settings
        if self._balance < settings.retry_burst:
            self._balance = min(self._balance + settings.retry_fraction, settings.retry_burst)

    def spend(self, now: float) -> bool:
        """Whether one more retry is affordable; if so, it is paid."""
        trickle = (now - self._updated) * self._settings.retry_floor_per_second
        self._balance = min(self._balance + trickle, self._settings.retry_burst)
        self._updated = now
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True

    def backoff(self, attempt: int) -> float:
        """Seconds before the same provider is asked again after its `attempt`-th trouble (from 1): full jitter."""
        self._backoffs += 1
        settings = self._settings
        ceiling = min(settings.backoff_floor_seconds * 2.0 ** min(attempt, 16), settings.backoff_cap_seconds)
        return ceiling * spread(self._name, self._backoffs)


class HedgeBudget:
    """A small part of the reads that could be asked twice; a few may be saved up."""

    __slots__ = ("_balance", "_fraction")

    def __init__(self, settings: PoolSettings) -> None:
        self._fraction = settings.hedge_fraction
        self._balance = 0.0

    def earn(self) -> None:
        """One such read was sent."""
        if self._balance < _SAVED:
            self._balance += self._fraction

    def spend(self) -> bool:
        """Whether one more may be asked twice; if so, it is paid."""
        if self._balance < 1.0:
            return False
        self._balance -= 1.0
        return True
