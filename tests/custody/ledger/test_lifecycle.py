"""The life cycles: every move of the tables, every non-move, and that nothing that ended goes on."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import pytest

from custody.ledger import events as ev
from custody.ledger.evolve import evolve
from custody.ledger.lifecycle import (
    ATTEMPT,
    DEPOSIT,
    OPEN_ATTEMPTS,
    OPEN_WITHDRAWALS,
    WITHDRAWAL,
    AttemptState,
    DepositState,
    WithdrawalState,
)
from custody.ledger.state import State
from tests.custody.ledger.world import ETH, World, busy

CYCLES: list[tuple[type[StrEnum], Mapping[Any, StrEnum]]] = [
    (DepositState, DEPOSIT),
    (WithdrawalState, WITHDRAWAL),
    (AttemptState, ATTEMPT),
]
ENDS = {
    DepositState: {"credited", "below_minimum"},
    WithdrawalState: {"settled", "failed", "cancelled"},
    AttemptState: {"landed", "failed", "dead", "excluded"},
}


@pytest.mark.parametrize(("states", "cycle"), CYCLES, ids=lambda item: getattr(item, "__name__", ""))
def test_every_state_is_reached_and_only_ends_are_ends(states: type[StrEnum], cycle: Mapping[Any, StrEnum]) -> None:
    reached = {None, *cycle.values()}
    assert reached == {None, *states}
    assert {state.value for state in states if not any(source is state for source, _ in cycle)} == ENDS[states]
    seen: set[StrEnum | None] = {None}
    while True:
        further = {target for (source, _), target in cycle.items() if source in seen} - seen
        if not further:
            break
        seen |= further
    assert seen == reached, "every state is reached from the beginning"


def test_open_is_what_has_not_ended() -> None:
    assert set(OPEN_WITHDRAWALS) == {state for state in WithdrawalState if state.value not in ENDS[WithdrawalState]}
    assert set(OPEN_ATTEMPTS) == {state for state in AttemptState if state.value not in ENDS[AttemptState]}


def at(state: WithdrawalState) -> State:
    """A ledger whose withdrawal `w` stands there, by real transactions."""
    world = busy()
    if state is WithdrawalState.AWAITING_APPROVAL:
        world.parameter("approval_above", "USDC", 1)
    world.request("w")
    if state is WithdrawalState.CANCELLED:
        evolve(world.state, ev.WithdrawalMoved(withdrawal="w", move="cancel"))
    if state in (WithdrawalState.IN_ATTEMPT, WithdrawalState.SETTLED, WithdrawalState.FAILED):
        attempt = world.prepare(ETH, world.payment("w"))
        if state is not WithdrawalState.IN_ATTEMPT:
            world.land(attempt, succeeded=state is WithdrawalState.SETTLED)
    assert world.state.withdrawals.need("w").state is state
    return world.state


MOVES = sorted({move for _, move in WITHDRAWAL})


@pytest.mark.parametrize("state", WithdrawalState)
def test_every_move_and_every_non_move_of_a_withdrawal(state: WithdrawalState) -> None:
    ledger = at(state)
    row = ledger.withdrawals.need("w")
    for move in MOVES:
        event = ev.WithdrawalMoved(withdrawal="w", move=move)
        if (state, move) in WITHDRAWAL:
            evolve(ledger, event)
            assert ledger.withdrawals.need("w").state is WITHDRAWAL[state, move]
            ledger.withdrawals.put(("w",), row)
        else:
            with pytest.raises(KeyError):
                evolve(ledger, event)
            assert ledger.withdrawals.need("w") == row


def attempted(state: AttemptState) -> tuple[World, str]:
    world = busy()
    world.request("w")
    name = world.prepare(ETH, world.payment("w"))
    match state:
        case AttemptState.SIGNED:
            world.sign(name)
        case AttemptState.LANDED | AttemptState.FAILED:
            world.land(name, succeeded=state is AttemptState.LANDED)
        case AttemptState.EXCLUDED:
            world.land(world.prepare(ETH, nonce=0, excludes=(name,)))
        case AttemptState.DEAD:
            evolve(world.state, ev.AttemptEnded(attempt=name, move="die", tx=""))
        case _:
            pass
    assert world.state.attempts.need(name).state is state
    return world, name


@pytest.mark.parametrize("state", AttemptState)
def test_every_move_and_every_non_move_of_an_attempt(state: AttemptState) -> None:
    world, name = attempted(state)
    row = world.state.attempts.need(name)
    for move in sorted({move for _, move in ATTEMPT} - {"prepare"}):
        event: ev.Event = ev.AttemptEnded(attempt=name, move=move, tx="")
        if move == "sign":
            event = ev.AttemptSigned(attempt=name, raw="aa", tx="t")
        if (state, move) in ATTEMPT:
            evolve(world.state, event)
            assert world.state.attempts.need(name).state is ATTEMPT[state, move]
            world.state.attempts.put((name,), row)
            world.state.open_attempts.put((name,), ETH)
        else:
            with pytest.raises(KeyError):
                evolve(world.state, event)
            assert world.state.attempts.need(name) == row


def test_a_deposit_is_credited_once_and_a_small_one_never() -> None:
    world = busy()
    world.pay_in("bob", ETH, "0xUSDC", 50, "t")
    world.pay_in("bob", ETH, "0xUSDC", 5, "dust")
    for name in ("t", "dust"):
        row = world.state.deposits.need(f"{ETH}:{name}:native")
        event = ev.DepositCredited(
            deposit=f"{ETH}:{name}:native", chain=ETH, account="bob", asset="USDC", amount=row.amount
        )
        with pytest.raises(KeyError):
            evolve(world.state, event)
