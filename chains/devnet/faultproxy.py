"""A provider that misbehaves on demand: an HTTP server in front of any JSON-RPC node, with faults switched at run time.

It binds to the loopback address on a free port. A fault is data (a tagged struct that the control endpoint decodes)
with one method that answers a request; a new fault is one more struct in `AnyFault`. Switch it from Python with
`FaultProxy.switch`, or from a shell:

    curl -d '{"fault": "http_429", "retry_after": 2}' http://127.0.0.1:PORT/_fault
    curl -d '{"fault": "black_hole"}' http://127.0.0.1:PORT/_fault
    curl -d '{"fault": "none"}' http://127.0.0.1:PORT/_fault
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
from aiohttp import web

BODY_LIMIT = 128 * 1024 * 1024
"""Bytes of one request or answer that passes through: twice what a pool accepts by default."""

FORWARD_SECONDS = 120.0
"""For one answer of the node behind; any pool in front has given up long before."""


class Exchange(msgspec.Struct, frozen=True):
    """One request, as a fault sees it: what came in, how to pass it on, and when this fault is over."""

    request: web.Request
    body: bytes
    forward: Callable[[], Awaitable[web.Response]]
    fault_over: asyncio.Event


class Healthy(msgspec.Struct, frozen=True, tag_field="fault", tag="none"):
    """No fault: what the node says is passed on, byte for byte."""

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Pass it on."""
        return await exchange.forward()


class TooManyRequests(msgspec.Struct, frozen=True, tag_field="fault", tag="http_429"):
    """HTTP 429 to everything, with `Retry-After: retry_after` (seconds), or without the header when it is None."""

    retry_after: int | None = None

    async def answer(self, _: Exchange) -> web.StreamResponse:
        """Refuse; the node behind never hears of it."""
        headers = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": 429, "message": "Too many requests"}}
        return web.json_response(error, status=429, headers=headers)


class BlackHole(msgspec.Struct, frozen=True, tag_field="fault", tag="black_hole"):
    """Everything is accepted and nothing answered; when the fault is over the connections are cut."""

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """Say nothing until the fault is over or the client has left."""
        await exchange.fault_over.wait()
        if exchange.request.transport is not None:
            exchange.request.transport.abort()
        return web.Response(status=502)


AnyFault = Healthy | TooManyRequests | BlackHole

_FAULTS = msgspec.json.Decoder(AnyFault)


class FaultProxy:
    """The server. `upstream` is the node's URL; `url` is where to point a provider once it is started."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self.fault: AnyFault = Healthy()
        self.requests = 0
        self.forwarded = 0
        self._fault_over = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def switch(self, fault: AnyFault) -> None:
        """From now on answer like this. Requests that the old fault still holds are let go."""
        self.fault = fault
        self._fault_over.set()
        self._fault_over = asyncio.Event()

    async def start(self) -> Self:
        """Listen on 127.0.0.1 and a free port."""
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=FORWARD_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        app = web.Application(client_max_size=BODY_LIMIT)
        app.router.add_get("/_fault", self._show)
        app.router.add_post("/_fault", self._control)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # A client that hangs up ends its handler, so that a black hole holds no more than what is still connected.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"
        return self

    async def close(self) -> None:
        """Let go of everything and stop listening."""
        self.switch(Healthy())
        if self._runner is not None:
            await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _show(self, _: web.Request) -> web.Response:
        return self._state()

    async def _control(self, request: web.Request) -> web.Response:
        try:
            self.switch(_FAULTS.decode(await request.read()))
        except msgspec.MsgspecError as exc:
            return web.json_response({"error": str(exc)}, status=400)
        return self._state()

    def _state(self) -> web.Response:
        state = {"fault": self.fault, "requests": self.requests, "forwarded": self.forwarded}
        return web.Response(body=msgspec.json.encode(state), content_type="application/json")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        body = await request.read()
        return await self.fault.answer(Exchange(request, body, lambda: self._forward(request, body), self._fault_over))

    async def _forward(self, request: web.Request, body: bytes) -> web.Response:
        assert self._session is not None, "start it first"
        self.forwarded += 1
        passed = {name: value for name, value in request.headers.items() if name.lower() in _PASSED}
        try:
            async with self._session.request(request.method, self.upstream, data=body, headers=passed) as answer:
                content = await _bounded(answer)
                headers = {name: value for name, value in answer.headers.items() if name.lower() in _PASSED}
                return web.Response(status=answer.status, body=content, headers=headers)
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            return web.Response(status=502, text=f"the node behind: {type(exc).__name__}")


_PASSED = frozenset({"content-type", "content-encoding", "accept", "accept-encoding", "retry-after"})


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    left = BODY_LIMIT
    async for chunk in answer.content.iter_any():
        left -= len(chunk)
        if left < 0:
            raise aiohttp.ClientPayloadError("an answer over the limit")
        parts.append(chunk)
    return b"".join(parts)
