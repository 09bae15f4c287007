"""What is said over the signer's socket: length-prefixed MessagePack, one answer for each request, in order.

    frame = length (4 bytes, big-endian) ‖ MessagePack of one tagged struct

The daemon imports this module and the client, and nothing else of this room. Every request may be repeated without
harm: the same question gets the same answer, which is what makes a lost answer harmless.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Annotated

import msgspec

from custody.envelope.envelopes import Envelope
from custody.journal.block import MAX_BLOB
from custody.ledger.transactions import Purpose
from custody.signing.refusals import RefusalCode

VERSION = 1
MAX_FRAME = MAX_BLOB + 64 * 1024
"""Bytes after the length: one block of the largest size, and room for what is around it."""
MAX_BLOCKS = 1024
"""Blocks in one `Extend`, so that no request keeps the signer busy for long."""
MAX_PAGE = 128
"""Entries in one page of the log: two messages of 16 KiB in hex each keep it well inside a frame."""
MAX_TEXT = 500
MAX_STATEMENTS = 16
"""As many admins as a genesis may ask for."""

_LENGTH = struct.Struct(">I")

Text = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
Name = Annotated[str, msgspec.Meta(max_length=128)]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]


class Request(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="ask"):
    """Base of all requests."""


class Hello(Request, frozen=True, kw_only=True, tag="hello"):
    """The first words: which version of this protocol the caller speaks. Answer: `Standing`."""

    version: int


class Status(Request, frozen=True, kw_only=True, tag="status"):
    """Where the signer stands. Answer: `Standing`."""


class Extend(Request, frozen=True, kw_only=True, tag="extend"):
    """Blobs of blocks in the order of their heights; known ones are compared, new ones executed and kept. Answer:
    `Extended` once they are durable, or `Refused` by the first that is not taken; those before it are kept."""

    blocks: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=MAX_BLOCKS)]


class Attest(Request, frozen=True, kw_only=True, tag="attest"):
    """Ask for an `address.attested`. `account` is empty for the house's own tiers. Answer: `Spoken`."""

    chain: Name
    tier: Name
    account: Name
    index: Annotated[int, msgspec.Meta(ge=0, lt=1 << 31)]


class Sign(Request, frozen=True, kw_only=True, tag="sign"):
    """Ask for the `attempt.signed` of a prepared attempt. Answer: `Spoken`."""

    attempt: Digest


class ReadLog(Request, frozen=True, kw_only=True, tag="log"):
    """Ask for what was signed behind place `after` (0: from the beginning). Answer: `Page`."""

    after: Annotated[int, msgspec.Meta(ge=0)]
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_PAGE)]


class ReadBlocks(Request, frozen=True, kw_only=True, tag="blocks"):
    """Ask for the signer's own copy of the journal from height `first` on. Answer: `Blocks`, as many as fit."""

    first: Annotated[int, msgspec.Meta(ge=0)]


class SetBrake(Request, frozen=True, kw_only=True, tag="brake"):
    """Put the brake on, or release it. Answer: `Standing`, once it is durable."""

    on: bool
    reason: Text
    actor: Text


class Reanchor(Request, frozen=True, kw_only=True, tag="reanchor"):
    """Leave the signer's history for another of the same ledger: `custody.anchoring` statements, one from each admin.
    Answer: `Standing`, before block 0 of the new history."""

    statements: Annotated[tuple[Envelope, ...], msgspec.Meta(max_length=MAX_STATEMENTS)]


AnyRequest = Hello | Status | Extend | Attest | Sign | ReadLog | ReadBlocks | SetBrake | Reanchor


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag_field="is"):
    """Base of all answers. Unknown fields are ignored, so that a newer signer may say more."""


class Braked(msgspec.Struct, frozen=True, kw_only=True):
    """The brake while it is on. `since` in unix milliseconds."""

    reason: str
    actor: str
    since: int


class Standing(Answer, frozen=True, kw_only=True, tag="standing"):
    """Where the signer stands. `height` is −1 and the hashes are empty before block 0.

    `key` and `public` (hex) are the signer's own voice. `signed` counts the entries of its log. `now` and `tip_time`
    are unix milliseconds. `failure` says which write failed, empty while all is well. `anchoring`: a new history is
    being followed and has not yet reached the block that the admins named.
    """

    version: int
    height: int
    hash: str
    ledger: str
    tip_time: int
    key: str
    public: str
    brake: Braked | None
    now: int
    signed: int
    failure: str
    anchoring: bool


class Extended(Answer, frozen=True, kw_only=True, tag="extended"):
    """The tip that is durable now."""

    height: int
    hash: str


class Spoken(Answer, frozen=True, kw_only=True, tag="spoken"):
    """An envelope under the signer's own key, ready to be submitted."""

    envelope: Envelope


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One message that was signed, with all that is needed to tell it to a ledger that has forgotten it.

    `place` counts from 1 without a gap. `attempt` is the ledger's id for it; `message` and `raw` in hex; caps as
    decimal text in the native unit. `time`: when it was signed, unix milliseconds by the signer's clock. `height`: the
    signer's tip then.
    """

    place: int
    attempt: str
    chain: str
    sender: str
    nonce: int | None
    blockhash: str | None
    purposes: tuple[Purpose, ...]
    parameters: dict[str, str]
    fee_cap: str
    rent_cap: str
    message: str
    raw: str
    tx: str
    time: int
    height: int


class Page(Answer, frozen=True, kw_only=True, tag="page"):
    """Entries in the order of their signing; `more` when there are others behind them."""

    entries: tuple[Entry, ...]
    more: bool


class Blocks(Answer, frozen=True, kw_only=True, tag="blocks"):
    """Blobs of consecutive blocks, none when the signer has no such height."""

    blocks: tuple[bytes, ...]


class Refused(Answer, frozen=True, kw_only=True, tag="refused"):
    """No, and why; with the signer's tip, so that the caller can tell where the histories part."""

    code: RefusalCode
    message: str
    height: int
    hash: str


AnyAnswer = Standing | Extended | Spoken | Page | Blocks | Refused

_packer = msgspec.msgpack.Encoder()
_requests: msgspec.msgpack.Decoder[AnyRequest] = msgspec.msgpack.Decoder(AnyRequest)
_answers: msgspec.msgpack.Decoder[AnyAnswer] = msgspec.msgpack.Decoder(AnyAnswer)


class ProtocolError(Exception):
    """Bytes that are not of this protocol. The message never quotes them."""


def frame(message: Request | Answer) -> bytes:
    """The bytes of one message on the wire. A message too large for a frame is the sender's bug."""
    body = _packer.encode(message)
    if len(body) > MAX_FRAME:
        raise AssertionError("a message of the signer's protocol is larger than a frame")
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader, *, first: float, rest: float) -> bytes | None:
    """The next message's bytes, None at the end of the stream. Seconds: `first` to wait for it to begin, `rest` for
    what follows. Raises `ProtocolError`, `TimeoutError`."""
    async with asyncio.timeout(first):
        head = await reader.read(1)
    if not head:
        return None
    try:
        async with asyncio.timeout(rest):
            head += await reader.readexactly(_LENGTH.size - 1)
            (length,) = _LENGTH.unpack(head)
            if length > MAX_FRAME:
                raise ProtocolError(f"a frame has at most {MAX_FRAME} bytes")
            return await reader.readexactly(length)
    except asyncio.IncompleteReadError as exc:
        raise ProtocolError("the stream ends within a frame") from exc


def decode_request(body: bytes) -> AnyRequest:
    """Raises `ProtocolError`."""
    try:
        return _requests.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ProtocolError("not a request of this protocol") from exc


def decode_answer(body: bytes) -> AnyAnswer:
    """Raises `ProtocolError`."""
    try:
        return _answers.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise ProtocolError("not an answer of this protocol") from exc
