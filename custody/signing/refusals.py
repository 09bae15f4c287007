"""Why the signer says no, as stable codes: the daemon acts on them, a person reads the sentence beside them."""

from __future__ import annotations

from enum import StrEnum

import msgspec


class RefusalCode(StrEnum):
    """Add, never rename."""

    # The request itself.
    MALFORMED = "malformed"  # not a request of this protocol
    VERSION_UNSUPPORTED = "version_unsupported"
    BUSY = "busy"  # too many connections; nothing happened

    # The journal.
    DIVERGENCE = "divergence"  # a block that contradicts the signer's own history, or does not execute to its root
    BLOCKS_MISSING = "blocks_missing"  # blocks between the signer's tip and those sent
    BLOCK_INVALID = "block_invalid"  # bytes that are no block, or whose seal does not hold
    OTHER_LEDGER = "other_ledger"  # block 0 is not that of the pinned ledger
    NOT_AUTHORISED = "not_authorised"  # not enough admins say to leave the signer's history for another
    NOT_ANCHORED = "not_anchored"  # the history that the admins told the signer to believe has not come yet
    CLOCK_AHEAD = "clock_ahead"  # a block's time lies too far past the signer's own clock
    TIP_STALE = "tip_stale"  # the last block is too old to sign on

    # The signer itself.
    BRAKE = "brake"
    STORAGE = "storage"  # a write failed: nothing more is signed until somebody looked and it was started anew
    KEY_NOT_REGISTERED = "key_not_registered"  # the ledger does not know the signer's own key in its role

    # The attempt.
    UNKNOWN_ATTEMPT = "unknown_attempt"
    ATTEMPT_ENDED = "attempt_ended"
    HELD = "held"
    SENDER_NOT_OURS = "sender_not_ours"
    PURPOSE_MISMATCH = "purpose_mismatch"  # the obligation is not there, not for this attempt, or not for this amount
    RECIPIENT_NOT_OURS = "recipient_not_ours"  # a sweep or top-up that leaves the house
    MESSAGE_MISMATCH = "message_mismatch"  # the bytes are not those that the facts make
    FEE_ABOVE_CAP = "fee_above_cap"
    KEY_MISMATCH = "key_mismatch"  # the keystore's key at this place has another address
    PURPOSE_SIGNED = "purpose_signed"  # another message for this purpose may still be valid
    NONCE_SIGNED = "nonce_signed"  # another message at this nonce was signed of which the ledger knows nothing
    SIGNED_BEFORE = "signed_before"  # ledger and log disagree about what was signed for it

    # The address.
    UNKNOWN_CHAIN = "unknown_chain"
    NOT_REQUESTED = "not_requested"  # the ledger has allotted no such index to this account
    ADDRESS_TAKEN = "address_taken"


class Refusal(msgspec.Struct, frozen=True):
    """A no with its reason. The message names no secret."""

    code: RefusalCode
    message: str


class RefusedError(Exception):
    """Carries a refusal up to where it is answered."""

    def __init__(self, code: RefusalCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.refusal = Refusal(code, message)
