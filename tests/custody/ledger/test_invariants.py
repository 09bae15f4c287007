"""The watchman is watched: each invariant, broken by hand in a true ledger, is named."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from custody.ledger import events as ev
from custody.ledger.evolve import evolve
from custody.ledger.identifiers import HOUSE_FEES, PENDING, available, external, held
from custody.ledger.invariants import violations
from custody.ledger.lifecycle import AttemptState, DepositState, WithdrawalState
from custody.ledger.state import State
from tests.custody.ledger.world import ETH, TOKEN, World, busy


def working() -> World:
    """Something of everything: a payment that landed, one under way, a deposit that waits."""
    world = busy()
    for name in ("paid", "under-way", "queued"):
        world.request(name)
    world.land(world.prepare(ETH, world.payment("paid")))
    world.prepare(ETH, world.payment("under-way"))
    world.hold("h", direction="deposits")
    world.pay_in("bob", ETH, TOKEN[ETH], 50, "waits")
    return world


def put_balance(state: State, account: str, by: int, asset: str = "USDC") -> None:
    state.balances.put((asset, account), state.balance(asset, account) + by)


def state_of(state: State, name: str, to: WithdrawalState) -> None:
    state.withdrawals.put((name,), replace(state.withdrawals.need(name), state=to))


def two_at_one_nonce(state: State) -> None:
    name = state.withdrawals.need("paid").attempt
    state.attempts.put(("copy",), state.attempts.need(name))


def move(state: State, source: str, target: str, amount: int = 1) -> None:
    put_balance(state, source, -amount)
    put_balance(state, target, amount)


DEPOSIT = f"{ETH}:waits:native"
BROKEN: dict[str, tuple[Callable[[State], object], str]] = {
    "a unit out of nothing": (lambda s: put_balance(s, HOUSE_FEES, 1), "sums to 1"),
    "a user in debt": (lambda s: move(s, available("bob"), HOUSE_FEES), "owes 1 USDC"),
    "a wallet that has more": (
        lambda s: s.wallets.put((ETH, f"hot@{ETH}", TOKEN[ETH]), 5),
        "the wallet book holds",
    ),
    "an outside that owes more": (lambda s: move(s, external(ETH), HOUSE_FEES), "−external"),
    "held without a withdrawal": (lambda s: move(s, available("alice"), held("alice")), "is off by"),
    "pending without a deposit": (lambda s: move(s, available("alice"), PENDING), "is off by"),
    "a withdrawal that vanished": (lambda s: s.withdrawals.drop(("queued",)), "is off by"),
    "an open withdrawal that is not listed": (
        lambda s: s.open_withdrawals.drop((s.withdrawals.need("queued").order,)),
        "listed as open",
    ),
    "an ended one that is": (lambda s: state_of(s, "queued", WithdrawalState.CANCELLED), "listed as open"),
    "a deposit credited in its queue": (
        lambda s: s.deposits.put((DEPOSIT,), replace(s.deposits.need(DEPOSIT), state=DepositState.CREDITED)),
        "place in the queue",
    ),
    "a deposit without its place": (
        lambda s: s.pending.drop((s.deposits.need(DEPOSIT).order,)),
        "place in the queue",
    ),
    "a queue by chain that is not the queue": (lambda s: s.waiting.clear(), "queue by chain"),
    "a withdrawal in an attempt of others": (
        lambda s: s.withdrawals.put(
            ("under-way",),
            replace(s.withdrawals.need("under-way"), attempt=s.withdrawals.need("paid").attempt),
        ),
        "does not pay it",
    ),
    "a withdrawal in no attempt": (
        lambda s: s.withdrawals.put(("under-way",), replace(s.withdrawals.need("under-way"), attempt="none")),
        "does not pay it",
    ),
    "an attempt that ended unlisted": (
        lambda s: s.open_attempts.drop((s.withdrawals.need("under-way").attempt,)),
        "listed otherwise",
    ),
    "an attempt that ended and is listed": (
        lambda s: s.attempts.put(
            (s.withdrawals.need("under-way").attempt,),
            replace(s.attempts.need(s.withdrawals.need("under-way").attempt), state=AttemptState.DEAD),
        ),
        "listed otherwise",
    ),
    "a nonce used twice": (two_at_one_nonce, "both used nonce 0"),
}


def test_a_true_ledger_breaks_none() -> None:
    assert violations(working().state) == ()


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named(name: str) -> None:
    spoil, sentence = BROKEN[name]
    state = working().state
    spoil(state)
    assert any(sentence in found for found in violations(state)), violations(state)


@pytest.mark.parametrize(
    ("legs", "why"),
    [
        ((("house:fees", 1),), "sums to zero"),
        ((("user:bob/available", -1), ("house:fees", 1)), "owes us"),
        ((("house:fees", 1 << 127), ("house:rent", -(1 << 127))), "bounds"),
    ],
)
def test_evolve_asserts_the_cheap_half_as_it_goes(legs: tuple[tuple[str, int], ...], why: str) -> None:
    with pytest.raises(AssertionError, match=why):
        evolve(busy().state, ev.Posted(asset="ETH", legs=legs))
