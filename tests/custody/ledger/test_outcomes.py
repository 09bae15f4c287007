"""What a finalized transaction of ours means: settled, failed, excluded, explained, or a matter for a person."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from msgspec.structs import replace

from custody.ledger import transactions as tx
from custody.ledger.identifiers import HOUSE_NETWORK, HOUSE_RENT, external, suspense
from tests.custody.ledger.world import BSC, ETH, NATIVE, SOL, TOKEN, World, busy, deposit, movement

HOT = f"hot@{ETH}"


def requested(world: World, name: str = "w", chain: str = ETH, **changes: Any) -> tx.Purpose:
    assert world.request(name, chain=chain, **changes) == "ok"
    return world.payment(name)


def move(kind: str, chain: str, source: str, recipient: str, token: str, raw: int) -> tx.Purpose:
    return tx.Purpose(
        kind=kind, id="", source=source, recipient=recipient, token=token, amount=str(raw), reference="",
        create_account=False,
    )  # fmt: skip


@pytest.mark.parametrize("chain", [ETH, SOL, BSC])
def test_a_payment_that_landed_settles_its_withdrawal(chain: str) -> None:
    world = busy()
    outside = world.state.balance("USDC", external(chain))
    attempt = world.prepare(chain, requested(world, chain=chain))
    assert world.withdrawal("w") == "in_attempt"
    world.sign(attempt)
    world.land(attempt)
    assert world.withdrawal("w") == "settled"
    assert world.attempt_state(attempt) == "landed"
    assert world.held("alice") == 0
    assert world.state.balance("USDC", external(chain)) == outside + 10**14
    assert world.state.withdrawals.need("w").tx == f"tx-{attempt[:20]}"
    assert world.state.withdrawals.need("w").attempt == attempt
    assert world.holds() == []


def test_the_fee_is_the_houses_whether_it_succeeded_or_not() -> None:
    world = busy()
    world.land(world.prepare(ETH, requested(world, "one")), fee="7")
    world.land(world.prepare(ETH, requested(world, "two")), fee="5", succeeded=False)
    assert world.state.balance("ETH", HOUSE_NETWORK) == -12
    assert world.holds() == []


def test_bytes_that_a_crash_kept_from_being_recorded_settle_all_the_same() -> None:
    world = busy()
    attempt = world.prepare(ETH, requested(world))
    assert world.attempt_state(attempt) == "prepared"
    world.land(attempt)
    assert world.withdrawal("w") == "settled"


# --- failure


@pytest.mark.parametrize(("allowed", "states"), [(1, ["failed"]), (3, ["queued", "queued", "failed"]), (0, ["failed"])])
def test_a_failed_payment_is_tried_again_as_often_as_the_policy_says(allowed: int, states: list[str]) -> None:
    world = busy()
    world.parameter("attempts", ETH, allowed)
    before = world.available("alice")
    requested(world)
    for number, state in enumerate(states, 1):
        attempt = world.prepare(ETH, world.payment("w"))
        world.land(attempt, succeeded=False)
        assert world.withdrawal("w") == state
        assert world.attempt_state(attempt) == "failed"
        assert world.state.withdrawals.need("w").failures == number
    assert world.available("alice") == before
    assert world.held("alice") == 0


def test_a_failed_bump_ends_its_rivals_and_requeues_once() -> None:
    world = busy()
    world.parameter("attempts", ETH, 2)
    purpose = requested(world)
    first = world.prepare(ETH, purpose)
    second = world.prepare(ETH, purpose, nonce=0, excludes=(first,))
    events = world.land(second, succeeded=False)
    assert [world.attempt_state(name) for name in (first, second)] == ["excluded", "failed"]
    assert world.withdrawal("w") == "queued"
    assert [type(event).__name__ for event in events].count("WithdrawalMoved") == 1


# --- lanes


@pytest.mark.parametrize("winner", [0, 1, 2])
def test_of_all_attempts_at_a_nonce_one_pays(winner: int) -> None:
    world = busy()
    purpose = requested(world)
    names = [world.prepare(ETH, purpose)]
    names.append(world.prepare(ETH, purpose, nonce=0, excludes=tuple(names)))
    names.append(world.prepare(ETH, purpose, nonce=0, excludes=tuple(names)))
    world.land(names[winner])
    assert world.withdrawal("w") == "settled"
    states = [world.attempt_state(name) for name in names]
    assert states.pop(winner) == "landed"
    assert states == ["excluded", "excluded"]
    lane = world.state.lanes.need(ETH, HOT)
    assert (lane.next_nonce, lane.done) == (1, 1)
    assert len(world.state.open_attempts) == 0


def test_a_filler_that_landed_puts_the_payment_back_into_the_queue() -> None:
    world = busy()
    first = world.prepare(ETH, requested(world))
    filler = world.prepare(ETH, nonce=0, excludes=(first,))
    world.land(filler)
    assert world.attempt_state(first) == "excluded"
    assert world.withdrawal("w") == "queued"
    assert world.held("alice") == 10**14, "still promised"
    again = world.prepare(ETH, world.payment("w"))
    assert world.state.attempts.need(again).nonce == 1
    world.land(again)
    assert world.withdrawal("w") == "settled"


def test_the_payment_may_still_win_against_its_filler() -> None:
    world = busy()
    first = world.prepare(ETH, requested(world))
    filler = world.prepare(ETH, nonce=0, excludes=(first,))
    world.land(first)
    assert world.withdrawal("w") == "settled"
    assert world.attempt_state(filler) == "excluded"


# --- a person must look


def test_a_transaction_that_nobody_prepared_holds_the_chain() -> None:
    world = busy()
    world.request("w")
    purpose = world.payment("w")
    attempt = world.prepare(ETH, purpose)
    stranger = hashlib.sha256(b"another message").hexdigest()
    world.land(attempt, message=stranger)
    assert world.withdrawal("w") == "in_attempt"
    assert world.attempt_state(attempt) == "prepared"
    (name,) = world.holds()
    assert "no attempt prepared" in world.state.holds.need(name).reason
    assert world.state.balance("USDC", suspense(ETH)) == -(10**14)
    assert world.state.lanes.need(ETH, HOT).done == 1, "the nonce is used whoever used it"


def test_a_nonce_that_was_used_without_us_is_not_used_again() -> None:
    world = busy()
    stranger = hashlib.sha256(b"another message").hexdigest()
    attempt = world.prepare(ETH, requested(world))
    world.scan(ETH, outcomes=[world.outcome(attempt, message=stranger, nonce=4)])
    assert world.lift(world.holds()[0]) == "ok"
    assert world.state.attempts.need(world.prepare(ETH, requested(world, "next"))).nonce == 5


@pytest.mark.parametrize("change", [{"nonce": 5}, {"nonce": None}, {"sender": f"alice@{ETH}"}])
def test_a_message_alone_does_not_make_it_the_attempt(change: dict[str, Any]) -> None:
    world = busy()
    attempt = world.prepare(ETH, requested(world))
    world.scan(ETH, outcomes=[world.outcome(attempt, **change)])
    assert world.withdrawal("w") == "in_attempt"
    assert len(world.holds()) == 1


def test_success_is_believed_only_with_the_payment() -> None:
    """Status 1 and nothing delivered: a token that returns false, an inner call that failed."""
    world = busy()
    attempt = world.prepare(ETH, requested(world))
    row = world.state.attempts.need(attempt).purposes[0]
    less = (tx.ScannedPaid(recipient=row.recipient, token=row.token, amount=str(int(row.amount) - 1)),)
    world.land(attempt, paid=less)
    assert world.withdrawal("w") == "in_attempt"
    assert world.held("alice") == 10**14
    (name,) = world.holds()
    assert "without paying" in world.state.holds.need(name).reason


@pytest.mark.parametrize(
    "paid",
    [
        (),
        (("thief", "0xUSDC", 100),),
        (("stranger", "native", 100),),
        (("stranger", "0xUSDC", 99),),
    ],
)
def test_the_payment_is_to_the_right_one_in_the_right_token(paid: tuple[tuple[str, str, int], ...]) -> None:
    world = busy()
    attempt = world.prepare(ETH, requested(world))
    shown = tuple(tx.ScannedPaid(recipient=to, token=token, amount=str(raw)) for to, token, raw in paid)
    world.land(attempt, paid=shown)
    assert world.withdrawal("w") == "in_attempt"


def test_a_payment_may_come_in_parts_and_two_purposes_add_up() -> None:
    world = busy()
    purposes = [requested(world, name, SOL) for name in ("one", "two")]
    attempt = world.prepare(SOL, *purposes)
    parts = tuple(tx.ScannedPaid(recipient="stranger", token=TOKEN[SOL], amount=str(raw)) for raw in (150, 50))
    world.land(attempt, paid=parts)
    assert [world.withdrawal(name) for name in ("one", "two")] == ["settled", "settled"]
    short = [requested(world, name, SOL) for name in ("three", "four")]
    second = world.prepare(SOL, *short)
    world.land(second, paid=parts[:1])
    assert [world.withdrawal(name) for name in ("three", "four")] == ["in_attempt", "in_attempt"]


def test_an_attempt_that_ended_and_lands_again_holds_the_chain_and_pays_nobody() -> None:
    world = busy()
    attempt = world.prepare(ETH, requested(world))
    world.land(attempt)
    before = world.state.balance("USDC", external(ETH))
    world.land(attempt, tx="again")
    assert world.holds() == [f"auto:integrity:{ETH}:again"]
    assert "had ended" in world.state.holds.need(f"auto:integrity:{ETH}:again").reason
    assert world.state.balance("USDC", external(ETH)) == before + 10**14, "it left all the same, to suspense"
    assert world.state.withdrawals.need("w").tx == f"tx-{attempt[:20]}"


def test_within_one_range_an_attempt_lands_once() -> None:
    world = busy()
    attempt = world.prepare(ETH, requested(world))
    out = world.outcome(attempt)
    world.scan(ETH, outcomes=[out, replace(out, tx="again")])
    assert world.holds() == [f"auto:integrity:{ETH}:again"]


def test_an_overpayment_is_money_that_left_without_an_attempt() -> None:
    world = busy()
    attempt = world.prepare(ETH, requested(world))
    world.land(attempt, extra=[movement(f"tx-{attempt[:20]}", HOT, TOKEN[ETH], -1, "log:9")])
    assert world.withdrawal("w") == "settled"
    (name,) = world.holds()
    assert "without an attempt" in world.state.holds.need(name).reason


# --- between our own addresses


@pytest.mark.parametrize("chain", [ETH, SOL])
def test_a_top_up_is_not_a_users_deposit(chain: str) -> None:
    world = busy()
    before = world.available("bob", "ETH" if chain == ETH else "SOL")
    purpose = move("topup", chain, f"hot@{chain}", f"bob@{chain}", NATIVE, 50)
    world.land(world.prepare(chain, purpose))
    assert world.available("bob", "ETH" if chain == ETH else "SOL") == before
    assert world.state.wallets.need(chain, f"bob@{chain}", NATIVE) == 50
    assert world.holds() == []
    assert world.state.balance("USDC", suspense(chain)) == 0


def test_two_top_ups_of_one_address_in_one_sum_are_no_deposit() -> None:
    world = busy()
    purpose = move("topup", SOL, f"hot@{SOL}", f"bob@{SOL}", NATIVE, 50)
    world.land(world.prepare(SOL, purpose, purpose))
    assert world.available("bob", "SOL") == 0
    assert world.holds() == []


def test_what_is_more_than_the_top_up_is_a_deposit() -> None:
    """A withdrawal to what became a deposit address afterwards, in one sum with a top-up of it: 100 of 150 are its
    user's."""
    world = busy()
    purpose = requested(world, "w", SOL, asset="SOL", amount="100", to=f"carol@{SOL}")
    world.user("carol", SOL)
    topup = move("topup", SOL, f"hot@{SOL}", f"carol@{SOL}", NATIVE, 50)
    world.land(world.prepare(SOL, purpose, topup))
    assert world.withdrawal("w") == "settled"
    assert world.available("carol", "SOL") == 100
    assert world.state.wallets.need(SOL, f"carol@{SOL}", NATIVE) == 150
    assert world.holds() == []


def test_a_top_up_of_which_a_part_was_spent_at_once_is_no_deposit() -> None:
    world = busy()
    attempt = world.prepare(SOL, move("topup", SOL, f"hot@{SOL}", f"bob@{SOL}", NATIVE, 50))
    out = world.outcome(attempt)
    world.scan(
        SOL,
        outcomes=[out],
        deposits=[deposit(out.tx, f"bob@{SOL}", NATIVE, 48)],
        movements=[movement(out.tx, f"hot@{SOL}", NATIVE, -57, "hot")],
    )
    assert world.available("bob", "SOL") == 0
    assert world.holds() == [f"auto:integrity:{SOL}:{out.tx}"], "2 are gone and nothing explains them"


def test_a_withdrawal_to_what_became_an_address_of_ours_is_a_credit() -> None:
    world = busy()
    attempt = world.prepare(ETH, requested(world, to=f"carol@{ETH}"))
    world.user("carol", ETH)
    world.land(attempt)
    assert world.withdrawal("w") == "settled"
    assert world.available("carol") == 10**14
    assert world.holds() == []
    assert world.state.balance("USDC", suspense(ETH)) == 0


def test_a_sweep_changes_nobodys_balance() -> None:
    world = busy()
    before = world.available("alice")
    owed = world.state.balance("USDC", external(SOL))
    world.land(world.prepare(SOL, move("sweep", SOL, f"alice@{SOL}", f"hot@{SOL}", TOKEN[SOL], 900)))
    assert world.available("alice") == before
    assert world.state.balance("USDC", external(SOL)) == owed
    assert world.state.wallets.need(SOL, f"hot@{SOL}", TOKEN[SOL]) == 10**6 + 900
    assert world.holds() == []


# --- rent


@pytest.mark.parametrize(
    ("rest", "cap", "rent", "held"),
    [
        (-2039280, 2039280, -2039280, False),
        (-2039279, 2039280, -2039279, False),
        (-2039281, 2039280, 0, True),
        (-1, 0, 0, True),
        (2039280, 2039280, 2039280, False),
        (2039281, 2039280, 0, False),
    ],
)
def test_rent_is_explained_within_its_cap(rest: int, cap: int, rent: int, held: bool) -> None:
    world = busy()
    world.fund(SOL, NATIVE, 10**9)
    attempt = world.prepare(SOL, requested(world, chain=SOL), rent_cap=str(cap))
    world.land(attempt, extra=[movement(f"tx-{attempt[:20]}", f"hot@{SOL}", NATIVE, rest, "rent")])
    assert world.withdrawal("w") == "settled"
    assert world.state.balance("SOL", HOUSE_RENT) == rent
    assert world.state.balance("SOL", suspense(SOL)) == rest - rent
    assert bool(world.holds()) is held


def test_what_did_not_pay_explains_no_rent() -> None:
    world = busy()
    attempt = world.prepare(SOL, requested(world, "w", SOL, asset="SOL", amount="1000"), rent_cap="5000")
    world.land(attempt, paid=())
    assert world.state.balance("SOL", HOUSE_RENT) == 0
    assert world.state.balance("SOL", suspense(SOL)) == -1000
    assert len(world.holds()) == 1
