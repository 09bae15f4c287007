"""What is learned about the ranges that a provider answers for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from chains.evm.spans import CAP, FORGET, GROW, START, Spans


def settle(spans: Spans, limit: int, answers: int) -> list[int]:
    """The sizes asked of a provider that answers for at most `limit` blocks."""
    asked: list[int] = []
    for _ in range(answers):
        size = spans.size("p")
        asked.append(size)
        if size > limit:
            spans.refused("p", size)
        else:
            spans.granted("p", size)
    return asked


def test_a_willing_provider_is_asked_for_more_and_more() -> None:
    spans = Spans()
    assert settle(spans, CAP, 3 * GROW) == [START] * GROW + [2 * START] * GROW + [CAP] * GROW
    assert spans.size("p") == CAP
    assert spans.size("another") == START


def test_a_refusal_halves_until_it_fits() -> None:
    spans = Spans()
    assert settle(spans, 1, 4) == [8, 4, 2, 1]
    assert spans.size("p") == 1


def test_what_was_refused_is_left_alone_for_long_and_then_tried_once_more() -> None:
    asked = settle(Spans(), 5, 3 * (FORGET + 1) + 1)
    assert asked[:2] == [8, 4]
    assert [n for n, size in enumerate(asked) if size > 5] == [0, 1 + FORGET, 2 + 2 * FORGET, 3 + 3 * FORGET]


def test_a_short_end_of_a_range_teaches_nothing() -> None:
    spans = Spans()
    for _ in range(10 * GROW):
        spans.granted("p", START - 1)
    assert spans.size("p") == START


@given(limit=st.integers(1, 2 * CAP), answers=st.integers(0, 400))
def test_it_stays_within_its_bounds_and_refusals_are_few(limit: int, answers: int) -> None:
    asked = settle(Spans(), limit, answers)
    assert all(1 <= size <= CAP for size in asked)
    refused = sum(1 for size in asked if size > limit)
    assert refused <= 3 + answers // FORGET
