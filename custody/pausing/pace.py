"""How fast to catch up after a pause, and in which order chains on one account may begin to.

What comes back after an outage is weak, and everybody who waited wants it at once. So the cursor takes only a part of
what live demand leaves, growing while that goes well, and chains that share an account don't begin together.
"""

from __future__ import annotations

from collections.abc import Iterable

from custody.pausing.machine import PauseState
from custody.pausing.settings import PauseSettings

UNPACED = float("inf")
"""Requests a second of a cursor that nothing but the pool's limits slows down."""

_LEAST = 0.5
"""Requests a second that a cursor always has: nothing may stand still for ever because a rate was learned too low."""


def allowance(
    settings: PauseSettings, state: PauseState, since: float, now: float, capacity: float, live: float
) -> float:
    """Requests a second that the cursor may take. `capacity`: what the usable providers bear; `live`: what following
    the head takes of it; `since`: when the state began.

    In a pause the pool's own limits are all there is: the cursor that catches up may be what ends it.
    """
    if state not in (PauseState.PROBING, PauseState.CATCHING_UP):
        return UNPACED
    steps = int((now - since) / settings.backfill_seconds) if state is PauseState.CATCHING_UP else 0
    share = settings.backfill_share * (1.0 + settings.backfill_growth) ** min(steps, 1000)
    return max(_LEAST, min(1.0, share) * max(0.0, capacity - live))


class Stagger:
    """Which chain resumed when, by the accounts they share; one for the whole daemon."""

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, tuple[float, str]] = {}

    def free(self, chain: str, accounts: Iterable[str], now: float, seconds: float) -> bool:
        """Whether no other chain on these accounts has resumed within so many seconds."""
        found = [self._last[account] for account in accounts if account in self._last]
        return all(other == chain or now - at >= seconds for at, other in found)

    def resumed(self, chain: str, accounts: Iterable[str], now: float) -> None:
        """Remember that this one just did."""
        for account in accounts:
            self._last[account] = (now, chain)
