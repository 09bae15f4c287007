"""The signer's socket: who may speak, how much, how long; what they say is the signer's business.

One request at a time is worked on, on a worker thread, so that the loop goes on answering what must never wait: the
brake, and where the signer stands.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from pathlib import Path

import msgspec
import structlog

from custody.journal.errors import JournalError
from custody.signing import protocol
from custody.signing.log import LogError
from custody.signing.protocol import AnyAnswer, AnyRequest, ProtocolError, Refused, Standing
from custody.signing.refusals import RefusalCode, RefusedError
from custody.signing.signer import Signer

_log = structlog.get_logger(__name__)

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid (unix(7))
MAX_SOCKET_PATH = 107
"""Bytes of a unix socket's path (unix(7): sun_path, less the final zero)."""


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. `connections`: the daemon needs two, a person one more. `idle`: between requests, after which the
    daemon simply connects again. `patience`: for the rest of a request once it has begun, and for taking an answer.
    `drain`: for what is being worked on when the signer is told to stop."""

    connections: int = 8
    idle: float = 300.0
    patience: float = 10.0
    drain: float = 20.0


class Service:
    """`start`, then `stop`; `open_socket` and the allowed uids decide who is heard."""

    def __init__(self, signer: Signer, uids: frozenset[int], limits: Limits | None = None) -> None:
        self._signer = signer
        self._uids = uids
        self._limits = limits or Limits()
        self._turn = asyncio.Lock()
        self._tasks: dict[asyncio.Task[None], bool] = {}  # whether it is working on a request
        self._server: asyncio.Server | None = None
        self._stopping = False

    @property
    def working(self) -> bool:
        """Whether a request is being worked on."""
        return any(self._tasks.values())

    async def start(self, listener: socket.socket) -> None:
        """Listen on a bound unix socket."""
        self._server = await asyncio.start_unix_server(self._connected, sock=listener)

    async def stop(self) -> None:
        """Hear nobody new, finish and answer what is being worked on, and let go of the connections."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for task, busy in list(self._tasks.items()):
            if not busy:
                task.cancel()
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=self._limits.drain)
        for task in list(self._tasks):
            task.cancel()
        async with self._turn:
            # A worker thread can't be cancelled: the files may be closed only when it is done.
            pass

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "a handler runs in a task"
        uid = peer_uid(writer.get_extra_info("socket"))
        try:
            if uid not in self._uids:
                _say("signer_peer_refused", uid=uid)
            elif len(self._tasks) >= self._limits.connections:
                await self._send(writer, self._refused(RefusalCode.BUSY, "too many connections to the signer"))
            elif not self._stopping:
                self._tasks[task] = False
                await self._converse(task, reader, writer)
        except (TimeoutError, OSError, ProtocolError) as exc:
            _say("signer_connection_ended", uid=uid, error=str(exc) or type(exc).__name__)
        except asyncio.CancelledError:
            # asyncio's own streams call this callback and would log the cancellation of a drained connection.
            pass
        finally:
            self._tasks.pop(task, None)
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _converse(
        self, task: asyncio.Task[None], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while not self._stopping:
            body = await protocol.read_frame(reader, first=self._limits.idle, rest=self._limits.patience)
            if body is None:
                return
            self._tasks[task] = True
            try:
                request = protocol.decode_request(body)
            except ProtocolError as exc:
                await self._send(writer, self._refused(RefusalCode.MALFORMED, str(exc)))
                return
            await self._send(writer, await self._answer(request))
            self._tasks[task] = False

    async def _send(self, writer: asyncio.StreamWriter, answer: AnyAnswer) -> None:
        async with asyncio.timeout(self._limits.patience):
            writer.write(protocol.frame(answer))
            await writer.drain()

    async def _answer(self, request: AnyRequest) -> AnyAnswer:
        match request:
            case protocol.Hello(version=version) if version != protocol.VERSION:
                why = f"this signer speaks version {protocol.VERSION}, not {version}"
                answer: AnyAnswer = self._refused(RefusalCode.VERSION_UNSUPPORTED, why)
            case protocol.Hello() | protocol.Status():
                answer = self._signer.standing()
            case protocol.SetBrake():
                answer = await asyncio.to_thread(self._judged, request)
            case _:
                async with self._turn:
                    work = asyncio.ensure_future(asyncio.to_thread(self._judged, request))
                    try:
                        answer = await asyncio.shield(work)
                    except asyncio.CancelledError:
                        await asyncio.wait([work])
                        raise
        _tell(request, answer)
        return answer

    def _judged(self, request: AnyRequest) -> AnyAnswer:
        try:
            return self._do(request)
        except RefusedError as exc:
            return self._refused(exc.refusal.code, exc.refusal.message)
        except (LogError, JournalError, OSError) as exc:
            return self._refused(RefusalCode.STORAGE, str(exc))

    def _do(self, request: AnyRequest) -> AnyAnswer:
        match request:
            case protocol.Extend(blocks=blobs):
                return self._signer.extend(blobs)
            case protocol.Attest(chain=chain, tier=tier, account=account, index=index):
                return self._signer.attest(chain, tier, account, index)
            case protocol.Sign(attempt=attempt):
                return self._signer.sign(attempt)
            case protocol.ReadLog(after=after, limit=limit):
                return self._signer.page(after, limit)
            case protocol.ReadBlocks(first=first):
                return self._signer.blocks(first)
            case protocol.SetBrake(on=on, reason=reason, actor=actor):
                return self._signer.brake(on, reason, actor)
            case protocol.Reanchor(statements=statements):
                return self._signer.reanchor(statements)
            case protocol.Hello() | protocol.Status():
                return self._signer.standing()

    def _refused(self, code: RefusalCode, message: str) -> Refused:
        where = self._signer.standing()
        return Refused(code=code, message=message, height=where.height, hash=where.hash)


def peer_uid(connection: socket.socket) -> int:
    """Who is at the other end, as the kernel knows it (unix(7), SO_PEERCRED)."""
    _, uid, _ = _CREDENTIALS.unpack(connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
    return int(uid)


def open_socket(path: Path, group: int | None = None) -> socket.socket:
    """Bind the signer's socket, mode 0660 from its first instant, in the place of one that a killed signer left.

    The caller holds the lock of the signer's journal, so no other signer listens here. Raises `OSError`.
    """
    if path.is_socket():
        path.unlink()
    elif os.path.lexists(path):
        raise FileExistsError(f"{path} is there and is no socket")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o117)
    try:
        listener.bind(os.fspath(path))
        if group is not None:
            os.chown(path, -1, group)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener


def _tell(request: AnyRequest, answer: AnyAnswer) -> None:
    """One line for everything that matters; blocks and looks are too many to tell."""
    name = str(request.__struct_config__.tag)
    match request, answer:
        case protocol.Sign(attempt=attempt), Refused(code=code, message=message):
            _say("signer_refused", ask=name, attempt=attempt, code=code, error=message)
        case _, Refused(code=code, message=message):
            _say("signer_refused", ask=name, code=code, error=message)
        case protocol.Sign(attempt=attempt), _:
            _say("signer_signed", attempt=attempt)
        case protocol.Attest(chain=chain, tier=tier, index=index), _:
            _say("signer_attested", chain=chain, tier=tier, index=index)
        case protocol.SetBrake(on=on, reason=reason, actor=actor), Standing():
            _say("signer_brake", on=on, reason=reason, actor=actor)
        case protocol.Reanchor(statements=statements), _:
            _say("signer_reanchored", admins=[statement.key for statement in statements])
        case _:
            pass


def _say(event: str, **fields: object) -> None:
    """A line for people. The disk that fills up under the log must not take the answer with it, least of all the
    brake's."""
    with suppress(OSError):
        _log.info(event, **fields)
