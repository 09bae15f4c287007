"""What follows from a transaction, or why nothing does: reads state, changes nothing, decides the same everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from custody.ledger import (
    addresses,
    administration,
    attempts,
    balances,
    pauses,
    scanning,
    transfers,
    withdrawals,
)
from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.context import Context
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.state import State

Decision = tuple[ev.Event, ...] | Rejection


def decide(state: State, said: tx.Transaction, context: Context) -> Decision:
    """Roles first, then the transaction's own rules; acts of administration wait until enough admins said the same."""
    if not any(role in said.ROLES for role in context.roles):
        return Rejection.ROLE_MAY_NOT
    if isinstance(said, tx.HoldSet | tx.HoldLifted) and not _may_speak_so(said, context):
        return Rejection.HOLD_NOT_YOURS
    outcome = _DECIDE[type(said)](state, said, context)
    if isinstance(outcome, Rejection) or not said.QUORUM:
        return outcome
    voice = administration.endorse(state, said, context)
    if isinstance(voice, Rejection):
        return voice
    return (*voice, *outcome) if voice[0].complete else voice


def _may_speak_so(said: tx.HoldSet | tx.HoldLifted, context: Context) -> bool:
    """Only the relay speaks for automatic code; an operator's own key names itself as the actor."""
    if Role.RELAY in context.roles:
        return True
    automatic = isinstance(said, tx.HoldSet) and said.origin == "auto"
    return not automatic and said.actor == context.key


def _chain(state: State, said: tx.ChainSet, context: Context) -> Decision:
    return administration.decide_chain(state, said)


def _asset(state: State, said: tx.AssetSet, context: Context) -> Decision:
    return administration.decide_asset(state, said)


def _parameter(state: State, said: tx.ParameterSet, context: Context) -> Decision:
    return administration.decide_parameter(state, said)


def _genesis(state: State, said: tx.Genesis, context: Context) -> Decision:
    return Rejection.ROLE_MAY_NOT


_DECIDE: dict[type[tx.Transaction], Callable[[State, Any, Context], Decision]] = {
    tx.Genesis: _genesis,
    tx.KeyRegistered: administration.decide_registered,
    tx.KeyRotated: administration.decide_rotated,
    tx.KeyRevoked: administration.decide_revoked,
    tx.ChainSet: _chain,
    tx.AssetSet: _asset,
    tx.ParameterSet: _parameter,
    tx.AddressRequested: addresses.decide_requested,
    tx.AddressAttested: addresses.decide_attested,
    tx.AddressAssigned: addresses.decide_assigned,
    tx.ChainScanned: scanning.decide_scanned,
    tx.BalancesObserved: balances.decide_observed,
    tx.TreasuryFunded: balances.decide_funded,
    tx.WithdrawalRequested: withdrawals.decide_requested,
    tx.WithdrawalApproved: withdrawals.decide_approved,
    tx.WithdrawalCancelled: withdrawals.decide_cancelled,
    tx.AttemptPrepared: attempts.decide_prepared,
    tx.AttemptSigned: attempts.decide_signed,
    tx.AttemptEvidence: attempts.decide_evidence,
    tx.TransferBatch: transfers.decide_batch,
    tx.HoldSet: pauses.decide_set,
    tx.HoldLifted: pauses.decide_lifted,
}
