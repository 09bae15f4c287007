"""Every way a journal refuses, as stable codes. A refusal never repairs anything: the bytes stay as they were found."""

from __future__ import annotations

from enum import StrEnum


class JournalCode(StrEnum):
    """Stable names; the message says what to do."""

    DAMAGED = "journal_damaged"  # bytes that are not what was written
    MISSING_BLOCK = "journal_missing_block"  # a height is absent between others
    FORKED = "journal_forked"  # a block that does not join on to the one before it
    BACKWARDS = "journal_backwards"  # a block's time or epoch lies before its predecessor's
    OTHER_LEDGER = "journal_other_ledger"
    SEAL_WRONG = "journal_seal_wrong"
    BLOCK_INVALID = "journal_block_invalid"  # not a well-formed block; nothing was written
    BEHIND_TIP = "journal_behind_tip"  # the tip file remembers a block that the journal does not hold
    TIP_MISSING = "journal_tip_missing"
    TIP_DAMAGED = "journal_tip_damaged"
    MISSING = "journal_missing"
    EXISTS = "journal_exists"
    LOCKED = "journal_locked"
    FULL = "journal_full"  # no space left; latched
    WRITE_FAILED = "journal_write_failed"  # latched
    UNREADABLE = "journal_unreadable"  # the system would not let us read
    SQLITE_TOO_OLD = "sqlite_too_old"


class JournalError(Exception):
    """A refused journal or block."""

    def __init__(self, code: JournalCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
