"""The learned concurrency against a provider that queues in silence, and its counting under any order of events."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from chains.pool.calls import Priority
from chains.pool.concurrency import Gradient, Slots
from chains.pool.methods import MethodClass
from chains.pool.settings import ConcurrencySettings


def load(subject: Gradient, rounds: int, seconds_of: float, workers: int) -> None:
    """Keep as many in flight as allowed at a provider that serves `workers` at once and queues the rest."""
    for _ in range(rounds):
        places = int(subject.limit)
        for _ in range(places):
            subject.take()
        for number in range(places):
            subject.in_flight -= 1
            subject.answered(seconds_of * (1 + number // workers))


def test_it_grows_while_answers_come_as_fast_as_ever_and_no_further_than_its_ceiling() -> None:
    subject = Gradient(ConcurrencySettings(), 32)
    assert subject.limit == 8
    load(subject, 200, 0.1, workers=1_000)
    assert subject.limit == 32


def test_it_stays_near_what_the_provider_serves_at_once() -> None:
    subject = Gradient(ConcurrencySettings(), 64)
    load(subject, 40, 0.1, workers=5)
    assert 5 <= subject.limit <= 40
    slow = Gradient(ConcurrencySettings(), 64)
    load(slow, 5, 0.1, workers=1_000)
    before = slow.limit
    for _ in range(200):
        slow.answered(1.0)
    assert slow.limit < before, "ten times slower than it was is a queue"


def test_nobody_pressing_nothing_is_learned() -> None:
    subject = Gradient(ConcurrencySettings(), 64)
    for _ in range(500):
        subject.take()
        subject.in_flight -= 1
        subject.answered(0.1)
    assert subject.limit == 8


def test_noise_below_our_own_scheduling_shrinks_nothing() -> None:
    subject = Gradient(ConcurrencySettings(), 64)
    for number in range(1_000):
        subject.answered(0.0005 if number < 500 else 0.03)
    assert subject.limit == 8


def test_time_outs_of_one_moment_are_one_cut_down_to_the_least() -> None:
    subject = Gradient(ConcurrencySettings(), 64)
    for _ in range(20):
        subject.timed_out(10.0, 8.0)
    assert subject.limit == 8 * 0.8
    for now in range(11, 60):
        subject.timed_out(float(now), now - 0.5)
    assert subject.limit == 2


@given(
    st.lists(st.tuples(st.sampled_from(Priority), st.sampled_from(MethodClass), st.booleans()), max_size=150),
    st.integers(1, 12),
)
@settings(derandomize=True)
def test_the_count_is_exact_and_the_last_places_are_kept_for_broadcasts(
    steps: list[tuple[Priority, MethodClass, bool]], limit: int
) -> None:
    slots = Slots(limit, 2)
    out: list[tuple[Priority, MethodClass]] = []
    for priority, kind, ends in steps:
        if ends and out:
            slots.give_back(out.pop(0)[1])
        elif slots.free(priority, kind):
            slots.take(priority, kind)
            out.append((priority, kind))
        assert slots.in_flight == len(out) <= limit
        assert sum(priority is not Priority.BROADCAST for priority, _ in out) <= limit - slots.reserved
        if slots.in_flight < limit and not any(p is Priority.BROADCAST for p, _ in out):
            assert slots.free(Priority.BROADCAST, MethodClass.WRITE), "a broadcast finds a place"
