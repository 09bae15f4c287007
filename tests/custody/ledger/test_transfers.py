"""Transfer batches: all legs or none, once, and nobody below zero."""

from __future__ import annotations

import pytest

from custody.ledger import transactions as tx
from custody.ledger.identifiers import HOUSE_FEES
from tests.custody.ledger.world import World, busy


def leg(source: str, target: str, amount: int, asset: str = "ETH") -> tx.TransferLeg:
    return tx.TransferLeg(source=source, target=target, asset=asset, amount=str(amount))


def book(world: World, *legs: tx.TransferLeg, name: str = "b") -> str:
    return world.say("engine", tx.TransferBatch, id=name, legs=legs)


def test_a_trade_moves_both_sides_at_once() -> None:
    world = busy()
    usdc = world.available("alice")
    assert book(world, leg("alice", "bob", 30), leg("alice", "bob", 7, "USDC"), leg("alice", HOUSE_FEES, 1)) == "ok"
    assert (world.available("alice", "ETH"), world.available("bob", "ETH")) == (10**6 - 31, 30)
    assert (world.available("alice"), world.available("bob")) == (usdc - 7, 7)
    assert world.state.balance("ETH", HOUSE_FEES) == 1


def test_what_counts_is_the_net_of_the_batch() -> None:
    world = busy()
    assert book(world, leg("bob", "alice", 10**9), leg("alice", "bob", 10**9 + 5)) == "ok"
    assert world.available("bob", "ETH") == 5
    assert book(world, leg("bob", "alice", 6), name="c") == "insufficient_balance"


def test_one_bad_leg_stops_all() -> None:
    world = busy()
    assert book(world, leg("alice", "bob", 30), leg("bob", "alice", 31, "USDC")) == "insufficient_balance"
    assert world.available("bob", "ETH") == 0
    assert book(world, leg("alice", "bob", 30)) == "ok", "a refused id was not used"


def test_a_batch_that_comes_to_nothing_is_booked_without_a_posting() -> None:
    world = busy()
    events = world.ok("engine", tx.TransferBatch, id="b", legs=(leg("alice", "bob", 5), leg("bob", "alice", 5)))
    assert [type(event).__name__ for event in events] == ["BatchBooked"]


def test_an_id_is_used_once_for_ever() -> None:
    world = busy()
    assert book(world, leg("alice", "bob", 5)) == "ok"
    assert book(world, leg("alice", "bob", 5)) == "ok"
    assert world.available("bob", "ETH") == 5
    assert book(world, leg("alice", "bob", 6)) == "id_conflict"
    assert book(world, leg("alice", "bob", 5), leg("alice", "bob", 5)) == "id_conflict"


@pytest.mark.parametrize(
    ("legs", "code"),
    [
        ((), "field_out_of_bounds"),
        ((leg("alice", "bob", 1),) * 1001, "field_out_of_bounds"),
        ((leg("alice", "carol", 1),), "unknown_account"),
        ((leg("carol", "alice", 1),), "unknown_account"),
        ((leg("alice", "alice", 1),), "batch_invalid"),
        ((leg("alice", "house:capital", 1),), "identifier_malformed"),
        ((leg(HOUSE_FEES, "alice", 1),), "identifier_malformed"),
        ((leg("alice", "bob", 0),), "amount_zero"),
        ((leg("alice", "bob", -1),), "amount_negative"),
    ],
)
def test_what_no_batch_may_do(legs: tuple[tx.TransferLeg, ...], code: str) -> None:
    assert book(busy(), *legs) == code


@pytest.mark.parametrize(
    ("hold", "stops"),
    [
        ({}, True),
        ({"direction": "transfers"}, True),
        ({"direction": "both"}, False),
        ({"direction": "withdrawals"}, False),
        ({"account": "alice"}, True),
        ({"account": "bob"}, True),
        ({"account": "carol"}, False),
        ({"asset": "ETH"}, True),
        ({"asset": "USDC"}, False),
        ({"chain": "ethereum"}, False),
    ],
    ids=str,
)
def test_holds_on_transfers(hold: dict[str, str], stops: bool) -> None:
    world = busy()
    world.hold("h", **hold)
    assert book(world, leg("alice", "bob", 1)) == ("held" if stops else "ok")


def test_the_most_legs_a_batch_may_have() -> None:
    world = busy()
    assert book(world, *(leg("alice", "bob", 1),) * 1000) == "ok"
    assert world.available("bob", "ETH") == 1000
