"""Attempts before they land: lanes without a hole, replacements that exclude, caps, holds, and proven deaths."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from custody.ledger import transactions as tx
from custody.ledger.attempts import BLOCKHASH_LIFE, DEATH_MARGIN, MAX_REPLACEMENTS
from custody.ledger.evolve import RECENT_BLOCKS
from tests.custody.ledger.world import BSC, ETH, NATIVE, SOL, TOKEN, World, busy

HOT = f"hot@{ETH}"


def prepare(world: World, chain: str, *purposes: tx.Purpose, **changes: Any) -> str:
    return world.say("composer", tx.AttemptPrepared, **world.attempt(chain, *purposes, **changes))


def requested(world: World, name: str = "w", chain: str = ETH, **changes: Any) -> tx.Purpose:
    assert world.request(name, chain=chain, **changes) == "ok"
    return world.payment(name)


# --- the lane of nonces


@pytest.mark.parametrize("nonce", [0, 2, 3, 1 << 52])
def test_only_the_next_nonce_may_be_prepared(nonce: int) -> None:
    world = busy()
    world.prepare(ETH, requested(world, "one"))
    purpose = requested(world, "two")
    code = prepare(world, ETH, purpose, nonce=nonce)
    assert code == ("exclusion_wrong" if nonce == 0 else "nonce_not_next")
    assert prepare(world, ETH, purpose, nonce=1) == "ok"


def test_a_nonce_that_was_used_is_over() -> None:
    world = busy()
    first = world.prepare(ETH, requested(world))
    world.land(first, succeeded=False)
    assert prepare(world, ETH, nonce=0, excludes=(first,)) == "nonce_not_next"


def test_a_replacement_excludes_all_that_came_before_it_in_their_order() -> None:
    world = busy()
    purpose = requested(world)
    first = world.prepare(ETH, purpose)
    second = world.prepare(ETH, purpose, nonce=0, excludes=(first,))
    for wrong in ((), (first,), (second,), (second, first), (first, second, second)):
        assert prepare(world, ETH, purpose, nonce=0, excludes=wrong) == "exclusion_wrong"
    assert prepare(world, ETH, purpose, nonce=0, excludes=(first, second)) == "ok"


def test_a_replacement_pays_the_same_or_nothing() -> None:
    world = busy()
    purpose, other = requested(world), requested(world, "other")
    first = world.prepare(ETH, purpose)
    for wrong in ((other,), (purpose, other), (replace(purpose, amount="99"),)):
        assert prepare(world, ETH, *wrong, nonce=0, excludes=(first,)) == "exclusion_wrong"
    assert prepare(world, ETH, nonce=0, excludes=(first,)) == "ok"


def test_after_a_filler_the_payment_may_be_bumped_once_more() -> None:
    world = busy()
    purpose = requested(world)
    first = world.prepare(ETH, purpose)
    filler = world.prepare(ETH, nonce=0, excludes=(first,))
    last = world.prepare(ETH, purpose, nonce=0, excludes=(first, filler))
    assert world.state.withdrawals.need("w").attempt == last


def test_a_nonce_has_a_bounded_number_of_replacements() -> None:
    world = busy()
    purpose = requested(world)
    names = [world.prepare(ETH, purpose)]
    for _ in range(MAX_REPLACEMENTS):
        names.append(world.prepare(ETH, purpose, nonce=0, excludes=tuple(names)))
    assert prepare(world, ETH, nonce=0, excludes=tuple(names)) == "replacements_exhausted"


def test_lanes_do_not_know_one_another() -> None:
    world = busy()
    world.attest(ETH, "second", "hot", index=1)
    for chain, sender in ((ETH, HOT), (ETH, "second"), (BSC, f"hot@{BSC}")):
        purpose = requested(world, f"w-{sender.replace('@', '-')}", chain)
        assert prepare(world, chain, replace(purpose, source=sender), nonce=0, sender=sender) == "ok"


@pytest.mark.parametrize(
    ("chain", "changes", "code"),
    [
        (ETH, {"nonce": None}, "exclusion_wrong"),
        (ETH, {"blockhash": "x"}, "exclusion_wrong"),
        (ETH, {"nonce": None, "blockhash": "x"}, "exclusion_wrong"),
        (SOL, {"nonce": 0}, "exclusion_wrong"),
        (SOL, {"blockhash": None}, "exclusion_wrong"),
        (SOL, {"nonce": 0, "blockhash": None}, "exclusion_wrong"),
        (SOL, {"excludes": ("ab" * 32,)}, "exclusion_wrong"),
    ],
)
def test_each_chain_has_its_own_way_to_exclude(chain: str, changes: dict[str, Any], code: str) -> None:
    world = busy()
    assert prepare(world, chain, requested(world, chain=chain), **changes) == code


def test_the_same_message_is_one_attempt() -> None:
    world = busy()
    world.prepare(ETH, requested(world), message=b"once")
    assert prepare(world, ETH, message=b"once") == "id_conflict"


def test_a_filler_closes_a_nonce_and_is_nothing_by_itself() -> None:
    world = busy()
    assert prepare(world, ETH) == "purpose_mismatch"
    first = world.prepare(ETH, requested(world))
    assert prepare(world, ETH, nonce=0, excludes=(first,)) == "ok"


def test_a_signed_filler_does_not_make_a_held_payment_a_bump() -> None:
    """A composer's key in the wrong hands: nothing at a nonce is a licence to pay there under a hold."""
    world = busy()
    purpose = requested(world)
    first = world.prepare(ETH, purpose)
    world.hold("h")
    filler = world.prepare(ETH, nonce=0, excludes=(first,))
    world.sign(filler)
    assert prepare(world, ETH, purpose, nonce=0, excludes=(first, filler)) == "held"


# --- purposes

SPOILED: dict[str, dict[str, Any]] = {
    "another recipient": {"recipient": "thief"},
    "more": {"amount": "101"},
    "less": {"amount": "99"},
    "another token": {"token": NATIVE},
    "an unlisted token": {"token": "0xfake"},
    "another source": {"source": f"alice@{ETH}"},
    "an account to create": {"create_account": True},
}


@pytest.mark.parametrize("name", SPOILED)
def test_a_purpose_matches_its_withdrawal_exactly(name: str) -> None:
    world = busy()
    assert prepare(world, ETH, replace(requested(world), **SPOILED[name])) == "purpose_mismatch"


def test_a_withdrawal_is_paid_on_its_chain_from_a_wallet_of_the_house_and_once_in_a_message() -> None:
    world = busy()
    purpose = requested(world)
    assert prepare(world, ETH, purpose, purpose) == "purpose_mismatch"
    assert prepare(world, BSC, replace(purpose, source=f"hot@{BSC}", token=TOKEN[BSC])) == "purpose_mismatch"
    theirs = f"alice@{ETH}"
    assert prepare(world, ETH, replace(purpose, source=theirs), sender=theirs) == "purpose_mismatch"
    assert prepare(world, ETH, replace(purpose, id="none")) == "unknown_withdrawal"


@pytest.mark.parametrize(
    ("kind", "source", "target", "code"),
    [
        ("sweep", "alice", "hot", "ok"),
        ("sweep", "hot", "alice", "purpose_mismatch"),
        ("sweep", "alice", "bob", "purpose_mismatch"),
        ("sweep", "hot", "hot", "purpose_mismatch"),
        ("sweep", "alice", "thief", "unknown_address"),
        ("topup", "hot", "alice", "ok"),
        ("topup", "alice", "hot", "purpose_mismatch"),
        ("topup", "thief", "alice", "unknown_address"),
    ],
)
def test_a_sweep_goes_to_a_wallet_and_a_top_up_to_a_deposit_address(
    kind: str, source: str, target: str, code: str
) -> None:
    world = busy()
    purpose = tx.Purpose(
        kind=kind,
        id="",
        source=f"{source}@{SOL}",
        recipient=f"{target}@{SOL}",
        token=TOKEN[SOL] if kind == "sweep" else NATIVE,
        amount="5",
        reference="",
        create_account=False,
    )
    assert prepare(world, SOL, purpose) == code


def test_a_top_up_carries_gas_and_no_more() -> None:
    world = busy()
    world.parameter("fee_cap", SOL, 10**6)
    purpose = world.payment(requested(world, chain=SOL).id)
    purpose = replace(purpose, kind="topup", id="", source=f"hot@{SOL}", recipient=f"alice@{SOL}")
    assert prepare(world, SOL, replace(purpose, token=TOKEN[SOL], amount="5")) == "purpose_mismatch"
    assert prepare(world, SOL, replace(purpose, token=NATIVE, amount=str(10**6 + 1))) == "fee_above_cap"
    assert prepare(world, SOL, replace(purpose, token=NATIVE, amount=str(10**6))) == "ok"


def test_a_chain_without_a_cap_spends_nothing() -> None:
    world = busy()
    world.parameter("fee_cap", ETH, 0)
    assert prepare(world, ETH, requested(world)) == "fee_above_cap"


def test_a_filler_is_for_lanes_of_nonces() -> None:
    world = busy()
    assert prepare(world, SOL) == "purpose_mismatch"


@pytest.mark.parametrize(
    ("fee", "rent", "code"), [(600, 400, "ok"), (600, 401, "fee_above_cap"), (1001, 0, "fee_above_cap")]
)
def test_fee_and_rent_together_stay_below_the_cap(fee: int, rent: int, code: str) -> None:
    world = busy()
    world.parameter("fee_cap", ETH, 1000)
    assert prepare(world, ETH, requested(world), fee_cap=str(fee), rent_cap=str(rent)) == code


# --- holds

HOLDS = [
    ({}, True, False),
    ({"direction": "withdrawals"}, True, False),
    ({"direction": "both"}, True, False),
    ({"direction": "deposits"}, False, False),
    ({"direction": "transfers"}, False, False),
    ({"chain": ETH}, True, False),
    ({"chain": BSC}, False, False),
    ({"asset": "USDC"}, True, False),
    ({"asset": "ETH"}, False, False),
    ({"account": "alice"}, True, False),
    ({"account": "bob"}, False, False),
    ({"wallet": HOT}, True, False),
    ({"wallet": "elsewhere"}, False, False),
    ({"chain": ETH, "provider": "p1", "cause": "cordon"}, False, False),
    ({"cause": "brake"}, True, True),
    ({"origin": "auto", "cause": "integrity"}, True, True),
    ({"origin": "auto", "cause": "divergence"}, True, True),
    ({"origin": "auto", "cause": "provider"}, True, False),
    ({"origin": "auto", "cause": "integrity", "chain": BSC}, False, False),
    ({"origin": "auto", "cause": "integrity", "chain": ETH, "provider": "p1"}, False, False),
]


@pytest.mark.parametrize(("hold", "stops", "stops_bumps"), HOLDS, ids=lambda item: str(item))
def test_holds_stop_new_obligations_and_only_some_stop_replacements(
    hold: dict[str, Any], stops: bool, stops_bumps: bool
) -> None:
    world = busy()
    purpose, fresh = requested(world), requested(world, "fresh")
    first = world.prepare(ETH, purpose)
    world.sign(first)
    assert world.hold("h", **hold) == "ok"
    assert prepare(world, ETH, fresh) == ("held" if stops else "ok")
    assert prepare(world, ETH, purpose, nonce=0, excludes=(first,)) == ("held" if stops_bumps else "ok")
    world.land(first)
    assert world.withdrawal("w") == "settled", "what is in flight is followed to its end"


@pytest.mark.parametrize("hold", [{}, {"asset": "USDC"}, {"account": "alice"}], ids=str)
def test_a_payment_that_nobody_signed_is_new_under_a_hold_and_its_filler_is_not(hold: dict[str, Any]) -> None:
    world = busy()
    purpose = requested(world)
    first = world.prepare(ETH, purpose)
    assert world.hold("h", **hold) == "ok"
    assert prepare(world, ETH, purpose, nonce=0, excludes=(first,)) == "held"
    assert prepare(world, ETH, nonce=0, excludes=(first,)) == "ok", "a filler closes the hole and adds no obligation"


def test_one_held_purpose_holds_the_whole_message() -> None:
    world = busy()
    world.pay_in("bob", SOL, TOKEN[SOL], 1000)
    one, two = requested(world, "one", SOL), requested(world, "two", SOL, account="bob")
    world.hold("h", account="bob")
    assert prepare(world, SOL, one, two) == "held"
    assert prepare(world, SOL, one) == "ok"


def test_the_bytes_are_recorded_under_any_hold() -> None:
    world = busy()
    first = world.prepare(ETH, requested(world))
    world.hold("h", cause="brake")
    world.sign(first)
    assert world.attempt_state(first) == "signed"


# --- signed


def test_the_same_bytes_again_are_done_and_others_are_refused() -> None:
    world = busy()
    first = world.prepare(ETH, requested(world))
    said = {"attempt": first, "raw": "aa", "tx": "t"}
    world.ok("signer", tx.AttemptSigned, **said)
    assert world.ok("signer", tx.AttemptSigned, **said) == ()
    assert world.say("signer", tx.AttemptSigned, **{**said, "raw": "bb"}) == "attempt_not_open"
    assert world.say("signer", tx.AttemptSigned, **{**said, "tx": "u"}) == "attempt_not_open"
    assert world.state.attempts.need(first).raw == "aa"


# --- death on Solana

DEAD = BLOCKHASH_LIFE + DEATH_MARGIN


def signed_on_solana() -> tuple[World, str, int]:
    world = busy()
    attempt = world.prepare(SOL, requested(world, chain=SOL))
    world.sign(attempt)
    return world, attempt, world.state.attempts.need(attempt).height


def test_the_attempts_height_is_the_cursors_own() -> None:
    world, attempt, height = signed_on_solana()
    assert height == world.state.cursors.need(SOL).height
    assert height != world.state.cursors.need(SOL).position, "a test in which the two differ"
    assert world.state.attempts.need(attempt).blockhash == world.state.cursors.need(SOL).hash


@pytest.mark.parametrize("missing", ["nothing", "cursor", "provider", "found", "nobody", "too few", "one twice"])
def test_every_condition_of_a_death_is_needed(missing: str) -> None:
    world, attempt, height = signed_on_solana()
    world.parameter("death_quorum", SOL, 2)
    world.advance(SOL, DEAD - (1 if missing == "cursor" else 0))
    providers = {"nobody": (), "too few": ("one",), "one twice": ("one", "one")}.get(missing, ("one", "two"))
    code = world.evidence(
        attempt,
        *providers,
        height=height + DEAD - (1 if missing == "provider" else 0),
        found=missing == "found",
    )
    assert code == ("ok" if missing == "nothing" else "death_not_proven")
    assert world.withdrawal("w") == ("queued" if missing == "nothing" else "in_attempt")
    assert world.held("alice") == 10**14


def test_of_what_was_never_signed_no_provider_can_know() -> None:
    """No bytes were recorded, so none were sent: the cursor decides alone, and nothing else does."""
    world = busy()
    attempt = world.prepare(SOL, requested(world, chain=SOL))
    world.parameter("death_quorum", SOL, 2)
    world.advance(SOL, DEAD - 1)
    assert world.evidence(attempt) == "death_not_proven"
    world.advance(SOL, 1)
    assert world.evidence(attempt) == "ok"
    assert world.withdrawal("w") == "queued"


def test_one_provider_who_lags_does_not_spoil_a_quorum_and_one_who_found_it_does() -> None:
    world, attempt, height = signed_on_solana()
    world.advance(SOL, DEAD)
    absent = tx.AbsenceSeen(provider="one", found=False, finalized_height=height + DEAD, context=1)
    lagging = replace(absent, provider="two", finalized_height=height)
    found = replace(absent, provider="three", found=True)
    say = {"attempt": attempt}
    assert world.say("watcher", tx.AttemptEvidence, **say, absences=(absent, lagging, found)) == "death_not_proven"
    assert world.say("watcher", tx.AttemptEvidence, **say, absences=(absent, lagging)) == "ok"


@pytest.mark.parametrize("blocks", [BLOCKHASH_LIFE, BLOCKHASH_LIFE + 1])
def test_at_the_last_possible_height_it_still_lands(blocks: int) -> None:
    world, attempt, _ = signed_on_solana()
    world.advance(SOL, blocks - 1)
    assert world.evidence(attempt, "one") == "death_not_proven"
    world.land(attempt)
    assert world.withdrawal("w") == "settled"
    world.advance(SOL, DEAD)
    assert world.evidence(attempt, "one") == "attempt_not_open"


def test_a_dead_attempts_withdrawals_are_paid_by_another() -> None:
    world = busy()
    purposes = [requested(world, name, SOL) for name in ("one", "two")]
    first = world.prepare(SOL, *purposes)
    world.advance(SOL, DEAD)
    assert world.evidence(first, "one") == "ok"
    assert [world.withdrawal(name) for name in ("one", "two")] == ["queued", "queued"]
    world.land(world.prepare(SOL, *purposes))
    assert [world.withdrawal(name) for name in ("one", "two")] == ["settled", "settled"]


def test_what_was_called_dead_and_lands_pays_nobody_twice() -> None:
    """It can't happen while providers and rules are what they are said to be; if it does, a person is called."""
    world, first, _ = signed_on_solana()
    world.advance(SOL, DEAD)
    assert world.evidence(first, "one") == "ok"
    second = world.prepare(SOL, world.payment("w"))
    world.land(first)
    assert world.withdrawal("w") == "in_attempt"
    assert world.holds() == [f"auto:integrity:{SOL}:tx-{first[:20]}"]
    world.land(second)
    assert world.withdrawal("w") == "settled"
    assert world.held("alice") == 0


def test_on_a_chain_of_nonces_nothing_is_ever_called_dead() -> None:
    world = busy()
    first = world.prepare(ETH, requested(world))
    world.advance(ETH, 1000)
    assert world.evidence(first, "one", "two", "three") == "death_not_proven"


def test_a_blockhash_is_one_of_the_cursors_recent_ones() -> None:
    world = busy()
    purpose, old = requested(world, chain=SOL), world.state.cursors.need(SOL).hash
    world.advance(SOL, RECENT_BLOCKS - 1)
    fields = world.attempt(SOL, purpose, blockhash=old)
    assert world.state.blocks.get(SOL, old) is not None
    world.advance(SOL, 1)
    assert world.say("composer", tx.AttemptPrepared, **fields) == "blockhash_not_scanned"
    assert prepare(world, SOL, purpose, blockhash=world.state.cursors.need(ETH).hash) == "blockhash_not_scanned"
    assert prepare(world, SOL, purpose) == "ok"
