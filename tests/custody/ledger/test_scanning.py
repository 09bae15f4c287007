"""A finalized range becomes facts in both books: what joins, what contradicts itself, and what it comes to."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from custody.ledger import transactions as tx
from custody.ledger.evolve import RECENT_BLOCKS
from custody.ledger.identifiers import HOUSE_CAPITAL, PENDING, external, suspense
from custody.ledger.invariants import statements
from tests.custody.ledger.world import BSC, ETH, NATIVE, SOL, TOKEN, World, block_hash, busy, deposit, movement

ALICE, HOT = f"alice@{ETH}", f"hot@{ETH}"
USDC = TOKEN[ETH]


def scan(world: World, **changes: Any) -> str:
    return world.say("watcher", tx.ChainScanned, **world.range(ETH, **changes))


def block(position: int, height: int, name: str = "") -> tx.ScannedBlock:
    return tx.ScannedBlock(position=position, height=height, hash=name or f"b{position}")


def at(position: int, fact: Any) -> Any:
    return replace(fact, position=position)


# --- the shape of a range

START = 5
"""The cursor's position and height in these cases, once shifted."""

SHAPES: dict[str, tuple[dict[str, Any], str]] = {
    "one block": ({}, "ok"),
    "a hole at its beginning that positions may have": ({"blocks": ((2, 1),), "last": 2}, "ok"),
    "a hole within that positions may have": ({"blocks": ((1, 1), (3, 2)), "last": 3}, "ok"),
    "first is not the next": ({"first": 2, "blocks": ((2, 1),), "last": 2}, "scan_not_joined"),
    "first is behind": ({"first": 0}, "scan_not_joined"),
    "a height is left out": ({"blocks": ((1, 2),)}, "scan_disordered"),
    "a height is left out within": ({"blocks": ((1, 1), (2, 3)), "last": 2}, "scan_disordered"),
    "a height comes twice": ({"blocks": ((1, 1), (2, 1)), "last": 2}, "scan_disordered"),
    "a position comes twice": ({"blocks": ((1, 1), (1, 2))}, "scan_disordered"),
    "positions fall": ({"blocks": ((2, 1), (1, 2))}, "scan_disordered"),
    "the last block is not the range's last": ({"blocks": ((1, 1),), "last": 2}, "scan_disordered"),
    "a block before the range": ({"blocks": ((0, 1), (1, 2))}, "scan_disordered"),
    "no block": ({"blocks": ()}, "scan_disordered"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_the_shape_of_a_range(name: str) -> None:
    changes, code = SHAPES[name]
    world = busy()
    cursor = world.state.cursors.need(ETH)
    given = dict(changes)
    for field in ("first", "last"):
        if field in given:
            given[field] += cursor.position
    if "blocks" in given:
        given["blocks"] = tuple(block(cursor.position + p, cursor.height + h) for p, h in given["blocks"])
    assert scan(world, **given) == code


def test_a_block_hash_comes_only_once() -> None:
    """Two blocks of one hash would make the table of recent blocks contradict itself hundreds of blocks later."""
    world = busy()
    cursor = world.state.cursors.need(ETH)
    twice = (block(cursor.position + 1, cursor.height + 1, "x"), block(cursor.position + 2, cursor.height + 2, "x"))
    assert scan(world, blocks=twice, last=cursor.position + 2) == "scan_disordered"
    assert scan(world, blocks=(block(cursor.position + 1, cursor.height + 1, cursor.hash),)) == "scan_disordered"


def test_recent_blocks_are_kept_and_older_ones_forgotten() -> None:
    world = busy()
    first = world.state.cursors.need(ETH)
    world.advance(ETH, RECENT_BLOCKS - 1)
    assert world.state.blocks.get(ETH, first.hash) == first.height
    world.advance(ETH, 1)
    assert world.state.blocks.get(ETH, first.hash) is None
    kept = [key for key, _ in world.state.heights.rows() if key[0] == ETH]
    assert len(kept) == RECENT_BLOCKS
    world.advance(ETH, 3 * RECENT_BLOCKS)
    assert len([key for key, _ in world.state.blocks.rows() if key[0] == ETH]) == RECENT_BLOCKS


# --- facts that contradict one another

DISORDERED: dict[str, dict[str, Any]] = {
    "an address that is not ours": {"deposits": [deposit("t", "theirs", USDC, 50)]},
    "a token that is not listed": {"deposits": [deposit("t", ALICE, "0xfake", 50)]},
    "a deposit at a wallet": {"deposits": [deposit("t", HOT, USDC, 50)]},
    "a deposit of nothing": {"deposits": [deposit("t", ALICE, USDC, 0)]},
    "a negative deposit": {"deposits": [deposit("t", ALICE, USDC, -5)]},
    "a deposit that is no number": {"deposits": [deposit("t", ALICE, USDC, "1e3")]},
    "a movement of nothing": {"movements": [movement("t", HOT, USDC, 0)]},
    "a movement that is no number": {"movements": [movement("t", HOT, USDC, "+5")]},
    "a deposit told twice": {"deposits": [deposit("t", ALICE, USDC, 50)] * 2},
    "one id for two addresses": {"deposits": [deposit("t", ALICE, USDC, 50), deposit("t", f"bob@{ETH}", USDC, 50)]},
    "one id for two tokens": {"deposits": [deposit("t", ALICE, USDC, 50), deposit("t", ALICE, NATIVE, 50)]},
    "a movement told twice": {"movements": [movement("t", HOT, USDC, 50)] * 2},
    "a gain as deposit and movement": {
        "deposits": [deposit("t", ALICE, USDC, 50)],
        "movements": [movement("t", ALICE, USDC, 50)],
    },
    "a fact beyond the blocks": {"deposits": [at(10_000, deposit("t", ALICE, USDC, 50))]},
    "one transaction in two blocks": {
        "count": 2,
        "deposits": [deposit("t", ALICE, USDC, 50)],
        "movements": [at(-1, movement("t", HOT, USDC, 50, "log:1"))],
    },
}


@pytest.mark.parametrize("name", DISORDERED)
def test_a_range_that_contradicts_itself_is_refused(name: str) -> None:
    world = busy()
    fields = world.range(ETH, **DISORDERED[name])
    fields["movements"] = tuple(
        replace(item, position=fields["last"]) if item.position == -1 else item for item in fields["movements"]
    )
    assert world.say("watcher", tx.ChainScanned, **fields) == "scan_disordered"


def test_an_outcome_is_told_once_by_a_sender_of_ours_in_whole_numbers() -> None:
    world = busy()
    world.request("w")
    out = world.outcome(world.prepare(ETH, world.payment("w")))
    paid = (tx.ScannedPaid(recipient="x", token=USDC, amount="-1"),)
    for wrong in ([out, out], [replace(out, sender="theirs")], [replace(out, fee="-1")], [replace(out, paid=paid)]):
        assert scan(world, outcomes=wrong) == "scan_disordered"


@pytest.mark.parametrize("name", ["with:colon", "", "with blank", "x" * 101, "ünïcode"])
def test_a_transaction_has_a_plain_name(name: str) -> None:
    """Deposit ids and holds are made of it: a colon would make two ids one, and a hold by such a name could not be
    lifted."""
    world = busy()
    assert scan(world, deposits=[deposit(name, ALICE, USDC, 50)]) == "identifier_malformed"
    assert scan(world, movements=[movement(name, HOT, USDC, 50)]) == "identifier_malformed"


def test_the_books_stop_at_their_bound_by_a_refusal() -> None:
    """An integer that a chain may hold grows when it is scaled to a finer unit, and sums grow anyhow."""
    world = busy()
    most = (1 << 127) - 1
    assert scan(world, deposits=[deposit("t", ALICE, USDC, most)]) == "amount_too_large"
    assert scan(world, deposits=[deposit("t", ALICE, USDC, most + 1)]) == "scan_disordered"
    bsc = world.range(BSC, deposits=[deposit("t", f"alice@{BSC}", NATIVE, most - 10**7)])
    assert world.say("watcher", tx.ChainScanned, **bsc) == "ok"
    again = world.range(BSC, deposits=[deposit("u", f"alice@{BSC}", NATIVE, most // 2)])
    assert world.say("watcher", tx.ChainScanned, **again) == "amount_too_large"


# --- what a range comes to


def test_a_deposit_is_recorded_and_credited_at_once() -> None:
    world = busy()
    before = world.available("bob")
    world.pay_in("bob", ETH, USDC, 25)
    assert world.available("bob") == before + 25 * 10**12
    assert str(world.state.deposits.need(f"{ETH}:in-{world.state.cursors.need(ETH).position - 1}:native").state) == (
        "credited"
    )


def test_one_asset_on_three_chains_counts_in_its_finest_unit() -> None:
    world = busy()
    before = world.available("bob")
    for chain in (ETH, SOL, BSC):
        world.pay_in("bob", chain, TOKEN[chain], 11)
    assert world.available("bob") - before == 11 * 10**12 + 11 * 10**12 + 11


def test_several_deposits_in_one_transaction_are_several_credits() -> None:
    world = busy()
    events = world.scan(
        ETH,
        deposits=[
            deposit("t", ALICE, USDC, 20, "log:1"),
            deposit("t", ALICE, USDC, 20, "log:2"),
            deposit("t", f"bob@{ETH}", NATIVE, 30, "native"),
        ],
    )
    assert [type(event).__name__ for event in events].count("DepositCredited") == 3


@pytest.mark.parametrize(("raw", "state"), [(9, "below_minimum"), (10, "credited")])
def test_the_minimum_is_the_smallest_that_is_credited(raw: int, state: str) -> None:
    world = busy()
    before = world.state.balance("USDC", suspense(ETH))
    world.pay_in("bob", ETH, USDC, raw, "dust")
    row = world.state.deposits.need(f"{ETH}:dust:native")
    assert str(row.state) == state
    assert world.state.balance("USDC", suspense(ETH)) - before == (9 * 10**12 if raw == 9 else 0)


def test_a_deposit_reported_again_is_not_credited_again_and_holds_the_chain() -> None:
    world = busy()
    world.pay_in("bob", ETH, USDC, 500, "t")
    before = world.available("bob")
    events = world.scan(ETH, deposits=[deposit("t", f"bob@{ETH}", USDC, 500), deposit("u", f"bob@{ETH}", USDC, 77)])
    assert world.available("bob") == before
    assert "DepositCredited" not in [type(event).__name__ for event in events]
    assert world.holds() == [f"auto:integrity:{ETH}:t"]
    assert "recorded before" in world.state.holds.need(f"auto:integrity:{ETH}:t").reason


def test_a_receipt_reported_again_while_it_is_open_holds_the_chain() -> None:
    world = busy()
    world.scan(ETH, movements=[movement("t", HOT, USDC, 500)])
    world.scan(ETH, movements=[movement("t", HOT, USDC, 500)])
    assert world.holds() == [f"auto:integrity:{ETH}:t"]
    assert world.state.surplus.need(ETH, "t", "native").amount == 500 * 10**12


def test_an_unexplained_receipt_waits_by_name_until_it_is_attributed() -> None:
    world = busy()
    capital = world.state.balance("USDC", HOUSE_CAPITAL)
    world.scan(ETH, movements=[movement("t", HOT, USDC, 500)])
    assert world.state.balance("USDC", suspense(ETH)) == 500 * 10**12
    world.admins(tx.TreasuryFunded, chain=ETH, tx="t", ordinal="native")
    assert world.state.balance("USDC", suspense(ETH)) == 0
    assert world.state.balance("USDC", HOUSE_CAPITAL) == capital + 500 * 10**12
    assert world.say("admin-3", tx.TreasuryFunded, chain=ETH, tx="t", ordinal="native") == "unknown_receipt"


def test_a_receipt_is_never_named_for_more_than_what_came_in() -> None:
    """Money of ours that comes back within the same transaction is no receipt."""
    world = busy()
    world.scan(
        ETH,
        movements=[
            movement("t", HOT, USDC, 500, "log:0"),
            movement("t", ALICE, USDC, -200, "log:1"),
            movement("t", HOT, USDC, 5, "log:2"),
        ],
    )
    assert world.state.surplus.need(ETH, "t", "log:0").amount == 305 * 10**12
    assert world.state.surplus.get(ETH, "t", "log:2") is None
    assert world.state.balance("USDC", suspense(ETH)) == 305 * 10**12
    assert world.holds() == []


def test_assets_do_not_make_up_for_one_another() -> None:
    """An equal number of units of another asset explains nothing."""
    world = busy()
    world.scan(ETH, movements=[movement("t", HOT, USDC, 1), movement("t", HOT, NATIVE, -(10**3), "fee")])
    assert world.holds() == [f"auto:integrity:{ETH}:t"]
    assert world.state.surplus.need(ETH, "t", "native").amount == 10**12


def test_money_that_leaves_without_an_attempt_holds_the_chain_and_nothing_of_the_scan_is_credited() -> None:
    world = busy()
    before = world.available("bob")
    world.scan(
        ETH,
        count=2,
        movements=[movement("stolen", HOT, USDC, -300)],
        deposits=[deposit("after", f"bob@{ETH}", USDC, 400)],
    )
    row = world.state.holds.need(f"auto:integrity:{ETH}:stolen")
    assert (row.origin, row.cause, row.direction, row.chain) == ("auto", "integrity", "all", ETH)
    assert world.state.balance("USDC", suspense(ETH)) == -300 * 10**12
    assert world.available("bob") == before
    assert world.state.balance("USDC", PENDING) == 400 * 10**12
    world.pay_in("bob", SOL, TOKEN[SOL], 10)
    assert world.available("bob") == before + 10 * 10**12, "another chain goes on"
    assert world.lift(f"auto:integrity:{ETH}:stolen", by="relay") == "hold_not_yours"
    assert world.lift(f"auto:integrity:{ETH}:stolen") == "ok"
    assert world.available("bob") == before + 410 * 10**12


def test_a_thief_who_deposits_what_he_takes_is_seen() -> None:
    world = busy()
    world.scan(
        ETH,
        movements=[movement("t", HOT, USDC, -300)],
        deposits=[deposit("t", f"bob@{ETH}", USDC, 300)],
    )
    assert world.holds() == [f"auto:integrity:{ETH}:t"]


def test_the_two_books_agree_on_every_chain() -> None:
    world = busy()
    world.pay_in("bob", ETH, USDC, 3)
    world.scan(ETH, movements=[movement("t", HOT, USDC, -1)])
    for chain, line in statements(world.state):
        assert line.difference == 0
        assert line.owed == -world.state.balance(line.asset, external(chain))


def test_blocks_are_taken_in_the_order_of_the_chain_whatever_the_order_of_the_lists() -> None:
    world = busy()
    fields = world.range(ETH, count=3)
    first = fields["first"]
    late = replace(deposit("late", ALICE, USDC, 20), position=first + 2)
    early = replace(deposit("early", ALICE, USDC, 20), position=first)
    world.ok("watcher", tx.ChainScanned, **{**fields, "deposits": (late, early)})
    orders = {name: world.state.deposits.need(f"{ETH}:{name}:native").order for name in ("early", "late")}
    assert orders["early"] < orders["late"]
    assert world.state.cursors.need(ETH).hash == block_hash(ETH, first + 2)
