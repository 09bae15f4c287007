"""The arithmetic that joins the two books: chain against wallet book, wallet book against −external.

Nothing here decides what to do about a difference; the ledger does (`custody.ledger.deposits`).
"""

from __future__ import annotations

from enum import Enum

import msgspec


class Agreement(Enum):
    """How what a chain says compares with the wallet book."""

    EQUAL = "equal"
    SURPLUS = "surplus"
    DEFICIT = "deficit"


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One asset on one chain, or one asset in all, in the asset's unit.

    `owed` is −external: what the ledger says should be there. `held` is the wallet book's sum. They are equal after
    every transition, because both move by the same observed facts.
    """

    asset: str
    owed: int
    held: int

    @property
    def difference(self) -> int:
        """Positive: we hold more than the ledger explains."""
        return self.held - self.owed


def compare(booked: int, observed: int) -> Agreement:
    """One address, one token, at one position."""
    if observed == booked:
        return Agreement.EQUAL
    return Agreement.SURPLUS if observed > booked else Agreement.DEFICIT
