"""Every reason to refuse, each with the case that shows it; states are real, and where the ledger would never get there
by itself, one row of it is bent: the signer believes nobody's verdict."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from chains.observations import NATIVE
from chains.ports import Tier
from custody.ledger import transactions as tx
from custody.ledger.lifecycle import AttemptState, WithdrawalState
from custody.signing.composers import COMPOSERS
from custody.signing.permit import CLOCK_MARGIN_MS, Again, Knowledge, Permit, permit
from custody.signing.protocol import Entry
from custody.signing.refusals import Refusal, RefusalCode
from custody.signing.signer import entry_of
from tests.custody.ledgers import EVM, FAMILY, PARAMETERS, SOL, START, STRANGER, USDC_EVM, USDC_SOL, Ledger, funded

Code = RefusalCode
NOTHING = Knowledge(own=None, for_purposes=(), at_nonce=())
BUMPED = {"gas": "21000", "max_fee": "4000000000", "max_priority_fee": "2000000000"}


def judge(ledger: Ledger, attempt: str, known: Knowledge = NOTHING, *, late_ms: int = 0) -> Permit | Again | Refusal:
    tip = ledger.replica.link
    assert tip is not None
    return permit(
        ledger.state, attempt, now_ms=tip.time + late_ms, tip_time_ms=tip.time, known=known, composers=COMPOSERS
    )


def code(verdict: Permit | Again | Refusal) -> RefusalCode | None:
    return verdict.code if isinstance(verdict, Refusal) else None


def entry(ledger: Ledger, attempt: str, **changes: Any) -> Entry:
    row = ledger.state.attempts.need(attempt)
    made = entry_of(attempt, row, raw=b"raw of " + attempt.encode(), name="tx", time=START, height=1)
    return replace(made, **changes)


def knowing(*entries: Entry, own: Entry | None = None) -> Knowledge:
    purposes = tuple((item.id, one) for one in entries for item in one.purposes if item.kind == "withdrawal")
    return Knowledge(own=own, for_purposes=purposes, at_nonce=tuple(one for one in entries if one.nonce is not None))


def hot(ledger: Ledger, chain: str) -> str:
    return ledger.address(chain, Tier.HOT)


def paying(ledger: Ledger, name: str = "w-eth", **fields: Any) -> str:
    chain = ledger.state.withdrawals.need(name).chain
    return ledger.prepare(chain, hot(ledger, chain), (ledger.payment(name, hot(ledger, chain)),), **fields)


def bend(ledger: Ledger, attempt: str, **changes: Any) -> None:
    ledger.state.attempts.put((attempt,), replace(ledger.state.attempts.need(attempt), **changes))


def bend_purpose(ledger: Ledger, attempt: str, **changes: Any) -> None:
    (purpose,) = ledger.state.attempts.need(attempt).purposes
    bend(ledger, attempt, purposes=(replace(purpose, **changes),))


@pytest.mark.parametrize("name", ["w-eth", "w-usdc", "w-sol", "w-spl"])
def test_what_is_owed_is_permitted_with_its_keys(name: str) -> None:
    ledger = funded()
    attempt = paying(ledger, name)
    verdict = judge(ledger, attempt)
    assert isinstance(verdict, Permit)
    row = ledger.state.attempts.need(attempt)
    assert verdict.message == bytes.fromhex(row.message)
    assert verdict.family == FAMILY[row.chain].value
    assert [(place.address, place.tier, place.index) for place in verdict.places] == [(row.sender, Tier.HOT, 0)]


def sweep(ledger: Ledger, chain: str, token: str, amount: int = 5) -> str:
    source = ledger.address(chain, Tier.DEPOSIT)
    sender = source if chain == EVM else ledger.address(chain, Tier.GAS)
    return ledger.prepare(chain, sender, (ledger.move("sweep", chain, source, hot(ledger, chain), token, amount),))


def topup(ledger: Ledger, chain: str) -> str:
    source, target = ledger.address(chain, Tier.GAS), ledger.address(chain, Tier.DEPOSIT)
    return ledger.prepare(chain, source, (ledger.move("topup", chain, source, target, NATIVE, 7),))


@pytest.mark.parametrize(
    ("make", "places"),
    [
        (lambda ledger: sweep(ledger, EVM, NATIVE), [(Tier.DEPOSIT, 0)]),
        (lambda ledger: sweep(ledger, SOL, USDC_SOL), [(Tier.GAS, 0), (Tier.DEPOSIT, 0)]),
        (lambda ledger: topup(ledger, EVM), [(Tier.GAS, 0)]),
        (lambda ledger: topup(ledger, SOL), [(Tier.GAS, 0)]),
        (
            lambda ledger: ledger.prepare(EVM, hot(ledger, EVM), (), nonce=0, excludes=(paying(ledger),)),
            [(Tier.HOT, 0)],
        ),
    ],
    ids=["sweep evm", "sweep solana", "topup evm", "topup solana", "filler"],
)
def test_moves_within_the_house_are_permitted(make: Callable[[Ledger], str], places: list[tuple[Tier, int]]) -> None:
    ledger = funded()
    verdict = judge(ledger, make(ledger))
    assert isinstance(verdict, Permit)
    assert [(place.tier, place.index) for place in verdict.places] == places


def test_an_attempt_that_is_not_in_the_replica() -> None:
    assert code(judge(funded(), "ab" * 32)) is Code.UNKNOWN_ATTEMPT


@pytest.mark.parametrize("succeeded", [True, False])
def test_an_attempt_that_has_ended(succeeded: bool) -> None:
    ledger = funded()
    attempt = paying(ledger)
    ledger.scan(EVM, outcomes=(ledger.outcome(attempt, succeeded=succeeded),))
    assert code(judge(ledger, attempt)) is Code.ATTEMPT_ENDED


@pytest.mark.parametrize(
    ("late_ms", "expected"),
    [
        (CLOCK_MARGIN_MS, None),
        (CLOCK_MARGIN_MS + 1, Code.TIP_STALE),
        (-CLOCK_MARGIN_MS, None),
        (-CLOCK_MARGIN_MS - 1, Code.CLOCK_AHEAD),
    ],
)
def test_only_on_a_tip_of_the_present(late_ms: int, expected: RefusalCode | None) -> None:
    ledger = funded()
    assert code(judge(ledger, paying(ledger), late_ms=late_ms)) is expected


BENT_PURPOSES: dict[str, tuple[dict[str, Any], RefusalCode | None]] = {
    "another amount": ({"amount": "1000000000000000001"}, Code.PURPOSE_MISMATCH),
    "a smaller amount": ({"amount": "1"}, Code.PURPOSE_MISMATCH),
    "another recipient": ({"recipient": "0x" + "22" * 20}, Code.PURPOSE_MISMATCH),
    "another token": ({"token": USDC_EVM}, Code.PURPOSE_MISMATCH),
    "an unlisted token": ({"token": "0x" + "33" * 20}, Code.PURPOSE_MISMATCH),
    "an account created unasked": ({"create_account": True}, Code.PURPOSE_MISMATCH),
    "another withdrawal": ({"id": "w-usdc"}, Code.PURPOSE_MISMATCH),
    "no withdrawal": ({"id": "w-none"}, Code.PURPOSE_MISMATCH),
    "paid from another address": ({"source": STRANGER[EVM]}, Code.PURPOSE_MISMATCH),
    "a sweep to a stranger": ({"kind": "sweep"}, Code.RECIPIENT_NOT_OURS),
    "a top-up of a stranger": ({"kind": "topup"}, Code.RECIPIENT_NOT_OURS),
    "another memo": ({"reference": "beef"}, None),  # no part of an EVM message; so bending alone is not what refuses
}


@pytest.mark.parametrize(("changes", "expected"), BENT_PURPOSES.values(), ids=BENT_PURPOSES.keys())
def test_a_withdrawal_is_paid_exactly_or_not_at_all(changes: dict[str, Any], expected: RefusalCode | None) -> None:
    ledger = funded()
    attempt = paying(ledger)
    bend_purpose(ledger, attempt, **changes)
    assert code(judge(ledger, attempt)) is expected


@pytest.mark.parametrize("state", [state for state in WithdrawalState if state is not WithdrawalState.IN_ATTEMPT])
def test_only_a_withdrawal_that_waits_for_an_attempt(state: WithdrawalState) -> None:
    ledger = funded()
    attempt = paying(ledger)
    ledger.state.withdrawals.put(("w-eth",), replace(ledger.state.withdrawals.need("w-eth"), state=state))
    assert code(judge(ledger, attempt)) is Code.PURPOSE_MISMATCH


def test_only_a_withdrawal_that_waits_for_this_attempt() -> None:
    ledger = funded()
    first = paying(ledger)
    second = paying(ledger, nonce=0, excludes=(first,), parameters=BUMPED)
    assert code(judge(ledger, first)) is Code.PURPOSE_MISMATCH
    assert code(judge(ledger, second)) is None


def test_no_withdrawal_twice_in_one_message() -> None:
    ledger = funded()
    attempt = paying(ledger, "w-sol")
    (purpose,) = ledger.state.attempts.need(attempt).purposes
    bend(ledger, attempt, purposes=(purpose, purpose))
    assert code(judge(ledger, attempt)) is Code.PURPOSE_MISMATCH


def test_no_withdrawal_out_of_a_users_own_address() -> None:
    ledger = funded()
    attempt = paying(ledger)
    deposit = ledger.address(EVM, Tier.DEPOSIT)
    bend(ledger, attempt, sender=deposit)
    bend_purpose(ledger, attempt, source=deposit)
    assert code(judge(ledger, attempt)) is Code.PURPOSE_MISMATCH


def test_no_sender_but_ours() -> None:
    ledger = funded()
    attempt = paying(ledger)
    bend(ledger, attempt, sender=STRANGER[EVM])
    assert code(judge(ledger, attempt)) is Code.SENDER_NOT_OURS


@pytest.mark.parametrize(
    ("kind", "source", "target", "expected"),
    [
        ("sweep", Tier.DEPOSIT, Tier.DEPOSIT, Code.PURPOSE_MISMATCH),
        ("sweep", Tier.HOT, Tier.GAS, Code.PURPOSE_MISMATCH),
        ("topup", Tier.DEPOSIT, Tier.HOT, Code.PURPOSE_MISMATCH),
        ("topup", Tier.HOT, Tier.GAS, Code.PURPOSE_MISMATCH),
        ("gift", Tier.DEPOSIT, Tier.HOT, Code.PURPOSE_MISMATCH),
        ("sweep", Tier.DEPOSIT, None, Code.RECIPIENT_NOT_OURS),
        ("sweep", None, Tier.HOT, Code.RECIPIENT_NOT_OURS),
    ],
)
def test_a_move_goes_the_way_its_kind_says(
    kind: str, source: Tier | None, target: Tier | None, expected: RefusalCode
) -> None:
    ledger = funded()
    attempt = sweep(ledger, SOL, NATIVE)
    index = 1 if source is target else 0
    bend_purpose(
        ledger,
        attempt,
        kind=kind,
        source=STRANGER[SOL] if source is None else ledger.address(SOL, source),
        recipient=STRANGER[SOL] if target is None else ledger.address(SOL, target, index),
    )
    assert code(judge(ledger, attempt)) is expected


HOLDS: dict[str, tuple[dict[str, str], RefusalCode | None]] = {
    "everything": ({}, Code.HELD),
    "the chain": ({"chain": EVM}, Code.HELD),
    "another chain": ({"chain": SOL}, None),
    "the asset": ({"asset": "ETH"}, Code.HELD),
    "another asset": ({"asset": "USDC"}, None),
    "the account": ({"account": "alice"}, Code.HELD),
    "another account": ({"account": "bob"}, None),
    "the direction": ({"direction": "withdrawals"}, Code.HELD),
    "another direction": ({"direction": "deposits"}, None),
    "a provider": ({"chain": EVM, "provider": "one", "cause": "cordon"}, None),
    "another wallet": ({"wallet": "elsewhere"}, None),
}


@pytest.mark.parametrize(("scope", "expected"), HOLDS.values(), ids=HOLDS.keys())
def test_a_hold_that_was_set_after_the_attempt_stops_it(scope: dict[str, str], expected: RefusalCode | None) -> None:
    ledger = funded()
    attempt = paying(ledger)
    ledger.hold("h", **scope)
    assert code(judge(ledger, attempt)) is expected


def test_a_hold_on_the_wallet_stops_it() -> None:
    ledger = funded()
    attempt = paying(ledger)
    ledger.hold("h", wallet=hot(ledger, EVM))
    assert code(judge(ledger, attempt)) is Code.HELD


@pytest.mark.parametrize("make", [lambda ledger: sweep(ledger, EVM, NATIVE), lambda ledger: topup(ledger, EVM)])
def test_a_hold_stops_moves_within_the_house_too(make: Callable[[Ledger], str]) -> None:
    ledger = funded()
    attempt = make(ledger)
    ledger.hold("h", asset="ETH")
    assert code(judge(ledger, attempt)) is Code.HELD


@pytest.mark.parametrize(
    ("cause", "stops"),
    [
        ("pause", False),
        ("provider", False),
        ("fees", False),
        ("integrity", True),
        ("divergence", True),
        ("brake", True),
    ],
)
@pytest.mark.parametrize("what", ["bump", "filler"])
def test_bumps_and_fillers_go_on_unless_everything_stops(cause: str, stops: bool, what: str) -> None:
    ledger = funded()
    first = paying(ledger)
    signed = entry(ledger, first)
    if what == "bump":
        second = paying(ledger, nonce=0, excludes=(first,), parameters=BUMPED)
    else:
        second = ledger.prepare(EVM, hot(ledger, EVM), (), nonce=0, excludes=(first,))
    ledger.hold("h", cause=cause)
    assert code(judge(ledger, second, knowing(signed))) is (Code.HELD if stops else None)


def test_a_nonce_that_was_never_signed_is_closed_under_a_hold() -> None:
    ledger = funded()
    first = paying(ledger)
    second = ledger.prepare(EVM, hot(ledger, EVM), (), nonce=0, excludes=(first,))
    ledger.hold("h")
    assert code(judge(ledger, second)) is None


def test_a_bump_of_what_was_never_signed_is_a_new_obligation() -> None:
    ledger = funded()
    first = paying(ledger)
    second = paying(ledger, nonce=0, excludes=(first,), parameters=BUMPED)
    ledger.hold("h")
    assert code(judge(ledger, second)) is Code.HELD


def test_a_second_message_for_a_purpose_is_refused_while_the_first_may_land() -> None:
    """The signer's memory of an attempt that this ledger, put back, no longer has."""
    forgotten = funded()
    first = entry(forgotten, paying(forgotten, "w-sol"))
    ledger = funded()
    ledger.scan(SOL)
    second = paying(ledger, "w-sol")
    assert second != first.attempt
    assert code(judge(ledger, second, knowing(first))) is Code.PURPOSE_SIGNED


@pytest.mark.parametrize("state", list(AttemptState))
def test_a_second_message_needs_the_end_of_the_first(state: AttemptState) -> None:
    ledger = funded()
    first = paying(ledger, "w-sol")
    known = knowing(entry(ledger, first))
    ledger.state.withdrawals.put(
        ("w-sol",), replace(ledger.state.withdrawals.need("w-sol"), state=WithdrawalState.QUEUED)
    )
    ledger.scan(SOL)
    second = paying(ledger, "w-sol")
    bend(ledger, first, state=state)
    ended = state in (AttemptState.DEAD, AttemptState.FAILED, AttemptState.EXCLUDED)
    assert code(judge(ledger, second, known)) is (None if ended else Code.PURPOSE_SIGNED)


@pytest.mark.parametrize(
    ("elsewhere", "expected"),
    [({}, None), ({"nonce": 1}, Code.PURPOSE_SIGNED), ({"sender": "0x"}, Code.PURPOSE_SIGNED),
     ({"chain": "other"}, Code.PURPOSE_SIGNED), ({"nonce": None}, Code.PURPOSE_SIGNED)],
)  # fmt: skip
def test_the_same_nonce_excludes_the_first(elsewhere: dict[str, Any], expected: RefusalCode | None) -> None:
    ledger = funded()
    first = paying(ledger)
    second = paying(ledger, nonce=0, excludes=(first,), parameters=BUMPED)
    known = Knowledge(own=None, for_purposes=(("w-eth", entry(ledger, first, **elsewhere)),), at_nonce=())
    assert code(judge(ledger, second, known)) is expected


def test_a_nonce_that_was_signed_for_something_the_ledger_does_not_know() -> None:
    forgotten = funded()
    first = entry(forgotten, paying(forgotten, "w-usdc", parameters=PARAMETERS[EVM] | {"gas": "65000"}))
    ledger = funded()
    second = paying(ledger, "w-eth")
    assert code(judge(ledger, second, knowing(first))) is Code.NONCE_SIGNED


def test_journaled_bytes_that_the_facts_do_not_make() -> None:
    ledger = funded()
    sender = hot(ledger, EVM)
    right = bytes.fromhex(ledger.attempt(EVM, sender, (ledger.payment("w-eth", sender),))["message"])
    assert bytes.fromhex("11" * 20) in right
    attempt = paying(ledger, message=right.replace(bytes.fromhex("11" * 20), bytes.fromhex("22" * 20)))
    assert code(judge(ledger, attempt)) is Code.MESSAGE_MISMATCH


def test_facts_that_make_no_message() -> None:
    ledger = funded()
    attempt = paying(ledger)
    bend(ledger, attempt, parameters={"gas": "1"})
    assert code(judge(ledger, attempt)) is Code.MESSAGE_MISMATCH


@pytest.mark.parametrize("name", ["w-eth", "w-sol"])
def test_a_message_that_may_cost_more_than_its_cap(name: str) -> None:
    ledger = funded()
    chain = ledger.state.withdrawals.need(name).chain
    sender = hot(ledger, chain)
    cost = int(ledger.attempt(chain, sender, (ledger.payment(name, sender),))["fee_cap"])
    attempt = paying(ledger, name, fee_cap=str(cost - 1))
    assert code(judge(ledger, attempt)) is Code.FEE_ABOVE_CAP


def test_what_the_ledger_has_as_signed_is_given_again_under_any_hold_and_at_any_age() -> None:
    ledger = funded()
    attempt = paying(ledger)
    own = entry(ledger, attempt)
    ledger.say("signer", tx.AttemptSigned, attempt=attempt, raw=own.raw, tx=own.tx)
    ledger.hold("h", cause="integrity")
    verdict = judge(ledger, attempt, knowing(own, own=own), late_ms=10 * CLOCK_MARGIN_MS)
    assert verdict == Again(entry=own)


@pytest.mark.parametrize("known", ["nothing", "other bytes"])
def test_signed_bytes_that_the_log_does_not_hold(known: str) -> None:
    ledger = funded()
    attempt = paying(ledger)
    own = entry(ledger, attempt)
    ledger.say("signer", tx.AttemptSigned, attempt=attempt, raw=own.raw, tx=own.tx)
    own = replace(own, raw="00")
    verdict = judge(ledger, attempt, NOTHING if known == "nothing" else knowing(own, own=own))
    assert code(verdict) is Code.SIGNED_BEFORE


def test_the_same_message_of_another_wallet_is_another_attempt() -> None:
    """An EVM message does not name its sender; the attempt's name does."""
    forgotten = funded()
    own = entry(forgotten, paying(forgotten))
    ledger = funded()
    gas = ledger.address(EVM, Tier.GAS)
    attempt = ledger.prepare(EVM, gas, (ledger.payment("w-eth", gas),))
    assert ledger.state.attempts.need(attempt).message == own.message
    assert attempt != own.attempt


def test_what_only_the_log_has_passes_every_check_again() -> None:
    ledger = funded()
    attempt = paying(ledger)
    own = entry(ledger, attempt)
    assert judge(ledger, attempt, knowing(own, own=own)) == Again(entry=own)
    ledger.hold("h")
    assert code(judge(ledger, attempt, knowing(own, own=own))) is Code.HELD
