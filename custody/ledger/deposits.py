"""Deposits: recorded as soon as a finalized range shows them, credited once, in order, when nothing holds them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from itertools import chain as chain_up
from itertools import islice
from typing import NamedTuple

from custody.ledger import events as ev
from custody.ledger.holds import Scope, stopping
from custody.ledger.identifiers import PENDING, available, external, suspense
from custody.ledger.state import Hold, State

RELEASE_LIMIT = 500
"""Credits in one transaction. A long pause releases over several blocks instead of in one that never ends."""


class _Waiting(NamedTuple):
    deposit: str
    chain: str
    account: str
    asset: str
    address: str
    amount: int


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
    new = (
        _Waiting(item.deposit, item.chain, item.account, item.asset, item.address, item.amount)
        for item in fresh
        if item.move == "record"
    )
    rows = chain_up(_pending(state, holds), new)
    free = (row for row in rows if not stopping(holds, _scope(row.chain, row.asset, row.account, row.address)))
    events: list[ev.Event] = []
    for row in islice(free, RELEASE_LIMIT):
        events.extend(credit(row.deposit, row.chain, row.account, row.asset, row.amount))
    return tuple(events)


def _pending(state: State, holds: tuple[tuple[str, Hold], ...]) -> Iterator[_Waiting]:
    """What waits, in order, without the queues that a hold stops as a whole: their length must not cost anything."""
    queues = [
        iter(state.waiting[chain, asset].items())  # ordered: a queue's orders only ever rise
        for chain, asset in sorted(state.waiting)
        if not stopping(holds, _scope(chain, asset))
    ]
    for _, name in merge(*queues):
        row = state.deposits.need(name)
        yield _Waiting(name, row.chain, row.account, row.asset, row.address, row.amount)


def _scope(chain: str, asset: str, account: str = "", address: str = "") -> Scope:
    return Scope(direction="deposits", chain=chain, asset=asset, account=account, wallet=address)
