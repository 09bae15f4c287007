"""Faults of the line and the envelope over the loopback: the bytes a plain client gets, what the pool calls it."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import web

from chains.devnet.faultproxy import FaultProxy
from chains.devnet.faults.catalogue import AnyFault, Layers
from chains.devnet.faults.exchange import Reply
from chains.devnet.faults.line import (
    MIB,
    BlackHole,
    GzipBomb,
    Html,
    IdMismatch,
    Oversized,
    ResetAfterBroadcast,
    SlowDrip,
    WrongShape,
)
from chains.devnet.faults.overload import Healthy, TooManyRequests
from chains.errors import Ambiguous, Retryable
from chains.pool.calls import Call, Priority
from chains.pool.pool import Pool, open_pool
from chains.pool.settings import PoolSettings, ProviderSettings
from tests.chains.devnet.faultrig import Echo, FaultyTransport, Rig, batch_of, body_of
from tests.virtualtime import run

TEXT = msgspec.json.Decoder(list[str])
SENT = "eth_sendRawTransaction"


class Upstream:
    """A node on the loopback that answers each call with its own arguments, packed where the client takes that."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.stubborn = False

    async def handle(self, request: web.BaseRequest) -> web.Response:
        sent = msgspec.json.decode(await request.read())
        calls = sent if isinstance(sent, list) else [sent]
        self.seen += [call["method"] for call in calls]
        answers = [{"jsonrpc": "2.0", "id": call["id"], "result": call["params"]} for call in calls]
        body = msgspec.json.encode(answers if isinstance(sent, list) else answers[0])
        if self.stubborn or "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(
                body=gzip.compress(body, mtime=0),
                headers={"Content-Encoding": "gzip", "Content-Type": "application/json"},
            )
        return web.Response(body=body, content_type="application/json")


@asynccontextmanager
async def proxied(fault: AnyFault) -> AsyncIterator[tuple[FaultProxy, Upstream]]:
    upstream = Upstream()
    runner = web.ServerRunner(web.Server(upstream.handle, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with FaultProxy(f"http://127.0.0.1:{runner.addresses[0][1]}/") as proxy:
            proxy.switch(fault)
            yield proxy, upstream
    finally:
        await runner.cleanup()


@asynccontextmanager
async def pooled(fault: AnyFault, *, limit: int = 4 * MIB) -> AsyncIterator[tuple[Pool, FaultProxy, Upstream]]:
    async with proxied(fault) as (proxy, upstream):
        provider = ProviderSettings(name="p", url=proxy.url, requests_per_second=1_000.0, max_body_bytes=limit)
        async with open_pool("c", "evm", [provider], settings=PoolSettings(max_attempts=1)) as pool:
            yield pool, proxy, upstream


async def post(url: str, body: bytes, *, packed: bool = False) -> tuple[int, bytes]:
    headers = {"Accept-Encoding": "gzip" if packed else "identity"}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as client,
        client.post(url, data=body, headers=headers) as answer,
    ):
        return answer.status, await answer.read()


def a_call(method: str = "m", *, broadcast: bool = False) -> Call:
    return Call(method=method, params=("x",), priority=Priority.LIVE, deadline=10.0, broadcast=broadcast)


async def trouble(pool: Pool) -> str:
    with pytest.raises(Retryable) as caught:
        await pool.call(a_call(), TEXT)
    return caught.value.code


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("fault", [Healthy(), SlowDrip(chunk=7, pause=0.0), ResetAfterBroadcast()])
async def test_what_is_only_passed_on_is_passed_on_byte_for_byte(fault: AnyFault, packed: bool) -> None:
    async with proxied(fault) as (proxy, upstream):
        body = batch_of(("a", "x"), ("b", "y"))
        through, straight = await post(proxy.url, body, packed=packed), await post(proxy.upstream, body, packed=packed)
        assert through == straight
        assert through[1].startswith(b"\x1f\x8b") is packed
        assert upstream.seen == ["a", "b"] * 2


async def test_a_client_that_does_not_unpack_is_not_sent_packed_answers() -> None:
    async with proxied(Healthy()) as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rsplit(":", 1)[1].strip("/")))
        body = body_of("m", "x")
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        answer = await reader.read()
        assert b'"result":["x"]' in answer
        writer.close()


async def test_a_drip_comes_in_pieces_of_its_size() -> None:
    async with proxied(SlowDrip(chunk=9, pause=0.001)) as (proxy, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rsplit(":", 1)[1].strip("/")))
        body = body_of("m", "y" * 50)
        writer.write(
            b"POST / HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        )
        await reader.readuntil(b"\r\n\r\n")
        pieces = []
        while piece := await reader.read(65_536):
            pieces.append(len(piece))
        assert len(pieces) > 3
        assert max(pieces) <= 18, "two pieces may meet in one read"
        writer.close()


async def test_the_rest_of_a_drip_comes_at_once_when_it_is_over() -> None:
    async with proxied(SlowDrip(chunk=1, pause=3_600.0)) as (proxy, upstream):
        waiting = asyncio.create_task(post(proxy.url, body_of("m", "x")))
        while not upstream.seen:  # noqa: ASYNC110 all on this very loop: turns, not time
            await asyncio.sleep(0)
        proxy.switch(Healthy())
        status, body = await waiting
        assert (status, msgspec.json.decode(body)["result"]) == (200, ["x"])


def test_the_pool_gives_a_drip_up_at_its_limit() -> None:
    async def main() -> None:
        transport = FaultyTransport(SlowDrip(chunk=1, pause=1.0), Echo())
        settings = ProviderSettings(name="p", url="http://p.invalid/", requests_per_second=10.0, timeout_seconds=5.0)
        async with Pool("c", "evm", [(settings, transport)], clock=asyncio.get_running_loop().time) as pool:
            assert await trouble(pool) == "timeout"
            assert asyncio.get_running_loop().time() <= 1_010.0

    run(main())


@pytest.mark.parametrize("method", [SENT, "sendTransaction"])
async def test_a_broadcast_arrives_once_and_its_answer_never(method: str) -> None:
    async with pooled(ResetAfterBroadcast()) as (pool, proxy, upstream):
        with pytest.raises(Ambiguous) as caught:
            await pool.call(a_call(method, broadcast=True), TEXT)
        assert caught.value.code == "broken_off"
        answers = await pool.call_each(a_call(method, broadcast=True), TEXT)
        assert [type(answer.error) for answer in answers] == [Ambiguous]
        assert upstream.seen == [method, method]
        assert await pool.call(a_call("eth_chainId"), TEXT) == ["x"]
        assert proxy.forwarded == 3


async def test_a_cut_is_a_reset_and_no_orderly_end() -> None:
    async with proxied(ResetAfterBroadcast()) as (proxy, upstream):
        reader, writer = await asyncio.open_connection("127.0.0.1", int(proxy.url.rsplit(":", 1)[1].strip("/")))
        body = body_of(SENT, "x")
        writer.write(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        with pytest.raises(ConnectionResetError):
            await reader.read()
        assert upstream.seen == [SENT]
        writer.close()


async def test_a_bomb_is_a_true_answer_of_the_size_it_says() -> None:
    async with proxied(GzipBomb(unpacked=3 * MIB)) as (proxy, upstream):
        status, packed = await post(proxy.url, body_of("m", id_=77), packed=True)
        said = msgspec.json.decode(gzip.decompress(packed))
        assert (status, said["id"], len(said["result"])) == (200, 77, 3 * MIB)
        assert len(packed) < 3 * MIB // 400
        assert not upstream.seen


async def test_the_pool_does_not_unpack_a_bomb() -> None:
    async with pooled(GzipBomb(unpacked=5 * MIB)) as (pool, proxy, _):
        assert await trouble(pool) == "split"
        proxy.switch(GzipBomb(unpacked=1))
        with pytest.raises(Retryable, match="provider_broken"):
            await pool.call(a_call(), TEXT)


async def test_an_oversized_answer_is_right_and_too_long() -> None:
    async with proxied(Oversized(size=2 * MIB)) as (proxy, _):
        status, body = await post(proxy.url, body_of("m", "x"))
        assert (status, len(body), msgspec.json.decode(body)["result"]) == (200, 2 * MIB, ["x"])
        proxy.switch(Oversized(size=1))
        assert await post(proxy.url, body_of("m", "x")) == await post(proxy.upstream, body_of("m", "x"))


async def test_the_pool_reads_no_further_than_its_limit() -> None:
    async with pooled(Oversized(size=64 * MIB), limit=MIB) as (pool, proxy, _):
        assert await trouble(pool) == "split"
        proxy.switch(Healthy())
        assert await pool.call(a_call(), TEXT) == ["x"]


@pytest.mark.parametrize(("status", "code"), [(200, "provider_broken"), (502, "overloaded"), (503, "overloaded")])
async def test_a_web_page_is_no_answer(status: int, code: str) -> None:
    async with pooled(Html(status=status)) as (pool, proxy, upstream):
        got, body = await post(proxy.url, body_of("m"))
        assert (got, body[:15]) == (status, b"<!DOCTYPE html>")
        assert await trouble(pool) == code
        assert not upstream.seen


@pytest.mark.parametrize(("sent", "got"), [(41, 42), ("a", "another"), (None, "another")])
async def test_another_id_comes_back(sent: object, got: object) -> None:
    async with proxied(IdMismatch()) as (proxy, _):
        _, body = await post(proxy.url, body_of("m", "x", id_=sent))
        assert msgspec.json.decode(body) == {"jsonrpc": "2.0", "id": got, "result": ["x"]}


@pytest.mark.parametrize("fault", [IdMismatch(), WrongShape()])
async def test_the_pool_takes_no_answer_to_another_question(fault: AnyFault) -> None:
    async with pooled(fault) as (pool, _, upstream):
        assert await trouble(pool) == "provider_broken"
        with pytest.raises(Ambiguous):
            await pool.call(a_call(SENT, broadcast=True), TEXT)
        assert upstream.seen == ["m", SENT]


async def test_one_object_for_a_batch_and_an_array_for_one() -> None:
    async with proxied(WrongShape(code=-32600, message="too many")) as (proxy, _):
        _, body = await post(proxy.url, batch_of(("a", 1), ("b", 2)))
        error = {"code": -32600, "message": "too many"}
        assert msgspec.json.decode(body) == {"jsonrpc": "2.0", "id": None, "error": error}
        _, body = await post(proxy.url, body_of("m", "x"), packed=True)
        assert msgspec.json.decode(body) == [{"jsonrpc": "2.0", "id": 1, "result": ["x"]}]


async def test_what_answers_in_another_shape_is_not_retold() -> None:
    async with proxied(Layers(faults=(IdMismatch(), WrongShape()))) as (proxy, _):
        _, body = await post(proxy.url, body_of("m", "x"))
        assert msgspec.json.decode(body) == [{"jsonrpc": "2.0", "id": 1, "result": ["x"]}]
        _, body = await post(proxy.url, batch_of(("a", 1), ("b", 2)))
        assert msgspec.json.decode(body)["id"] is None


async def test_a_node_that_packs_unasked_can_not_be_retold() -> None:
    async with proxied(IdMismatch()) as (proxy, upstream):
        upstream.stubborn = True
        status, body = await post(proxy.url, body_of("m", "x"), packed=True)
        assert (status, body) == (502, b"the node behind: a compressed answer, unasked")


async def test_a_black_hole_behind_a_drip_is_still_one() -> None:
    async with proxied(Layers(faults=(SlowDrip(), BlackHole()))) as (proxy, upstream):
        held = asyncio.create_task(post(proxy.url, body_of("m")))
        while proxy.requests == 0:  # noqa: ASYNC110 all on this very loop: turns, not time
            await asyncio.sleep(0)
        proxy.switch(TooManyRequests())
        with pytest.raises(aiohttp.ClientError):
            await held
        assert not upstream.seen


@pytest.mark.parametrize("mebibytes", [1, 2, 9])
def test_a_bomb_is_well_formed_gzip(mebibytes: int) -> None:
    async def main() -> None:
        answer = await Rig(GzipBomb(unpacked=mebibytes * MIB), Echo()).send(body_of("m"))
        assert isinstance(answer, Reply)
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        size = len(unpacker.decompress(answer.body))
        assert unpacker.eof, "the checksum and the size at the end are right"
        assert size == mebibytes * MIB + len(b'{"jsonrpc":"2.0","id":1,"result":""}')

    run(main())
