"""The wallet book against the chain at one position: equal, more, less; and receipts that were the owner's."""

from __future__ import annotations

import pytest

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.identifiers import suspense
from tests.custody.ledger.world import ETH, NATIVE, SOL, TOKEN, World, busy

HOT = f"hot@{ETH}"


def observe(world: World, *rows: tuple[str, str, int | str], chain: str = ETH, position: int | None = None) -> str:
    at = world.state.cursors.need(chain).position if position is None else position
    balances = tuple(tx.ObservedBalance(address=a, token=t, amount=str(raw)) for a, t, raw in rows)
    return world.say("watcher", tx.BalancesObserved, chain=chain, position=at, balances=balances)


def test_equal_balances_are_noted() -> None:
    world = busy()
    at = world.state.cursors.need(ETH).position
    rows = (tx.ObservedBalance(address=HOT, token=TOKEN[ETH], amount=str(10**6)),)
    (agreed,) = world.ok("watcher", tx.BalancesObserved, chain=ETH, position=at, balances=rows)
    assert isinstance(agreed, ev.BalancesAgreed)
    assert (agreed.position, agreed.addresses) == (at, 1)
    assert world.state.agreed.need(ETH) == at


def test_a_surplus_goes_to_suspense_and_may_turn_out_to_be_the_owners() -> None:
    world = busy()
    at = world.state.cursors.need(ETH).position
    assert observe(world, (HOT, TOKEN[ETH], 10**6 + 3), (f"bob@{ETH}", NATIVE, 2)) == "ok"
    assert world.state.wallets.need(ETH, HOT, TOKEN[ETH]) == 10**6 + 3
    assert world.state.balance("USDC", suspense(ETH)) == 3 * 10**12
    assert world.state.balance("ETH", suspense(ETH)) == 2
    assert world.holds() == []
    name = f"balance:{HOT}:{TOKEN[ETH]}"
    world.admins(tx.TreasuryFunded, chain=ETH, tx=f"position:{at}", ordinal=name)
    assert world.state.balance("USDC", suspense(ETH)) == 0


def test_two_surpluses_at_one_position_add_up() -> None:
    world = busy()
    at = world.state.cursors.need(ETH).position
    observe(world, (HOT, NATIVE, 10**6 + 3))
    observe(world, (HOT, NATIVE, 10**6 + 5))
    assert world.state.surplus.need(ETH, f"position:{at}", f"balance:{HOT}:native").amount == 5
    assert world.state.balance("ETH", suspense(ETH)) == 5


def test_a_deficit_of_one_unit_holds_the_assets_withdrawals_there() -> None:
    world = busy()
    at = world.state.cursors.need(ETH).position
    assert observe(world, (HOT, TOKEN[ETH], 10**6 - 1)) == "ok"
    (name,) = world.holds()
    hold = world.state.holds.need(name)
    assert name == f"auto:reconciliation:{ETH}:USDC:{at}"
    assert (hold.chain, hold.asset, hold.direction, hold.cause) == (ETH, "USDC", "withdrawals", "reconciliation")
    assert world.state.wallets.need(ETH, HOT, TOKEN[ETH]) == 10**6, "the book is not bent to the chain"
    world.request("w")
    assert world.say("composer", tx.AttemptPrepared, **world.attempt(ETH, world.payment("w"))) == "held"
    world.request("s", chain=SOL)
    assert world.say("composer", tx.AttemptPrepared, **world.attempt(SOL, world.payment("s"))) == "ok"
    assert world.lift(name, by="relay") == "hold_not_yours"


def test_however_many_addresses_are_short_it_is_one_hold_an_asset_and_names_the_first() -> None:
    world = busy()
    short = 10**6 - 1
    observe(world, (f"alice@{ETH}", TOKEN[ETH], short), (HOT, TOKEN[ETH], short), (HOT, NATIVE, short))
    assert [world.state.holds.need(name).asset for name in world.holds()] == ["ETH", "USDC"]
    assert f"alice@{ETH}" in world.state.holds.need(world.holds()[1]).reason
    observe(world, (HOT, TOKEN[ETH], short - 5))
    assert len(world.holds()) == 2, "the same position again is the same hold"
    assert f"alice@{ETH}" in world.state.holds.need(world.holds()[1]).reason


def test_a_lifted_deficit_that_persists_holds_again_at_the_next_position() -> None:
    world = busy()
    observe(world, (HOT, NATIVE, 1))
    (name,) = world.holds()
    world.lift(name)
    observe(world, (HOT, NATIVE, 1))
    assert world.holds() == []
    world.advance(ETH, 1)
    observe(world, (HOT, NATIVE, 1))
    assert len(world.holds()) == 1


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (((HOT, NATIVE, 10**6 + 1), (HOT, NATIVE, 10**6 + 1)), "scan_disordered"),
        (((HOT, NATIVE, 10**6 + 1), (HOT, NATIVE, 10**6 - 1)), "scan_disordered"),
        ((("theirs", NATIVE, 1),), "unknown_address"),
        (((HOT, "0xfake", 1),), "unknown_address"),
        (((HOT, NATIVE, -1),), "amount_malformed"),
        (((HOT, NATIVE, "٣"),), "amount_malformed"),
        (((HOT, TOKEN[ETH], (1 << 127) - 1),), "amount_too_large"),
    ],
)
def test_what_is_no_observation(rows: tuple[tuple[str, str, int | str], ...], code: str) -> None:
    assert observe(busy(), *rows) == code


@pytest.mark.parametrize("off", [-1, 1])
def test_balances_are_compared_only_at_the_cursors_own_position(off: int) -> None:
    world = busy()
    at = world.state.cursors.need(ETH).position + off
    assert observe(world, (HOT, NATIVE, 5), position=at) == "position_not_at_cursor"
    assert observe(world, chain="ethereum", position=at) == "position_not_at_cursor"


def test_nothing_observed_is_nothing_agreed() -> None:
    world = busy()
    at = world.state.cursors.need(ETH).position
    (agreed,) = world.ok("watcher", tx.BalancesObserved, chain=ETH, position=at, balances=())
    assert isinstance(agreed, ev.BalancesAgreed)
    assert agreed.addresses == 0
    nowhere = world.say("watcher", tx.BalancesObserved, chain="nowhere", position=at, balances=())
    assert nowhere == "unknown_chain"
