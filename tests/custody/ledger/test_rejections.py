"""Every named refusal is provoked at least once, by a real transaction, and leaves the books as they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from custody.envelope import envelopes
from custody.ledger import transactions as tx
from custody.ledger.attempts import MAX_REPLACEMENTS
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from tests.custody.ledger.world import (
    BSC,
    ETH,
    NATIVE,
    SOL,
    TOKEN,
    World,
    busy,
    deposit,
    key,
    movement,
)

Scenario = Callable[[World], str]


def said(world: World, payload: bytes, by: str = "payouts") -> str:
    """The answer to raw bytes, signed."""
    (taken,) = world.put(envelopes.sign(world.keys[by], payload))
    return taken.code


def amount(text: str) -> Scenario:
    return lambda w: w.request("w", amount=text)


def row(world: World, **changes: Any) -> dict[str, Any]:
    item = tx.Representation(chain=ETH, token="0xNEW", decimals=6, program="", minimum="1")
    return {"asset": "NEW", "decimals": 6, "representations": (item,), **changes}


def register(world: World, **changes: Any) -> str:
    fields = {"id": "new", "public": key("new").public.hex(), "roles": (Role.WATCHER,), **changes}
    return world.say("admin-1", tx.KeyRegistered, **fields)


def prepare(world: World, *purposes: tx.Purpose, chain: str = ETH, **changes: Any) -> str:
    return world.say("composer", tx.AttemptPrepared, **world.attempt(chain, *purposes, **changes))


def scan(world: World, chain: str = ETH, **changes: Any) -> str:
    return world.say("watcher", tx.ChainScanned, **world.range(chain, **changes))


def requested(world: World, name: str = "w", **changes: Any) -> tx.Purpose:
    assert world.request(name, **changes) == "ok"
    return world.payment(name)


def sequence_conflict(w: World) -> str:
    w.hold("a")
    seq = w.next("relay") - 1
    return w.hold("b", seq=seq)


def sequence_too_old(w: World) -> str:
    w.hold("a", seq=1000)
    w.hold("b", seq=2000)
    return w.hold("c", seq=976)


def endorsed_already(w: World) -> str:
    assert register(w) == "endorsed"
    return register(w)


def key_revoked(w: World) -> str:
    w.admins(tx.KeyRevoked, id="engine")
    return w.say("engine", tx.TransferBatch, id="b", legs=(leg(),))


def leg(**changes: Any) -> tx.TransferLeg:
    return replace(tx.TransferLeg(source="alice", target="bob", asset="USDC", amount="1"), **changes)


def batch(world: World, *legs: tx.TransferLeg, name: str = "b") -> str:
    return world.say("engine", tx.TransferBatch, id=name, legs=legs)


def last_admin(w: World) -> str:
    w.admins(tx.KeyRevoked, id="admin-3")
    return w.say("admin-1", tx.KeyRevoked, id="admin-1")


def native_not_listed(w: World) -> str:
    w.admins(tx.ChainSet, chain="new", family="evm", identity="7", decoder=1, position=1, height=1, hash="start")
    return scan(w, "new")


def index_wrong(w: World) -> str:
    w.ok("payouts", tx.AddressRequested, account="carol", chain=ETH)
    return attest(w, account="carol", index=77)


def attest(w: World, **changes: Any) -> str:
    fields = {"chain": ETH, "address": "fresh", "tier": "deposit", "account": "carol", "index": 0, **changes}
    return w.say("signer", tx.AddressAttested, **fields)


def watched_wrong(w: World) -> str:
    for name in ("first", "second"):
        w.ok("signer", tx.AddressAttested, chain=ETH, address=name, tier="gas", account="", index=0)
    watched = w.state.chains.need(ETH).watched
    return w.say("watcher", tx.AddressAssigned, chain=ETH, address="second", watched=watched + 2)


def limit_daily(w: World) -> str:
    w.parameter("limit_daily", "USDC", 15 * 10**13)
    w.request("w1")
    return w.request("w2")


def not_waiting(w: World) -> str:
    w.request("w")
    return w.say("operator", tx.WithdrawalApproved, id="w")


def not_queued(w: World) -> str:
    purpose = requested(w)
    w.prepare(ETH, purpose)
    return prepare(w, purpose)


def limit_per_transaction(w: World) -> str:
    w.parameter("limit_per_transaction", "USDC", 10**13)
    return w.request("w")


def not_open(w: World) -> str:
    attempt = w.prepare(ETH, requested(w))
    w.land(attempt)
    return w.say("signer", tx.AttemptSigned, attempt=attempt, raw="00", tx="t")


def exhausted(w: World) -> str:
    purpose = requested(w)
    names = [w.prepare(ETH, purpose)]
    for _ in range(MAX_REPLACEMENTS):
        names.append(w.prepare(ETH, purpose, nonce=0, excludes=tuple(names)))
    return prepare(w, purpose, nonce=0, excludes=tuple(names))


def exclusion_wrong(w: World) -> str:
    purpose = requested(w)
    w.prepare(ETH, purpose)
    return prepare(w, purpose, nonce=0, excludes=())


def fee_above_cap(w: World) -> str:
    w.parameter("fee_cap", ETH, 999)
    return prepare(w, requested(w))


def death_not_proven(w: World) -> str:
    attempt = w.prepare(SOL, requested(w, chain=SOL))
    return w.evidence(attempt, "one")


def held(w: World) -> str:
    purpose = requested(w)
    w.hold("h", chain=ETH)
    return prepare(w, purpose)


def not_yours(w: World) -> str:
    w.hold("h")
    return w.lift("h", by="relay")


PROVOKED: dict[Rejection, Scenario] = {
    Rejection.PAYLOAD_MALFORMED: lambda w: said(w, b"{}"),
    Rejection.PAYLOAD_NOT_CANONICAL: lambda w: said(
        w, w.envelope("payouts", tx.WithdrawalApproved, id="x").payload + b" "
    ),
    Rejection.UNKNOWN_TYPE: lambda w: said(w, b'{"ledger":"","seq":0,"type":"money.printed"}'),
    Rejection.OTHER_LEDGER: lambda w: w.request("w", ledger="0" * 64),
    Rejection.UNKNOWN_KEY: lambda w: (
        w.put(envelopes.sign(key("nobody"), w.envelope("payouts", tx.WithdrawalApproved, id="x").payload))[0].code
    ),
    Rejection.KEY_REVOKED: key_revoked,
    Rejection.SIGNATURE_WRONG: lambda w: (
        w.put(envelopes.sign(key("payouts", "forged"), w.envelope("payouts", tx.WithdrawalApproved, id="x").payload))[
            0
        ].code
    ),
    Rejection.SEQUENCE_TOO_OLD: sequence_too_old,
    Rejection.SEQUENCE_TOO_FAR: lambda w: w.hold("a", seq=w.next("relay") + 1024),
    Rejection.SEQUENCE_CONFLICT: sequence_conflict,
    Rejection.AMOUNT_ZERO: amount("0"),
    Rejection.AMOUNT_NEGATIVE: amount("-1"),
    Rejection.AMOUNT_MALFORMED: amount("1_0"),
    Rejection.AMOUNT_TOO_LARGE: amount(str(1 << 127)),
    Rejection.IDENTIFIER_MALFORMED: lambda w: w.request("no blanks"),
    Rejection.FIELD_OUT_OF_BOUNDS: lambda w: w.request("w", to="x" * 501),
    Rejection.ROLE_MAY_NOT: lambda w: w.say("payouts", tx.WithdrawalApproved, id="w"),
    Rejection.UNKNOWN_CHAIN: lambda w: w.request("w", chain="nowhere"),
    Rejection.UNKNOWN_ASSET: lambda w: w.request("w", asset="NONE"),
    Rejection.ASSET_NOT_ON_CHAIN: lambda w: w.request("w", asset="ETH", chain=SOL),
    Rejection.UNKNOWN_ACCOUNT: lambda w: w.request("w", account="mallory"),
    Rejection.UNKNOWN_ADDRESS: lambda w: w.say("watcher", tx.AddressAssigned, chain=ETH, address="no", watched=1),
    Rejection.UNKNOWN_PARAMETER: lambda w: w.say("admin-1", tx.ParameterSet, name="luck", scope=ETH, value="1"),
    Rejection.ID_CONFLICT: lambda w: (w.request("w"), w.request("w", amount=str(10**13)))[1],
    Rejection.ADMIN_ENDORSED_ALREADY: endorsed_already,
    Rejection.KEY_WEAK: lambda w: register(w, public="00" * 32),
    Rejection.KEY_EXISTS: lambda w: register(w, id="watcher"),
    Rejection.LAST_ADMIN: last_admin,
    Rejection.CHAIN_IS_FIXED: lambda w: w.say(
        "admin-1", tx.ChainSet, chain=ETH, family="solana", identity=ETH, decoder=1, position=1, height=1, hash="h"
    ),
    Rejection.ASSET_IS_FIXED: lambda w: w.say("admin-1", tx.AssetSet, **row(w, asset="ETH")),
    Rejection.TOKEN_TAKEN: lambda w: w.say(
        "admin-1",
        tx.AssetSet,
        **row(w, representations=(tx.Representation(chain=ETH, token=NATIVE, decimals=6, program="", minimum="1"),)),
    ),
    Rejection.NATIVE_NOT_LISTED: native_not_listed,
    Rejection.ADDRESS_INDEX_WRONG: index_wrong,
    Rejection.ADDRESS_TAKEN: lambda w: attest(w, address=f"hot@{ETH}"),
    Rejection.WATCHED_SET_WRONG: watched_wrong,
    Rejection.SCAN_NOT_JOINED: lambda w: scan(w, parent="another block"),
    Rejection.SCAN_DISORDERED: lambda w: scan(w, blocks=()),
    Rejection.SCAN_STALE: lambda w: scan(w, decoder=0),
    Rejection.POSITION_NOT_AT_CURSOR: lambda w: w.say(
        "watcher", tx.BalancesObserved, chain=ETH, position=w.state.cursors.need(ETH).position + 1, balances=()
    ),
    Rejection.UNKNOWN_RECEIPT: lambda w: w.say("admin-1", tx.TreasuryFunded, chain=ETH, tx="t", ordinal="native"),
    Rejection.INSUFFICIENT_BALANCE: lambda w: w.request("w", account="bob"),
    Rejection.AMOUNT_NOT_REPRESENTABLE: amount(str(10**14 + 1)),
    Rejection.RECIPIENT_IS_OURS: lambda w: w.request("w", to=f"hot@{ETH}"),
    Rejection.LIMIT_PER_TRANSACTION: limit_per_transaction,
    Rejection.LIMIT_DAILY: limit_daily,
    Rejection.HELD: held,
    Rejection.UNKNOWN_WITHDRAWAL: lambda w: w.say("operator", tx.WithdrawalApproved, id="w"),
    Rejection.WITHDRAWAL_NOT_WAITING: not_waiting,
    Rejection.WITHDRAWAL_NOT_QUEUED: not_queued,
    Rejection.PURPOSE_MISMATCH: lambda w: prepare(w, replace(requested(w), recipient="thief")),
    Rejection.MESSAGE_MISMATCH: lambda w: prepare(w, requested(w), attempt="00" * 32),
    Rejection.UNKNOWN_ATTEMPT: lambda w: w.say("signer", tx.AttemptSigned, attempt="00" * 32, raw="00", tx="t"),
    Rejection.ATTEMPT_NOT_OPEN: not_open,
    Rejection.NONCE_NOT_NEXT: lambda w: prepare(w, requested(w), nonce=5),
    Rejection.EXCLUSION_WRONG: exclusion_wrong,
    Rejection.REPLACEMENTS_EXHAUSTED: exhausted,
    Rejection.BLOCKHASH_NOT_SCANNED: lambda w: prepare(w, requested(w, chain=SOL), chain=SOL, blockhash="invented"),
    Rejection.FEE_ABOVE_CAP: fee_above_cap,
    Rejection.DEATH_NOT_PROVEN: death_not_proven,
    Rejection.UNKNOWN_HOLD: lambda w: w.lift("h"),
    Rejection.HOLD_NOT_YOURS: not_yours,
    Rejection.BATCH_INVALID: lambda w: batch(w, leg(target="alice")),
}

BEFORE_ADMISSION = list(Rejection)[: list(Rejection).index(Rejection.FIELD_OUT_OF_BOUNDS) + 1]


def test_none_is_left_out() -> None:
    assert set(Rejection) - set(PROVOKED) == set()


@pytest.mark.parametrize("rejection", list(Rejection), ids=lambda item: item.code)
def test_it_can_be_provoked(rejection: Rejection) -> None:
    world = busy()
    assert PROVOKED[rejection](world) == rejection.code
    journaled = [code for item in world.executed for code in item.block.results]
    assert (rejection.code in journaled) == (rejection not in BEFORE_ADMISSION)


def test_codes_are_unique_and_every_refusal_gives_advice() -> None:
    assert len({item.code for item in Rejection}) == len(Rejection)
    for item in Rejection:
        assert item.code == item.name.lower()
        assert item.advice.endswith(".")


def test_a_refusal_that_may_pass_by_itself_says_so() -> None:
    transient = {item.code for item in Rejection if item.transient}
    assert transient == {
        "native_not_listed", "watched_set_wrong", "scan_not_joined", "scan_stale", "position_not_at_cursor",
        "insufficient_balance", "limit_daily", "held", "withdrawal_not_queued", "nonce_not_next",
        "blockhash_not_scanned", "fee_above_cap", "death_not_proven",
    }  # fmt: skip


# Two faults at once: the earlier one of the docstring is the answer.
TWO_FAULTS: dict[str, tuple[Scenario, Rejection]] = {
    "requested: conflict before account": (
        lambda w: (w.request("w"), w.request("w", account="mallory"))[1],
        Rejection.ID_CONFLICT,
    ),
    "requested: account before chain": (
        lambda w: w.request("w", account="mallory", chain="nowhere"),
        Rejection.UNKNOWN_ACCOUNT,
    ),
    "requested: chain before asset": (lambda w: w.request("w", chain="nowhere", asset="NONE"), Rejection.UNKNOWN_CHAIN),
    "requested: representable before recipient": (
        lambda w: w.request("w", amount="1", to=f"hot@{ETH}"),
        Rejection.AMOUNT_NOT_REPRESENTABLE,
    ),
    "requested: recipient before limit": (
        lambda w: (w.parameter("limit_per_transaction", "USDC", 1), w.request("w", to=f"hot@{ETH}"))[1],
        Rejection.RECIPIENT_IS_OURS,
    ),
    "requested: limit before daily limit": (
        lambda w: (
            w.parameter("limit_per_transaction", "USDC", 1),
            w.parameter("limit_daily", "USDC", 1),
            w.request("w"),
        )[2],
        Rejection.LIMIT_PER_TRANSACTION,
    ),
    "requested: daily limit before balance": (
        lambda w: (w.parameter("limit_daily", "USDC", 1), w.request("w", account="bob"))[1],
        Rejection.LIMIT_DAILY,
    ),
    "requested: balance before hold": (
        lambda w: (w.hold("h"), w.request("w", account="bob", to=f"alice@{ETH}"))[1],
        Rejection.INSUFFICIENT_BALANCE,
    ),
    "role before everything": (lambda w: w.say("watcher", tx.WithdrawalApproved, id="w"), Rejection.ROLE_MAY_NOT),
    "form before ledger": (lambda w: w.request("no blanks", ledger="x"), Rejection.IDENTIFIER_MALFORMED),
    "ledger before key": (
        lambda w: (
            w.put(
                envelopes.sign(key("nobody"), w.envelope("payouts", tx.WithdrawalApproved, id="x", ledger="x").payload)
            )[0].code
        ),
        Rejection.OTHER_LEDGER,
    ),
    "signature before sequence": (
        lambda w: (
            w.put(
                envelopes.sign(
                    key("payouts", "forged"), w.envelope("payouts", tx.WithdrawalApproved, id="x", seq=9999).payload
                )
            )[0].code
        ),
        Rejection.SIGNATURE_WRONG,
    ),
    "scan: joined before stale": (lambda w: scan(w, parent="x", decoder=0), Rejection.SCAN_NOT_JOINED),
    "scan: stale before disordered": (lambda w: scan(w, blocks=(), tokens=0), Rejection.SCAN_STALE),
    "scan: disordered before size": (
        lambda w: scan(w, last=999, deposits=[deposit("t", f"alice@{ETH}", TOKEN[ETH], (1 << 127) - 1)]),
        Rejection.SCAN_DISORDERED,
    ),
    "prepared: chain before address": (
        lambda w: (
            prepare(w, chain=ETH, sender="no")
            and w.say("composer", tx.AttemptPrepared, **{**w.attempt(ETH, sender="no"), "chain": "nowhere"})
        ),
        Rejection.UNKNOWN_CHAIN,
    ),
    "prepared: address before message": (
        lambda w: prepare(w, sender="no", attempt="00" * 32),
        Rejection.UNKNOWN_ADDRESS,
    ),
    "prepared: message before lane": (lambda w: prepare(w, attempt="00" * 32, nonce=9), Rejection.MESSAGE_MISMATCH),
    "prepared: lane before cap": (
        lambda w: (w.parameter("fee_cap", ETH, 1), prepare(w, nonce=9))[1],
        Rejection.NONCE_NOT_NEXT,
    ),
    "prepared: cap before purposes": (
        lambda w: (w.parameter("fee_cap", ETH, 1), prepare(w, replace(requested(w), id="other")))[1],
        Rejection.FEE_ABOVE_CAP,
    ),
    "prepared: purposes before hold": (
        lambda w: (w.hold("h"), prepare(w, replace(requested(w), recipient="thief")))[1],
        Rejection.PURPOSE_MISMATCH,
    ),
    "batch: conflict before legs": (
        lambda w: (batch(w, leg()), batch(w, leg(asset="NONE")))[1],
        Rejection.ID_CONFLICT,
    ),
    "batch: asset before account": (lambda w: batch(w, leg(asset="NONE", source="mallory")), Rejection.UNKNOWN_ASSET),
    "batch: account before pair": (
        lambda w: batch(w, leg(source="mallory", target="mallory")),
        Rejection.UNKNOWN_ACCOUNT,
    ),
    "batch: pair before hold": (lambda w: (w.hold("h"), batch(w, leg(target="alice")))[1], Rejection.BATCH_INVALID),
    "batch: hold before balance": (
        lambda w: (w.hold("h"), batch(w, leg(source="bob", target="alice")))[1],
        Rejection.HELD,
    ),
    "batch: the first leg's fault before the second's": (
        lambda w: batch(w, leg(source="mallory"), leg(asset="NONE")),
        Rejection.UNKNOWN_ACCOUNT,
    ),
    "observed: position before address": (
        lambda w: w.say(
            "watcher",
            tx.BalancesObserved,
            chain=ETH,
            position=1,
            balances=(tx.ObservedBalance(address="no", token="no", amount="1"),),
        ),
        Rejection.POSITION_NOT_AT_CURSOR,
    ),
    "registered: id before key": (lambda w: register(w, id="watcher", public="00" * 32), Rejection.KEY_EXISTS),
    "registered: content before a second voice": (
        lambda w: (register(w), register(w, id="watcher"))[1],
        Rejection.KEY_EXISTS,
    ),
}


@pytest.mark.parametrize("name", TWO_FAULTS)
def test_the_earlier_fault_is_the_answer(name: str) -> None:
    scenario, rejection = TWO_FAULTS[name]
    assert scenario(busy()) == rejection.code


def test_a_chain_apart_is_not_touched_by_anothers_refusal() -> None:
    world = busy()
    cursor = world.state.cursors.need(BSC)
    assert scan(world, ETH, parent="x", movements=[movement("t", f"hot@{ETH}", NATIVE, 1)]) == "scan_not_joined"
    assert world.state.cursors.need(BSC) == cursor
