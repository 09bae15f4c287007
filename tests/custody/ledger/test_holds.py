"""Pauses: what stops what, who may set and lift them, and that nothing is lost while they last."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from custody.ledger.deposits import RELEASE_LIMIT, release
from custody.ledger.holds import (
    AUTO_CAUSES,
    AUTO_LIFTED,
    DIRECTIONS,
    OPERATOR_CAUSES,
    Scope,
    in_force,
    matches,
    stopping,
)
from custody.ledger.identifiers import PENDING
from custody.ledger.state import Hold
from tests.custody.ledger.world import BSC, ETH, NATIVE, SOL, TOKEN, World, busy, deposit

COVERED = {
    "deposits": {"deposits"},
    "withdrawals": {"withdrawals"},
    "both": {"deposits", "withdrawals"},
    "transfers": {"transfers"},
    "all": {"deposits", "withdrawals", "transfers"},
}
FIELDS = ("chain", "asset", "account", "wallet")


def hold_of(**fields: str) -> Hold:
    given: dict[str, Any] = {
        **dict.fromkeys(("chain", "asset", "account", "wallet", "provider"), ""),
        "direction": "all",
        "origin": "operator",
        "cause": "pause",
        "reason": "r",
        "actor": "a",
        "since": 0,
        "until": 0,
        **fields,
    }
    return Hold(**given)


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("wanted", ["deposits", "withdrawals", "transfers"])
def test_each_direction_stops_what_it_names(direction: str, wanted: str) -> None:
    assert matches(hold_of(direction=direction), Scope(direction=wanted)) is (wanted in COVERED[direction])


@pytest.mark.parametrize("named", [set(s) for n in range(5) for s in itertools.combinations(FIELDS, n)], ids=str)
def test_every_named_scope_must_fit(named: set[str]) -> None:
    """A hold stops a thing when each field it names is the thing's own: all sixteen scopes, each field right or not."""
    hold = hold_of(**dict.fromkeys(named, "mine"))
    assert matches(hold, Scope(direction="deposits", **dict.fromkeys(FIELDS, "mine")))
    for wrong in FIELDS:
        other = Scope(direction="deposits", **{name: "mine" if name != wrong else "other" for name in FIELDS})
        assert matches(hold, other) is (wrong not in named)
        absent = Scope(direction="deposits", **{name: "mine" if name != wrong else "" for name in FIELDS})
        assert matches(hold, absent) is (wrong not in named)


def test_a_cordon_stops_no_money() -> None:
    assert not matches(hold_of(provider="p1"), Scope(direction="deposits"))


@pytest.mark.parametrize("cause", ["cordon", "integrity"])
def test_under_a_cordon_deposits_are_credited_withdrawals_queued_and_transfers_booked(cause: str) -> None:
    world = busy()
    origin = "operator" if cause == "cordon" else "auto"
    assert world.hold("h", chain=ETH, provider="p1", cause=cause, origin=origin) == "ok"
    world.pay_in("bob", ETH, TOKEN[ETH], 50)
    assert world.available("bob") == 50 * 10**12
    assert stopping(in_force(world.state), Scope(direction="withdrawals", chain=ETH, asset="USDC")) == ()
    assert stopping(in_force(world.state), Scope(direction="transfers", asset="USDC")) == ()
    assert world.lift("h") == "ok"


@pytest.mark.parametrize(
    "scope",
    [
        {"provider": "p1"},
        {"provider": "p1", "chain": ETH, "asset": "USDC"},
        {"provider": "p1", "chain": ETH, "account": "bob"},
        {"provider": "p1", "chain": ETH, "wallet": "0xhot"},
        {"chain": ETH},
        {},
    ],
    ids=str,
)
def test_a_cordon_names_one_provider_of_one_chain_and_nothing_else(scope: dict[str, str]) -> None:
    """Else it would be taken for a pause that it isn't, or be one that nobody meant."""
    world = busy()
    assert world.hold("h", cause="cordon", **scope) == "payload_malformed"
    assert len(world.state.holds) == 0


def test_a_cordon_of_an_unknown_chain_is_refused() -> None:
    world = busy()
    assert world.hold("h", cause="cordon", chain="dogechain", provider="p1") == "unknown_chain"


# --- deposits wait and lose nothing


@pytest.mark.parametrize(
    ("hold", "waits"),
    [
        ({}, True),
        ({"direction": "deposits"}, True),
        ({"direction": "both"}, True),
        ({"direction": "withdrawals"}, False),
        ({"direction": "transfers"}, False),
        ({"chain": ETH}, True),
        ({"chain": SOL}, False),
        ({"asset": "USDC"}, True),
        ({"asset": "ETH"}, False),
        ({"account": "bob"}, True),
        ({"account": "alice"}, False),
        ({"wallet": f"bob@{ETH}"}, True),
        ({"wallet": f"alice@{ETH}"}, False),
        ({"chain": ETH, "asset": "USDC", "account": "bob"}, True),
        ({"chain": ETH, "asset": "ETH", "account": "bob"}, False),
    ],
    ids=str,
)
def test_a_held_deposit_is_recorded_and_credited_once_when_the_hold_is_lifted(
    hold: dict[str, str], waits: bool
) -> None:
    world = busy()
    assert world.hold("h", **hold) == "ok"
    world.pay_in("bob", ETH, TOKEN[ETH], 50, "t")
    row = world.state.deposits.need(f"{ETH}:t:native")
    assert str(row.state) == ("recorded" if waits else "credited")
    assert world.available("bob") == (0 if waits else 50 * 10**12)
    assert world.state.balance("USDC", PENDING) == (50 * 10**12 if waits else 0)
    world.advance(ETH, 3)
    assert world.available("bob") == (0 if waits else 50 * 10**12)
    assert world.lift("h") == "ok"
    assert world.available("bob") == 50 * 10**12
    world.advance(ETH, 1)
    assert world.available("bob") == 50 * 10**12
    assert world.state.waiting == {}


def test_while_two_holds_stop_it_lifting_one_is_not_enough() -> None:
    world = busy()
    world.hold("one", chain=ETH)
    world.hold("two", account="bob")
    world.pay_in("bob", ETH, TOKEN[ETH], 50)
    world.lift("one")
    assert world.available("bob") == 0
    world.lift("two")
    assert world.available("bob") == 50 * 10**12


def flood(world: World, count: int) -> None:
    """So many deposits of 10 raw units to Bob, alternating between two assets."""
    for start in range(0, count, 300):
        batch = range(start, min(start + 300, count))
        world.scan(
            ETH,
            deposits=[deposit(f"t{n}", f"bob@{ETH}", (TOKEN[ETH], NATIVE)[n % 2], 10) for n in batch],
        )


def credited(world: World, first: int = 0) -> list[int]:
    """Which of the flood were credited since a block, in order."""
    return [
        int(event.deposit.split(":")[1][1:])  # type: ignore[attr-defined]  # only DepositCredited come here
        for item in world.executed[first:]
        for event in item.events()
        if type(event).__name__ == "DepositCredited"
    ]


def test_a_long_pause_is_released_in_order_and_in_parts() -> None:
    world = busy()
    world.hold("h", direction="deposits")
    count = 2 * RELEASE_LIMIT + 100
    flood(world, count)
    before = len(world.executed)
    assert world.lift("h") == "ok"
    assert credited(world, before) == list(range(RELEASE_LIMIT))
    world.advance(SOL, 1)
    assert credited(world, before) == list(range(2 * RELEASE_LIMIT)), "the next scan of any chain goes on"
    world.pay_in("bob", BSC, TOKEN[BSC], 10, "t9999")
    assert credited(world, before) == [*range(count), 9999], "what is newer comes after what waited"
    assert world.available("bob", "ETH") == count // 2 * 10
    assert len(world.state.pending) == 0


def test_who_is_held_does_not_hold_up_the_others() -> None:
    world = busy()
    world.hold("all", direction="deposits")
    flood(world, RELEASE_LIMIT + 50)
    world.scan(ETH, deposits=[deposit("t8888", f"alice@{ETH}", TOKEN[ETH], 10)])
    world.hold("bob", account="bob")
    before = len(world.executed)
    world.lift("all")
    assert credited(world, before) == [8888]
    assert len(world.state.pending) == RELEASE_LIMIT + 50


def test_a_held_chains_queue_is_not_even_looked_at() -> None:
    """However long it is. Here its only row names a deposit that is nowhere: to look is to fail."""
    state = busy().state
    state.waiting[ETH, "USDC"] = {1: "nowhere"}
    assert release(state, [("h", hold_of(chain=ETH, asset="USDC"))]) == ()
    with pytest.raises(KeyError):
        release(state, [("h", hold_of(account="alice"))])


# --- who may set and lift


@pytest.mark.parametrize("cause", AUTO_CAUSES)
def test_automatic_code_lifts_only_what_ends_by_itself(cause: str) -> None:
    world = busy()
    assert world.hold("h", origin="auto", cause=cause) == "ok"
    assert world.lift("h", by="relay") == ("ok" if cause in AUTO_LIFTED else "hold_not_yours")


@pytest.mark.parametrize("cause", OPERATOR_CAUSES)
def test_automatic_code_never_lifts_what_a_person_set(cause: str) -> None:
    world = busy()
    for name, by in (("theirs", "operator"), ("by-socket", "relay")):
        scope = {"chain": ETH, "provider": "p"} if cause == "cordon" else {}
        assert world.hold(name, by=by, cause=cause, **scope) == "ok"
        assert world.lift(name, by="relay") == "hold_not_yours"
        assert world.lift(name) == "ok"


def test_an_operators_key_lifts_any_hold() -> None:
    world = busy()
    for cause in AUTO_CAUSES:
        world.hold(cause, origin="auto", cause=cause)
        assert world.lift(cause) == "ok"


def test_an_expired_hold_ends_by_a_transaction_and_not_by_the_clock() -> None:
    world = busy()
    world.hold("h", until=world.now + 1000)
    assert world.lift("h", by="relay") == "hold_not_yours"
    world.now += 999
    assert world.lift("h", by="relay") == "hold_not_yours"
    world.now += 1
    world.pay_in("bob", ETH, TOKEN[ETH], 50)
    assert world.available("bob") == 0, "until somebody says so"
    assert world.lift("h", by="relay") == "ok"
    assert world.available("bob") == 50 * 10**12


def test_only_the_relay_speaks_for_automatic_code_and_an_operator_for_himself() -> None:
    world = busy()
    assert world.hold("h", by="operator", origin="auto", cause="integrity") == "hold_not_yours"
    assert world.hold("h", by="operator", actor="somebody-else") == "hold_not_yours"
    assert world.hold("h", by="operator") == "ok"
    for name in ("watcher", "payouts", "engine", "admin-1"):
        assert world.hold("g", by=name) == "role_may_not"


@pytest.mark.parametrize(
    "change",
    [
        {"direction": "sideways"},
        {"origin": "nobody"},
        {"cause": "mood"},
        {"origin": "auto", "cause": "pause"},
        {"origin": "operator", "cause": "integrity"},
    ],
)
def test_a_hold_says_which_and_why(change: dict[str, str]) -> None:
    assert busy().hold("h", **change) == "payload_malformed"


@pytest.mark.parametrize("reason", ["", " ", "\t\n"])
def test_a_hold_needs_a_reason(reason: str) -> None:
    assert busy().hold("h", reason=reason) == "field_out_of_bounds"


def test_a_hold_is_for_something_that_exists() -> None:
    world = busy()
    assert world.hold("h", chain="nowhere") == "unknown_chain"
    assert world.hold("h", asset="NONE") == "unknown_asset"


def test_an_id_names_one_hold_for_ever() -> None:
    world = busy()
    assert world.hold("h") == "ok"
    assert world.hold("h") == "ok", "said twice is said once"
    assert world.hold("h", reason="another") == "id_conflict"
    assert world.lift("h") == "ok"
    assert world.lift("h") == "ok", "lifted already"
    assert world.hold("h") == "ok"
    assert world.holds() == [], "an old id does not hold anew"
    assert world.hold("h", reason="another") == "id_conflict"
    assert world.lift("never") == "unknown_hold"


def test_an_automatic_name_is_for_the_automatic_hold_it_names() -> None:
    """Who could take such an id beforehand could keep the ledger, or the relay, from setting its hold."""
    world = busy()
    squatted = f"auto:reconciliation:{ETH}:USDC:999"
    assert world.hold(squatted) == "hold_not_yours"
    assert world.hold(squatted, origin="auto", cause="reconciliation") == "hold_not_yours"
    assert world.hold("auto:integrity:x", origin="auto", cause="provider") == "hold_not_yours"
    assert world.hold("auto:provider:x", origin="auto", cause="provider", chain=ETH) == "ok"
