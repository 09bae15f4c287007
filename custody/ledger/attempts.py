"""Attempts: recorded before any signer sees them, signed bytes recorded before the first send, ended only by proof."""

from __future__ import annotations

import hashlib

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.context import Context
from custody.ledger.holds import STOPS_EVERYTHING, Scope, in_force, stopping
from custody.ledger.identifiers import attempt_id
from custody.ledger.lifecycle import OPEN_ATTEMPTS, AttemptState, WithdrawalState
from custody.ledger.outcomes import NATIVE
from custody.ledger.rejections import Rejection
from custody.ledger.state import Attempt, Lane, State
from custody.policy.parameters import Parameter

MAX_REPLACEMENTS = 8
"""Bumps and fillers at one nonce, after the first attempt at it."""

BLOCKHASH_LIFE = 150
"""Blocks a Solana blockhash stays usable; age 150 is still accepted (agave `MAX_PROCESSING_AGE`), so a transaction can
land at height + 151."""

DEATH_MARGIN = 32
"""Blocks past a blockhash's life that cursor and providers must have finalized before an attempt is called dead."""


def decide_prepared(state: State, said: tx.AttemptPrepared, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """Errors in order: unknown_chain, unknown_address, message_mismatch, id_conflict, exclusion_wrong when nonce or
    blockhash is not the chain's way, those of the lane (`exclusion_wrong`, `blockhash_not_scanned`, `nonce_not_next`,
    `replacements_exhausted`), fee_above_cap, those of each purpose in turn (`purpose_mismatch`, `unknown_withdrawal`,
    `withdrawal_not_queued`, `unknown_address`), held."""
    chain = state.chains.get(said.chain)
    if chain is None:
        return Rejection.UNKNOWN_CHAIN
    if state.addresses.get(said.chain, said.sender) is None:
        return Rejection.UNKNOWN_ADDRESS
    message = hashlib.sha256(bytes.fromhex(said.message)).hexdigest()
    if attempt_id(said.chain, said.sender, message) != said.attempt:
        return Rejection.MESSAGE_MISMATCH
    if state.attempts.get(said.attempt) is not None:
        return Rejection.ID_CONFLICT
    if (said.nonce is None) == (said.blockhash is None) or (said.nonce is None) != (chain.family == "solana"):
        return Rejection.EXCLUSION_WRONG
    wrong = _lane_fault(state, said) or _cap_fault(state, said) or _purposes_fault(state, said) or _held(state, said)
    if wrong is not None:
        return wrong

    height = 0 if said.blockhash is None else (state.blocks.get(said.chain, said.blockhash) or 0)
    prepared = ev.AttemptPrepared(
        attempt=said.attempt,
        chain=said.chain,
        sender=said.sender,
        nonce=said.nonce,
        blockhash=said.blockhash,
        height=height,
        excludes=said.excludes,
        purposes=said.purposes,
        parameters=said.parameters,
        fee_cap=int(said.fee_cap),
        rent_cap=int(said.rent_cap),
        message=said.message,
        journal_height=context.height,
    )
    moves = tuple(
        ev.WithdrawalMoved(withdrawal=purpose.id, move="attempt", attempt=said.attempt)
        for purpose in said.purposes
        if purpose.kind == "withdrawal"
    )
    return (prepared, *moves)


def _lane_fault(state: State, said: tx.AttemptPrepared) -> Rejection | None:
    """Account-nonce chains: the next nonce, or one that is still open with everything at it excluded. Solana: a
    blockhash from our own cursor, so that its last height is known without trusting anyone."""
    if said.nonce is None:
        assert said.blockhash is not None
        known = state.blocks.get(said.chain, said.blockhash)
        if said.excludes:
            return Rejection.EXCLUSION_WRONG
        return None if known is not None else Rejection.BLOCKHASH_NOT_SCANNED
    lane = state.lanes.get(said.chain, said.sender) or Lane(next_nonce=0, done=0)
    if said.nonce == lane.next_nonce:
        return None if not said.excludes else Rejection.EXCLUSION_WRONG
    slot = state.nonces.get(said.chain, said.sender, said.nonce)
    if slot is None or said.nonce < lane.done:
        return Rejection.NONCE_NOT_NEXT
    if said.excludes != slot.attempts:
        return Rejection.EXCLUSION_WRONG
    if len(slot.attempts) > MAX_REPLACEMENTS:
        return Rejection.REPLACEMENTS_EXHAUSTED
    first = state.attempts.need(slot.attempts[0])
    return None if said.purposes in ((), first.purposes) else Rejection.EXCLUSION_WRONG


def _cap_fault(state: State, said: tx.AttemptPrepared) -> Rejection | None:
    """What an attempt may cost, and what a top-up may carry: it pays for gas and for nothing else. A chain without a
    cap spends nothing, so that forgetting one is noticed before it costs anything."""
    cap = state.parameter(Parameter.FEE_CAP.label, said.chain) or Parameter.FEE_CAP.default
    carried = [int(purpose.amount) for purpose in said.purposes if purpose.kind == "topup"]
    if int(said.fee_cap) + int(said.rent_cap) > cap or any(amount > cap for amount in carried):
        return Rejection.FEE_ABOVE_CAP
    return None


def _purposes_fault(state: State, said: tx.AttemptPrepared) -> Rejection | None:
    once: dict[str, None] = {}
    for purpose in said.purposes:
        if state.tokens.get(said.chain, purpose.token) is None:
            return Rejection.PURPOSE_MISMATCH
        if purpose.kind == "withdrawal":
            wrong = _withdrawal_fault(state, said, purpose)
            if wrong is not None:
                return wrong
            if purpose.id in once:
                return Rejection.PURPOSE_MISMATCH
            once[purpose.id] = None
            continue
        source = state.addresses.get(said.chain, purpose.source)
        target = state.addresses.get(said.chain, purpose.recipient)
        if source is None or target is None:
            return Rejection.UNKNOWN_ADDRESS
        tiers = (source.tier == "deposit", target.tier == "deposit")
        if tiers != {"sweep": (True, False), "topup": (False, True)}.get(purpose.kind):
            return Rejection.PURPOSE_MISMATCH
        if purpose.kind == "topup" and purpose.token != NATIVE:
            return Rejection.PURPOSE_MISMATCH
    if not said.purposes and not said.excludes:
        return Rejection.PURPOSE_MISMATCH
    return None


def _withdrawal_fault(state: State, said: tx.AttemptPrepared, purpose: tx.Purpose) -> Rejection | None:
    row = state.withdrawals.get(purpose.id)
    if row is None:
        return Rejection.UNKNOWN_WITHDRAWAL
    asset = state.tokens.need(said.chain, purpose.token)
    due = (row.chain, row.asset, row.to, row.raw, row.create_account)
    paid = (said.chain, asset, purpose.recipient, int(purpose.amount), purpose.create_account)
    if due != paid or purpose.source != said.sender:
        return Rejection.PURPOSE_MISMATCH
    if state.addresses.need(said.chain, said.sender).tier == "deposit":
        return Rejection.PURPOSE_MISMATCH
    if said.excludes:
        in_slot = row.state is WithdrawalState.IN_ATTEMPT and row.attempt in said.excludes
        return None if in_slot else Rejection.WITHDRAWAL_NOT_QUEUED
    return None if row.state is WithdrawalState.QUEUED else Rejection.WITHDRAWAL_NOT_QUEUED


def _held(state: State, said: tx.AttemptPrepared) -> Rejection | None:
    """New obligations stop under any matching hold. A filler, and a bump of what was signed already, add none: they
    stop only where everything stops. A payment that nobody has signed yet is new however often it is prepared."""
    holds = in_force(state)
    scopes = [
        Scope(
            direction="withdrawals",
            chain=said.chain,
            asset=state.tokens.need(said.chain, purpose.token),
            account=state.withdrawals.need(purpose.id).account if purpose.kind == "withdrawal" else "",
            wallet=said.sender,
        )
        for purpose in said.purposes
    ] or [Scope(direction="withdrawals", chain=said.chain, wallet=said.sender)]
    excluded = [state.attempts.need(name) for name in said.excludes]
    signed = any(row.state is AttemptState.SIGNED and row.purposes for row in excluded)
    if said.excludes and (signed or not said.purposes):
        holds = tuple((name, hold) for name, hold in holds if hold.cause in STOPS_EVERYTHING)
    return Rejection.HELD if any(stopping(holds, scope) for scope in scopes) else None


def decide_signed(state: State, said: tx.AttemptSigned, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """Recorded even under a hold: bytes that exist must be known. The same bytes again are done already."""
    attempt = state.attempts.get(said.attempt)
    if attempt is None:
        return Rejection.UNKNOWN_ATTEMPT
    if attempt.state is AttemptState.SIGNED and (attempt.raw, attempt.tx) == (said.raw, said.tx):
        return ()
    if attempt.state is not AttemptState.PREPARED:
        return Rejection.ATTEMPT_NOT_OPEN
    return (ev.AttemptSigned(attempt=said.attempt, raw=said.raw, tx=said.tx),)


def is_dead(state: State, attempt: Attempt, absences: tuple[tx.AbsenceSeen, ...]) -> bool:
    """Certainly dead (Solana): our own contiguous finalized scan has passed the last height at which the blockhash
    could be used, and a margin, without the message in it; and enough providers, as of finalized heights past the
    same mark, know nothing of it. A provider's word alone proves nothing. Of an attempt whose signed bytes were never
    recorded, none can have been sent: there is nothing to ask providers for, and the cursor decides alone.
    """
    if attempt.nonce is not None:
        return False
    beyond = attempt.height + BLOCKHASH_LIFE + DEATH_MARGIN
    if state.cursors.need(attempt.chain).height < beyond or any(item.found for item in absences):
        return False
    if attempt.state is AttemptState.PREPARED:
        return True
    quorum = state.parameter(Parameter.DEATH_QUORUM.label, attempt.chain) or Parameter.DEATH_QUORUM.default
    agreeing = {item.provider: None for item in absences if item.finalized_height >= beyond}
    return len(agreeing) >= quorum


def decide_evidence(state: State, said: tx.AttemptEvidence, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """A proven death frees the attempt's withdrawals for a new one."""
    attempt = state.attempts.get(said.attempt)
    if attempt is None:
        return Rejection.UNKNOWN_ATTEMPT
    if attempt.state not in OPEN_ATTEMPTS:
        return Rejection.ATTEMPT_NOT_OPEN
    if not is_dead(state, attempt, said.absences):
        return Rejection.DEATH_NOT_PROVEN
    requeued = tuple(
        ev.WithdrawalMoved(withdrawal=purpose.id, move="requeue")
        for purpose in attempt.purposes
        if purpose.kind == "withdrawal"
    )
    return (ev.AttemptEnded(attempt=said.attempt, move="die", tx=attempt.tx), *requeued)
