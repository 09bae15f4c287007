"""May this attempt be signed, now, on what stands in our own replica and our own log? Pure: state in, verdict out.

Much of this repeats what the ledger decided when the attempt was prepared. That is the point: the signer believes
nobody's verdict, and between preparing and signing holds may have been set, other attempts made, and a journal put
back. What only the signer can know is in `Knowledge`: every message it has ever signed.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from chains.errors import ChainError
from chains.ports import Composer, Draft, Tier
from custody.drafting import draft_of
from custody.ledger.holds import STOPS_EVERYTHING, Scope, in_force, stopping
from custody.ledger.lifecycle import AttemptState, WithdrawalState
from custody.ledger.state import Attempt, State
from custody.ledger.transactions import Purpose
from custody.signing.protocol import Entry
from custody.signing.refusals import Refusal, RefusalCode

CLOCK_MARGIN_MS = 30_000
"""How far a block's time may lie past the signer's clock, and how old the tip may be to sign on. Wider than the drift
of two clocks on one machine and the time from a block to its request, narrow enough that a signer cut off from new
blocks, and so from new holds, soon signs nothing."""

SETTLED_FOR_GOOD = (AttemptState.EXCLUDED, AttemptState.DEAD, AttemptState.FAILED)
"""Ends of an attempt after which its purpose is certainly not paid by it."""


class Knowledge(msgspec.Struct, frozen=True, kw_only=True):
    """What the log says about an attempt: itself, what was signed for each of its withdrawals (id, entry), and what
    was signed at its nonce."""

    own: Entry | None
    for_purposes: tuple[tuple[str, Entry], ...]
    at_nonce: tuple[Entry, ...]


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A key that must sign, by where it is derived and the address that must come out."""

    address: str
    tier: Tier
    index: int


class Permit(msgspec.Struct, frozen=True, kw_only=True):
    """Sign exactly `message`, with the keys at `places`, the sender's first. `family` names the composer."""

    attempt: str
    row: Attempt
    family: str
    message: bytes
    places: tuple[Place, ...]


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """Signed before: the same bytes may leave once more."""

    entry: Entry


def permit(
    state: State,
    attempt: str,
    *,
    now_ms: int,
    tip_time_ms: int,
    known: Knowledge,
    composers: Mapping[str, Composer],
) -> Permit | Again | Refusal:
    """The verdict on one attempt. Refusals in order: unknown_attempt, attempt_ended, signed_before, clock_ahead,
    tip_stale, sender_not_ours, purpose_mismatch, recipient_not_ours, held, purpose_signed, nonce_signed,
    message_mismatch, fee_above_cap.

    Bytes whose signing the ledger has recorded are given again without more ado: they are out already, and what is in
    flight is followed to its end. Bytes that only the log knows may never have left, so they pass every check again.
    """
    row = state.attempts.get(attempt)
    if row is None:
        return Refusal(RefusalCode.UNKNOWN_ATTEMPT, "the signer's journal has no such attempt; send it the blocks")
    if known.own is not None and (known.own.chain, known.own.sender) != (row.chain, row.sender):
        # An EVM message does not name its sender: two wallets can have the very same one, and so the same id.
        return Refusal(RefusalCode.SIGNED_BEFORE, f"this message was signed before, for {known.own.sender}")
    if row.state is AttemptState.SIGNED:
        if known.own is None or (known.own.raw, known.own.tx) != (row.raw, row.tx):
            return Refusal(RefusalCode.SIGNED_BEFORE, "the ledger holds signed bytes that this signer's log does not")
        return Again(entry=known.own)
    if row.state is not AttemptState.PREPARED:
        return Refusal(RefusalCode.ATTEMPT_ENDED, f"the attempt is {row.state}")
    found = (
        _clock_fault(now_ms, tip_time_ms)
        or _purposes_fault(state, attempt, row)
        or _hold_fault(state, row, known)
        or _second_message_fault(state, attempt, row, known)
        or _rebuilt(state, attempt, row, composers)
    )
    if known.own is not None and isinstance(found, Permit):
        return Again(entry=known.own)
    return found


def _clock_fault(now_ms: int, tip_time_ms: int) -> Refusal | None:
    if tip_time_ms - now_ms > CLOCK_MARGIN_MS:
        return Refusal(RefusalCode.CLOCK_AHEAD, f"the last block lies {tip_time_ms - now_ms} ms past our clock")
    if now_ms - tip_time_ms > CLOCK_MARGIN_MS:
        return Refusal(RefusalCode.TIP_STALE, f"the last block is {now_ms - tip_time_ms} ms old; send a newer one")
    return None


def _purposes_fault(state: State, attempt: str, row: Attempt) -> Refusal | None:
    sender = state.addresses.get(row.chain, row.sender)
    if sender is None:
        return Refusal(RefusalCode.SENDER_NOT_OURS, f"{row.sender} is not an attested address of {row.chain}")
    once: dict[str, None] = {}
    for purpose in row.purposes:
        if purpose.kind == "withdrawal":
            wrong = _withdrawal_fault(state, attempt, row, purpose)
            if wrong is None and (sender.tier == Tier.DEPOSIT or purpose.id in once):
                wrong = Refusal(RefusalCode.PURPOSE_MISMATCH, f"withdrawal {purpose.id} is not to be paid this way")
            once[purpose.id] = None
        else:
            wrong = _move_fault(state, row, purpose)
        if wrong is not None:
            return wrong
    return None


def _withdrawal_fault(state: State, attempt: str, row: Attempt, purpose: Purpose) -> Refusal | None:
    due = state.withdrawals.get(purpose.id)
    if due is None:
        return Refusal(RefusalCode.PURPOSE_MISMATCH, f"there is no withdrawal {purpose.id}")
    if due.state is not WithdrawalState.IN_ATTEMPT or due.attempt != attempt:
        return Refusal(RefusalCode.PURPOSE_MISMATCH, f"withdrawal {purpose.id} does not wait for this attempt")
    owed = (due.chain, due.asset, due.to, str(due.raw), due.create_account)
    asset = state.tokens.get(row.chain, purpose.token)
    if owed != (row.chain, asset, purpose.recipient, purpose.amount, purpose.create_account):
        return Refusal(RefusalCode.PURPOSE_MISMATCH, f"withdrawal {purpose.id} is owed something else")
    if purpose.source != row.sender:
        return Refusal(RefusalCode.PURPOSE_MISMATCH, f"withdrawal {purpose.id} is paid from the sender and nobody else")
    return None


def _move_fault(state: State, row: Attempt, purpose: Purpose) -> Refusal | None:
    """A sweep goes from a deposit address to a wallet of the house, a top-up the other way; nothing else moves."""
    source = state.addresses.get(row.chain, purpose.source)
    target = state.addresses.get(row.chain, purpose.recipient)
    if source is None or target is None:
        return Refusal(RefusalCode.RECIPIENT_NOT_OURS, f"a {purpose.kind} stays between addresses of ours")
    ways = {"sweep": (True, False), "topup": (False, True)}
    if ways.get(purpose.kind) != (source.tier == Tier.DEPOSIT, target.tier == Tier.DEPOSIT):
        return Refusal(RefusalCode.PURPOSE_MISMATCH, f"no {purpose.kind} goes from {source.tier} to {target.tier}")
    return None


def _hold_fault(state: State, row: Attempt, known: Knowledge) -> Refusal | None:
    """New obligations stop under any hold that matches. Fillers and bumps stop only where everything stops; and what
    bumps nothing is no bump: a payment that was never signed is new, whatever nonce it is put at."""
    holds = in_force(state)
    flying = any(entry.attempt in row.excludes and entry.purposes == row.purposes for entry in known.at_nonce)
    if row.excludes and (flying or not row.purposes):
        holds = tuple((name, hold) for name, hold in holds if hold.cause in STOPS_EVERYTHING)
    scopes = [Scope(direction="withdrawals", chain=row.chain, wallet=row.sender)]
    for purpose in row.purposes:
        due = state.withdrawals.get(purpose.id) if purpose.kind == "withdrawal" else None
        scope = Scope(
            direction="withdrawals",
            chain=row.chain,
            asset=state.tokens.get(row.chain, purpose.token) or "",
            account="" if due is None else due.account,
            wallet=row.sender,
        )
        scopes.append(scope)
    stopped = [name for scope in scopes for name in stopping(holds, scope)]
    return Refusal(RefusalCode.HELD, f"held by {stopped[0]}") if stopped else None


def _second_message_fault(state: State, attempt: str, row: Attempt, known: Knowledge) -> Refusal | None:
    """Never a second message for a purpose while the first may still be valid; never one at a nonce of which the
    ledger does not know all that was signed, since then the ledger was put back."""
    for name, entry in known.for_purposes:
        earlier = state.attempts.get(entry.attempt)
        ended = earlier is not None and earlier.state in SETTLED_FOR_GOOD
        exclusive = row.nonce is not None and _lane(entry) == (row.chain, row.sender, row.nonce)
        if entry.attempt != attempt and not ended and not exclusive:
            return Refusal(
                RefusalCode.PURPOSE_SIGNED, f"withdrawal {name} may still be paid by the attempt {entry.attempt}"
            )
    for entry in known.at_nonce:
        if entry.attempt != attempt and state.attempts.get(entry.attempt) is None:
            return Refusal(
                RefusalCode.NONCE_SIGNED,
                f"nonce {row.nonce} was signed for the attempt {entry.attempt}, which the ledger does not know",
            )
    return None


def _lane(entry: Entry) -> tuple[str, str, int | None]:
    return entry.chain, entry.sender, entry.nonce


def _rebuilt(state: State, attempt: str, row: Attempt, composers: Mapping[str, Composer]) -> Permit | Refusal:
    """Make the message again from the facts, and insist on the journaled bytes."""
    family = state.chains.need(row.chain).family
    composer = composers[family]
    try:
        draft = draft_of(
            state,
            chain=row.chain,
            sender=row.sender,
            nonce=row.nonce,
            blockhash=row.blockhash,
            purposes=row.purposes,
            parameters=row.parameters,
        )
        message, cost = composer.compose(draft), composer.fee_cap(draft)
    except ChainError as exc:
        return Refusal(RefusalCode.MESSAGE_MISMATCH, f"the facts make no message: {exc.code}")
    if message != bytes.fromhex(row.message):
        return Refusal(RefusalCode.MESSAGE_MISMATCH, "the facts make another message")
    if cost > row.fee_cap:
        return Refusal(RefusalCode.FEE_ABOVE_CAP, f"it may cost {cost}, and {row.fee_cap} is allowed")
    return Permit(attempt=attempt, row=row, family=family, message=message, places=_places(state, draft))


def _places(state: State, draft: Draft) -> tuple[Place, ...]:
    """The sender, and every other address that funds leave (on Solana each of them signs)."""
    addresses = dict.fromkeys((draft.sender, *(payment.source for payment in draft.payments)))
    places = []
    for address in addresses:  # ordered: as they stand in the draft, which is part of the message
        known = state.addresses.need(draft.chain, address)
        places.append(Place(address=address, tier=Tier(known.tier), index=known.index))
    return tuple(places)
