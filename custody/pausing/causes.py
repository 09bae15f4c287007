"""Is there a reason to pause? Judged from looks over time, separately for deposits and for withdrawals.

Deposits depend on finality that a quorum states and a cursor that keeps up; withdrawals on fresh heads, ways to send,
and being able to follow what was sent. Both depend on a chain that can be read at all.
"""

from __future__ import annotations

from collections import deque

from custody.pausing.facts import Finding, Look, Trouble, agreed_finality, complaints, standing
from custody.pausing.settings import PauseSettings

_REMEMBERED_SECONDS = 0.999
"""Samples closer together than this tell nothing new about a rate over a minute."""


_LEARNING = 0.01
"""How far each look takes what is required towards what is asked now: most of the way in two minutes."""


class _Lasting:
    """Since when something has been so."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since: float | None = None

    def seconds(self, now: float, so: bool) -> float:
        """For how long it has been so; 0 when it isn't."""
        if not so:
            self._since = None
            return 0.0
        self._since = now if self._since is None else self._since
        return now - self._since


class _Mark:
    """A height that should grow, and when it last did."""

    __slots__ = ("_at", "_height")

    def __init__(self) -> None:
        self._height: int | None = None
        self._at = 0.0

    def still(self, now: float, height: int | None) -> float:
        """Seconds since it was seen growing; 0 before anything is known."""
        if height is not None:
            if self._height is None or height > self._height:
                self._at = now
            self._height = height  # it may fall: who boasted is kept out by now
        return 0.0 if self._height is None else now - self._at


class _Sample:
    """Counts at one moment."""

    __slots__ = ("answered", "at", "cursor", "demand", "offered")

    def __init__(self, at: float, look: Look) -> None:
        self.at, self.cursor, self.demand = at, look.cursor, look.demand
        self.offered, self.answered = look.offered, look.answered


class Causes:
    """One chain's memory of its looks."""

    __slots__ = (
        "_behind",
        "_finality",
        "_head",
        "_required",
        "_samples",
        "_settings",
        "_strikes",
        "_tight",
        "_unserved",
        "behind",
        "eta",
    )

    def __init__(self, settings: PauseSettings) -> None:
        self._settings = settings
        self._finality, self._head = _Mark(), _Mark()
        self._tight, self._unserved = _Lasting(), _Lasting()
        self._behind: deque[tuple[float, int]] = deque()
        self._samples: deque[_Sample] = deque()
        self._required = 0.0
        self._strikes = 0
        self.behind = 0
        """Positions from the cursor to what is agreed to be final."""
        self.eta = 0.0
        """Seconds until the cursor gets there, at its pace of late; infinite when it doesn't move."""

    @property
    def required(self) -> float:
        """Requests a second that following this chain takes, learned while all was well."""
        return self._required

    def judge(self, now: float, look: Look) -> tuple[Finding, Finding]:
        """What this look, after those before it, says of deposits and of withdrawals."""
        self._remember(now, look)
        self._reckon(now, look)
        unread = self._unread(look)
        warning = complaints(look, self._settings.lag_positions)
        deposits = self._lie(look) or self._few(look) or unread or self._slow(now, look)
        withdrawals = self._no_way(look) or unread or self._stale(now, look)
        self._learn(now, look, calm=deposits is None and withdrawals is None)
        return (Finding(trouble=deposits, warning=warning), Finding(trouble=withdrawals, warning=warning))

    def _remember(self, now: float, look: Look) -> None:
        if not self._samples or now - self._samples[-1].at >= _REMEMBERED_SECONDS:
            self._samples.append(_Sample(now, look))
        while now - self._samples[0].at > self._settings.goodput_seconds:
            self._samples.popleft()
            if not self._samples:
                self._samples.append(_Sample(now, look))

    def _reckon(self, now: float, look: Look) -> None:
        """How far the cursor is behind, and when it will be there."""
        mark = agreed_finality(look, self._settings.lag_positions)
        if mark is None:
            return
        self.behind = max(0, mark - look.cursor)
        if not self._behind or now - self._behind[-1][0] >= _REMEMBERED_SECONDS:
            self._behind.append((now, self.behind))
        if not self.behind:
            self.eta = 0.0
            return
        first, last = self._samples[0], self._samples[-1]
        moved = look.cursor - first.cursor
        seconds = last.at - first.at
        if moved > 0 and seconds > 0.0:
            self.eta = self.behind * seconds / moved
        elif seconds >= self._settings.goodput_seconds / 2.0:
            self.eta = float("inf")

    def _learn(self, now: float, look: Look, *, calm: bool) -> None:
        """What the chain requires: upwards only while nothing is wrong and nothing is to be caught up with, downwards
        always, or a peak that is over would hold the chain for ever."""
        first = self._samples[0]
        seconds = now - first.at
        if seconds < self._settings.goodput_seconds / 2.0:
            return
        rate = (look.demand - first.demand) / seconds
        usual = calm and self.eta < self._settings.goodput_seconds
        if usual and not self._required:
            self._required = rate
        elif usual or rate < self._required:
            self._required += (rate - self._required) * _LEARNING

    def _lie(self, look: Look) -> Trouble | None:
        """A proven lie pauses once: its author is kept out, and the others are looked at before going on."""
        new, self._strikes = look.strikes > self._strikes, look.strikes
        if not new:
            return None
        return Trouble(cause="provider", reason=f"a provider's answer was proven false ({look.strike})", lasted=True)

    def _unread(self, look: Look) -> Trouble | None:
        if look.failing < self._settings.sick_seconds:
            return None
        return Trouble(cause="provider", reason=f"the chain can't be read ({look.trouble})")

    def _few(self, look: Look) -> Trouble | None:
        able = len(standing(look, self._settings.lag_positions))
        if able >= look.quorum:
            return None
        told = complaints(look, self._settings.lag_positions)
        return Trouble(
            cause="provider", reason=f"no trustworthy provider ({told})" if not able else
            f"{able} of the {look.quorum} sources that must agree ({told})"
        )  # fmt: skip

    def _slow(self, now: float, look: Look) -> Trouble | None:
        settings = self._settings
        still = self._finality.still(now, agreed_finality(look, settings.lag_positions))
        if still >= 2.0 * settings.finality_seconds:
            return Trouble(cause="finality", reason=f"nothing has become final for {still:.0f} s", lasted=True)
        if self.eta > settings.eta_seconds and self._losing(now):
            reason = f"the cursor is {self.behind} behind finality and losing"
            return Trouble(cause="provider", reason=reason, lasted=True)
        required = settings.capacity_factor * self._required
        if self._tight.seconds(now, look.capacity < required) >= settings.capacity_seconds:
            reason = f"providers bear {look.capacity:.1f} requests a second where {required:.1f} are needed"
            return Trouble(cause="provider", reason=reason, lasted=True)
        return self._unanswered(now, look)

    def _losing(self, now: float) -> bool:
        """Whether it was nearer a while ago than it ever was of late: a range that lands takes it nearer for a moment,
        so the best of one stretch is held against the best of the one before."""
        stretch = self._settings.eta_growing_seconds
        while self._behind and now - self._behind[0][0] > 2.0 * stretch:
            self._behind.popleft()
        before = [behind for at, behind in self._behind if now - at > stretch]
        lately = [behind for at, behind in self._behind if now - at <= stretch]
        return bool(before and lately) and min(lately) > min(before)

    def _unanswered(self, now: float, look: Look) -> Trouble | None:
        settings = self._settings
        offered = look.offered - self._samples[0].offered
        answered = look.answered - self._samples[0].answered
        bad = offered >= settings.goodput_least and answered < settings.goodput_ratio * offered
        if self._unserved.seconds(now, bad) < settings.goodput_seconds:
            return None
        reason = f"{answered} of {offered} reads at the head were answered in {settings.goodput_seconds:.0f} s"
        return Trouble(cause="provider", reason=reason, lasted=True)

    def _no_way(self, look: Look) -> Trouble | None:
        paths = [one for one in look.sources if one.usable and one.sends]
        if len(paths) >= self._settings.broadcast_paths:
            return None
        told = "; ".join(
            f"{one.name}: {one.why or 'takes no transactions'}" for one in look.sources if one not in paths
        )
        return Trouble(
            cause="provider", reason=f"{len(paths)} of {self._settings.broadcast_paths} ways to send ({told})"
        )

    def _stale(self, now: float, look: Look) -> Trouble | None:
        settings = self._settings
        heads = sorted((one.latest for one in look.sources if one.usable and one.latest is not None), reverse=True)
        still = self._head.still(now, heads[min(look.quorum, len(heads)) - 1] if heads else None)
        if still >= settings.head_seconds:
            reason = f"no new block for {still:.0f} s, so fees and nonces are stale"
            return Trouble(cause="finality", reason=reason, lasted=True)
        if settings.blockhash_positions and self.behind > settings.blockhash_positions:
            return Trouble(cause="provider", reason=f"our newest blockhash is {self.behind} positions behind finality")
        unfollowed = min(look.attempt_age, look.looked_ago)
        if unfollowed >= 2.0 * settings.finality_seconds:
            reason = f"a transaction of ours could not be followed for {unfollowed:.0f} s"
            return Trouble(cause="provider", reason=reason, lasted=True)
        return None
