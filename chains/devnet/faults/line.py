"""What goes wrong on the way and in the envelope: silence, a trickle, a cut, too much, or not JSON-RPC at all."""

from __future__ import annotations

import zlib
from functools import lru_cache
from typing import Annotated

import msgspec
from msgspec.structs import replace

from chains.devnet.faults.exchange import JSON, Answer, Cut, Exchange, Named, Reply
from chains.devnet.faults.wire import NULL, Asked, Said, write_said

MIB = 1024 * 1024

BROADCASTS = frozenset({"eth_sendRawTransaction", "eth_sendTransaction", "sendTransaction"})
"""Methods that put money on its way."""

Bytes = Annotated[int, msgspec.Meta(ge=1, le=4 * 1024 * MIB)]
"""Four gigabytes at most: they are never held, only sent or unpacked."""


class BlackHole(Named, frozen=True, kw_only=True, tag="black_hole"):
    """Everything is accepted and nothing answered; when the fault is over the connections are cut.

    Seen: a load balancer whose nodes are gone, a firewall that drops.
    """

    async def answer(self, exchange: Exchange) -> Answer:
        """Say nothing until the fault is over or the client has left."""
        await exchange.over()
        return Cut()


class SlowDrip(Named, frozen=True, kw_only=True, tag="slow_drip"):
    """The node's answer, `chunk` bytes every `pause` seconds: each read succeeds, so only a limit on the whole helps.
    When the fault is over the rest comes at once.

    Seen: saturated uplinks of shared nodes, and big Solana blocks through a small proxy.
    """

    chunk: Annotated[int, msgspec.Meta(ge=1, le=MIB)] = 16
    pause: Annotated[float, msgspec.Meta(ge=0.0, le=3_600.0)] = 0.5

    async def answer(self, exchange: Exchange) -> Answer:
        """Pass it on, slowly."""
        answer = await exchange.forward()
        return answer if isinstance(answer, Cut) else replace(answer, chunk=self.chunk, pause=self.pause)


class ResetAfterBroadcast(Named, frozen=True, kw_only=True, tag="reset_after_broadcast"):
    """A transaction is passed on and the connection reset instead of an answer: the money moves, and nobody says so.
    Everything else passes.

    Seen: any gateway that restarts. A client that sends a *new* transaction now pays twice.
    """

    async def answer(self, exchange: Exchange) -> Answer:
        """Pass it on, then cut if it was a broadcast."""
        answer = await exchange.forward()
        return Cut() if any(call.method in BROADCASTS for call in exchange.calls) else answer


class GzipBomb(Named, frozen=True, kw_only=True, tag="gzip_bomb"):
    """A valid answer of `unpacked` bytes in a thousandth of them, compressed.

    Seen: not at an honest provider; whoever takes over a provider's name can do it.
    """

    unpacked: Bytes = 128 * MIB

    async def answer(self, exchange: Exchange) -> Answer:
        """The bomb, with the request's own id; the node behind never hears of it."""
        id_ = bytes(exchange.calls[0].id) if exchange.calls else b"null"
        head = b'{"jsonrpc":"2.0","id":' + id_ + b',"result":"'
        return Reply(
            headers={**JSON, "Content-Encoding": "gzip"},
            body=_bomb(head, max(1, -(-self.unpacked // MIB))),
        )


class Oversized(Named, frozen=True, kw_only=True, tag="oversized"):
    """The node's own answer, followed by spaces up to `size` bytes: right, if anybody had room to read it.

    Seen: logs of a busy contract, getProgramAccounts without a filter.
    """

    size: Bytes = 65 * MIB

    async def answer(self, exchange: Exchange) -> Answer:
        """Pass it on, and go on."""
        answer = await exchange.asking(exchange.body, plain=True).forward()
        return answer if isinstance(answer, Cut) else replace(answer, padding=max(0, self.size - len(answer.body)))


class Html(Named, frozen=True, kw_only=True, tag="html"):
    """A web page instead of JSON, under any HTTP status.

    Seen: every gateway and CDN when its nodes are away (502, 503), and captive ones with 200.
    """

    status: Annotated[int, msgspec.Meta(ge=200, le=599)] = 502

    async def answer(self, _: Exchange) -> Answer:
        """The page; the node behind never hears of the request."""
        page = b"<!DOCTYPE html><html><head><title>Unavailable</title></head><body><h1>Unavailable</h1></body></html>"
        return Reply(status=self.status, headers={"Content-Type": "text/html; charset=utf-8"}, body=page)


class IdMismatch(Named, frozen=True, kw_only=True, tag="id_mismatch"):
    """The node's answer under another request's id.

    Seen: caching and connection-sharing proxies that mix up their clients. Unchecked, one reads the other's balance.
    """

    async def answer(self, exchange: Exchange) -> Answer:
        """Pass it on under the next id."""
        return await exchange.retell(_under_another_id)


class WrongShape(Named, frozen=True, kw_only=True, tag="wrong_shape"):
    """A batch is answered by one error object, a single request by an array of one.

    Seen: Erigon and others on a batch above their limit (erigontech/erigon issue 17245); JSON-RPC 2.0, section 6, wants
    an array exactly for an array.
    """

    code: int = -32000
    message: Annotated[str, msgspec.Meta(max_length=200)] = "batch limit exceeded"

    async def answer(self, exchange: Exchange) -> Answer:
        """One object for a batch; the node's answer in brackets for a single request."""
        if exchange.question is not None and exchange.question.batch:
            error = msgspec.json.encode({"code": self.code, "message": self.message})
            return Reply(body=write_said(Said(id=NULL, error=msgspec.Raw(error))))
        answer = await exchange.asking(exchange.body, plain=True).forward()
        return answer if isinstance(answer, Cut) else replace(answer, body=b"[" + answer.body + b"]")


def _under_another_id(_: Asked, said: Said) -> Said:
    try:
        another = msgspec.json.decode(said.id, type=int) + 1
    except msgspec.MsgspecError:
        return replace(said, id=msgspec.Raw(b'"another"'))
    return replace(said, id=msgspec.Raw(b"%d" % another))


@lru_cache(maxsize=1)
def _mebibyte() -> bytes:
    """A mebibyte of zeros as raw deflate that refers to nothing before it, so that it can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(b"0" * MIB) + packer.flush(zlib.Z_FULL_FLUSH)


def _bomb(head: bytes, mebibytes: int) -> bytes:
    """A gzip member (RFC 1952) of `head`, so many mebibytes of zeros, and the end of a JSON string and object."""
    tail = b'"}'
    checksum = zlib.crc32(head)
    for _ in range(mebibytes):
        checksum = zlib.crc32(b"0" * MIB, checksum)
    checksum = zlib.crc32(tail, checksum)
    size = (len(head) + mebibytes * MIB + len(tail)) & 0xFFFFFFFF
    first = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    last = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return b"".join(
        (
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff",
            first.compress(head) + first.flush(zlib.Z_FULL_FLUSH),
            _mebibyte() * mebibytes,
            last.compress(tail) + last.flush(),
            checksum.to_bytes(4, "little") + size.to_bytes(4, "little"),
        )
    )
