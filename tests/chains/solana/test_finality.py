"""When a block is proven and when a transaction is dead: each condition alone must be able to say no."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.observations import Absence, Block, Deposit
from chains.solana.codec import Findings
from chains.solana.finality import (
    MARGIN,
    MAX_AGE,
    Judgement,
    Ruling,
    Statement,
    Witness,
    is_dead,
    joins,
    judge,
    last_valid_height,
    needed,
    refutes,
)

PREVIOUS = Block(position=100, height=90, hash="p", parent_position=99, parent_hash="o", time=1)
NEXT = Block(position=103, height=91, hash="n", parent_position=100, parent_hash="p", time=0)


def change(**fields: object) -> Block:
    return msgspec.structs.replace(NEXT, **fields)


@pytest.mark.parametrize(
    ("block", "joined", "refuted"),
    [
        (NEXT, True, False),
        (change(parent_hash="x"), False, True),
        (change(parent_position=99), False, True),
        (change(height=92), False, True),
        (change(position=100, parent_position=100), False, True),
        (change(parent_position=101, height=92), False, False),
        (change(parent_position=101, height=91), False, True),
        (change(parent_position=103, height=92), False, True),
        (change(parent_position=200, height=92), False, True),
    ],
)
def test_joining_and_refuting(block: Block, joined: bool, refuted: bool) -> None:
    assert joins(PREVIOUS, block) is joined
    assert refutes(PREVIOUS, block) is refuted


def says(block: Block = NEXT, amount: int = 0) -> Statement:
    deposit = Deposit(tx="t", ordinal="o", position=103, address="a", token="native", amount=amount)
    return Statement(block=block, findings=Findings(deposits=(deposit,) if amount else ()))


GOOD, FORK, RICHER = says(), says(change(hash="x")), says(amount=5)
REFUTED, LATER = says(change(parent_hash="x")), says(change(parent_position=101, height=92))


@pytest.mark.parametrize(
    ("statements", "required", "ruling", "refuted"),
    [
        ([], 1, Ruling.UNPROVEN, ()),
        ([GOOD], 1, Ruling.PROVEN, ()),
        ([GOOD], 2, Ruling.UNPROVEN, ()),
        ([GOOD, GOOD], 2, Ruling.PROVEN, ()),
        ([GOOD, GOOD, FORK], 2, Ruling.DISPUTED, ()),
        ([GOOD, FORK], 2, Ruling.DISPUTED, ()),
        ([GOOD, GOOD, RICHER], 2, Ruling.DISPUTED, ()),
        ([GOOD, LATER], 2, Ruling.DISPUTED, ()),
        ([GOOD, GOOD, REFUTED], 2, Ruling.PROVEN, ("2",)),
        ([REFUTED, GOOD], 2, Ruling.UNPROVEN, ("0",)),
        ([REFUTED], 1, Ruling.MISMATCH, ()),
        ([REFUTED], 2, Ruling.UNPROVEN, ("0",)),
        ([REFUTED, REFUTED], 2, Ruling.MISMATCH, ()),
        ([REFUTED, says(change(parent_hash="y"))], 2, Ruling.UNPROVEN, ("0", "1")),
        ([LATER], 1, Ruling.ORPHAN, ()),
        ([LATER, LATER], 2, Ruling.ORPHAN, ()),
    ],
)
def test_rulings(statements: list[Statement], required: int, ruling: Ruling, refuted: tuple[str, ...]) -> None:
    witnesses = [Witness(provider=str(n), statement=one) for n, one in enumerate(statements)]
    judgement: Judgement = judge(PREVIOUS, witnesses, required)
    assert (judgement.ruling, judgement.refuted) == (ruling, refuted)


@given(lies=st.lists(st.sampled_from([FORK, RICHER, REFUTED, LATER, GOOD]), max_size=4), at=st.integers(0, 4))
def test_with_one_honest_answer_nothing_false_is_proven(lies: list[Statement], at: int) -> None:
    witnesses = [Witness(provider=str(n), statement=one) for n, one in enumerate([*lies[:at], GOOD, *lies[at:]])]
    judgement = judge(PREVIOUS, witnesses, 2)
    assert judgement.ruling not in {Ruling.ORPHAN, Ruling.MISMATCH}
    if judgement.ruling is Ruling.PROVEN:
        assert judgement.statement == GOOD
        assert all(witnesses[int(provider)].statement != GOOD for provider in judgement.refuted)


L = last_valid_height(1_000)


def absent(provider: str, height: int = L + MARGIN, *, found: bool = False) -> Absence:
    return Absence(provider=provider, tx="t", found=found, finalized_height=height, context=1)


def test_the_last_valid_height() -> None:
    assert L == 1_000 + MAX_AGE == 1_150
    assert [needed(n) for n in range(4)] == [1, 1, 2, 2]


@pytest.mark.parametrize(
    ("scanned", "seen", "statements", "configured", "dead"),
    [
        (L + 2, False, [absent("a"), absent("b")], 2, True),
        (L + 1, False, [absent("a"), absent("b")], 2, False),
        (L + 2, True, [absent("a"), absent("b")], 2, False),
        (L + 2, False, [absent("a")], 2, False),
        (L + 2, False, [absent("a")], 1, True),
        (L + 2, False, [], 1, False),
        (L + 2, False, [], 0, False),
        (L + 2, False, [absent("a"), absent("b", L + MARGIN - 1)], 2, False),
        (L + 2, False, [absent("a"), absent("b"), absent("c", found=True)], 3, False),
        (L + 2, False, [absent("a"), absent("a")], 2, False),
        (L + 2, False, [absent("a"), absent("a", 5), absent("b")], 2, False),
        (L + 2, False, [absent("a", 5), absent("a"), absent("b")], 2, False),
    ],
)
def test_death_needs_every_condition(
    scanned: int, seen: bool, statements: list[Absence], configured: int, dead: bool
) -> None:
    assert is_dead(1_000, scanned, seen, statements, configured) is dead
