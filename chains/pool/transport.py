"""The way to a provider and back: bytes out, bytes in, every limit kept, nothing ever sent twice.

One session per provider. No redirects (a key would travel with them), no cookies, no proxy from the environment, no
retry. The body is counted as it is unpacked, so that a small answer can't become a large one. Addresses and headers
hold keys, so no error names more than the kind of trouble.
"""

from __future__ import annotations

import ssl
import zlib
from collections.abc import Mapping
from typing import Protocol

import aiohttp
import msgspec

from chains.pool.classify import Fault
from chains.pool.jsonrpc import Request, encode
from chains.pool.settings import ProviderSettings

CONNECT_SECONDS = 5.0
"""To connect and shake hands; a node that is there does it in a few round trips."""

KEPT_HEADERS = ("retry-after", "x-ratelimit-reset", "date", "content-type")
"""Response headers that anyone reads."""

_PACKED_ROOM = 64 * 1024
"""Bytes by which an answer may be larger compressed than it may be unpacked: what a header, and data that can't be
compressed, add. Beyond it somebody sends parts that unpack to nothing."""


class TransportFault(Exception):
    """No answer. `may_have_left`: the request, or a part of it, may have reached the provider."""

    def __init__(self, fault: Fault, message: str, *, may_have_left: bool) -> None:
        super().__init__(f"{fault}: {message}")
        self.fault, self.message, self.may_have_left = fault, message, may_have_left


class Response(msgspec.Struct, frozen=True):
    """An answer's bytes. `headers` has lower-case names and only those of `KEPT_HEADERS`."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Transport(Protocol):
    """One provider's wire. The pool bounds each call in time and cancels it when time is up."""

    async def send(self, request: Request) -> Response:
        """Send once and return what came back, whatever its status. Raises `TransportFault` and nothing else."""
        ...

    async def close(self) -> None:
        """Let go of the connections."""
        ...


class HttpTransport:
    """JSON-RPC by HTTP POST over one aiohttp session. Create it inside a running event loop."""

    def __init__(self, settings: ProviderSettings) -> None:
        self._url = settings.url
        self._limit = settings.max_body_bytes
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.concurrency, ttl_dns_cache=60),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                "Content-Type": "application/json",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                **settings.headers,
            },
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            auto_decompress=False,
            trust_env=False,
        )

    async def send(self, request: Request) -> Response:
        """See `Transport`."""
        if self._session.closed:
            raise TransportFault(Fault.UNREACHABLE, "the transport is closed", may_have_left=False)
        try:
            async with self._session.post(self._url, data=encode(request), allow_redirects=False) as response:
                body = await self._body(response)
                headers = {name: response.headers[name] for name in KEPT_HEADERS if name in response.headers}
                return Response(response.status, headers, body)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as exc:
            raise TransportFault(Fault.UNREACHABLE, _kind_of(exc), may_have_left=False) from exc
        except TimeoutError as exc:
            raise TransportFault(Fault.TIMEOUT, _kind_of(exc), may_have_left=True) from exc
        except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError, aiohttp.InvalidURL, zlib.error) as exc:
            raise TransportFault(Fault.GARBLED, _kind_of(exc), may_have_left=True) from exc
        except (aiohttp.ClientError, ssl.SSLError, OSError) as exc:
            raise TransportFault(Fault.BROKEN_OFF, _kind_of(exc), may_have_left=True) from exc

    async def _body(self, response: aiohttp.ClientResponse) -> bytes:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        if encoding not in {"identity", "gzip", "x-gzip"}:
            raise TransportFault(Fault.GARBLED, "a content encoding we didn't ask for", may_have_left=True)
        unpacker = None if encoding == "identity" else zlib.decompressobj(zlib.MAX_WBITS | 16)
        parts: list[bytes] = []
        left = packed_left = self._limit
        async for chunk in response.content.iter_any():
            part = chunk
            if unpacker is not None:
                part = unpacker.decompress(chunk, left + 1)
                packed_left -= len(chunk)
            left -= len(part)
            if left < 0 or packed_left < -_PACKED_ROOM:
                response.close()
                raise TransportFault(Fault.TOO_LARGE, f"more than {self._limit} bytes", may_have_left=True)
            if unpacker is not None and unpacker.unused_data:
                response.close()
                raise TransportFault(Fault.GARBLED, "more after a compressed answer's end", may_have_left=True)
            parts.append(part)
        if unpacker is not None and not unpacker.eof:
            raise TransportFault(Fault.GARBLED, "a compressed answer that breaks off", may_have_left=True)
        return b"".join(parts)

    async def close(self) -> None:
        """See `Transport`."""
        await self._session.close()


def _kind_of(exc: BaseException) -> str:
    return type(exc).__name__
