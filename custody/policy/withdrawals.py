"""May this withdrawal go, must a person look at it, or is it above a limit?"""

from __future__ import annotations

from enum import Enum

import msgspec


class Verdict(Enum):
    """What policy says to one withdrawal, in the order in which it is asked."""

    ABOVE_TRANSACTION_LIMIT = "above_transaction_limit"
    ABOVE_DAILY_LIMIT = "above_daily_limit"
    NEEDS_APPROVAL = "needs_approval"
    ALLOWED = "allowed"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """An asset's numbers in its unit; 0 switches one off."""

    per_transaction: int
    daily: int
    approval_above: int


def judge(amount: int, spent_today: int, limits: Limits) -> Verdict:
    """The verdict on a withdrawal of `amount` for an account that has asked for `spent_today` since midnight UTC."""
    if limits.per_transaction and amount > limits.per_transaction:
        return Verdict.ABOVE_TRANSACTION_LIMIT
    if limits.daily and spent_today + amount > limits.daily:
        return Verdict.ABOVE_DAILY_LIMIT
    if limits.approval_above and amount > limits.approval_above:
        return Verdict.NEEDS_APPROVAL
    return Verdict.ALLOWED
