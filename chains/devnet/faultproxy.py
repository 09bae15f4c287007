"""A provider that misbehaves on demand: an HTTP server in front of any JSON-RPC node, with faults switched at run time.

It binds to the loopback address, on a free port unless one is wanted. `chains.devnet.faults` says what the faults are
and answers; this room only carries bytes. Switch from Python with `FaultProxy.switch` and `run`, or from a shell:

    curl -d '{"fault": "http_429", "retry_after": 2}' http://127.0.0.1:PORT/_fault
    curl -d '{"fault": "none"}' http://127.0.0.1:PORT/_fault
    curl --data-binary @outage.toml -H 'Content-Type: application/toml' http://127.0.0.1:PORT/_script

A GET to either says what is on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
from aiohttp import web

from chains.devnet.faults.catalogue import AnyFault, FaultInvalid, read_fault
from chains.devnet.faults.exchange import Answer, Cut, Exchange, Reply, Stage, Unanswered
from chains.devnet.faults.line import BlackHole
from chains.devnet.faults.overload import Healthy, TooManyRequests
from chains.devnet.faults.script import Script, Step, as_table, play, read_script

__all__ = ["BlackHole", "FaultProxy", "Healthy", "TooManyRequests"]

HOST = "127.0.0.1"

REQUEST_LIMIT = 8 * 1024 * 1024
"""Bytes of one request: the largest transaction in hexadecimal is a few hundred kilobytes."""

BODY_LIMIT = 128 * 1024 * 1024
"""Bytes of one answer that passes through: twice what a pool accepts by default."""

FORWARD_SECONDS = 120.0
"""For one answer of the node behind; any pool in front has given up long before."""

HELD_LIMIT = 800
"""Requests at once, held ones included; one more is cut off. A shell gives a process 1,024 descriptors by default."""

PIECE = b" " * 65_536

TOML = "application/toml"


class FaultProxy:
    """The server. `upstream` is the node's URL, which may hold a key and is never shown; `url` is where to point a
    provider once it is started. `observe` is told every step that a script takes; `held_limit` bounds the requests at
    once."""

    def __init__(
        self,
        upstream: str,
        *,
        port: int = 0,
        observe: Callable[[Step], None] | None = None,
        held_limit: int = HELD_LIMIT,
    ) -> None:
        self.upstream = upstream
        self.url = ""
        self.fault: AnyFault = Healthy()
        self.requests = 0
        self.forwarded = 0
        self._port = port
        self._observe = observe
        self._stage: Stage | None = None
        self._held = 0
        self._held_limit = held_limit
        self._script: Script | None = None
        self._taken = 0
        self._playing: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None

    def switch(self, fault: AnyFault) -> None:
        """From now on answer like this. A script ends here; requests that the old fault still holds are let go."""
        self._stop_script()
        self._set(fault)

    def run(self, script: Script) -> None:
        """From now on follow a script, instead of whatever was on."""
        self._stop_script()
        self._script, self._taken = script, 0
        self._playing = asyncio.create_task(play(script, self._step, asyncio.get_running_loop().time))

    async def start(self) -> Self:
        """Listen on 127.0.0.1."""
        self._set(self.fault)
        self._session = aiohttp.ClientSession(
            auto_decompress=False,
            timeout=aiohttp.ClientTimeout(total=FORWARD_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        app = web.Application(client_max_size=REQUEST_LIMIT)
        app.router.add_get("/_fault", self._show_fault)
        app.router.add_post("/_fault", self._take_fault)
        app.router.add_get("/_script", self._show_script)
        app.router.add_post("/_script", self._take_script)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # A client that hangs up ends its handler, so that a black hole holds no more than what is still connected.
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self._port).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/"
        return self

    async def close(self) -> None:
        """Let go of everything and stop listening."""
        playing = self._playing
        self.switch(Healthy())
        if playing is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await playing
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

    # --- what is on ---

    def _set(self, fault: AnyFault) -> None:
        self.fault = fault
        if self._stage is not None:
            self._stage.over.set()
        self._stage = Stage(asyncio.get_running_loop().time)

    def _step(self, step: Step) -> None:
        self._taken += 1
        self._set(step.fault)
        if self._observe is not None:
            self._observe(step)

    def _stop_script(self) -> None:
        if self._playing is not None:
            self._playing.cancel()
        self._playing, self._script = None, None

    # --- the control endpoints ---

    async def _show_fault(self, _: web.Request) -> web.Response:
        return _json({"fault": self.fault, "requests": self.requests, "forwarded": self.forwarded})

    async def _take_fault(self, request: web.Request) -> web.Response:
        try:
            self.switch(read_fault(await request.read()))
        except FaultInvalid as exc:
            return _json({"error": str(exc)}, 400)
        return await self._show_fault(request)

    async def _show_script(self, _: web.Request) -> web.Response:
        if self._script is None:
            return _json({"steps": [], "taken": 0})
        return _json({"steps": [as_table(step) for step in self._script.steps], "taken": self._taken})

    async def _take_script(self, request: web.Request) -> web.Response:
        try:
            self.run(read_script(await request.read(), toml=request.content_type == TOML))
        except FaultInvalid as exc:
            return _json({"error": str(exc)}, 400)
        return await self._show_script(request)

    # --- everything else ---

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if self._held >= self._held_limit:
            return _cut(request)
        self._held += 1
        try:
            assert self._stage is not None, "start it first"
            fault, exchange = self.fault, Exchange(await request.read(), _Node(self, request), self._stage)
            try:
                answer = await fault.answer(exchange)
            except Unanswered as exc:
                answer = _bad_gateway(str(exc))
            return await _deliver(request, answer, exchange)
        finally:
            self._held -= 1

    async def _send(self, request: web.Request, body: bytes, *, plain: bool) -> Answer:
        assert self._session is not None, "start it first"
        self.forwarded += 1
        passed = {name.lower(): value for name, value in request.headers.items() if name.lower() in _PASSED}
        # aiohttp would offer to unpack for us, and a client that never asked would be sent a packed answer.
        passed["accept-encoding"] = "identity" if plain else passed.get("accept-encoding", "identity")
        try:
            async with self._session.request(
                request.method, self.upstream, data=body, headers=passed, allow_redirects=False
            ) as answer:
                content = await _bounded(answer)
                if plain and answer.headers.get("Content-Encoding", "identity") != "identity":
                    return _bad_gateway("a compressed answer, unasked")
                headers = {name: value for name, value in answer.headers.items() if name.lower() in _PASSED}
                return Reply(status=answer.status, headers=headers, body=content)
        except (aiohttp.ClientError, OSError, TimeoutError) as exc:
            return _bad_gateway(type(exc).__name__)


class _Node:
    """The node behind, as one request reaches it."""

    __slots__ = ("_proxy", "_request")

    def __init__(self, proxy: FaultProxy, request: web.Request) -> None:
        self._proxy, self._request = proxy, request

    async def send(self, body: bytes, *, plain: bool = False) -> Answer:
        return await self._proxy._send(self._request, body, plain=plain)


_PASSED = frozenset({"content-type", "content-encoding", "accept", "accept-encoding", "retry-after"})


def _bad_gateway(reason: str) -> Reply:
    return Reply(status=502, headers={"Content-Type": "text/plain"}, body=f"the node behind: {reason}".encode())


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(value), content_type="application/json")


async def _deliver(request: web.Request, answer: Answer, exchange: Exchange) -> web.StreamResponse:
    """Say it the way the answer wants to be said."""
    if isinstance(answer, Cut):
        return _cut(request)
    if not answer.chunk and not answer.padding:
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)
    response = web.StreamResponse(status=answer.status, headers=answer.headers)
    response.content_length = len(answer.body) + answer.padding
    await response.prepare(request)
    size = answer.chunk or len(PIECE)
    for start in range(0, len(answer.body), size):
        if start:
            await exchange.pause(answer.pause)
        await response.write(answer.body[start : start + size])
    for start in range(0, answer.padding, len(PIECE)):
        await response.write(PIECE[: answer.padding - start])
    await response.write_eof()
    return response


def _cut(request: web.Request) -> web.Response:
    """Reset the connection: no lingering (SO_LINGER 0), so that the client meets a reset and not an orderly end."""
    if request.transport is not None:
        line = request.transport.get_extra_info("socket")
        if line is not None:
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=502)


async def _bounded(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    left = BODY_LIMIT
    async for chunk in answer.content.iter_any():
        left -= len(chunk)
        if left < 0:
            raise aiohttp.ClientPayloadError("an answer over the limit")
        parts.append(chunk)
    return b"".join(parts)
