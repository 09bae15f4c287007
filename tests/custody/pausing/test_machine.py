"""The life of a pause, played through: every arrow, and what must hold whatever the world does."""

from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from custody.pausing.facts import Finding, Trouble
from custody.pausing.machine import Act, Circumstances, Machine, PauseState
from custody.pausing.settings import PauseSettings

SETTINGS = PauseSettings()
SILENCE = Finding(trouble=Trouble(cause="provider", reason="nobody answers"))
PROVEN = Finding(trouble=Trouble(cause="finality", reason="nothing is final", lasted=True))
WELL = Finding()
LAME = Finding(warning="one: throttled")


class Play:
    """A machine, a ledger that does as it is told, and a world that is well unless said otherwise."""

    def __init__(self, settings: PauseSettings = SETTINGS, *, held_since: float | None = None) -> None:
        self.now = 1_000.0
        self.settings = settings
        self.held_since = held_since
        self.machine = Machine(settings, self.now)
        self.acts: list[Act] = []
        self.surveys = self.canaries = 0
        self.drained = self.agreed = self.free = self.caught_up = True
        self.deaf = False
        self.clean = True

    def step(self, finding: Finding, seconds: float = 0.5) -> PauseState:
        self.now += seconds
        self.surveys += 1
        self.canaries += self.clean
        act = self.machine.step(
            self.now,
            finding,
            Circumstances(
                held_since=self.held_since,
                drained=self.drained,
                agreed=self.agreed,
                free=self.free,
                caught_up=self.caught_up,
                surveys=self.surveys,
                canaries=self.canaries,
            ),
        )
        self.acts.append(act)
        if not self.deaf and act is Act.HOLD:
            self.held_since = self.now
        if not self.deaf and act is Act.LIFT:
            self.held_since = None
        return self.machine.state

    def held(self) -> bool:
        return self.held_since is not None

    def go(self, finding: Finding, seconds: float) -> PauseState:
        for _ in range(int(seconds / 0.5)):
            self.step(finding)
        return self.machine.state


def a_pause(settings: PauseSettings = SETTINGS) -> Play:
    play = Play(settings)
    play.step(PROVEN)
    assert play.step(PROVEN) is PauseState.PAUSED
    return play


def test_the_whole_life() -> None:
    play = Play()
    play.drained = play.caught_up = False
    assert play.go(SILENCE, 9.5) is PauseState.DEGRADED
    assert not play.held(), "not within the grace"
    assert play.go(SILENCE, 1.5) is PauseState.DRAINING
    assert play.held()
    assert (play.machine.cause, play.machine.reason) == ("provider", "nobody answers")
    assert play.machine.estimate(play.now) is None, "while it lasts nobody can say"
    assert play.go(SILENCE, 28.0) is PauseState.DRAINING
    assert play.go(SILENCE, 2.0) is PauseState.PAUSED
    assert play.go(WELL, 20.0) is PauseState.PAUSED
    assert play.machine.estimate(play.now) == pytest.approx(38.5, abs=2.0)
    assert play.go(WELL, 11.0) is PauseState.PROBING
    assert play.go(WELL, 25.0) is PauseState.PROBING
    assert play.machine.estimate(play.now) == pytest.approx(5.0, abs=2.0)
    assert play.go(WELL, 8.0) is PauseState.CATCHING_UP
    assert not play.held()
    assert play.go(WELL, 30.0) is PauseState.CATCHING_UP
    play.caught_up = True
    assert play.step(WELL) is PauseState.RUNNING
    assert [act for act in play.acts if act is not Act.NOTHING] == [Act.HOLD, Act.LIFT]


def test_a_blink_is_degraded_and_nothing_more() -> None:
    play = Play()
    for _ in range(20):
        assert play.go(SILENCE, 8.0) is PauseState.DEGRADED
        assert play.step(WELL) is PauseState.RUNNING
    assert set(play.acts) == {Act.NOTHING}
    assert play.step(LAME) is PauseState.DEGRADED
    assert play.machine.reason == "one: throttled"


def test_what_was_measured_for_long_enough_needs_no_grace() -> None:
    play = Play()
    assert play.step(PROVEN) is PauseState.DRAINING
    assert play.acts == [Act.HOLD]


def test_an_act_that_was_lost_is_asked_for_again() -> None:
    play = Play()
    play.deaf = True
    play.go(PROVEN, 2.0)
    assert play.acts == [Act.HOLD] * 4
    play.deaf = False
    play.step(PROVEN)
    assert play.held()
    play.go(WELL, 60.0)
    play.deaf = True
    while Act.LIFT not in play.acts:
        play.step(WELL)
    play.step(WELL)
    assert play.acts[-2:] == [Act.LIFT] * 2
    play.deaf = False
    play.step(WELL)
    assert not play.held()
    assert play.machine.state is PauseState.CATCHING_UP


def test_a_person_who_lifts_it_is_not_contradicted_at_once() -> None:
    play = a_pause()
    play.held_since = None
    assert play.step(SILENCE) is PauseState.CATCHING_UP
    assert play.go(SILENCE, 9.0) is PauseState.CATCHING_UP
    assert play.go(SILENCE, 2.0) is PauseState.PAUSED, "but after the grace the trouble is trouble again"


def test_nor_by_what_was_measured_before_and_it_is_no_flap() -> None:
    play = a_pause()
    play.held_since = None
    assert play.step(PROVEN) is PauseState.CATCHING_UP
    assert play.go(PROVEN, 9.0) is PauseState.CATCHING_UP
    play.go(PROVEN, 2.0)
    assert play.held()
    assert play.machine.least_pause() == SETTINGS.hold_seconds


def test_a_lift_that_was_lost_is_thought_over_under_new_trouble() -> None:
    play = a_pause()
    while Act.LIFT not in play.acts:
        play.deaf = play.machine.state is PauseState.PROBING
        play.step(WELL)
    assert play.step(PROVEN) is PauseState.PAUSED
    play.deaf = False
    assert play.go(PROVEN, 30.0) is PauseState.PAUSED
    assert play.held()
    assert play.go(WELL, 100.0) is not PauseState.PAUSED
    assert not play.held()


def test_a_hold_from_a_clock_ahead_of_ours_counts_from_now() -> None:
    play = Play(held_since=1_000.0 + 86_400.0)
    play.step(WELL)
    assert play.machine.paused_at <= play.now
    assert play.go(WELL, 120.0) in (PauseState.CATCHING_UP, PauseState.RUNNING)


def test_a_hold_of_an_earlier_life_is_ours_and_its_time_counts() -> None:
    play = Play(held_since=1_000.0 - 50.0)
    assert play.step(WELL) is PauseState.PAUSED
    assert play.go(WELL, 9.0) is PauseState.PAUSED
    assert play.go(WELL, 2.0) is PauseState.PROBING
    assert play.go(WELL, 32.0) in (PauseState.CATCHING_UP, PauseState.RUNNING)
    assert not play.held()


def test_each_flap_doubles_the_pause_up_to_the_cap() -> None:
    play = Play()
    pauses = []
    for _ in range(7):
        play.step(PROVEN)
        pauses.append(play.machine.least_pause())
        while play.held_since is not None:
            play.step(WELL, 5.0)
    assert pauses == [60.0, 120.0, 240.0, 480.0, 900.0, 900.0, 900.0]
    play.go(WELL, 1_900.0)
    play.step(PROVEN)
    assert play.machine.least_pause() == 60.0, "after half an hour of calm it is no flap"


def test_a_dirty_window_begins_the_count_anew() -> None:
    play = a_pause()
    while play.machine.state is not PauseState.PROBING:
        play.step(WELL)
    play.go(WELL, 21.0)
    play.clean = False
    play.step(WELL)
    play.clean = True
    assert play.go(WELL, 29.0) is PauseState.PROBING
    assert play.go(WELL, 12.0) in (PauseState.CATCHING_UP, PauseState.RUNNING)


@pytest.mark.parametrize("missing", ["agreed", "free"])
def test_it_waits_for_agreement_and_for_its_turn(missing: str) -> None:
    play = a_pause()
    setattr(play, missing, False)
    assert play.go(WELL, 300.0) is PauseState.PROBING
    assert play.machine.estimate(play.now) is None
    assert "waits for" in play.machine.reason
    setattr(play, missing, True)
    assert play.step(WELL) is PauseState.CATCHING_UP


def test_trouble_while_probing_is_a_pause_again() -> None:
    play = a_pause()
    while play.machine.state is not PauseState.PROBING:
        play.step(WELL)
    assert play.step(SILENCE) is PauseState.PAUSED
    assert play.machine.reason == "nobody answers"
    assert play.step(WELL) is PauseState.PROBING, "the pause itself has lasted long enough"


def test_withdrawals_begin_with_a_tenth_and_add_one_each_minute() -> None:
    play = a_pause()
    assert play.machine.ramp(play.now) == 0.0
    play.caught_up = False
    while play.machine.state is not PauseState.CATCHING_UP:
        play.step(WELL)
    steps = [round(play.machine.ramp(play.now + 60.0 * minute), 3) for minute in range(12)]
    assert steps == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.0, 1.0]


@given(st.integers(0, 10_000))
def test_a_least_pause_is_never_above_the_cap(flaps: int) -> None:
    machine = Machine(SETTINGS, 0.0)
    machine._flaps = flaps
    assert SETTINGS.hold_seconds <= machine.least_pause() <= SETTINGS.hold_cap_seconds


class Weather(RuleBasedStateMachine):
    """Anything may happen to the chain, to the ledger's answers, and by a person's hand."""

    def __init__(self) -> None:
        super().__init__()
        self.play = Play()
        self.troubled_at = self.dirty_at = -1e9

    @rule(
        finding=st.sampled_from([WELL, LAME, SILENCE, PROVEN]),
        seconds=st.sampled_from([0.5, 1.0, 5.0, 30.0]),
        times=st.integers(1, 40),
    )
    def weather(self, finding: Finding, seconds: float, times: int) -> None:
        for _ in range(times):
            before, state, began = self.play.held_since, self.play.machine.state, self.play.machine.paused_at
            self.play.step(finding, seconds)
            if not self.play.deaf:
                assert (self.play.held_since is not None) is self.play.machine.holding
            if finding.trouble is not None:
                self.troubled_at = self.play.now
            if not self.play.clean:
                self.dirty_at = self.play.now
            if before is not None and self.play.held_since is None:
                # Whatever came before: it was held for long enough, and all was well for as long as the windows take.
                assert self.play.agreed
                assert self.play.free
                assert self.play.now - began >= SETTINGS.hold_seconds
                calm = SETTINGS.windows * SETTINGS.window_seconds
                assert self.play.now - self.troubled_at >= calm
                assert self.play.now - self.dirty_at >= calm - SETTINGS.window_seconds
                assert state in (PauseState.PROBING, PauseState.CATCHING_UP)

    @rule(name=st.sampled_from(["drained", "agreed", "free", "caught_up", "deaf", "clean"]), value=st.booleans())
    def circumstance(self, name: str, value: bool) -> None:
        setattr(self.play, name, value)

    @precondition(lambda self: self.play.held_since is not None)
    @rule()
    def a_person_lifts_it(self) -> None:
        self.play.held_since = None

    @invariant()
    def money_moves_only_where_nothing_is_held(self) -> None:
        assert (self.play.machine.ramp(self.play.now) == 0.0) is self.play.machine.holding


TestWeather = Weather.TestCase
