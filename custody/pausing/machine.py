"""The life of a pause, for one chain and one direction: one table of states, and the one hold that goes with them.

RUNNING → DEGRADED → DRAINING → PAUSED → PROBING → CATCHING_UP → RUNNING. The hold stands from DRAINING to the end of
PROBING. What the machine wants of the ledger and what stands there are compared at each step, so an act that was lost
is asked for again, and a hold that a person lifted is not set again for the old reason.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec

from custody.pausing.facts import Finding, Trouble
from custody.pausing.settings import PauseSettings


class PauseState(IntEnum):
    """The values are those of the metric `custody_pause_state`."""

    RUNNING = 0
    DEGRADED = 1  # something is wrong, and nothing is held for it
    DRAINING = 2  # held; what was under way is coming to its end
    PAUSED = 3
    PROBING = 4  # held; canaries must come back in clean windows
    CATCHING_UP = 5  # let go, at a pace


_HOLDING = (PauseState.DRAINING, PauseState.PAUSED, PauseState.PROBING)


class Act(IntEnum):
    """What to say to the ledger."""

    NOTHING = 0
    HOLD = 1
    LIFT = 2


class Circumstances(msgspec.Struct, frozen=True, kw_only=True):
    """What else a step looks at. `held_since`: when our hold was set, by the steps' own clock; None when none stands.
    `drained`: nothing that began before the hold is under way. `agreed`: a quorum holds the cursor's block. `free`: no
    other chain on the same account is just resuming. `caught_up`: nothing is left to catch up with. `surveys`,
    `canaries`: as in `Look`."""

    held_since: float | None
    drained: bool
    agreed: bool
    free: bool
    caught_up: bool
    surveys: int
    canaries: int


class Machine:
    """See the module. `state`, `since`, `cause` and `reason` are for people."""

    __slots__ = (
        "_bad_since",
        "_by_hand",
        "_canaries",
        "_clean",
        "_confirmed",
        "_flaps",
        "_resumed_at",
        "_settings",
        "_surveys",
        "_troubled",
        "_window_at",
        "cause",
        "paused_at",
        "reason",
        "since",
        "state",
    )

    def __init__(self, settings: PauseSettings, now: float) -> None:
        self._settings = settings
        self.state = PauseState.RUNNING
        self.since = self.paused_at = now
        self.cause = self.reason = ""
        self._confirmed = True
        self._bad_since: float | None = None
        self._troubled = self._by_hand = False
        self._flaps = 0
        self._resumed_at: float | None = None
        self._window_at = now
        self._clean = self._surveys = self._canaries = 0

    @property
    def holding(self) -> bool:
        """Whether the hold should stand."""
        return self.state in _HOLDING

    def least_pause(self) -> float:
        """Seconds that this pause lasts at least: doubled with each flap."""
        settings = self._settings
        return min(settings.hold_seconds * 2.0 ** min(self._flaps, 16), settings.hold_cap_seconds)

    def ramp(self, now: float) -> float:
        """The part of what may usually be in flight that may be now."""
        if self.holding:
            return 0.0
        if self.state is not PauseState.CATCHING_UP:
            return 1.0
        settings = self._settings
        steps = 1 + int((now - self.since) / settings.ramp_seconds)
        return min(1.0, settings.ramp_step * steps)

    def estimate(self, now: float) -> float | None:
        """Seconds until this may resume, if nothing more goes wrong; None while the trouble lasts; 0 when it runs."""
        settings = self._settings
        probing = settings.windows * settings.window_seconds
        if not self.holding:
            return 0.0
        if self._troubled:
            return None
        if self.state is PauseState.PROBING:
            if self._clean >= settings.windows:
                return None
            return max(0.0, probing - self._clean * settings.window_seconds - (now - self._window_at))
        return max(0.0, self.paused_at + self.least_pause() - now) + probing

    def step(self, now: float, finding: Finding, seen: Circumstances) -> Act:
        """One look. At most one transition, and what the ledger should be told."""
        trouble = finding.trouble
        self._troubled = trouble is not None
        held = seen.held_since is not None
        if held == self.holding:
            self._confirmed = True
        elif not self._confirmed and self.holding:
            return Act.HOLD
        elif not self._confirmed and trouble is None and seen.agreed and seen.free:
            return Act.LIFT
        elif self.holding:
            self._lifted_by_hand(now)
            return Act.NOTHING
        elif seen.held_since is not None:
            # It was set in an earlier life, or it could not be lifted before there was trouble again.
            self._enter(PauseState.PAUSED, now)
            self.paused_at = min(seen.held_since, now)
            self._confirmed = True
            return Act.NOTHING
        match self.state:
            case PauseState.RUNNING | PauseState.DEGRADED | PauseState.CATCHING_UP:
                return self._going(now, finding, seen)
            case PauseState.DRAINING:
                if seen.drained or now - self.since >= self._settings.drain_seconds:
                    self._enter(PauseState.PAUSED, now)
            case PauseState.PAUSED:
                if trouble is None and now - self.paused_at >= self.least_pause():
                    self._enter(PauseState.PROBING, now)
                    self._begin_window(now, seen, clean=0)
            case PauseState.PROBING:
                return self._probing(now, trouble, seen)
        return Act.NOTHING

    def _going(self, now: float, finding: Finding, seen: Circumstances) -> Act:
        trouble = finding.trouble
        if trouble is not None:
            self._bad_since = now if self._bad_since is None else self._bad_since
            lasted = trouble.lasted and not self._by_hand
            if lasted or now - self._bad_since >= self._settings.grace_seconds:
                return self._stop(now, trouble)
        else:
            self._bad_since = None
            self._by_hand = False
        if self.state is PauseState.CATCHING_UP:
            if seen.caught_up and trouble is None:
                self._enter(PauseState.RUNNING, now)
            return Act.NOTHING
        warning = trouble.reason if trouble is not None else finding.warning
        wanted = PauseState.DEGRADED if warning else PauseState.RUNNING
        if wanted is not self.state:
            self._enter(wanted, now)
        self.cause, self.reason = "", warning
        return Act.NOTHING

    def _lifted_by_hand(self, now: float) -> None:
        """A person knows better: what was measured before they spoke doesn't count, and it is no flap if it must be
        held again."""
        self._resume(now)
        self._bad_since = self._resumed_at = None
        self._by_hand = True

    def _stop(self, now: float, trouble: Trouble) -> Act:
        flap = self._resumed_at is not None and now - self._resumed_at < self._settings.flap_seconds
        self._flaps = self._flaps + 1 if flap else 0
        self._enter(PauseState.DRAINING, now)
        self.paused_at = now
        self.cause, self.reason = trouble.cause, trouble.reason
        self._bad_since = None
        self._by_hand = self._confirmed = False
        return Act.HOLD

    def _probing(self, now: float, trouble: Trouble | None, seen: Circumstances) -> Act:
        settings = self._settings
        if trouble is not None:
            self._enter(PauseState.PAUSED, now)
            self.cause, self.reason = trouble.cause, trouble.reason
            return Act.NOTHING
        if now - self._window_at >= settings.window_seconds:
            surveys, canaries = seen.surveys - self._surveys, seen.canaries - self._canaries
            clean = surveys > 0 and canaries >= settings.canary_ratio * surveys
            self._begin_window(now, seen, clean=self._clean + 1 if clean else 0)
        if self._clean < settings.windows:
            return Act.NOTHING
        if not (seen.agreed and seen.free):
            self.reason = "probed, and waits for " + (
                "another chain on its account" if seen.agreed else "a quorum that holds the block we built on"
            )
            return Act.NOTHING
        self._resume(now)
        self._confirmed = False
        return Act.LIFT

    def _begin_window(self, now: float, seen: Circumstances, *, clean: int) -> None:
        self._window_at, self._clean = now, clean
        self._surveys, self._canaries = seen.surveys, seen.canaries

    def _resume(self, now: float) -> None:
        self._enter(PauseState.CATCHING_UP, now)
        self._resumed_at = now

    def _enter(self, state: PauseState, now: float) -> None:
        self.state, self.since = state, now
