"""The envelope: a key's name, a payload's exact bytes, a signature over them. The unit in which anything is said.

What the client signed is what the journal keeps, byte for byte, so nobody in between can forge or reword a request.
The signature covers the payload alone, and no two things that are signed with one key can be taken for each other: a
payload begins with `{`, a signed read with its method in capitals, a block seal with its lower-case domain.
"""

from __future__ import annotations

import binascii
import re
from typing import Annotated

import msgspec

from custody.envelope import ed25519
from custody.envelope.canonical import MAX_PAYLOAD, without_strings
from custody.envelope.errors import EnvelopeCode, EnvelopeError

MAX_BODY = 64 * 1024
"""Bytes of an envelope on the wire, the base64 and the escapes of the payload included."""
MAX_KEY_ID = 64

KeyId = Annotated[str, msgspec.Meta(pattern=r"\A[!-~]{1,64}\Z")]
"""1–64 visible ASCII characters; what a good id looks like beyond that is the ledger's business."""
SignatureBytes = Annotated[bytes, msgspec.Meta(min_length=64, max_length=64)]
PayloadBytes = Annotated[bytes, msgspec.Meta(min_length=2, max_length=MAX_PAYLOAD)]

_KEY_ID = re.compile(r"[!-~]{1,64}")
_WHITE_SPACE = b" \t\r\n"
_OBJECT_OF_THREE = b"{:,:,:}"


class Envelope(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """`payload` is canonical JSON (checked where it is decoded by type), `signature` is Ed25519 over it.

    As an array, [key, payload, signature], it is what journals hold; the wire form is `decode` and `encode`.
    """

    key: KeyId
    payload: PayloadBytes
    signature: SignatureBytes


class _Wire(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    payload: str
    signature: str


_wire_decoder = msgspec.json.Decoder(_Wire)
_wire_encoder = msgspec.json.Encoder()


def decode(body: bytes) -> Envelope:
    """An envelope from a request's body. The signature is not verified and the payload not yet decoded.

    Raises `EnvelopeError` (`envelope_too_large`, `envelope_malformed`, `signature_malformed`).
    """
    if len(body) > MAX_BODY:
        raise EnvelopeError(EnvelopeCode.TOO_LARGE, f"a body has at most {MAX_BODY} bytes")
    # Three strings in a flat object: anything else, a repeated member included, shows in what is left between them.
    if without_strings(body).translate(None, delete=_WHITE_SPACE) != _OBJECT_OF_THREE:
        raise EnvelopeError(EnvelopeCode.MALFORMED, "expected an object with the strings key, payload and signature")
    try:
        wire = _wire_decoder.decode(body)
        payload = wire.payload.encode("utf-8")
    except (msgspec.DecodeError, UnicodeError) as exc:
        raise EnvelopeError(EnvelopeCode.MALFORMED, f"not an envelope: {exc}") from exc
    if not _KEY_ID.fullmatch(wire.key):
        raise EnvelopeError(EnvelopeCode.MALFORMED, f"a key id is 1 to {MAX_KEY_ID} visible ASCII characters")
    if not (payload.startswith(b"{") and payload.endswith(b"}")):
        raise EnvelopeError(EnvelopeCode.MALFORMED, "a payload is the text of a JSON object")
    return Envelope(wire.key, payload, decode_signature(wire.signature))


def encode(envelope: Envelope) -> bytes:
    """The wire form of an envelope. Raises `EnvelopeError` (`envelope_malformed`) if its payload is not UTF-8."""
    try:
        payload = envelope.payload.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise EnvelopeError(EnvelopeCode.MALFORMED, "a payload is UTF-8 text") from exc
    return _wire_encoder.encode(_Wire(envelope.key, payload, encode_signature(envelope.signature)))


def sign(key: ed25519.SigningKey, payload: bytes) -> Envelope:
    """Put canonical bytes into an envelope, signed by `key` under its own id."""
    return Envelope(key.id, payload, key.sign(payload))


def is_signed(envelope: Envelope, public: bytes) -> bool:
    """Whether the envelope was signed with this public key: one verification, no other check."""
    return ed25519.verify(public, envelope.payload, envelope.signature)


def verify(envelope: Envelope, public: bytes) -> None:
    """Raise `EnvelopeError` (`signature_wrong`) unless the envelope was signed with this public key."""
    if not is_signed(envelope, public):
        raise EnvelopeError(EnvelopeCode.SIGNATURE_WRONG, f"not signed by the key {envelope.key}")


def encode_signature(signature: bytes) -> str:
    """Standard base64 with padding (RFC 4648, section 4): 88 characters."""
    return binascii.b2a_base64(signature, newline=False).decode("ascii")


def decode_signature(text: str) -> bytes:
    """64 bytes from their one base64 spelling. Raises `EnvelopeError` (`signature_malformed`)."""
    try:
        signature = binascii.a2b_base64(text.encode("ascii"), strict_mode=True)
    except (binascii.Error, UnicodeError) as exc:
        raise EnvelopeError(EnvelopeCode.SIGNATURE_MALFORMED, "a signature is standard base64") from exc
    # strict_mode lets stray bits pass behind the last character, so the spelling is compared as well.
    if len(signature) != ed25519.SIGNATURE_BYTES or encode_signature(signature) != text:
        raise EnvelopeError(EnvelopeCode.SIGNATURE_MALFORMED, "a signature is the canonical base64 of 64 bytes")
    return signature
