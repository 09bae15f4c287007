"""Whom a question is put to, and what is said when the answers don't suffice."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import ChainError, Integrity, NoProvider, Retryable
from chains.hearing import Hearing, check_identity, fair, urgency
from chains.pool.calls import Priority
from chains.sightings import LEAP, REMEMBERED, Sightings
from tests.upstream_direct import DirectUpstream

GONE = NoProvider("no_provider", "quarantined")
BUSY = Retryable("overloaded", "503")


def hearing(required: int, **answers: int | ChainError) -> tuple[Hearing[int], list[tuple[str, bool]]]:
    asked: list[tuple[str, bool]] = []

    async def ask(provider: str, first: bool) -> int:
        asked.append((provider, first))
        answer = answers[provider]
        if isinstance(answer, ChainError):
            raise answer
        return answer

    return Hearing(tuple(answers), required, ask), asked


@pytest.mark.parametrize(
    ("required", "answers", "asked", "agreed"),
    [
        (1, {"a": 1, "b": 2}, "a", 1),
        (2, {"a": 1, "b": 1, "c": 1}, "ab", 1),
        (2, {"a": BUSY, "b": 1, "c": 1, "d": 1}, "abc", 1),
        (2, {"a": 1, "b": 2, "c": 1, "d": 1}, "abcd", 1),
        (2, {"a": 1, "b": 2, "c": 1, "d": 2}, "abcd", None),
        (2, {"a": 1, "b": 2}, "ab", None),
        (2, {"a": 1, "b": BUSY}, "ab", None),
        (3, {"a": 1, "b": 1}, "ab", None),
    ],
)
async def test_who_is_asked(required: int, answers: Mapping[str, int | ChainError], asked: str, agreed: int) -> None:
    heard, told = hearing(required, **answers)
    await heard.enough()
    assert ("".join(name for name, _ in told), heard.agreed()) == (asked, agreed)
    assert [first for _, first in told] == [True] + [False] * (len(told) - 1)
    await heard.everybody()
    assert {name for name, _ in told} == set(answers)
    assert len(told) == len(answers), "nobody is asked twice"


@given(st.lists(st.sampled_from([1, 2, BUSY, GONE]), max_size=6), st.integers(1, 4))
async def test_what_is_agreed_was_said_by_enough(answers: list[int | ChainError], required: int) -> None:
    heard, _ = hearing(required, **{f"p{n}": answer for n, answer in enumerate(answers)})
    await heard.enough()
    found = heard.agreed()
    assert found is None or sum(1 for answer in answers if answer == found) >= required
    assert len(heard.said) + len(heard.failed) <= len(answers)


async def test_what_is_raised_when_too_few_answer() -> None:
    for answers, code, sentence in (
        ({"a": GONE, "b": BUSY}, "overloaded", "503"),
        ({"a": GONE}, "no_provider", "nobody may be asked for it .a: no_provider: quarantined"),
        ({}, "no_provider", "nobody may be asked for it .no providers"),
        ({"a": 1, "b": BUSY}, "unproven", "it is said by a alone; 2 must say the same .b: overloaded: 503"),
        ({"a": 1, "b": 2}, "unproven", "it is not told alike by a, b; 2 must say the same$"),
    ):
        heard, _ = hearing(2, **answers)
        await heard.enough()
        with pytest.raises(ChainError, match=sentence) as raised:
            raise heard.error("it")
        assert raised.value.code == code


async def test_the_same_question_anew() -> None:
    heard, asked = hearing(1, a=1, b=1)
    await heard.enough()
    again = heard.again()
    await again.enough()
    assert (again.said, [name for name, _ in asked]) == ([("a", 1)], ["a", "a"])


def test_second_opinions_wait_and_a_backlog_waits_longest() -> None:
    assert [urgency(first, at) for at in (Priority.HEAD, Priority.BACKFILL) for first in (True, False)] == [
        Priority.HEAD,
        Priority.QUORUM,
        Priority.BACKFILL,
        Priority.BACKFILL,
    ]


@pytest.mark.parametrize(
    ("said", "required", "error", "struck"),
    [
        ({"a": "1", "b": "1"}, 2, None, []),
        ({"a": "1", "b": "5", "c": "1"}, 2, None, ["b"]),
        ({"a": "1", "b": "5"}, 1, None, ["b"]),
        ({"a": "1", "b": "5"}, 2, Integrity, ["b"]),
        ({"a": "5"}, 1, Integrity, ["a"]),
        ({"a": "1"}, 2, NoProvider, []),
        ({}, 1, NoProvider, []),
    ],
)
def test_which_chain_it_is(
    said: Mapping[str, str], required: int, error: type[Exception] | None, struck: list[str]
) -> None:
    upstream = DirectUpstream("ethereum", dict.fromkeys(said, ""))
    if error is None:
        check_identity(upstream, "1", said, required)
    else:
        with pytest.raises(error):
            check_identity(upstream, "1", said, required)
    assert [provider for provider, _ in upstream.strikes] == struck


@pytest.mark.parametrize(
    ("opinions", "required", "expected"),
    [
        ([7], 1, 7),
        ([7], 2, 7),
        ([7, 0], 2, 7),
        ([7, 8, 0], 2, 7),
        ([7, 8, 10**30], 2, 8),
        ([7, 8, 9], 3, 9),
        ([7, 8, 9, 0, 10**30], 2, 9),
        ([5, 6], 1, 6),
    ],
)
def test_a_fair_price(opinions: list[int], required: int, expected: int) -> None:
    for ordered in permutations(opinions):
        assert fair(ordered, required) == expected


def test_a_final_hash_that_changes_is_noticed_and_the_first_one_stays() -> None:
    seen = Sightings()
    assert seen.note("a", 5, "x") is None
    assert seen.note("a", 6, "y") is None
    assert seen.note("a", 5, "z") == "x"
    assert seen.note("a", 5, "x") is None
    assert seen.note("b", 5, "z") is None


def test_who_goes_back_is_behind_until_it_has_caught_up() -> None:
    seen = Sightings()
    assert not seen.behind("a", 0)
    seen.note("a", 9)
    assert [seen.behind("a", position) for position in (8, 9, 10)] == [True, False, False]
    seen.note("a", 3)
    assert seen.behind("a", 8)
    assert not seen.behind("b", 3)


def test_nobody_is_held_to_an_absurd_mark_for_ever() -> None:
    seen = Sightings()
    seen.note("a", 9)
    seen.note("a", 10**18)
    assert seen.behind("a", 9)
    seen.note("a", 10)
    assert [seen.behind("a", position) for position in (9, 10)] == [True, False]
    seen.note("a", 10 + LEAP)
    seen.note("a", 10)
    assert seen.behind("a", 10), "a leap is more than that"


def test_who_called_a_block_final() -> None:
    seen = Sightings()
    for provider, block_hash in (("a", "x"), ("b", "x"), ("c", "y"), ("a", "y")):
        seen.note(provider, 5, block_hash)
    assert [seen.callers(5, "x"), seen.callers(5, "y"), seen.callers(6, "x")] == [2, 1, 0]


def test_only_so_many_marks_are_remembered() -> None:
    seen = Sightings()
    for position in range(REMEMBERED + 1):
        seen.note("a", position, "x")
    assert seen.note("a", 0, "other") is None
    assert seen.note("a", REMEMBERED, "other") == "x"
