"""When a block is proven: what our own chain refutes, what stands against it, and how many must say it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.observations import Block, Deposit
from chains.witnesses import Judgement, Ruling, Statement, Witness, joins, judge, needed, refutes, told


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """As a chain's own: tuples of what a block says about us."""

    deposits: tuple[Deposit, ...] = ()


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


def says(block: Block = NEXT, amount: int = 0) -> Statement[Facts]:
    deposit = Deposit(tx="t", ordinal="o", position=103, address="a", token="native", amount=amount)
    return Statement(block=block, facts=Facts(deposits=(deposit,) if amount else ()))


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
def test_rulings(statements: list[Statement[Facts]], required: int, ruling: Ruling, refuted: tuple[str, ...]) -> None:
    witnesses = [Witness(provider=str(n), statement=one) for n, one in enumerate(statements)]
    judgement: Judgement[Facts] = judge(PREVIOUS, witnesses, required)
    assert (judgement.ruling, judgement.refuted) == (ruling, refuted)


@given(lies=st.lists(st.sampled_from([FORK, RICHER, REFUTED, LATER, GOOD]), max_size=4), at=st.integers(0, 4))
def test_with_one_honest_answer_nothing_false_is_proven(lies: list[Statement[Facts]], at: int) -> None:
    witnesses = [Witness(provider=str(n), statement=one) for n, one in enumerate([*lies[:at], GOOD, *lies[at:]])]
    judgement = judge(PREVIOUS, witnesses, 2)
    assert judgement.ruling not in {Ruling.ORPHAN, Ruling.MISMATCH}
    if judgement.ruling is Ruling.PROVEN:
        assert judgement.statement == GOOD
        assert all(witnesses[int(provider)].statement != GOOD for provider in judgement.refuted)


def test_how_many_are_needed() -> None:
    assert [needed(None, n) for n in range(4)] == [1, 1, 2, 2]
    assert [needed(3, 4), needed(1, 4), needed(3, 2)] == [3, 1, 3]


def test_a_dispute_is_told_by_name() -> None:
    longer = says(change(hash="0123456789abcdefgh"))
    witnesses = [Witness(provider=f"p{n}", statement=one) for n, one in enumerate([GOOD, RICHER, GOOD, longer])]
    assert told(witnesses) == (
        "p0, p2: block n on parent p, facts about us: 0; p1: block n on parent p, facts about us: 1;"
        " p3: block 0123456789abcd on parent p, facts about us: 0"
    )
