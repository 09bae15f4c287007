"""The life cycles, one table each. A move that is not in its table is a bug; the documentation is drawn from here."""

from __future__ import annotations

from enum import StrEnum


class DepositState(StrEnum):
    """A deposit after it was seen in a finalized block."""

    RECORDED = "recorded"
    CREDITED = "credited"
    BELOW_MINIMUM = "below_minimum"


class WithdrawalState(StrEnum):
    """A withdrawal from the request to its end."""

    AWAITING_APPROVAL = "awaiting_approval"
    QUEUED = "queued"
    IN_ATTEMPT = "in_attempt"
    SETTLED = "settled"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """An attempt. Until it is landed, failed, dead or excluded its outcome is unknown, and people can see that."""

    PREPARED = "prepared"
    SIGNED = "signed"
    LANDED = "landed"
    FAILED = "failed"
    DEAD = "dead"
    EXCLUDED = "excluded"


DEPOSIT: dict[tuple[DepositState | None, str], DepositState] = {
    (None, "record"): DepositState.RECORDED,
    (None, "refuse"): DepositState.BELOW_MINIMUM,
    (DepositState.RECORDED, "credit"): DepositState.CREDITED,
}

WITHDRAWAL: dict[tuple[WithdrawalState | None, str], WithdrawalState] = {
    (None, "queue"): WithdrawalState.QUEUED,
    (None, "ask"): WithdrawalState.AWAITING_APPROVAL,
    (None, "transfer"): WithdrawalState.SETTLED,
    (WithdrawalState.AWAITING_APPROVAL, "approve"): WithdrawalState.QUEUED,
    (WithdrawalState.AWAITING_APPROVAL, "transfer"): WithdrawalState.SETTLED,
    (WithdrawalState.AWAITING_APPROVAL, "cancel"): WithdrawalState.CANCELLED,
    (WithdrawalState.QUEUED, "cancel"): WithdrawalState.CANCELLED,
    (WithdrawalState.QUEUED, "attempt"): WithdrawalState.IN_ATTEMPT,
    (WithdrawalState.IN_ATTEMPT, "attempt"): WithdrawalState.IN_ATTEMPT,
    (WithdrawalState.IN_ATTEMPT, "requeue"): WithdrawalState.QUEUED,
    (WithdrawalState.IN_ATTEMPT, "settle"): WithdrawalState.SETTLED,
    (WithdrawalState.IN_ATTEMPT, "release"): WithdrawalState.FAILED,
}

ATTEMPT: dict[tuple[AttemptState | None, str], AttemptState] = {
    (None, "prepare"): AttemptState.PREPARED,
    (AttemptState.PREPARED, "sign"): AttemptState.SIGNED,
    # A signer may have signed what a crash kept from being recorded, so a prepared attempt can land as well.
    (AttemptState.PREPARED, "land"): AttemptState.LANDED,
    (AttemptState.PREPARED, "fail"): AttemptState.FAILED,
    (AttemptState.PREPARED, "die"): AttemptState.DEAD,
    (AttemptState.PREPARED, "exclude"): AttemptState.EXCLUDED,
    (AttemptState.SIGNED, "land"): AttemptState.LANDED,
    (AttemptState.SIGNED, "fail"): AttemptState.FAILED,
    (AttemptState.SIGNED, "die"): AttemptState.DEAD,
    (AttemptState.SIGNED, "exclude"): AttemptState.EXCLUDED,
}

OPEN_WITHDRAWALS = (WithdrawalState.AWAITING_APPROVAL, WithdrawalState.QUEUED, WithdrawalState.IN_ATTEMPT)
OPEN_ATTEMPTS = (AttemptState.PREPARED, AttemptState.SIGNED)
