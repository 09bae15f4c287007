"""Each key's window of 1,024 numbers: a repeat gets its first answer, other content is a conflict, the rest is too old
or too far; and what was refused before admission never counted."""

from __future__ import annotations

import pytest

from custody.envelope.envelopes import Envelope
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.ledger.state import WINDOW
from custody.ledger.transition import Repeat, Result
from tests.custody.ledger.world import World, busy, replayed


def ask(world: World, seq: int, account: str = "a") -> Envelope:
    return world.envelope("payouts", tx.AddressRequested, account=account, chain="ethereum", seq=seq)


def code(world: World, seq: int, account: str = "a") -> str:
    (taken,) = world.put(ask(world, seq, account))
    return f"repeat:{taken.code}" if isinstance(taken, Repeat) else taken.code


def test_a_repeat_gets_the_first_answer_and_does_nothing() -> None:
    world = busy()
    request = world.envelope(
        "payouts", tx.WithdrawalRequested, id="w", account="alice", asset="USDC", chain="ethereum", to="x",
        amount=str(10**12), create_account=False,
    )  # fmt: skip
    first = world.put(request)[0]
    assert isinstance(first, Result)
    money, blocks = world.money(), len(world.executed)
    assert world.put(request) == [Repeat(code="ok")]
    assert world.money() == money
    assert len(world.executed) == blocks, "a repeat makes no block"


def test_a_no_stays_a_no_when_it_is_delivered_again() -> None:
    """Bob has nothing, asks, is refused, gets money; the late copy of his request must not pay."""
    world = busy()
    request = world.envelope(
        "payouts", tx.WithdrawalRequested, id="w", account="bob", asset="USDC", chain="ethereum", to="x",
        amount=str(10**13), create_account=False,
    )  # fmt: skip
    assert [item.code for item in world.put(request)] == ["insufficient_balance"]
    world.pay_in("bob", "ethereum", "0xUSDC", 100)
    assert world.put(request) == [Repeat(code="insufficient_balance")]
    assert world.state.withdrawals.get("w") is None
    assert world.request("w", "bob", amount=str(10**13)) == "ok", "a new number may"


def test_the_window_slides_with_the_highest_number() -> None:
    world = World()
    assert code(world, 0) == "ok"
    assert code(world, WINDOW) == "ok", "as far as one may go"
    assert code(world, 2 * WINDOW + 1) == "sequence_too_far"
    assert code(world, 0) == "sequence_too_old"
    assert code(world, 1) == "ok", "the window's last number, never used"
    assert code(world, 1) == "repeat:ok"
    assert code(world, 1, "b") == "sequence_conflict"
    assert code(world, WINDOW + 1) == "ok"
    assert code(world, 1) == "sequence_too_old"
    assert code(world, 2) == "ok"


def test_a_new_keys_first_number() -> None:
    assert code(World(), WINDOW - 1) == "ok"
    assert code(World(), WINDOW) == "sequence_too_far"


@pytest.mark.parametrize("jump", [1, 2, WINDOW - 1, WINDOW])
def test_state_remembers_a_window_and_no_more(jump: int) -> None:
    world = World()
    high = 0
    for _ in range(6):
        assert code(world, high) == "ok"
        high += jump
    rows = [key[1] for key, _ in world.state.said.rows() if key[0] == "payouts"]
    assert rows == [seq for seq in range(0, high, jump) if seq > high - jump - WINDOW]
    window = world.state.windows.need("payouts")
    assert (window.high, window.used) == (high - jump, 6)


def test_numbers_may_come_in_any_order_within_the_window() -> None:
    world = World()
    for seq in (5, 3, 9, 0, 4):
        assert code(world, seq, f"a{seq}") == "ok"
    assert world.state.windows.need("payouts").high == 9
    assert replayed(world.executed).state.root == world.state.root


def test_windows_are_each_keys_own() -> None:
    world = World()
    assert code(world, 7) == "ok"
    assert world.hold("h", seq=7) == "ok"


def test_what_is_not_admitted_uses_no_number() -> None:
    world = World()
    forged = Envelope("payouts", ask(world, 0).payload, bytes(64))
    assert world.put(forged) == [Rejection.SIGNATURE_WRONG]
    assert world.request("w", amount="0", seq=0) == "amount_zero"
    assert world.state.windows.get("payouts") is None
    assert code(world, 0) == "ok"


@pytest.mark.parametrize("seq", [-1, 1 << 53, 1 << 70])
def test_a_number_is_a_natural_one_of_53_bits(seq: int) -> None:
    assert code(World(), seq) == "field_out_of_bounds"
