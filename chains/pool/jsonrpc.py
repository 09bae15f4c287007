"""JSON-RPC 2.0 over HTTP, as bytes: one request out, one answer in, and what is wrong with it if something is.

Pure. `result` stays raw, so that the call's own typed decoder reads it once, straight from the bytes. An answer counts
as one only with our id, a 2xx status and exactly the member it should have; everything else becomes `Evidence`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from chains.errors import PAYLOAD_CAP, UNREADABLE, cap
from chains.pool.classify import Evidence, Shape

TEXT_CAP = 4 * PAYLOAD_CAP
"""Characters of a foreign body in which the table looks for words; what is shown to people is cut further."""

DATA_CAP = 16 * 1024
"""Bytes of an error's `data` that are kept: a Solana simulation's logs fit, a flood doesn't."""


class Request(msgspec.Struct, frozen=True):
    """One call on the wire."""

    id: int
    method: str
    params: tuple[object, ...]
    jsonrpc: str = "2.0"


class _Good(msgspec.Struct):
    """What nearly every answer is. Whatever isn't just this is looked at with more care."""

    id: int
    result: msgspec.Raw
    error: None = None


class _Envelope(msgspec.Struct):
    id: msgspec.Raw = msgspec.Raw(b"")
    result: msgspec.Raw = msgspec.Raw(b"")
    error: msgspec.Raw = msgspec.Raw(b"")


class _Error(msgspec.Struct):
    code: int = 0
    message: str = ""
    data: msgspec.Raw = msgspec.Raw(b"")


class _LooseError(msgspec.Struct):
    code: object = 0
    message: object = ""


_GOOD = msgspec.json.Decoder(_Good)
_ENVELOPE = msgspec.json.Decoder(_Envelope)
_ERROR = msgspec.json.Decoder(_Error)
_LOOSE_ERROR = msgspec.json.Decoder(_LooseError)
_ENCODER = msgspec.json.Encoder()
_CODE = re.compile("-?[0-9]{1,11}")


def encode(request: Request) -> bytes:
    """The request's bytes."""
    return _ENCODER.encode(request)


def read(request_id: int, status: int, headers: Mapping[str, str], body: bytes) -> msgspec.Raw | Evidence:
    """The raw `result` of a good answer (`null` included), or the evidence of a bad one."""
    try:
        good = _GOOD.decode(body)
        if good.id == request_id and 200 <= status < 300:
            return good.result
    except UNREADABLE:
        pass
    try:
        envelope = _ENVELOPE.decode(body)
    except UNREADABLE:
        return _not_an_envelope(status, headers, body)
    id_ = bytes(envelope.id)
    if bytes(envelope.error) not in {b"", b"null"}:
        # An error may have no id when the request was never looked at (JSON-RPC 2.0, section 5).
        ours = id_ in {b"", b"null", b"%d" % request_id}
        return _error(Shape.ERROR if ours else Shape.WRONG_ID, status, headers, bytes(envelope.error))
    if not bytes(envelope.result):
        # Some gateways answer with the bare error object.
        if b'"message"' in body:
            return _error(Shape.ERROR if b'"code"' in body else Shape.NOT_RPC, status, headers, body)
        return Evidence(shape=Shape.NOT_RPC, status=status, headers=headers, message=_text(body))
    if id_ != b"%d" % request_id:
        message = f"answered id {cap(id_.decode('utf-8', 'replace'))} to request {request_id}"
        return Evidence(shape=Shape.WRONG_ID, status=status, headers=headers, message=message)
    if not 200 <= status < 300:
        return Evidence(shape=Shape.RESULT, status=status, headers=headers, message=f"a result under HTTP {status}")
    return envelope.result


def undecodable(reason: str) -> Evidence:
    """The evidence of a result that the call's own decoder refused."""
    return Evidence(shape=Shape.UNDECODABLE, message=reason)


def _not_an_envelope(status: int, headers: Mapping[str, str], body: bytes) -> Evidence:
    start = body[:64].lstrip()[:1]
    shape = Shape.BATCH if start == b"[" else Shape.NOT_RPC if start == b"{" else Shape.NOT_JSON
    return Evidence(shape=shape, status=status, headers=headers, message=_text(body))


def _error(shape: Shape, status: int, headers: Mapping[str, str], raw: bytes) -> Evidence:
    """An error object as the specification has it, or as near to it as vendors come: a code in quotes, a message that
    is an object, a bare string."""
    code: int | None
    data = b""
    try:
        error = _ERROR.decode(raw)
        code, message, data = error.code, error.message, bytes(error.data)
    except UNREADABLE:
        try:
            loose = _LOOSE_ERROR.decode(raw)
        except UNREADABLE:
            code, message = None, _text(raw)
        else:
            code = _integer(loose.code)
            message = loose.message if isinstance(loose.message, str) else repr(loose.message)
    return Evidence(
        shape=shape,
        status=status,
        headers=headers,
        code=code,
        message=message[:TEXT_CAP],
        data=data if len(data) <= DATA_CAP else b"",
    )


def _integer(value: object) -> int | None:
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and _CODE.fullmatch(value) else None


def _text(body: bytes) -> str:
    return body[:TEXT_CAP].decode("utf-8", "replace")
