"""Keys, chains, assets and parameters: two admins saying exactly the same, and what even they can't do."""

from __future__ import annotations

from typing import Any

import pytest

from custody.envelope import envelopes
from custody.ledger import encoding, transition
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.transition import Result
from tests.custody.ledger.world import BSC, ETH, NATIVE, TOKEN, World, busy, genesis, key

WEAK = [
    ("01" + "00" * 31, "the identity"),
    ("00" * 32, "small order"),
    ("ec" + "ff" * 30 + "7f", "small order"),
    ("ee" + "ff" * 30 + "7f", "y above p"),
    ("02" + "00" * 31, "no point of the curve"),
]


def register(name: str, by: str, world: World, **changes: Any) -> str:
    fields = {"id": name, "public": key(name).public.hex(), "roles": (Role.WATCHER,), **changes}
    return world.say(by, tx.KeyRegistered, **fields)


# --- the quorum


def test_a_second_admin_endorses_by_saying_the_same() -> None:
    world = World()
    assert register("new", "admin-1", world) == "endorsed"
    assert world.state.keys.get("new") is None
    assert register("new", "admin-2", world) == "ok"
    assert world.state.keys.need("new").roles == (Role.WATCHER,)
    assert len(world.state.endorsed) == 0


def test_the_same_admin_twice_is_one_voice() -> None:
    world = World()
    assert register("new", "admin-1", world) == "endorsed"
    assert register("new", "admin-1", world) == "admin_endorsed_already"
    assert register("new", "admin-3", world) == "ok"


def test_anything_else_is_another_proposal() -> None:
    world = World()
    assert register("new", "admin-1", world) == "endorsed"
    assert register("new", "admin-2", world, roles=(Role.ADMIN,)) == "endorsed"
    assert world.state.keys.get("new") is None


def test_the_last_voice_is_judged_by_the_state_it_meets() -> None:
    world = World()
    assert register("new", "admin-1", world) == "endorsed"
    world.admins(tx.KeyRegistered, id="new", public=key("other").public.hex(), roles=())
    assert register("new", "admin-2", world) == "key_exists"


def test_a_revoked_admins_voice_does_not_count() -> None:
    world = World()
    assert register("new", "admin-3", world) == "endorsed"
    world.admins(tx.KeyRevoked, id="admin-3")
    assert register("new", "admin-1", world) == "endorsed", "one voice of two stands"
    assert world.state.keys.get("new") is None
    assert register("new", "admin-2", world) == "ok"


def test_one_admin_is_enough_where_the_genesis_says_so() -> None:
    world = World(quorum=1)
    assert register("new", "admin-1", world) == "ok"


def test_an_act_may_be_repeated_once_it_is_done() -> None:
    world = World()
    world.parameter("attempts", ETH, 2)
    world.parameter("attempts", ETH, 3)
    world.parameter("attempts", ETH, 2)
    assert world.state.parameter("attempts", ETH) == 2


# --- keys


def test_a_registered_key_speaks_and_a_revoked_one_does_not() -> None:
    world = World()
    world.admins(tx.KeyRegistered, id="new", public=key("new").public.hex(), roles=(Role.PAYOUTS,))
    world.keys["new"] = key("new")
    assert world.say("new", tx.AddressRequested, account="a", chain=ETH) == "ok"
    world.admins(tx.KeyRevoked, id="new")
    assert world.say("new", tx.AddressRequested, account="b", chain=ETH) == "key_revoked"
    assert register("new", "admin-1", world) == "key_exists", "its id is never used again"
    rotated = world.say("admin-1", tx.KeyRotated, id="new", public=key("other").public.hex())
    assert rotated == "key_revoked"
    world.admins(tx.KeyRevoked, id="new")


def test_a_rotated_key_keeps_its_roles_and_its_window() -> None:
    world = World()
    world.ok("payouts", tx.AddressRequested, account="a", chain=ETH)
    old = world.envelope("payouts", tx.AddressRequested, account="b", chain=ETH)
    world.admins(tx.KeyRotated, id="payouts", public=key("payouts", "2").public.hex())
    assert world.put(old) == [Rejection.SIGNATURE_WRONG]
    assert world.next("payouts") == 1
    world.keys["payouts"] = key("payouts", "2")
    assert world.say("payouts", tx.AddressRequested, account="b", chain=ETH) == "ok"


@pytest.mark.parametrize(("public", "why"), WEAK)
def test_weak_keys_are_refused(public: str, why: str) -> None:
    world = World()
    assert register("new", "admin-1", world, public=public) == "key_weak", why
    assert world.say("admin-1", tx.KeyRotated, id="watcher", public=public) == "key_weak"
    row = tx.KeyRow(id="new", public=public, roles=())
    assert transition.found(encoding.encode(genesis(keys=(*genesis().keys, row)))) is Rejection.KEY_WEAK


def test_a_public_key_belongs_to_one_id_for_ever() -> None:
    """Under a second id, everything the key ever said could be said again, and one admin could pass for two."""
    world = World()
    old = key("engine").public.hex()
    assert register("new", "admin-1", world, public=old) == "key_exists"
    assert world.say("admin-1", tx.KeyRotated, id="watcher", public=old) == "key_exists"
    world.admins(tx.KeyRotated, id="engine", public=key("engine", "2").public.hex())
    assert register("new", "admin-1", world, public=old) == "key_exists"
    world.admins(tx.KeyRotated, id="engine", public=old)
    double = (*genesis().keys, tx.KeyRow(id="admin-4", public=key("admin-1").public.hex(), roles=(Role.ADMIN,)))
    assert transition.found(encoding.encode(genesis(keys=double))) is Rejection.KEY_EXISTS


def test_the_ledger_keeps_its_quorum_of_admins_and_a_key_that_seals() -> None:
    world = World()
    world.admins(tx.KeyRevoked, id="admin-3")
    assert world.say("admin-1", tx.KeyRevoked, id="admin-2") == "last_admin"
    assert world.say("admin-1", tx.KeyRevoked, id="sequencer") == "last_admin"
    world.admins(tx.KeyRegistered, id="admin-4", public=key("admin-4").public.hex(), roles=(Role.ADMIN,))
    assert world.say("admin-1", tx.KeyRevoked, id="admin-2") == "endorsed"
    assert world.say("admin-1", tx.KeyRevoked, id="nobody") == "unknown_key"
    assert world.say("admin-1", tx.KeyRotated, id="nobody", public=key("x").public.hex()) == "unknown_key"


# --- chains and assets


def chain(**changes: Any) -> dict[str, Any]:
    fields = {"chain": ETH, "family": "evm", "identity": ETH, "decoder": 1, "position": 100, "height": 100}
    return {**fields, "hash": "h", **changes}


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"family": "solana"}, "chain_is_fixed"),
        ({"identity": "2"}, "chain_is_fixed"),
        ({"decoder": 0}, "chain_is_fixed"),
        ({"decoder": 2}, "endorsed"),
        ({"chain": "fresh", "identity": "9"}, "endorsed"),
        ({"chain": "fresh"}, "chain_is_fixed"),  # the same chain under a second name
        ({"family": "bitcoin"}, "payload_malformed"),
        ({"chain": "Loud"}, "identifier_malformed"),
        ({"position": 1 << 53}, "field_out_of_bounds"),
        ({"identity": ""}, "field_out_of_bounds"),
        ({"hash": ""}, "field_out_of_bounds"),
    ],
)
def test_what_a_chain_may_become(changes: dict[str, Any], code: str) -> None:
    assert World().say("admin-1", tx.ChainSet, **chain(**changes)) == code


def test_a_newer_decoder_moves_no_cursor() -> None:
    world = busy()
    before = world.state.cursors.need(ETH)
    world.admins(tx.ChainSet, **chain(decoder=2, position=5, height=5))
    assert world.state.cursors.need(ETH) == before
    assert world.say("watcher", tx.ChainScanned, **world.range(ETH, decoder=1)) == "scan_stale"
    assert world.say("watcher", tx.ChainScanned, **world.range(ETH)) == "ok"


def asset(*rows: tuple[str, str, int], name: str = "NEW", decimals: int = 18, minimum: str = "1") -> dict[str, Any]:
    items = tuple(
        tx.Representation(chain=c, token=token, decimals=d, program="", minimum=minimum) for c, token, d in rows
    )
    return {"asset": name, "decimals": decimals, "representations": items}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        (asset((ETH, "0xnew", 6)), "endorsed"),
        (asset((ETH, "0xnew", 6), (BSC, "0xnew", 18)), "endorsed"),
        (asset((ETH, "0xnew", 19)), "asset_is_fixed"),
        (asset((ETH, "0xnew", 6), (ETH, "0xnewer", 6)), "asset_is_fixed"),
        (asset(("nowhere", "0xnew", 6)), "unknown_chain"),
        (asset((ETH, NATIVE, 18)), "token_taken"),
        (asset((ETH, TOKEN[ETH], 6)), "token_taken"),
        (asset((ETH, TOKEN[ETH], 6), name="USDC"), "asset_is_fixed"),
        (asset((ETH, NATIVE, 18), name="ETH", decimals=20), "asset_is_fixed"),
        (asset((ETH, NATIVE, 17), name="ETH"), "asset_is_fixed"),
        (asset((ETH, "0xother", 18), name="ETH"), "asset_is_fixed"),
        (asset((ETH, NATIVE, 18), name="ETH", minimum="77"), "endorsed"),
        (asset((ETH, NATIVE, 18), (BSC, "0xETH", 18), name="ETH"), "endorsed"),
        (asset(), "field_out_of_bounds"),
        (asset((ETH, "", 18)), "field_out_of_bounds"),
        (asset((ETH, "0xnew", 31)), "field_out_of_bounds"),
        (asset((ETH, "0xnew", 6), decimals=31), "field_out_of_bounds"),
        (asset((ETH, "0xnew", 6), minimum="-1"), "amount_malformed"),
        (asset((ETH, "0xnew", 6), name="new"), "identifier_malformed"),
    ],
)
def test_what_an_asset_may_be(fields: dict[str, Any], code: str) -> None:
    assert World().say("admin-1", tx.AssetSet, **fields) == code


def test_a_changed_token_list_asks_for_scans_made_with_it() -> None:
    world = busy()
    fields = world.range(ETH)
    world.admins(tx.AssetSet, **asset((ETH, "0xnew", 6)))
    assert world.say("watcher", tx.ChainScanned, **fields) == "scan_stale"
    assert world.say("watcher", tx.ChainScanned, **world.range(BSC)) == "ok", "the other chains' lists are as before"
    world.scan(ETH)


@pytest.mark.parametrize(
    ("name", "scope", "value", "code"),
    [
        ("limit_daily", "USDC", "5", "endorsed"),
        ("attempts", ETH, "5", "endorsed"),
        ("limit_daily", ETH, "5", "unknown_parameter"),
        ("attempts", "USDC", "5", "unknown_parameter"),
        ("luck", "USDC", "5", "unknown_parameter"),
        ("attempts", ETH, "-5", "amount_malformed"),
        ("attempts", ETH, str(1 << 127), "amount_too_large"),
        ("Attempts", ETH, "5", "identifier_malformed"),
    ],
)
def test_what_a_parameter_may_be(name: str, scope: str, value: str, code: str) -> None:
    assert World().say("admin-1", tx.ParameterSet, name=name, scope=scope, value=value) == code


# --- the founding

FOUNDING: list[tuple[dict[str, Any], str]] = [
    ({"quorum": 4}, "last_admin"),
    ({"quorum": 0}, "field_out_of_bounds"),
    ({"quorum": 17}, "field_out_of_bounds"),
    ({"ledger": "x"}, "field_out_of_bounds"),
    ({"seq": 1}, "field_out_of_bounds"),
    ({"name": "x" * 501}, "field_out_of_bounds"),
    ({"keys": genesis().keys * 2}, "key_exists"),
    ({"keys": tuple(row for row in genesis().keys if row.id != "sequencer")}, "last_admin"),
    ({"chains": (), "assets": genesis().assets}, "unknown_chain"),
    ({"assets": genesis().assets * 2}, "ok"),
    ({"parameters": (tx.ParameterRow(name="luck", scope=ETH, value="1"),)}, "unknown_parameter"),
    ({"parameters": (tx.ParameterRow(name="attempts", scope=ETH, value="2"),)}, "ok"),
]


@pytest.mark.parametrize(("changes", "code"), FOUNDING, ids=lambda item: str(item)[:40])
def test_what_a_genesis_may_be(changes: dict[str, Any], code: str) -> None:
    founded = transition.found(encoding.encode(genesis(**changes)))
    assert (founded.code if isinstance(founded, Rejection) else "ok") == code


def test_a_genesis_is_said_once_and_nothing_else_founds() -> None:
    world = World()
    payload = encoding.encode(genesis())
    assert world.put(envelopes.sign(world.keys["admin-1"], payload)) == [Rejection.OTHER_LEDGER]
    other = encoding.encode(tx.WithdrawalApproved(ledger="", seq=0, id="x"))
    assert transition.found(other) is Rejection.PAYLOAD_MALFORMED
    assert transition.found(b"{") is Rejection.PAYLOAD_MALFORMED
    assert transition.found(payload + b" ") is Rejection.PAYLOAD_NOT_CANONICAL


def test_every_kind_of_transaction_is_for_some_role_and_refused_to_all_others() -> None:
    world = busy()
    world.request("w")
    samples: list[tuple[type[tx.Transaction], dict[str, Any]]] = [
        (tx.WithdrawalApproved, {"id": "w"}),
        (tx.WithdrawalCancelled, {"id": "w", "reason": ""}),
        (tx.AddressRequested, {"account": "z", "chain": ETH}),
        (tx.AddressAssigned, {"chain": ETH, "address": "z", "watched": 1}),
        (tx.TransferBatch, {"id": "b", "legs": (tx.TransferLeg(source="z", target="y", asset="X", amount="1"),)}),
        (tx.AttemptSigned, {"attempt": "00" * 32, "raw": "00", "tx": "t"}),
        (tx.AttemptEvidence, {"attempt": "00" * 32, "absences": ()}),
        (tx.KeyRevoked, {"id": "z"}),
        (tx.HoldLifted, {"hold": "z", "reason": "", "actor": "z"}),
    ]
    for kind, fields in samples:
        assert kind.ROLES
        for name, roles in ((row.id, row.roles) for row in genesis().keys):
            allowed = any(role in kind.ROLES for role in roles)
            (taken,) = world.put(world.envelope(name, kind, **fields))
            assert isinstance(taken, Result)
            assert (taken.code == "role_may_not") is not allowed, (kind.__name__, name)


def test_rotating_a_key_takes_back_what_was_said_with_it() -> None:
    world = World()
    assert register("thief", "admin-1", world) == "endorsed"
    rotation = {"id": "admin-1", "public": key("admin-1-new").public.hex()}
    assert world.say("admin-2", tx.KeyRotated, **rotation) == "endorsed"
    assert world.say("admin-3", tx.KeyRotated, **rotation) == "ok"
    assert register("thief", "admin-2", world) == "endorsed", "the first voice was the thief's"
