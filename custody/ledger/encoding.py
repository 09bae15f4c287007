"""Payload bytes to transaction and back, where each transaction has exactly one spelling.

A payload is accepted only if encoding what was decoded gives the same bytes again. That one comparison refuses
repeated keys, blanks, other number spellings, escapes that need not be and unknown fields, without a list of them.
"""

from __future__ import annotations

import hashlib

import msgspec

from custody.ledger.rejections import Rejection
from custody.ledger.transactions import TYPES, AnyTransaction, Transaction

MAX_PAYLOAD = 4 << 20
"""Bytes. A range with its facts is the largest payload; clients are held to less by the API."""

_DECODER: msgspec.json.Decoder[AnyTransaction] = msgspec.json.Decoder(AnyTransaction)
_ENCODER = msgspec.json.Encoder(order="sorted")


class _Tagged(msgspec.Struct):
    type: str


_TAG: msgspec.json.Decoder[_Tagged] = msgspec.json.Decoder(_Tagged)
_NAMES = frozenset(str(t.__struct_config__.tag) for t in TYPES)


def encode(transaction: Transaction) -> bytes:
    """The canonical payload of a transaction."""
    return _ENCODER.encode(transaction)


def decode(payload: bytes) -> AnyTransaction | Rejection:
    """The transaction a payload spells, or why it spells none."""
    if len(payload) > MAX_PAYLOAD:
        return Rejection.FIELD_OUT_OF_BOUNDS
    try:
        transaction = _DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _why_malformed(payload)
    return transaction if _ENCODER.encode(transaction) == payload else Rejection.PAYLOAD_NOT_CANONICAL


def _why_malformed(payload: bytes) -> Rejection:
    try:
        name = _TAG.decode(payload).type
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Rejection.PAYLOAD_MALFORMED
    return Rejection.PAYLOAD_MALFORMED if name in _NAMES else Rejection.UNKNOWN_TYPE


def explain(payload: bytes) -> str:
    """For people: where a malformed payload goes wrong, without repeating its values."""
    try:
        _DECODER.decode(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        return str(exc)[:200]
    return "not in canonical form"


def digest(payload: bytes) -> str:
    """What a sequence window remembers of a payload."""
    return hashlib.sha256(payload).hexdigest()
