"""One value, one spelling: canonical JSON, so that what was signed is what is compared, hashed and kept.

RFC 8785 within our domain: object keys are ASCII, integers lie strictly between ±2^53, there are no floats, and nothing
nests deeper than `MAX_DEPTH`. Within it the scheme's three hard parts fall away: keys sort the same by UTF-8 bytes
as by UTF-16 units, numbers have one spelling, and string escapes are what msgspec writes anyway (the tests hold it
to that). Amounts are strings, so 2^53 binds only counters and times.
"""

from __future__ import annotations

import re
from typing import TypeAlias, TypeVar

import msgspec

from custody.envelope.errors import EnvelopeCode, EnvelopeError

T = TypeVar("T")
Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"

MAX_PAYLOAD = 4 * 1024 * 1024
"""Bytes of one payload: a scanned block with some ten thousand deposits. Clients are held to far less by the API."""
MAX_DEPTH = 8
"""Levels of nesting: more than any transaction needs, far less than any stack has."""
MAX_INTEGER = 2**53 - 1
"""The largest magnitude that every JSON reader keeps exactly (RFC 8785, section 3.2.2.3)."""

# A string from its quote to the closing one, or to the end of input: it can't fail, so scanning stays linear.
_STRING = re.compile(rb'"[^"\\]*(?:\\.?[^"\\]*)*(?:"|\Z)', re.DOTALL)
_NOT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")

_encoder = msgspec.json.Encoder(order="sorted")
_decoder = msgspec.json.Decoder()


def canonical(value: object) -> bytes:
    """The canonical bytes of a struct or plain value that lies in the domain (which this does not check).

    Raises `EnvelopeError` (`payload_not_canonical`) for what has no JSON spelling at all, such as a lone surrogate.
    """
    try:
        return _encoder.encode(value)
    except (UnicodeEncodeError, TypeError, OverflowError) as exc:
        raise EnvelopeError(EnvelopeCode.NOT_CANONICAL, "the value has no canonical JSON form") from exc


def without_strings(text: bytes) -> bytes:
    """JSON text with its string literals cut out: what is left is structure, numbers and names. Linear time."""
    return _STRING.sub(b"", text)


def require_shallow(payload: bytes) -> None:
    """Refuse nesting beyond `MAX_DEPTH` before a recursive reader sees it, in linear time and constant stack.

    A reader's own recursion limit depends on who called it, so it can't be part of a rule that all nodes repeat.
    """
    if payload.count(b"{") + payload.count(b"[") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in without_strings(payload).translate(None, delete=_NOT_BRACKETS):
        depth += 1 if bracket in b"[{" else -1
        if depth > MAX_DEPTH:
            raise EnvelopeError(EnvelopeCode.NOT_CANONICAL, f"nested deeper than {MAX_DEPTH} levels")


def decode_canonical(payload: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode by a typed decoder and insist that the payload is the canonical spelling of what came out.

    The comparison refuses, all at once: duplicate and unknown keys, other orders, white space, a byte order mark,
    needless escapes, `-0`, exponents, and members left at a default that the type omits. The *type* must keep floats
    and integers beyond ±2^53 out. Raises `EnvelopeError` (`envelope_too_large`, `payload_not_canonical`).
    """
    if len(payload) > MAX_PAYLOAD:
        raise EnvelopeError(EnvelopeCode.TOO_LARGE, f"a payload has at most {MAX_PAYLOAD} bytes")
    require_shallow(payload)
    try:
        value = decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise EnvelopeError(EnvelopeCode.NOT_CANONICAL, f"not the expected JSON: {exc}") from exc
    if canonical(value) != payload:
        raise EnvelopeError(EnvelopeCode.NOT_CANONICAL, "valid JSON, but not its canonical spelling (RFC 8785)")
    return value


def require_canonical(payload: bytes) -> Json:
    """The value of a payload of any shape, in the whole domain: for callers without a type, such as the client.

    Raises `EnvelopeError` like `decode_canonical`, and for floats, integers beyond ±2^53 and non-ASCII keys.
    """
    value: Json = decode_canonical(payload, _decoder)
    _require_domain(value)
    return value


def _require_domain(value: Json) -> None:
    rest: list[object] = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, float):
            raise EnvelopeError(EnvelopeCode.NOT_CANONICAL, "a float; write amounts as strings")
        if isinstance(item, int) and abs(item) > MAX_INTEGER:
            raise EnvelopeError(EnvelopeCode.NOT_CANONICAL, "an integer beyond 2^53; write it as a string")
        if isinstance(item, list):
            rest.extend(item)
        elif isinstance(item, dict):
            if not all(name.isascii() for name in item):
                raise EnvelopeError(EnvelopeCode.NOT_CANONICAL, "a member name that is not ASCII")
            rest.extend(item.values())
