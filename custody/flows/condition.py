"""How each chain is doing, as its workers see it: for status, readiness, metrics and the pausing flow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from chains.errors import ChainError, Integrity

FOR_A_PERSON = ("scan_refused", "token_program_unsupported")
"""Codes, beside every contradiction, of what stays as it is until a person changes something."""


@dataclass(slots=True)
class Condition:
    """One chain. Times are monotonic seconds, by the loop's clock; None: never. `cursor_time` is the
    cursor's block's own, unix seconds."""

    chain: str
    clock: Callable[[], float]
    looked_at: float | None = None
    scanned_at: float | None = None
    cursor_time: int | None = None
    failing_since: float | None = None
    error_code: str = ""
    error: str = ""
    person_since: float | None = None
    """Looking again will not help: the chain or a provider contradicts itself, or the ledger refuses what was seen."""
    looking: bool = False
    """A look at the chain is under way."""
    waiting: dict[str, str] = field(default_factory=dict)
    """Withdrawals that can't go for a reason of the moment: id → why."""

    def scanned(self) -> None:
        """A look at the chain succeeded, whether it showed anything new or not."""
        self.looked_at = self.scanned_at = self.clock()
        self.failing_since = None
        self.error_code = self.error = ""
        self.person_since = None

    def failed(self, error: ChainError) -> None:
        """A look at the chain failed."""
        self.looked_at = self.clock()
        if self.failing_since is None:
            self.failing_since = self.clock()
        self.error_code, self.error = error.code, error.message
        if not isinstance(error, Integrity) and error.code not in FOR_A_PERSON:
            self.person_since = None
        elif self.person_since is None:
            self.person_since = self.clock()

    def failing_for(self) -> float:
        """Seconds since the first failure after the last success; 0 when all is well."""
        return 0.0 if self.failing_since is None else self.clock() - self.failing_since

    def for_a_person(self) -> float:
        """Seconds since every look has shown what no further look will help against; 0 when not."""
        return 0.0 if self.person_since is None else self.clock() - self.person_since
