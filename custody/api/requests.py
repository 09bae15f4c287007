"""What every handler asks of a request before it looks at its content: limits, forms, and who is at the other end."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Collection
from typing import TypeVar

import msgspec
from aiohttp import web

from custody.api.errors import ApiCode, ApiProblem, problem
from custody.envelope.envelopes import MAX_BODY
from custody.envelope.errors import EnvelopeCode
from custody.ledger.identifiers import is_chain_name, is_identifier
from custody.ledger.rejections import Rejection

T = TypeVar("T")

_NUMBER = re.compile(r"0|[1-9][0-9]{0,15}", re.ASCII)


async def read_body(request: web.Request, seconds: float) -> bytes:
    """A JSON body of at most 64 KiB that arrives in time.

    Raises `ApiProblem`: content_type_wrong, content_encoding_refused, envelope_too_large, body_too_slow.
    """
    if request.content_type != "application/json" or (request.charset or "utf-8").lower() != "utf-8":
        raise problem(ApiCode.CONTENT_TYPE)
    if request.headers.get("Content-Encoding", "identity").lower() != "identity":
        raise problem(ApiCode.CONTENT_ENCODING)
    if request.content_length is not None and request.content_length > MAX_BODY:
        raise ApiProblem(EnvelopeCode.TOO_LARGE)
    body = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while chunk := await request.content.readany():
                body += chunk
                if len(body) > MAX_BODY:
                    raise ApiProblem(EnvelopeCode.TOO_LARGE)
    except TimeoutError as exc:
        raise problem(ApiCode.BODY_TOO_SLOW) from exc
    except (web.RequestPayloadError, ConnectionError) as exc:
        raise problem(ApiCode.BODY_MALFORMED, "The body broke off or was not framed rightly.") from exc
    return bytes(body)


class Query:
    """The parameters of a query, each at most once, none unknown. Raises `ApiProblem` (`query_malformed`)."""

    __slots__ = ("_values",)

    def __init__(self, request: web.Request, names: Collection[str]) -> None:
        values = request.query
        if any(name not in names for name in values) or len(values) != len(set(values)):
            raise problem(ApiCode.QUERY_MALFORMED, f"This path takes {', '.join(names) or 'no parameters'}, each once.")
        self._values = dict(values)

    def text(self, name: str) -> str:
        """A parameter as it is, empty when it wasn't given."""
        return self._values.get(name, "")

    def number(self, name: str, *, default: int, most: int, least: int = 0) -> int:
        """A natural number from `least` to `most`; what lies outside is refused, not cut."""
        text = self._values.get(name)
        if text is None:
            return default
        if not _NUMBER.fullmatch(text) or not least <= int(text) <= most:
            raise problem(ApiCode.QUERY_MALFORMED, f"{name} is a number from {least} to {most}.")
        return int(text)

    def one_of(self, name: str, choices: Collection[str]) -> str:
        """One of the choices, empty when it wasn't given."""
        text = self._values.get(name, "")
        if text and text not in choices:
            raise problem(ApiCode.QUERY_MALFORMED, f"{name} is one of {', '.join(choices)}.")
        return text

    def account(self) -> str:
        """The parameter `account`, of the form of one."""
        text = self._values.get("account", "")
        if text and not is_identifier(text):
            raise problem(Rejection.IDENTIFIER_MALFORMED)
        return text

    def chain(self) -> str:
        """The parameter `chain`, of the form of one."""
        text = self._values.get("chain", "")
        if text and not is_chain_name(text):
            raise problem(Rejection.IDENTIFIER_MALFORMED)
        return text


def path_id(request: web.Request, name: str) -> str:
    """An id in the path, of the form of one. Raises `ApiProblem` (`identifier_malformed`)."""
    text = request.match_info[name]
    if not is_identifier(text):
        raise problem(Rejection.IDENTIFIER_MALFORMED)
    return text


def decode(body: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """A body by its type. Raises `ApiProblem` (`body_malformed`)."""
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise problem(ApiCode.BODY_MALFORMED, f"The body is not what this path takes: {exc}"[:300]) from exc


def peer_uid(request: web.Request) -> int:
    """The uid of the process at the other end of a unix socket, as the kernel knows it (`SO_PEERCRED`)."""
    assert request.transport is not None, "a request has a connection"
    connection = request.transport.get_extra_info("socket")
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)
