"""From what a chain showed to what is said to the ledger: observations in, `chain.scanned` out, nothing decided."""

from __future__ import annotations

from chains.observations import Absence, Balance, Outcome, Range
from custody.ledger import transactions as tx


def scanned(found: Range, *, ledger: str, seq: int) -> tx.ChainScanned:
    """A range as a transaction."""
    return tx.ChainScanned(
        ledger=ledger,
        seq=seq,
        chain=found.chain,
        first=found.first,
        last=found.last,
        parent=found.parent_hash,
        blocks=tuple(tx.ScannedBlock(position=b.position, height=b.height, hash=b.hash) for b in found.blocks),
        deposits=tuple(
            tx.ScannedDeposit(
                tx=d.tx, ordinal=d.ordinal, position=d.position, address=d.address, token=d.token, amount=str(d.amount)
            )
            for d in found.deposits
        ),
        movements=tuple(
            tx.ScannedMovement(
                tx=m.tx, ordinal=m.ordinal, position=m.position, address=m.address, token=m.token, delta=str(m.delta)
            )
            for m in found.movements
        ),
        outcomes=tuple(_outcome(item) for item in found.outcomes),
        decoder=found.decoder,
        tokens=found.tokens,
        watched=found.watched,
    )


def _outcome(item: Outcome) -> tx.ScannedOutcome:
    return tx.ScannedOutcome(
        tx=item.tx,
        position=item.position,
        sender=item.sender,
        nonce=item.nonce,
        message=item.message,
        succeeded=item.succeeded,
        fee=str(item.fee),
        paid=tuple(tx.ScannedPaid(recipient=p.recipient, token=p.token, amount=str(p.amount)) for p in item.paid),
    )


def observed(chain: str, position: int, balances: tuple[Balance, ...], *, ledger: str, seq: int) -> tx.BalancesObserved:
    """Balances sampled at one position."""
    return tx.BalancesObserved(
        ledger=ledger,
        seq=seq,
        chain=chain,
        position=position,
        balances=tuple(tx.ObservedBalance(address=b.address, token=b.token, amount=str(b.amount)) for b in balances),
    )


def evidence(attempt: str, absences: tuple[Absence, ...], *, ledger: str, seq: int) -> tx.AttemptEvidence:
    """What the providers said about an attempt's transaction."""
    return tx.AttemptEvidence(
        ledger=ledger,
        seq=seq,
        attempt=attempt,
        absences=tuple(
            tx.AbsenceSeen(
                provider=item.provider, found=item.found, finalized_height=item.finalized_height, context=item.context
            )
            for item in absences
        ),
    )
