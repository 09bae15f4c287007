"""How fast an account may be asked: tokens with reservations, a freeze when it says stop, CUBIC on the way back.

Pure: `now` is monotonic seconds, one token is one request. The account is what providers meter by, so one limiter is
shared by all endpoints, and all chains, that use it. Broadcasts and head reads each fill a bucket of their own first
and spill over into the common one; so a token is waiting for them however hard the rest is pushing, and nothing is
wasted while they are quiet.
"""

from __future__ import annotations

from chains.pool.calls import Priority
from chains.pool.settings import LimiterSettings
from chains.pool.spread import spread

_FULL = 1.0 - 1e-9
"""A token that waiting has refilled, as floating point adds it up."""


class Limiter:
    """Starts at 0.85 of the contract's rate; cut at most once per epoch; never above the contract.

    The buckets hold together the difference between the contract's rate and ours, but a token each at least, so that
    a burst on top of the steady rate still stays within one second's contract wherever the plan is above a few
    requests a second.
    """

    __slots__ = (
        "_backfill",
        "_common",
        "_cut_at",
        "_cuts",
        "_frozen_until",
        "_head",
        "_in_a_row",
        "_peak",
        "_settings",
        "_updated",
        "_urgent",
        "contract",
        "name",
    )

    def __init__(self, name: str, requests_per_second: float, settings: LimiterSettings, now: float) -> None:
        self.name, self.contract, self._settings = name, requests_per_second, settings
        self._peak = requests_per_second * settings.start_fraction
        self._cut_at: float | None = None
        self._cuts = 0
        self._in_a_row = 0
        self._frozen_until = now
        self._updated = now
        self._urgent, self._head, self._common, self._backfill = 1.0, 1.0, 1.0, 1.0
        self._refill(now, burst=True)

    def rate(self, now: float) -> float:
        """What we believe the account bears, in requests a second: after a cut, W(t) of RFC 9438 section 4.2."""
        settings = self._settings
        if self._cut_at is None:
            return self._peak
        elapsed = now - self._frozen_until
        if elapsed <= 0.0:
            return max(self._peak * settings.beta, settings.floor_per_second)
        inflection: float = (self._peak * (1.0 - settings.beta) / settings.cubic_c) ** (1.0 / 3.0)
        grown = settings.cubic_c * (elapsed - inflection) ** 3 + self._peak
        return min(max(grown, settings.floor_per_second), self.contract)

    def frozen_until(self) -> float:
        """The account is not asked before this time."""
        return self._frozen_until

    def tokens(self, now: float) -> float:
        """What is in the common bucket, for the metric."""
        self._refill(now)
        return self._common

    def ready_at(self, now: float, priority: Priority) -> float:
        """The earliest time a request of this class may go: `now`, or later."""
        if now < self._frozen_until:
            return self._frozen_until
        self._refill(now)
        own, share = self._own(priority)
        missing = _FULL - own - self._common
        rate = self.rate(now)
        settings = self._settings
        common_share = 1.0 - settings.urgent_share - settings.head_share
        wait = missing / (rate * (share + common_share)) if missing > 0.0 else 0.0
        if priority is Priority.BACKFILL and self._backfill < _FULL:
            wait = max(wait, (1.0 - self._backfill) / (rate * settings.backfill_share))
        return now if wait <= 0.0 else now + wait

    def take(self, now: float, priority: Priority) -> None:
        """Spend one token. Only when `ready_at` is `now`."""
        self._refill(now)
        own, _ = self._own(priority)
        from_own = min(own, 1.0)
        if priority is Priority.BROADCAST:
            self._urgent -= from_own
        elif priority is Priority.HEAD:
            self._head -= from_own
        elif priority is Priority.BACKFILL:
            self._backfill -= 1.0
        self._common -= 1.0 - from_own
        assert self._common > -1e-6, "a token was spent that nobody had"

    def give_back(self, priority: Priority) -> None:
        """A request that was granted and never sent."""
        self._common += 1.0
        if priority is Priority.BACKFILL:
            self._backfill += 1.0

    def succeeded(self, sent_at: float) -> None:
        """The account answered a request sent at `sent_at`: if that was after the last cut, the row has ended."""
        if self._cut_at is None or sent_at > self._cut_at:
            self._in_a_row = 0

    def throttled(self, now: float, sent_at: float, pause: float) -> None:
        """The account said stop, to a request sent at `sent_at`, asking for `pause` seconds (0: it doesn't say).

        One cut per epoch: requests that were on their way before the last cut tell nothing new about the rate, though
        a longer pause they ask for is honoured."""
        settings = self._settings
        self._refill(now)
        asked = min(pause, settings.freeze_cap_seconds)
        if self._cut_at is not None and sent_at <= self._cut_at:
            if asked > 0.0:
                self._frozen_until = max(self._frozen_until, now + asked)
            return
        self._peak = max(self.rate(now), settings.floor_per_second)
        own = settings.freeze_floor_seconds * 2.0 ** min(self._in_a_row, 16)
        own = min(own, max(settings.freeze_doubling_cap_seconds, settings.freeze_floor_seconds))
        freeze = max(asked, own) * (1.0 + settings.freeze_spread * spread(self.name, self._cuts))
        self._frozen_until = max(self._frozen_until, now + freeze)
        self._cut_at = now
        self._cuts += 1
        self._in_a_row += 1
        self._urgent, self._head, self._common, self._backfill = 0.0, 0.0, 0.0, 0.0
        self._updated = self._frozen_until

    def _own(self, priority: Priority) -> tuple[float, float]:
        if priority is Priority.BROADCAST:
            return self._urgent, self._settings.urgent_share
        if priority is Priority.HEAD:
            return self._head, self._settings.head_share
        return 0.0, 0.0

    def _refill(self, now: float, *, burst: bool = False) -> None:
        elapsed = now - self._updated
        if elapsed <= 0.0 and not burst:
            return
        settings = self._settings
        rate = self.rate(now)
        room = self.contract * (1.0 - settings.start_fraction)
        fresh = room if burst else rate * elapsed
        common_share = 1.0 - settings.urgent_share - settings.head_share
        urgent = self._urgent + fresh * settings.urgent_share
        head = self._head + fresh * settings.head_share
        self._urgent = min(urgent, max(1.0, room * settings.urgent_share))
        self._head = min(head, max(1.0, room * settings.head_share))
        spilled = (urgent - self._urgent) + (head - self._head)
        common = self._common + fresh * common_share + spilled
        self._common = min(common, max(1.0, room * common_share))
        self._backfill = min(self._backfill + fresh * settings.backfill_share, max(1.0, room * settings.backfill_share))
        self._updated = max(now, self._updated)


class Accounts:
    """The limiters by account. Pools of several chains share one, when their providers' plans are shared."""

    __slots__ = ("_limiters", "_settings")

    def __init__(self, settings: LimiterSettings | None = None) -> None:
        self._settings = settings or LimiterSettings()
        self._limiters: dict[str, Limiter] = {}

    def limiter(self, account: str, requests_per_second: float, now: float) -> Limiter:
        """The account's one limiter. Raises `ValueError` when two endpoints state different rates for an account."""
        known = self._limiters.get(account)
        if known is None:
            known = self._limiters[account] = Limiter(account, requests_per_second, self._settings, now)
        elif known.contract != requests_per_second:
            raise ValueError(
                f"account {account!r}: {known.contract:g} and {requests_per_second:g} requests per second; one of them"
            )
        return known
