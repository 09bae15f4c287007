"""The socket side: JSON-RPC over POST and subscriptions over websockets, bound to 127.0.0.1 only.

Served on two neighbouring ports, because the classic JavaScript client takes the websocket to be at port + 1 and the
newer one is told where it is. Everything runs on one event loop: the runtime inside is single-threaded.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from chains.devnet.solana import errors, rpc
from chains.devnet.solana.bank import Bank
from chains.devnet.solana.subscriptions import Subscriptions

HOST = "127.0.0.1"
_BIND_ATTEMPTS = 50
_HEARTBEAT_SECONDS = 30.0
_DRAIN_SECONDS = 1.0


class NoPorts(OSError):
    """No two neighbouring ports were free."""


class _Listener:
    """One websocket: its subscriptions and what waits to be written to it."""

    __slots__ = ("outbox", "socket", "subscriptions")

    def __init__(self, bank: Bank, connection: web.WebSocketResponse) -> None:
        self.socket = connection
        self.subscriptions = Subscriptions(bank)
        self.outbox: asyncio.Queue[bytes | None] = asyncio.Queue(bank.settings.notifications)

    def tell(self, message: bytes) -> None:
        """Queue a message; a listener that is too slow is closed instead."""
        try:
            self.outbox.put_nowait(message)
        except asyncio.QueueFull:
            while not self.outbox.empty():
                self.outbox.get_nowait()
            self.outbox.put_nowait(None)


class Server:
    """Serves one bank. `publish` must be called after every change to it."""

    def __init__(self, bank: Bank) -> None:
        self._bank = bank
        self._listeners: list[_Listener] = []
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self, port: int) -> None:
        """Listen on `port` and the one after it; 0 picks a free pair. Raises `NoPorts`."""
        app = web.Application(client_max_size=self._bank.settings.request_bytes)
        app.router.add_get("/health", self._health)
        app.router.add_route("*", "/{path:.*}", self._serve)
        pair = _bind_pair(port)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=_DRAIN_SECONDS)
        await self._runner.setup()
        for one in pair:
            await web.SockSite(self._runner, one).start()
        self.port = pair[0].getsockname()[1]

    async def stop(self) -> None:
        """Close every connection and the ports."""
        for listener in list(self._listeners):
            await listener.socket.close(code=WSCloseCode.GOING_AWAY)
        if self._runner is not None:
            await self._runner.cleanup()

    def publish(self) -> None:
        """Tell the listeners what happened since the last call."""
        for listener in self._listeners:
            for message in listener.subscriptions.collect():
                listener.tell(message)

    async def _health(self, _: web.Request) -> web.StreamResponse:
        return web.Response(text="ok")

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._listen(request)
        if request.method != "POST":
            raise web.HTTPMethodNotAllowed(request.method, ["POST"])
        answer = rpc.respond(self._bank, await request.read())
        self.publish()
        return web.Response(body=answer, content_type="application/json")

    async def _listen(self, request: web.Request) -> web.StreamResponse:
        if len(self._listeners) >= self._bank.settings.connections:
            raise web.HTTPServiceUnavailable
        connection = web.WebSocketResponse(
            heartbeat=_HEARTBEAT_SECONDS, max_msg_size=self._bank.settings.request_bytes, timeout=_DRAIN_SECONDS
        )
        await connection.prepare(request)
        listener = _Listener(self._bank, connection)
        self._listeners.append(listener)
        writer = asyncio.create_task(_write(listener))
        try:
            async for message in connection:
                if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
                    break
                listener.tell(_answer(listener.subscriptions, message.data))
                self.publish()
        finally:
            self._listeners.remove(listener)
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        return connection


async def _write(listener: _Listener) -> None:
    while True:
        message = await listener.outbox.get()
        if message is None:
            await listener.socket.close(code=WSCloseCode.TRY_AGAIN_LATER)
            return
        try:
            await listener.socket.send_str(message.decode())
        except ConnectionError:
            return


def _answer(subscriptions: Subscriptions, body: str | bytes) -> bytes:
    try:
        decoded = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return rpc.failure(None, errors.parse_error())
    try:
        request = rpc.parse(decoded)
    except errors.RpcError as error:
        return rpc.failure(None, error)
    try:
        return rpc.success(request.id, subscriptions.handle(request.method, request.params))
    except errors.RpcError as error:
        return rpc.failure(request.id, error)


def _bind_pair(port: int) -> tuple[socket.socket, socket.socket]:
    for _ in range(_BIND_ATTEMPTS if port == 0 else 1):
        first = _bind(port)
        if first is None:
            continue
        second = _bind(first.getsockname()[1] + 1)
        if second is not None:
            return first, second
        first.close()
    raise NoPorts("no two neighbouring ports are free" if port == 0 else f"port {port} or {port + 1} is taken")


def _bind(port: int) -> socket.socket | None:
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((HOST, port))
    except (OSError, OverflowError):
        one.close()
        return None
    return one
