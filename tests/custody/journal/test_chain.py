"""The chain step: only the very next block of the same history follows."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.journal.block import Block, block_hash
from custody.journal.chain import extend, verify_chain
from custody.journal.errors import JournalCode, JournalError
from tests.custody.journal.blockmaking import make_block, make_chain

CHAIN = make_chain(6)
LINKS = [link for _, link in verify_chain(CHAIN)]


def test_a_chain_is_followed_from_genesis_or_from_a_trusted_link() -> None:
    assert [link.height for link in LINKS] == list(range(6))
    assert [link.hash for link in LINKS] == [block_hash(block.header) for block in CHAIN]
    assert {link.ledger for link in LINKS} == {LINKS[0].hash}
    assert [link for _, link in verify_chain(CHAIN[3:], LINKS[2])] == LINKS[3:]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"height": 4}, JournalCode.MISSING_BLOCK),
        ({"height": 2}, JournalCode.MISSING_BLOCK),
        ({"height": 4, "ledger": "00" * 32, "previous": "00" * 32, "time": 0}, JournalCode.MISSING_BLOCK),
        ({"ledger": "00" * 32, "previous": "00" * 32, "time": 0}, JournalCode.OTHER_LEDGER),
        ({"ledger": ""}, JournalCode.OTHER_LEDGER),
        ({"previous": "00" * 32, "time": 0}, JournalCode.FORKED),
        ({"time": LINKS[2].time - 1}, JournalCode.BACKWARDS),
    ],
)
def test_what_does_not_follow_is_named_in_order_of_precedence(change: dict[str, object], code: JournalCode) -> None:
    header = msgspec.structs.replace(CHAIN[3].header, **change)
    with pytest.raises(JournalError) as refused:
        extend(LINKS[2], header)
    assert refused.value.code is code


def test_time_may_stand_still_and_epochs_only_grow() -> None:
    extend(LINKS[2], msgspec.structs.replace(CHAIN[3].header, time=LINKS[2].time))
    later = extend(LINKS[2], msgspec.structs.replace(CHAIN[3].header, epoch=1))
    assert later.epoch == 1
    with pytest.raises(JournalError) as refused:
        extend(later, make_block(msgspec.structs.replace(later, epoch=0)).header)
    assert refused.value.code is JournalCode.BACKWARDS


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"height": 1}, JournalCode.MISSING_BLOCK),
        ({"ledger": "00" * 32}, JournalCode.OTHER_LEDGER),
        ({"previous": "11" * 32}, JournalCode.FORKED),
    ],
)
def test_the_first_block_follows_nothing(change: dict[str, object], code: JournalCode) -> None:
    with pytest.raises(JournalError) as refused:
        extend(None, msgspec.structs.replace(CHAIN[0].header, **change))
    assert refused.value.code is code


@given(st.lists(st.integers(0, 5), max_size=8))
def test_only_a_beginning_of_the_chain_passes(order: list[int]) -> None:
    passed = 0
    try:
        for _ in verify_chain(CHAIN[place] for place in order):
            passed += 1
    except JournalError:
        pass
    expected = next((place for place, height in enumerate(order) if place != height), len(order))
    assert passed == expected


def test_blocks_are_taken_one_at_a_time() -> None:
    taken = []

    def source() -> Iterator[Block]:
        for block in CHAIN:
            taken.append(block.header.height)
            yield block

    stream = verify_chain(source())
    next(stream)
    next(stream)
    assert taken == [0, 1]
