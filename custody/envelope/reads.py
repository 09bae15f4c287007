"""Signed reads: who asks, for exactly what, when, and once.

A read changes nothing, so it is not an envelope and reaches no journal; but balances are nobody else's business. The
string that is signed is `METHOD\\nPATH?QUERY\\nTIMESTAMP\\nNONCE` without a trailing newline. `?QUERY` is there exactly
when the request line has it, and the target is compared as sent, before any unescaping, so that no two readings of a
URL share a signature.
"""

from __future__ import annotations

import re

import msgspec

from custody.envelope import ed25519
from custody.envelope.envelopes import decode_signature, encode_signature
from custody.envelope.errors import EnvelopeCode, EnvelopeError

TOLERANCE_SECONDS = 30
"""A read is fresh from this long before its timestamp until, exclusively, this long after."""
NONCE_MEMORY_SECONDS = 60
"""How long a nonce must be remembered: the whole life of a timestamp, so a read can't be replayed within it."""
MAX_TARGET = 2048

_METHOD = re.compile(r"[A-Z]{3,7}")
_TARGET = re.compile(r"/[!-~]*")
_TIMESTAMP = re.compile(r"[1-9][0-9]{0,11}")
_NONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")
_KEY_ID = re.compile(r"[!-~]{1,64}")


class SignedRead(msgspec.Struct, frozen=True, kw_only=True):
    """One read request: `target` is the raw request target, `timestamp` unix seconds."""

    key: str
    method: str
    target: str
    timestamp: int
    nonce: str
    signature: bytes

    def headers(self) -> dict[str, str]:
        """The four headers that carry it."""
        return {
            "Custody-Key": self.key,
            "Custody-Timestamp": str(self.timestamp),
            "Custody-Nonce": self.nonce,
            "Custody-Signature": encode_signature(self.signature),
        }


def read_message(method: str, target: str, timestamp: int, nonce: str) -> bytes:
    """The exact bytes that are signed. Raises `EnvelopeError` (`read_malformed`)."""
    stamp = str(timestamp)
    if not _METHOD.fullmatch(method):
        raise EnvelopeError(EnvelopeCode.READ_MALFORMED, "the method is written in capitals")
    if len(target) > MAX_TARGET or not _TARGET.fullmatch(target):
        raise EnvelopeError(EnvelopeCode.READ_MALFORMED, f"a target is / and at most {MAX_TARGET} visible characters")
    if not _TIMESTAMP.fullmatch(stamp):
        raise EnvelopeError(EnvelopeCode.READ_MALFORMED, "a timestamp is unix seconds")
    if not _NONCE.fullmatch(nonce):
        raise EnvelopeError(EnvelopeCode.READ_MALFORMED, "a nonce is 16 to 64 of A-Z a-z 0-9 _ -")
    return f"{method}\n{target}\n{stamp}\n{nonce}".encode("ascii")


def sign_read(key: ed25519.SigningKey, method: str, target: str, timestamp: int, nonce: str) -> SignedRead:
    """A read signed by `key`. The caller brings the time and a fresh random nonce."""
    return SignedRead(
        key=key.id,
        method=method,
        target=target,
        timestamp=timestamp,
        nonce=nonce,
        signature=key.sign(read_message(method, target, timestamp, nonce)),
    )


def parse_read(method: str, target: str, *, key: str, timestamp: str, nonce: str, signature: str) -> SignedRead:
    """A read from a request line and its header values, all still unverified but of the right form.

    Raises `EnvelopeError` (`read_malformed`, `signature_malformed`). The timestamp is ASCII digits without sign,
    blanks or leading zero.
    """
    if not _KEY_ID.fullmatch(key):
        raise EnvelopeError(EnvelopeCode.READ_MALFORMED, "a key id is 1 to 64 visible ASCII characters")
    if not _TIMESTAMP.fullmatch(timestamp):
        raise EnvelopeError(EnvelopeCode.READ_MALFORMED, "a timestamp is unix seconds")
    read_message(method, target, int(timestamp), nonce)
    return SignedRead(
        key=key,
        method=method,
        target=target,
        timestamp=int(timestamp),
        nonce=nonce,
        signature=decode_signature(signature),
    )


def verify_read(read: SignedRead, public: bytes) -> None:
    """Raise `EnvelopeError` (`signature_wrong`) unless the read was signed with this public key."""
    message = read_message(read.method, read.target, read.timestamp, read.nonce)
    if not ed25519.verify(public, message, read.signature):
        raise EnvelopeError(EnvelopeCode.SIGNATURE_WRONG, f"not signed by the key {read.key}")


def is_fresh(read: SignedRead, now: int) -> bool:
    """Whether the read's timestamp is near enough to `now` (unix seconds)."""
    return -TOLERANCE_SECONDS <= now - read.timestamp < TOLERANCE_SECONDS
