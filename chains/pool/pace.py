"""How many requests a second an account bears: what its plan says, corrected by what it answers.

Pure: `now` is monotonic seconds. A throttle freezes the account, cuts the rate and sets a new peak; CUBIC leads back,
steeply to just below the peak, then, after a while, carefully beyond it. Five things are ours and not TCP's, because
here a loss costs seconds and not a packet:

- A rate counts as borne only when the provider had time to object. What is refused before that is not the mark but
  somewhere above it, so the peak is cut as well (the fast convergence of RFC 9438, section 4.7).
- A provider that is silent for long after a throttle counts in stretches as long, so what it served in such a stretch
  is what it bears: one refusal tells the mark, where a search for it would pay a penalty for every try.
- How long the plateau below the peak is kept is a bargain: what a further throttle costs (its freeze) against what
  there is to win (how far above we may still hope to get). Each throttle shrinks the hope.
- A throttle to which nothing was answered since the last one tells nothing about the rate: the account is shut. It
  lengthens the freeze and takes the last guess about the rate back, so that an outage does not unlearn what was known.
- The way beyond the plateau is only walked while somebody pushes, or an idle night would forget the peak.
"""

from __future__ import annotations

from chains.pool.served import Served
from chains.pool.settings import LimiterSettings
from chains.pool.spread import spread

_LONGEST_WINDOW = 30.0
"""Seconds of pushing after which a rate counts as borne, when nothing is known about the provider."""

_PUSHING_SECONDS = 1.0
"""Two pushes this far apart are one stretch of pushing."""


class Pace:
    """The learned rate and the freeze of one account. `name` only seeds the spread of freezes."""

    __slots__ = (
        "_ceiling",
        "_cut_at",
        "_cuts",
        "_exploring",
        "_freeze",
        "_guessed",
        "_hope",
        "_in_a_row",
        "_known_until",
        "_least_rung",
        "_name",
        "_peak",
        "_penalty",
        "_pushed_at",
        "_refused",
        "_refused_at",
        "_rung",
        "_served",
        "_settings",
        "_tried",
        "contract",
        "frozen_until",
    )

    def __init__(self, name: str, contract: float, settings: LimiterSettings, now: float) -> None:
        self._name, self.contract, self._settings = name, contract, settings
        self._peak = contract * settings.start_fraction
        self._hope = self._ceiling = contract * settings.ceiling_fraction
        self._refused, self._refused_at = contract, now
        self._cut_at: float | None = None
        self._guessed = False
        self._cuts = 0
        self._in_a_row = 0
        self._freeze = self._penalty = 0.0
        self._rung = self._tried = self._least_rung = 0
        self._known_until = now
        self._exploring = 0.0
        self._pushed_at = now
        self._served = Served(settings.freeze_rungs[-1])
        self.frozen_until = now

    def rate(self, now: float) -> float:
        """What we believe the account bears, in requests a second."""
        settings = self._settings
        if self._cut_at is None:
            rate = self._peak + settings.cubic_c * self._exploring**3
        else:
            elapsed = now - self.frozen_until
            # RFC 9438, section 4.2, up to the inflection; there we rest.
            inflection = self._inflection()
            if elapsed <= 0.0:
                rate = self._peak * settings.beta
            elif elapsed < inflection:
                rate = self._plateau() + settings.cubic_c * (elapsed - inflection) ** 3
            else:
                rate = self._plateau() + self._beyond(self._exploring - inflection - self.patience())
        return max(min(rate, self._ceiling), settings.floor_per_second)

    def _inflection(self) -> float:
        """Seconds from the thaw to the plateau."""
        settings = self._settings
        missing = max(self._plateau() - self._peak * settings.beta, 0.0)
        root: float = (missing / settings.cubic_c) ** (1.0 / 3.0)
        return root

    def _beyond(self, seconds: float) -> float:
        """How far above the plateau we are after pushing beyond it for so long: with each step a part of what is left
        up to the rate that was last refused, slow enough that the provider's word comes before we are far past the
        mark; where that rate is borne now, the mark has moved, and a curve leads away. A step is as long as a word may
        take."""
        if seconds <= 0.0:
            return 0.0
        steps = seconds / self._word()
        settings = self._settings
        gap = max(self._refused - self._plateau(), 0.0)
        nearer: float = gap * (1.0 - (1.0 - settings.careful_part) ** steps)
        at_least = self._plateau() * settings.careful_growth * steps
        return max(nearer, at_least) + settings.cubic_c * max(0.0, steps - settings.careful_steps) ** 3

    def _word(self) -> float:
        """Seconds within which a provider that minds our rate says so."""
        return max(2.0, 1.5 * self._freeze)

    @property
    def was_refused(self) -> bool:
        """Whether the account has ever said stop."""
        return self._cut_at is not None

    def patience(self) -> float:
        """Seconds of pushing at the plateau before more is tried: the cost of a throttle, over and over, must stay
        small beside what might be won. None where the plateau is only a guess, too low as likely as not."""
        settings = self._settings
        if self._guessed:
            return 0.0
        plateau = self._plateau()
        margin = max(self._hope - plateau, plateau * settings.plateau_margin)
        bargain = settings.patience * self._freeze * plateau / max(margin, 1e-9)
        return min(bargain, settings.patience_cap_seconds)

    def pushed(self, now: float) -> None:
        """Somebody had to wait for a token: the limit is felt."""
        gap = now - self._pushed_at
        if 0.0 < gap <= _PUSHING_SECONDS and self._pushed_at >= self.frozen_until:
            self._exploring += gap
        self._pushed_at = now

    def succeeded(self, sent_at: float) -> None:
        """The account answered a request sent at `sent_at`: if that was after the last cut, the row has ended."""
        if self._in_a_row and self._cut_at is not None and sent_at > self._cut_at:
            self._end_row()
        self._served.count(sent_at)

    def _end_row(self) -> None:
        # A penalty that nobody told us of is found out rung by rung; next time begin where this one ended, or, because
        # it may have been an outage, below. Where that was tried and too short, it wasn't one.
        settings = self._settings
        ended = min(self._tried + self._in_a_row, len(settings.freeze_rungs)) - 1
        if self._in_a_row == 1:
            self._rung = max(self._tried - 1, self._least_rung)
        elif ended < settings.freeze_first_rungs:
            self._rung = ended
            if self._tried > 0:
                self._least_rung = ended
            self._measure()
        else:
            # Nobody's penalty is as long, so this was an outage, and says nothing of what the next throttle costs.
            self._rung = settings.freeze_first_rungs - 1
            self._penalty = self._freeze = settings.freeze_rungs[self._rung]
        self._known_until = self.frozen_until + settings.freeze_memory_seconds
        self._in_a_row = 0

    def throttled(self, now: float, sent_at: float, pause: float) -> bool:
        """The account said stop, to a request sent at `sent_at`, asking for `pause` seconds (0: it doesn't say).

        One cut per epoch: requests that were on their way before the last one tell nothing new about the rate, though
        a longer pause they ask for is honoured. Returns whether this began a new freeze."""
        settings = self._settings
        asked = min(pause, settings.freeze_cap_seconds)
        if self._cut_at is not None and sent_at <= self._cut_at:
            if asked > 0.0:
                self.frozen_until = max(self.frozen_until, now + asked)
            return False
        if self._in_a_row == 0:
            self._cut(now, sent_at)
        elif self._in_a_row == 1:
            self._peak = max(self._peak, self._refused)  # so it wasn't the rate, and the guess about it is taken back
        rung = min(self._tried + self._in_a_row, len(settings.freeze_rungs) - 1)
        self._penalty = max(asked, settings.freeze_rungs[rung])
        if self._in_a_row == 0:
            self._measure()
        self._freeze = self._penalty * (1.0 + settings.freeze_spread * spread(self._name, self._cuts))
        self.frozen_until = max(self.frozen_until, now + self._freeze)
        self._cut_at = now
        self._cuts += 1
        self._in_a_row += 1
        self._exploring = 0.0
        self._pushed_at = self.frozen_until
        return True

    def _cut(self, now: float, sent_at: float) -> None:
        """The first throttle of a row: what was borne is the new peak, or a part of what was refused."""
        settings = self._settings
        refused = self.rate(now)
        borne = self._borne(now)
        self._guessed = borne <= 0.0
        self._hope = refused + max(self._hope - refused, 0.0) * (0.5 if self._guessed else 0.25)
        self._refused, self._refused_at = refused, sent_at
        self._peak = max(borne if borne > 0.0 else refused * settings.beta, settings.floor_per_second)
        if now >= self._known_until:
            self._rung = self._least_rung = 0
        self._tried = self._rung

    def _measure(self) -> None:
        """Lower the peak to what was served in the last stretch as long as the penalty, if that is less. Not for short
        ones, where it says no more than the rate does; and not all the way where that would be very little: a pause
        may be asked for by somebody who counts in quite other stretches."""
        settings = self._settings
        if self._penalty < settings.counted_seconds:
            return
        served = self._served.within(self._refused_at - self._penalty, self._refused_at) / self._penalty
        if served >= self._peak:
            return
        least = self._refused * settings.beta * (settings.beta if self._guessed else 1.0)
        if served < least:
            self._peak = min(self._peak, max(least, settings.floor_per_second))
            return
        self._peak = served
        self._guessed = False
        self._hope = min(self._hope, served * settings.counted_hope)

    def _borne(self, now: float) -> float:
        """The rate that was kept long enough for the provider to object, and to which it did not; 0: none since the
        last cut."""
        word = self._word()
        if self._cut_at is None:
            # Nobody has told us yet how long this provider's windows and penalties are.
            return self.rate(now) if self._exploring >= _LONGEST_WINDOW else 0.0
        since = now - self.frozen_until - self._inflection()
        if since < word:
            return 0.0
        before = self._exploring - self._inflection() - self.patience() - word
        if before <= 0.0:
            # Borne for a while, and then not: it is jitter that needs more room, half a margin more.
            return self._peak * (1.0 - self._margin() / 2.0)
        return min(self._plateau() + self._beyond(before), self._ceiling)

    def _plateau(self) -> float:
        return self._peak * (1.0 - self._margin())

    def _margin(self) -> float:
        settings = self._settings
        counted = self._penalty >= settings.counted_seconds
        return settings.counted_margin if counted else settings.plateau_margin
