"""What can be wrong with an envelope or a signed read, as stable codes that the API answers with."""

from __future__ import annotations

from enum import StrEnum


class EnvelopeCode(StrEnum):
    """Stable names; the messages beside them are for people and may change."""

    MALFORMED = "envelope_malformed"  # not the wire form: JSON, members, key id
    TOO_LARGE = "envelope_too_large"
    NOT_CANONICAL = "payload_not_canonical"  # the payload is JSON, but not the one spelling of it
    SIGNATURE_MALFORMED = "signature_malformed"  # not canonical base64 of 64 bytes
    SIGNATURE_WRONG = "signature_wrong"
    KEY_WEAK = "key_weak"
    READ_MALFORMED = "read_malformed"  # the headers of a signed read, not its signature


class EnvelopeError(Exception):
    """A refused envelope, key or read. Never quotes the payload or a secret."""

    def __init__(self, code: EnvelopeCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
