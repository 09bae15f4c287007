"""The daemon's side of the signer's socket. Imports nothing that could hold a key.

One connection for the work, made when it is needed and made again when it is lost; every request may be repeated
without harm, so a request on a connection that turns out to be dead is asked once more on a new one. The brake has a
connection of its own and waits for nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import msgspec

from custody.envelope.envelopes import Envelope
from custody.signing import protocol
from custody.signing.protocol import (
    MAX_BLOCKS,
    MAX_FRAME,
    AnyAnswer,
    AnyRequest,
    Attest,
    Blocks,
    Extend,
    Extended,
    Hello,
    Page,
    ProtocolError,
    ReadBlocks,
    ReadLog,
    Reanchor,
    Refused,
    SetBrake,
    Sign,
    Spoken,
    Standing,
    Status,
)
from custody.signing.refusals import RefusalCode

_FRAME_ROOM = 4096
_BLOB_OVERHEAD = 16

A = TypeVar("A", bound=AnyAnswer)


class Deadlines(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds. `connect`: a unix socket answers at once or not at all. `answer`: for all but `extend`, which executes
    blocks and gets `extend`. `brake`: a person is waiting."""

    connect: float = 3.0
    answer: float = 15.0
    extend: float = 120.0
    brake: float = 5.0


class SignerUnreachable(Exception):
    """No answer: the signer is down, too slow, or speaks something else. Whether it acted is unknown; ask again."""


class SignerRefused(Exception):
    """The signer's no. `height` and `hash` are its tip."""

    def __init__(self, code: RefusalCode, message: str, height: int, hash_: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.height = height
        self.hash = hash_


class SignerClient:
    """Every method raises `SignerUnreachable` and, but for `hello` and `status`, `SignerRefused`."""

    __slots__ = ("_deadlines", "_path", "_reader", "_turn", "_writer")

    def __init__(self, path: Path, deadlines: Deadlines | None = None) -> None:
        self._path = path
        self._deadlines = deadlines or Deadlines()
        self._turn = asyncio.Lock()
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def hello(self) -> Standing:
        """Agree on the protocol's version and hear where the signer stands. Raises `SignerRefused`
        (`version_unsupported`) too."""
        return await self._ask(Hello(version=protocol.VERSION), Standing, self._deadlines.answer)

    async def status(self) -> Standing:
        """Where the signer stands."""
        return await self._ask(Status(), Standing, self._deadlines.answer)

    async def extend(self, blobs: Sequence[bytes]) -> Extended:
        """Send blocks, at least one, in as many requests as their sizes ask for; returns the signer's durable tip."""
        answer: Extended | None = None
        for part in _parts(blobs):
            answer = await self._ask(Extend(blocks=part), Extended, self._deadlines.extend)
        assert answer is not None, "there is at least one block to send"
        return answer

    async def attest(self, chain: str, tier: str, account: str, index: int) -> Envelope:
        """An `address.attested` for the address at (tier, index); `account` is empty for the house's own tiers."""
        request = Attest(chain=chain, tier=tier, account=account, index=index)
        return (await self._ask(request, Spoken, self._deadlines.answer)).envelope

    async def sign(self, attempt: str) -> Envelope:
        """An `attempt.signed` for a prepared attempt; the same bytes however often it is asked."""
        return (await self._ask(Sign(attempt=attempt), Spoken, self._deadlines.answer)).envelope

    async def log(self, after: int = 0, limit: int = protocol.MAX_PAGE) -> Page:
        """What was signed behind a place of the signer's log."""
        return await self._ask(ReadLog(after=after, limit=limit), Page, self._deadlines.answer)

    async def blocks(self, first: int) -> tuple[bytes, ...]:
        """The signer's own copy of the journal from a height on, as many blocks as fit into an answer."""
        return (await self._ask(ReadBlocks(first=first), Blocks, self._deadlines.answer)).blocks

    async def brake(self, on: bool, *, reason: str, actor: str) -> Standing:
        """Put the brake on, or release it; on a connection of its own."""
        request = SetBrake(on=on, reason=reason[: protocol.MAX_TEXT], actor=actor[: protocol.MAX_TEXT])
        other = SignerClient(self._path, self._deadlines)
        try:
            return await other._ask(request, Standing, self._deadlines.brake)
        finally:
            await other.close()

    async def reanchor(self, statements: Sequence[Envelope]) -> Standing:
        """Leave the signer's history for another, as enough admins say; then send the new one from block 0."""
        return await self._ask(Reanchor(statements=tuple(statements)), Standing, self._deadlines.extend)

    async def close(self) -> None:
        """Let go of the connection; the next request makes a new one."""
        writer, self._reader, self._writer = self._writer, None, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    async def _ask(self, request: AnyRequest, expected: type[A], seconds: float) -> A:
        async with self._turn:
            again = self._writer is not None
            try:
                answer = await self._exchange(request, seconds)
                if answer is None and again:
                    answer = await self._exchange(request, seconds)
            except BaseException:
                # What was not read to its end would be taken for the next request's answer.
                await self.close()
                raise
        if answer is None:
            raise SignerUnreachable(f"the signer at {self._path} closed the connection")
        if isinstance(answer, Refused):
            raise SignerRefused(answer.code, answer.message, answer.height, answer.hash)
        if not isinstance(answer, expected):
            raise SignerUnreachable(f"the signer at {self._path} answered something else")
        return answer

    async def _exchange(self, request: AnyRequest, seconds: float) -> AnyAnswer | None:
        """The answer, or None when the connection ended before it began."""
        try:
            reader, writer = await self._connection()
            try:
                async with asyncio.timeout(seconds):
                    writer.write(protocol.frame(request))
                    await writer.drain()
                    body = await protocol.read_frame(reader, first=seconds, rest=seconds)
            except ConnectionError:
                body = None
            if body is not None:
                return protocol.decode_answer(body)
        except TimeoutError as exc:
            raise SignerUnreachable(f"the signer at {self._path} did not answer in time") from exc
        except (OSError, ProtocolError) as exc:
            raise SignerUnreachable(f"the signer at {self._path} can't be reached: {exc}") from exc
        await self.close()
        return None

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._reader is None or self._writer is None:
            async with asyncio.timeout(self._deadlines.connect):
                self._reader, self._writer = await asyncio.open_unix_connection(self._path)
        return self._reader, self._writer


def _parts(blobs: Sequence[bytes]) -> Iterator[tuple[bytes, ...]]:
    """The blobs in requests that fit into a frame each."""
    part: list[bytes] = []
    room = MAX_FRAME - _FRAME_ROOM
    for blob in blobs:
        size = len(blob) + _BLOB_OVERHEAD
        if part and (room < size or len(part) == MAX_BLOCKS):
            yield tuple(part)
            part, room = [], MAX_FRAME - _FRAME_ROOM
        part.append(blob)
        room -= size
    if part:
        yield tuple(part)
