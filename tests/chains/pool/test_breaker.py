"""The breaker as a state machine under hypothesis, and by hand where a number matters."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chains.pool.breaker import ErrorBreaker, Latch, State
from chains.pool.classify import Blame
from chains.pool.settings import BreakerSettings

PLAIN = BreakerSettings(spread=0.0)


def calls(breaker: ErrorBreaker, now: float, *blames: Blame | None, gap: float = 0.0) -> float:
    for blame in blames:
        breaker.leave(breaker.enter(now), now, blame)
        now += gap
    return now


def opened(now: float = 0.0) -> ErrorBreaker:
    breaker = ErrorBreaker("p", PLAIN)
    calls(breaker, now, *[Blame.FAILURE] * 20)
    assert breaker.state(now) is State.OPEN
    return breaker


def test_half_of_twenty_calls_in_the_window_open_it() -> None:
    breaker = ErrorBreaker("p", PLAIN)
    now = calls(breaker, 0.0, *[Blame.SUCCESS, Blame.FAILURE] * 9, Blame.SUCCESS, gap=0.1)
    assert breaker.state(now) is State.CLOSED
    calls(breaker, now, Blame.FAILURE)
    assert breaker.state(now) is State.OPEN
    assert breaker.ready_at(now) == now + 0.5


def test_old_failures_leave_the_window() -> None:
    breaker = ErrorBreaker("p", PLAIN)
    calls(breaker, 0.0, *[Blame.FAILURE] * 10, *[Blame.SUCCESS] * 9)
    calls(breaker, 31.0, *[Blame.SUCCESS] * 11, *[Blame.FAILURE] * 10)
    assert breaker.state(31.0) is State.CLOSED
    calls(breaker, 31.0, Blame.FAILURE)
    assert breaker.state(31.0) is State.OPEN


def test_a_quiet_black_hole_opens_it_without_twenty_calls() -> None:
    breaker = ErrorBreaker("p", PLAIN)
    now = calls(breaker, 0.0, *[Blame.FAILURE] * 4, gap=10.0)
    assert breaker.state(now) is State.CLOSED
    calls(breaker, now, Blame.FAILURE)
    assert breaker.state(now) is State.OPEN


def test_one_lost_connection_with_many_calls_on_it_is_not_a_verdict() -> None:
    breaker = ErrorBreaker("p", PLAIN)
    calls(breaker, 0.0, *[Blame.FAILURE] * 19)
    assert breaker.state(0.0) is State.CLOSED


def test_neutral_outcomes_count_for_nothing() -> None:
    breaker = ErrorBreaker("p", PLAIN)
    calls(breaker, 0.0, *[Blame.NEUTRAL] * 500, *[None] * 500, gap=0.01)
    assert breaker.state(5.0) is State.CLOSED


def test_half_open_lets_one_probe_pass_then_more_then_closes() -> None:
    breaker = opened()
    now = 5.0
    assert breaker.state(now) is State.HALF_OPEN
    probe = breaker.enter(now)
    assert breaker.ready_at(now) is None
    breaker.leave(probe, now, Blame.SUCCESS)
    first, second = breaker.enter(now), breaker.enter(now)
    assert breaker.ready_at(now) is None
    breaker.leave(first, now, Blame.SUCCESS)
    assert breaker.state(now) is State.HALF_OPEN
    breaker.leave(second, now, Blame.SUCCESS)
    assert breaker.state(now) is State.CLOSED
    calls(breaker, now, *[Blame.FAILURE] * 19)
    assert breaker.state(now) is State.CLOSED, "the old window is forgotten"


def test_one_more_probe_is_there_for_the_most_urgent() -> None:
    breaker = opened()
    now = 5.0
    breaker.enter(now)
    assert breaker.ready_at(now) is None
    assert breaker.ready_at(now, urgent=True) == now
    probe = breaker.enter(now, urgent=True)
    assert breaker.ready_at(now, urgent=True) is None
    breaker.leave(probe, now, Blame.SUCCESS)
    assert breaker.ready_at(now) == now, "its answer counts like any"


def test_each_good_probe_allows_for_half_as_many_more() -> None:
    breaker = ErrorBreaker("p", BreakerSettings(spread=0.0, probes_to_close=8))
    calls(breaker, 0.0, *[Blame.FAILURE] * 20)
    allowed = []
    for _ in range(6):
        out = []
        while breaker.ready_at(5.0) == 5.0:
            out.append(breaker.enter(5.0))
        allowed.append(len(out))
        breaker.leave(out.pop(), 5.0, Blame.SUCCESS)
        for each in out:
            breaker.leave(each, 5.0, None)
    assert allowed == [1, 2, 3, 4, 6, 9]


def test_a_probe_that_vanishes_frees_its_place() -> None:
    breaker = opened()
    for _ in range(100):
        breaker.leave(breaker.enter(5.0), 5.0, None)
    assert breaker.ready_at(5.0) == 5.0
    assert breaker.state(5.0) is State.HALF_OPEN


def test_a_pause_is_a_tenth_of_the_outage_so_far_up_to_its_cap_and_calm_forgets() -> None:
    breaker = ErrorBreaker("p", PLAIN)
    calls(breaker, 0.0, *[Blame.FAILURE] * 20)
    now = 0.0
    while now < 9_000.0:
        until = breaker.ready_at(now)
        assert until is not None
        assert until - now == pytest.approx(min(max(0.5, 0.1 * now), 300.0))
        now = until
        calls(breaker, now, Blame.FAILURE)
    now = (breaker.ready_at(now) or 0.0) + 1.0
    calls(breaker, now, *[Blame.SUCCESS] * 3)
    assert breaker.state(now) is State.CLOSED
    calls(breaker, now + 5.0, *[Blame.FAILURE] * 20)
    assert breaker.ready_at(now + 5.0) == pytest.approx(now + 305.0), "five good seconds are a gap in the same outage"
    now += 310.0
    calls(breaker, now, *[Blame.SUCCESS] * 3)
    calls(breaker, now + 11.0, *[Blame.FAILURE] * 20)
    assert breaker.ready_at(now + 11.0) == now + 11.5


def test_answers_slow_beyond_use_open_it_when_they_are_most_of_all() -> None:
    breaker = ErrorBreaker("p", PLAIN)

    def answered(*, slow: bool) -> None:
        breaker.leave(breaker.enter(0.0), 0.0, Blame.SUCCESS, slow=slow)

    for _ in range(9):
        answered(slow=False)
    for _ in range(13):
        answered(slow=True)
    assert breaker.state(0.0) is State.CLOSED
    answered(slow=True)
    assert breaker.state(0.0) is State.OPEN


def test_calls_from_before_the_break_say_nothing_about_the_probes() -> None:
    breaker = ErrorBreaker("p", PLAIN)
    old = [breaker.enter(0.0) for _ in range(40)]
    for ticket in old[:20]:
        breaker.leave(ticket, 0.0, Blame.FAILURE)
    probe = breaker.enter(5.0)
    for ticket in old[20:30]:
        breaker.leave(ticket, 5.0, Blame.SUCCESS)
    for ticket in old[30:]:
        breaker.leave(ticket, 5.0, Blame.FAILURE)
    assert breaker.state(5.0) is State.HALF_OPEN
    assert breaker.ready_at(5.0) is None, "the probe is still out"
    breaker.leave(probe, 5.0, Blame.SUCCESS)
    assert breaker.ready_at(5.0) == 5.0


def test_pauses_are_spread_by_a_fifth_and_differ_between_providers() -> None:
    pauses = set()
    for name in ("a", "b", "c", "d"):
        breaker = ErrorBreaker(name, BreakerSettings())
        calls(breaker, 0.0, *[Blame.FAILURE] * 20)
        pauses.add(breaker.ready_at(0.0))
    assert len(pauses) == 4
    assert all(pause is not None and 0.4 <= pause <= 0.6 for pause in pauses)


def test_a_latch_keeps_its_first_reason_until_a_person_has_looked() -> None:
    latch = Latch()
    assert latch.state is State.CLOSED
    latch.set(1.0, "key refused")
    latch.set(2.0, "again")
    assert (latch.state, latch.reason, latch.since) == (State.OPEN, "key refused", 1.0)
    latch.release()
    assert latch.state is State.CLOSED


class BreakerMachine(RuleBasedStateMachine):
    """Calls come and go in any order, time passes, probes vanish: it never wedges and never lets a crowd through."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.breaker = ErrorBreaker("p", BreakerSettings())
        self.out: list[tuple[int, State]] = []

    @precondition(lambda self: self.breaker.ready_at(self.now) == self.now)
    @rule()
    def enter(self) -> None:
        ticket = self.breaker.enter(self.now)
        self.out.append((ticket, self.breaker.state(self.now)))

    @precondition(lambda self: self.breaker.ready_at(self.now, urgent=True) == self.now)
    @rule()
    def enter_urgently(self) -> None:
        ticket = self.breaker.enter(self.now, urgent=True)
        self.out.append((ticket, self.breaker.state(self.now)))

    @precondition(lambda self: self.out)
    @rule(which=st.integers(0, 1_000), blame=st.sampled_from([None, *Blame]))
    def leave(self, which: int, blame: Blame | None) -> None:
        ticket, _ = self.out.pop(which % len(self.out))
        self.breaker.leave(ticket, self.now, blame)

    @rule(count=st.integers(1, 25))
    def fail_in_a_row(self, count: int) -> None:
        for _ in range(count):
            if self.breaker.ready_at(self.now) == self.now:
                self.breaker.leave(self.breaker.enter(self.now), self.now, Blame.FAILURE)

    @rule(seconds=st.floats(0.0, 400.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def an_open_breaker_has_an_end(self) -> None:
        at = self.breaker.ready_at(self.now)
        if self.breaker.state(self.now) is State.OPEN:
            assert at is not None
            assert self.now < at <= self.now + 300.0 * 1.2

    @invariant()
    def only_a_probe_that_is_out_can_make_others_wait(self) -> None:
        if self.breaker.ready_at(self.now) is None:
            assert any(state is State.HALF_OPEN for _, state in self.out)

    @invariant()
    def probes_are_few(self) -> None:
        if self.breaker.state(self.now) is State.HALF_OPEN:
            newest = max((ticket for ticket, _ in self.out), default=-1)
            assert sum(1 for ticket, s in self.out if ticket == newest and s is State.HALF_OPEN) <= 4


BreakerMachine.TestCase.settings = settings(derandomize=True, max_examples=60, stateful_step_count=40)
TestBreakerMachine = BreakerMachine.TestCase
