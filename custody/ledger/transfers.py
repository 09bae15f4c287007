"""Transfer batches: how a matching engine, lending or settlement books what users did among themselves."""

from __future__ import annotations

import hashlib

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.context import Context
from custody.ledger.holds import Scope, in_force, stopping
from custody.ledger.identifiers import HOUSE_FEES, available
from custody.ledger.rejections import Rejection
from custody.ledger.state import State


def content_of(said: tx.TransferBatch) -> str:
    """What makes a batch id's second use a repeat or a conflict."""
    rows = [[leg.source, leg.target, leg.asset, leg.amount] for leg in said.legs]
    return hashlib.sha256("\n".join("\0".join(row) for row in rows).encode()).hexdigest()


def decide_batch(state: State, said: tx.TransferBatch, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """All legs or none. Errors in order: id_conflict; for each leg unknown_asset, unknown_account, batch_invalid,
    held; insufficient_balance for the batch's net effect on any account."""
    content = content_of(said)
    known = state.batches.get(said.id)
    if known is not None:
        return () if known == content else Rejection.ID_CONFLICT
    holds = in_force(state)
    net: dict[tuple[str, str], int] = {}
    for leg in said.legs:
        wrong = _leg_fault(state, leg)
        if wrong is not None:
            return wrong
        if any(
            stopping(holds, Scope(direction="transfers", asset=leg.asset, account=account))
            for account in (leg.source, leg.target)
        ):
            return Rejection.HELD
        amount = int(leg.amount)
        source, target = available(leg.source), _target(leg.target)
        net[leg.asset, source] = net.get((leg.asset, source), 0) - amount
        net[leg.asset, target] = net.get((leg.asset, target), 0) + amount
    by_asset: dict[str, list[tuple[str, int]]] = {}
    for (asset, account), amount in sorted(net.items()):
        if account != HOUSE_FEES and state.balance(asset, account) + amount < 0:
            return Rejection.INSUFFICIENT_BALANCE
        if amount:
            by_asset.setdefault(asset, []).append((account, amount))
    posted = tuple(ev.Posted(asset=asset, legs=tuple(legs)) for asset, legs in sorted(by_asset.items()))
    return (ev.BatchBooked(batch=said.id, content=content, legs=len(said.legs)), *posted)


def _target(name: str) -> str:
    return name if name == HOUSE_FEES else available(name)


def _leg_fault(state: State, leg: tx.TransferLeg) -> Rejection | None:
    if state.assets.get(leg.asset) is None:
        return Rejection.UNKNOWN_ASSET
    if state.accounts.get(leg.source) is None:
        return Rejection.UNKNOWN_ACCOUNT
    if leg.target != HOUSE_FEES and state.accounts.get(leg.target) is None:
        return Rejection.UNKNOWN_ACCOUNT
    return Rejection.BATCH_INVALID if leg.source == leg.target else None
