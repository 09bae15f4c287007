"""Two-phase money: what a request holds, what policy says to it, and how a call-off gives it back."""

from __future__ import annotations

from typing import Any

import pytest

from custody.ledger import transactions as tx
from tests.custody.ledger.world import BSC, DAY, ETH, SOL, START, World, busy

CENT = 10**16
"""A hundredth of a USDC, in its unit."""


def approve(world: World, name: str = "w") -> str:
    return world.say("operator", tx.WithdrawalApproved, id=name)


def cancel(world: World, name: str = "w", by: str = "payouts") -> str:
    return world.say(by, tx.WithdrawalCancelled, id=name, reason="changed my mind")


def test_a_request_holds_its_amount() -> None:
    world = busy()
    before = world.available("alice")
    assert world.request("w") == "ok"
    assert (world.available("alice"), world.held("alice")) == (before - 10**14, 10**14)
    assert world.withdrawal("w") == "queued"


def test_the_same_request_again_is_done_already_and_another_one_is_a_conflict() -> None:
    world = busy()
    world.request("w")
    held = world.held("alice")
    assert world.request("w") == "ok"
    assert world.held("alice") == held
    for change in ({"to": "x"}, {"amount": str(10**13)}, {"chain": SOL}, {"create_account": True}, {"account": "bob"}):
        assert world.request("w", **change) == "id_conflict"
    assert cancel(world) == "ok"
    assert world.request("w") == "ok", "done already, whatever became of it"
    assert world.withdrawal("w") == "cancelled"


def test_all_of_a_balance_can_be_asked_for_and_not_a_unit_more() -> None:
    world = busy()
    all_of_it = world.available("alice", "ETH")
    assert world.request("more", asset="ETH", amount=str(all_of_it + 1)) == "insufficient_balance"
    assert world.request("all", asset="ETH", amount=str(all_of_it)) == "ok"
    assert world.request("again", asset="ETH", amount="1") == "insufficient_balance"


@pytest.mark.parametrize(
    ("chain", "amount", "code"),
    [
        (ETH, 10**12, "ok"),
        (ETH, 10**12 + 1, "amount_not_representable"),
        (ETH, 10**11, "amount_not_representable"),
        (SOL, 10**12 - 1, "amount_not_representable"),
        (BSC, 1, "ok"),
        (BSC, 10**12 + 1, "ok"),
    ],
)
def test_what_a_chain_can_not_represent_is_refused_and_never_rounded(chain: str, amount: int, code: str) -> None:
    world = busy()
    assert world.request("w", chain=chain, amount=str(amount)) == code


def test_what_came_in_on_one_chain_may_leave_on_another() -> None:
    world = busy()
    world.pay_in("bob", SOL, "USDCmint", 40)
    assert world.request("w", "bob", chain=BSC, amount=str(40 * 10**12)) == "ok"
    world.land(world.prepare(BSC, world.payment("w")))
    assert world.available("bob") == 0
    assert world.withdrawal("w") == "settled"


# --- policy


def test_a_threshold_asks_a_person() -> None:
    world = busy()
    world.parameter("approval_above", "USDC", 10**14)
    world.request("at", amount=str(10**14))
    world.request("above", amount=str(10**14 + 10**12))
    assert (world.withdrawal("at"), world.withdrawal("above")) == ("queued", "awaiting_approval")
    assert world.say("composer", tx.AttemptPrepared, **world.attempt(ETH, world.payment("above"))) == (
        "withdrawal_not_queued"
    )
    assert approve(world, "above") == "ok"
    assert world.withdrawal("above") == "queued"
    assert world.state.withdrawals.need("above").reason == "approved by operator"
    assert approve(world, "above") == "withdrawal_not_waiting"


def test_the_daily_limit_begins_anew_at_midnight_utc() -> None:
    world = busy()
    world.parameter("limit_daily", "USDC", 3 * CENT)
    world.now = START // DAY * DAY + DAY - 1
    assert world.request("one", amount=str(2 * CENT)) == "ok"
    assert world.request("two", amount=str(2 * CENT)) == "limit_daily"
    assert world.request("three", amount=str(CENT)) == "ok"
    assert world.request("four", amount=str(10**12)) == "limit_daily"
    world.now += 1
    assert world.request("five", amount=str(3 * CENT)) == "ok"
    assert world.request("six", amount=str(10**12)) == "limit_daily"


def test_the_daily_limit_is_each_accounts_and_each_assets_own() -> None:
    world = busy()
    world.pay_in("bob", ETH, "0xUSDC", 10**6)
    world.parameter("limit_daily", "USDC", 10**14)
    assert world.request("a") == "ok"
    assert world.request("b", "bob") == "ok"
    assert world.request("c", asset="ETH", amount="50") == "ok"
    assert world.request("d", amount=str(10**12)) == "limit_daily"


def test_what_was_asked_for_counts_whatever_became_of_it() -> None:
    world = busy()
    world.parameter("limit_daily", "USDC", 10**14)
    world.request("w")
    cancel(world)
    assert world.request("again", amount=str(10**12)) == "limit_daily"


def test_what_was_refused_counts_for_nothing() -> None:
    world = busy()
    world.parameter("limit_daily", "ETH", 10**9)
    assert world.request("much", asset="ETH", amount=str(10**8)) == "insufficient_balance"
    assert world.request("w", asset="ETH", amount=str(10**6)) == "ok"


# --- to an address of ours


def test_to_a_users_address_it_is_a_transfer() -> None:
    world = busy()
    before = world.available("alice")
    assert world.request("w", to=f"bob@{ETH}") == "ok"
    assert world.withdrawal("w") == "settled"
    assert (world.available("alice"), world.held("alice"), world.available("bob")) == (before - 10**14, 0, 10**14)
    assert len(world.state.open_withdrawals) == 0
    assert cancel(world) == "withdrawal_not_waiting"


def test_to_ones_own_address_nothing_moves() -> None:
    world = busy()
    before = world.available("alice")
    assert world.request("w", to=f"alice@{ETH}") == "ok"
    assert world.available("alice") == before


def test_an_address_of_another_chain_is_a_strangers() -> None:
    world = busy()
    assert world.request("w", chain=ETH, to=f"bob@{SOL}") == "ok"
    assert world.withdrawal("w") == "queued"


def test_above_the_threshold_the_transfer_waits_for_a_person() -> None:
    world = busy()
    world.parameter("approval_above", "USDC", 1)
    world.request("w", to=f"bob@{ETH}")
    assert (world.withdrawal("w"), world.available("bob"), world.held("alice")) == ("awaiting_approval", 0, 10**14)
    assert approve(world) == "ok"
    assert (world.withdrawal("w"), world.available("bob"), world.held("alice")) == ("settled", 10**14, 0)


@pytest.mark.parametrize(
    ("hold", "shut"),
    [
        ({}, True),
        ({"direction": "withdrawals"}, True),
        ({"direction": "transfers"}, True),
        ({"direction": "both"}, True),
        ({"direction": "deposits"}, False),
        ({"account": "alice", "direction": "withdrawals"}, True),
        ({"account": "bob", "direction": "withdrawals"}, False),
        ({"account": "bob", "direction": "transfers"}, True),
        ({"account": "carol"}, False),
        ({"chain": ETH, "direction": "withdrawals"}, True),
        ({"chain": SOL}, False),
        ({"asset": "USDC"}, True),
        ({"asset": "ETH"}, False),
    ],
    ids=str,
)
def test_no_hold_leaves_this_door_open(hold: dict[str, Any], shut: bool) -> None:
    """A locked account must not empty itself into another one's deposit address."""
    world = busy()
    world.parameter("approval_above", "USDC", 10**14)
    world.request("waits", to=f"bob@{ETH}", amount=str(2 * 10**14))
    assert world.hold("h", **hold) == "ok"
    assert world.request("w", to=f"bob@{ETH}") == ("held" if shut else "ok")
    assert approve(world, "waits") == ("held" if shut else "ok")
    assert world.request("out") == "ok", "any other request is accepted and waits"
    assert world.withdrawal("out") == "queued"


def test_a_recipient_that_became_a_wallet_of_the_house_is_not_approved() -> None:
    world = busy()
    world.parameter("approval_above", "USDC", 1)
    world.request("w", to="later")
    world.attest(ETH, "later", "gas")
    assert approve(world) == "recipient_is_ours"
    assert cancel(world, by="operator") == "ok"


# --- calling off


def test_a_call_off_gives_back_what_was_held() -> None:
    world = busy()
    before = world.available("alice")
    world.request("w")
    assert cancel(world) == "ok"
    assert (world.available("alice"), world.held("alice")) == (before, 0)
    assert world.state.withdrawals.need("w").reason == "changed my mind"
    assert cancel(world) == "withdrawal_not_waiting"
    assert world.say("composer", tx.AttemptPrepared, **world.attempt(ETH, world.payment("w"))) == (
        "withdrawal_not_queued"
    )


def test_with_an_attempt_only_the_chain_decides() -> None:
    world = busy()
    world.request("w")
    world.prepare(ETH, world.payment("w"))
    assert cancel(world, by="operator") == "withdrawal_not_waiting"
    assert cancel(world, "other") == "unknown_withdrawal"


def test_open_withdrawals_are_listed_in_the_order_of_their_requests() -> None:
    world = busy()
    for name in ("c", "a", "b"):
        world.request(name, amount=str(10**12))
    assert [name for _, name in world.state.open_withdrawals.rows()] == ["c", "a", "b"]
    cancel(world, "a")
    assert [name for _, name in world.state.open_withdrawals.rows()] == ["c", "b"]
