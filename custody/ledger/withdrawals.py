"""Withdrawals: two-phase money. A request holds the amount; settlement spends it, a failure gives it back."""

from __future__ import annotations

import hashlib

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.amounts import to_raw
from custody.ledger.context import Context
from custody.ledger.holds import Scope, in_force, stopping
from custody.ledger.identifiers import available, held
from custody.ledger.lifecycle import WithdrawalState
from custody.ledger.rejections import Rejection
from custody.ledger.state import State
from custody.policy.parameters import Parameter
from custody.policy.withdrawals import Limits, Verdict, judge

_REFUSALS = {
    Verdict.ABOVE_TRANSACTION_LIMIT: Rejection.LIMIT_PER_TRANSACTION,
    Verdict.ABOVE_DAILY_LIMIT: Rejection.LIMIT_DAILY,
}


def content_of(said: tx.WithdrawalRequested) -> str:
    """What makes an id's second use a repeat or a conflict."""
    fields = [said.account, said.asset, said.chain, said.to, said.amount, str(said.create_account)]
    return hashlib.sha256("\0".join(fields).encode()).hexdigest()


def decide_requested(state: State, said: tx.WithdrawalRequested, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """Errors in order: id_conflict, unknown_account, unknown_chain, unknown_asset, asset_not_on_chain,
    amount_not_representable, recipient_is_ours, limit_per_transaction, limit_daily, insufficient_balance, held.

    The same id with the same content is done already. A recipient that is a user's deposit address settles at once
    as a transfer, so what stops withdrawals or transfers refuses it, while any other request is accepted and waits.
    """
    row = state.withdrawals.get(said.id)
    if row is not None:
        return () if row.content == content_of(said) else Rejection.ID_CONFLICT
    if state.accounts.get(said.account) is None:
        return Rejection.UNKNOWN_ACCOUNT
    if state.chains.get(said.chain) is None:
        return Rejection.UNKNOWN_CHAIN
    asset = state.assets.get(said.asset)
    if asset is None:
        return Rejection.UNKNOWN_ASSET
    representation = asset.on(said.chain)
    if representation is None:
        return Rejection.ASSET_NOT_ON_CHAIN
    amount = int(said.amount)
    raw = to_raw(amount, decimals=representation.decimals, unit_decimals=asset.decimals)
    if raw is None:
        return Rejection.AMOUNT_NOT_REPRESENTABLE
    ours = state.addresses.get(said.chain, said.to)
    if ours is not None and ours.tier != "deposit":
        return Rejection.RECIPIENT_IS_OURS
    verdict = _judge(state, said, amount, context)
    if verdict in _REFUSALS:
        return _REFUSALS[verdict]
    if state.balance(said.asset, available(said.account)) < amount:
        return Rejection.INSUFFICIENT_BALANCE

    move = "ask" if verdict is Verdict.NEEDS_APPROVAL else "queue" if ours is None else "transfer"
    if ours is not None and move == "transfer" and _is_shut(state, said.asset, said.chain, said.account, ours.account):
        return Rejection.HELD
    opened = ev.WithdrawalOpened(
        withdrawal=said.id,
        account=said.account,
        asset=said.asset,
        chain=said.chain,
        to=said.to,
        amount=amount,
        raw=raw,
        create_account=said.create_account,
        order=state.counters.withdrawals + 1,
        at=context.now,
        day=context.day,
        content=content_of(said),
        move=move,
    )
    target = available(ours.account) if ours is not None and move == "transfer" else held(said.account)
    return opened, ev.Posted(asset=said.asset, legs=((available(said.account), -amount), (target, amount)))


def _is_shut(state: State, asset: str, chain: str, source: str, target: str) -> bool:
    """Whether a hold stops a withdrawal that would settle as a transfer: it leaves by two doors, and either shuts."""
    holds = in_force(state)
    scopes = (
        Scope(direction="withdrawals", chain=chain, asset=asset, account=source),
        Scope(direction="transfers", chain=chain, asset=asset, account=source),
        Scope(direction="transfers", chain=chain, asset=asset, account=target),
    )
    return any(stopping(holds, scope) for scope in scopes)


def _judge(state: State, said: tx.WithdrawalRequested, amount: int, context: Context) -> Verdict:
    usage = state.usage.get(said.account, said.asset)
    spent = usage.amount if usage is not None and usage.day == context.day else 0

    def number(parameter: Parameter) -> int:
        value = state.parameter(parameter.label, said.asset)
        return parameter.default if value is None else value

    limits = Limits(
        per_transaction=number(Parameter.LIMIT_PER_TRANSACTION),
        daily=number(Parameter.LIMIT_DAILY),
        approval_above=number(Parameter.APPROVAL_ABOVE),
    )
    return judge(amount, spent, limits)


def decide_approved(state: State, said: tx.WithdrawalApproved, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """Approving an own-address withdrawal settles it as the transfer it would have been. Errors in order:
    unknown_withdrawal, withdrawal_not_waiting, recipient_is_ours (it became a wallet of the house since), held."""
    row = state.withdrawals.get(said.id)
    if row is None:
        return Rejection.UNKNOWN_WITHDRAWAL
    if row.state is not WithdrawalState.AWAITING_APPROVAL:
        return Rejection.WITHDRAWAL_NOT_WAITING
    ours = state.addresses.get(row.chain, row.to)
    if ours is None:
        return (ev.WithdrawalMoved(withdrawal=said.id, move="approve", reason=f"approved by {context.key}"),)
    if ours.tier != "deposit":
        return Rejection.RECIPIENT_IS_OURS
    if _is_shut(state, row.asset, row.chain, row.account, ours.account):
        return Rejection.HELD
    legs = ((held(row.account), -row.amount), (available(ours.account), row.amount))
    return (
        ev.WithdrawalMoved(withdrawal=said.id, move="transfer", reason=f"approved by {context.key}"),
        ev.Posted(asset=row.asset, legs=legs),
    )


def decide_cancelled(state: State, said: tx.WithdrawalCancelled, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """Possible until an attempt exists: afterwards the chain decides."""
    row = state.withdrawals.get(said.id)
    if row is None:
        return Rejection.UNKNOWN_WITHDRAWAL
    if row.state not in (WithdrawalState.QUEUED, WithdrawalState.AWAITING_APPROVAL):
        return Rejection.WITHDRAWAL_NOT_WAITING
    legs = ((held(row.account), -row.amount), (available(row.account), row.amount))
    return (
        ev.WithdrawalMoved(withdrawal=said.id, move="cancel", reason=said.reason),
        ev.Posted(asset=row.asset, legs=legs),
    )
