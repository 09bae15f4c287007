"""Deposits: recorded as soon as a finalized range shows them, credited once, in order, when nothing holds them."""

from __future__ import annotations

from collections.abc import Iterable

from custody.ledger import events as ev
from custody.ledger.holds import Scope, stopping
from custody.ledger.identifiers import PENDING, available, external, suspense
from custody.ledger.state import Hold, State

RELEASE_LIMIT = 500
"""Credits in one transaction. A long pause releases over several blocks instead of in one that never ends."""


def record(deposit: ev.DepositRecorded) -> tuple[ev.Event, ...]:
    """A deposit and its posting: from the outside world to where it waits, or to suspense below the minimum."""
    waits_in = PENDING if deposit.move == "record" else suspense(deposit.chain)
    legs = ((external(deposit.chain), -deposit.amount), (waits_in, deposit.amount))
    return deposit, ev.Posted(asset=deposit.asset, legs=legs)


def credit(deposit: str, chain: str, account: str, asset: str, amount: int) -> tuple[ev.Event, ...]:
    """The credit and its posting."""
    legs = ((PENDING, -amount), (available(account), amount))
    return (
        ev.DepositCredited(deposit=deposit, chain=chain, account=account, asset=asset, amount=amount),
        ev.Posted(asset=asset, legs=legs),
    )


def release(
    state: State, holds: Iterable[tuple[str, Hold]], fresh: Iterable[ev.DepositRecorded] = ()
) -> tuple[ev.Event, ...]:
    """Credit whatever waits and is not held, oldest first: what the state has pending, then what this very
    transaction records. At most `RELEASE_LIMIT`; the rest goes with the next transaction that releases."""
    holds = tuple(holds)
    events: list[ev.Event] = []
    credited = 0
    waiting: list[tuple[str, str, str, str, int]] = []
    for _, name in state.pending.rows():
        row = state.deposits.need(name)
        waiting.append((name, row.chain, row.account, row.asset, row.amount))
    waiting.extend((d.deposit, d.chain, d.account, d.asset, d.amount) for d in fresh if d.move == "record")
    for name, chain, account, asset, amount in waiting:
        if credited == RELEASE_LIMIT:
            break
        if stopping(holds, Scope(direction="deposits", chain=chain, asset=asset, account=account)):
            continue
        events.extend(credit(name, chain, account, asset, amount))
        credited += 1
    return tuple(events)
