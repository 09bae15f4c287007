"""Joining on, and who is to blame when it fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import Integrity, Retryable
from chains.evm import finality
from chains.observations import Block


def block(position: int, name: str = "a", parent: str | None = None) -> Block:
    return Block(
        position=position,
        height=position,
        hash=f"{name}{position}",
        parent_position=position - 1,
        parent_hash=f"{name}{position - 1}" if parent is None else parent,
        time=0,
    )


@pytest.mark.parametrize(
    ("cursor", "finalized", "limit", "expected"),
    [(5, 5, 10, None), (5, 4, 10, None), (5, 0, 10, None), (5, 6, 10, (6, 6)), (5, 99, 10, (6, 15)), (5, 7, 1, (6, 6))],
)
def test_windows(cursor: int, finalized: int, limit: int, expected: tuple[int, int] | None) -> None:
    assert finality.window(block(cursor), block(finalized), limit) == expected


@given(st.integers(0, 1000), st.integers(0, 1000), st.integers(1, 50))
def test_windows_cover_everything_once(cursor: int, finalized: int, limit: int) -> None:
    at = cursor
    seen: list[int] = []
    while (window := finality.window(block(at), block(finalized), limit)) is not None:
        assert window[1] - window[0] < limit
        seen.extend(range(window[0], window[1] + 1))
        at = window[1]
    assert seen == list(range(cursor + 1, finalized + 1))


def test_a_limit_of_nothing_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        finality.window(block(1), block(2), 0)


def test_contradictions() -> None:
    assert not finality.contradicts(block(5), block(5))
    assert finality.contradicts(block(5), block(5, "b"))
    assert not finality.contradicts(block(5), block(4, "b"))
    assert not finality.contradicts(block(5), block(9, "b"))


@pytest.mark.parametrize(
    ("answers", "kind", "contradicting"),
    [
        ([("p", block(5, "b")), ("q", block(5, "b"))], Integrity, ("p", "q")),
        ([("p", block(5, "b"))], Retryable, ("p",)),
        ([("p", block(5, "b")), ("q", None)], Retryable, ("p",)),
        ([("p", block(5, "b")), ("q", block(5, "c"))], Integrity, ("p", "q")),
        ([("p", block(5, "b")), ("q", block(5))], Retryable, ("p",)),
        ([("p", block(5)), ("q", block(5))], Retryable, ()),
        ([("p", None)], Retryable, ()),
        ([], Retryable, ()),
    ],
    ids=["all", "one", "silent", "elsewhere", "liar", "none", "nothing", "nobody"],
)
def test_only_a_chain_that_everybody_rewrote_is_an_integrity_fault(
    answers: list[tuple[str, Block | None]], kind: type[Exception], contradicting: tuple[str, ...]
) -> None:
    judgement = finality.judge(block(5), answers)
    assert judgement.contradicting == contradicting
    assert isinstance(finality.verdict(block(5), judgement, 2), kind)


def test_where_one_word_is_all_there_is_it_counts() -> None:
    judgement = finality.judge(block(5), [("p", block(5, "b"))])
    assert isinstance(finality.verdict(block(5), judgement, 1), Integrity)


def test_joined_blocks_pass() -> None:
    finality.check_joined([block(6), block(7), block(8)], 6, "a5")
    finality.check_joined([], 6, "a5")


@pytest.mark.parametrize(
    "blocks",
    [
        [block(6, "b")],
        [block(7)],
        [block(6), block(8)],
        [block(6), block(7, "b")],
        [block(6), block(6)],
        [block(7), block(6)],
        [block(6), block(7, "a", parent="a5")],
    ],
)
def test_blocks_that_do_not_join_are_refused(blocks: list[Block]) -> None:
    with pytest.raises(Retryable, match="inconsistent"):
        finality.check_joined(blocks, 6, "a5")
