"""The real transport against a real server on the loopback: limits, encodings, secrets, and what a cut wire means."""

from __future__ import annotations

import asyncio
import gzip
import socket
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
from aiohttp import web

from chains.pool.classify import Fault
from chains.pool.jsonrpc import Request, read
from chains.pool.settings import ProviderSettings
from chains.pool.transport import HttpTransport, Response, TransportFault

LIMIT = 100_000
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def server(handler: Handler) -> AsyncIterator[str]:
    runner = web.ServerRunner(web.Server(handler, access_log=None))  # type: ignore[arg-type]  # BaseRequest in the stub
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def send(url: str, *, request_id: int = 7) -> Response:
    settings = ProviderSettings(
        name="a", url=url, requests_per_second=10.0, max_body_bytes=LIMIT, headers={"X-Api-Key": "hush"}
    )
    transport = HttpTransport(settings)
    try:
        async with asyncio.timeout(10.0):
            return await transport.send(Request(request_id, "echo", (1, "two")))
    finally:
        await transport.close()


async def fault(url: str) -> TransportFault:
    with pytest.raises(TransportFault) as caught:
        await send(url)
    assert "hush" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value


async def test_a_request_arrives_whole_and_its_answer_comes_back() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.method == "POST"
        assert request.headers["X-Api-Key"] == "hush"
        assert request.headers["Content-Type"] == "application/json"
        sent = msgspec.json.decode(await request.read())
        return web.json_response({"id": sent["id"], "jsonrpc": "2.0", "result": sent["params"]})

    async with server(handler) as url:
        response = await send(url)
    assert response.status == 200
    result = read(7, response.status, response.headers, response.body)
    assert isinstance(result, msgspec.Raw)
    assert bytes(result) == b'[1, "two"]'


async def test_statuses_and_the_headers_that_matter_are_kept_and_nothing_is_followed() -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=307, headers={"Location": "/elsewhere", "Retry-After": "3", "X-Other": "x"})

    async with server(handler) as url:
        response = await send(url)
    assert (response.status, response.headers["retry-after"], asked) == (307, "3", ["/"])
    assert "x-other" not in response.headers


async def test_a_compressed_answer_is_unpacked() -> None:
    async def handler(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "gzip"
        return web.Response(body=gzip.compress(b"y" * LIMIT), headers={"Content-Encoding": "gzip"})

    async with server(handler) as url:
        assert (await send(url)).body == b"y" * LIMIT


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_over_the_limit_is_cut_off_where_it_passes_it(compressed: bool) -> None:
    body = b"z" * (LIMIT + 1)

    async def handler(request: web.Request) -> web.Response:
        if compressed:
            return web.Response(body=gzip.compress(body * 500), headers={"Content-Encoding": "gzip"})
        return web.Response(body=body)

    async with server(handler) as url:
        found = await fault(url)
    assert (found.fault, found.may_have_left) == (Fault.TOO_LARGE, True)


async def test_a_compressed_bomb_never_takes_the_memory_it_claims() -> None:
    bomb = gzip.compress(bytes(64 * 1024 * 1024))

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})

    async with server(handler) as url:
        tracemalloc.start()
        try:
            assert (await fault(url)).fault is Fault.TOO_LARGE
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert peak < 8 * 1024 * 1024


@pytest.mark.parametrize(
    ("begins", "repeats", "kind"),
    [
        (gzip.compress(b"{}"), b"x" * 65_536, Fault.GARBLED),
        # A stored block without a byte in it, over and over: it unpacks to nothing and never ends.
        (gzip.compress(b"")[:10], b"\x00\x00\x00\xff\xff" * 13_000, Fault.TOO_LARGE),
    ],
    ids=["after the end", "blocks of nothing"],
)
async def test_a_compressed_answer_that_goes_on_and_adds_nothing_is_cut_off(
    begins: bytes, repeats: bytes, kind: Fault
) -> None:
    written = 0

    async def handler(request: web.Request) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse(headers={"Content-Encoding": "gzip"})
        await response.prepare(request)
        await response.write(begins)
        for _ in range(500):
            await response.write(repeats)
            written += 1
        return response

    async with server(handler) as url:
        assert (await fault(url)).fault is kind
    assert written < 500, "nobody reads on"


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"this is not gzip"),
        ("gzip", gzip.compress(b"a" * 10_000)[:-9]),
        ("gzip", gzip.compress(b"{}", mtime=0) + b"more"),
        ("gzip", gzip.compress(b"{}", mtime=0) * 2),
        ("br", b"\x00"),
    ],
)
async def test_a_body_that_is_not_what_it_claims_is_garbled(encoding: str, body: bytes) -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body, headers={"Content-Encoding": encoding})

    async with server(handler) as url:
        assert (await fault(url)).fault is Fault.GARBLED


async def test_who_cannot_be_reached_has_received_nothing() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}/"
        found = await fault(url)
    assert (found.fault, found.may_have_left) == (Fault.UNREACHABLE, False)
    assert found.__cause__ is not None


async def test_a_closed_transport_sends_nothing() -> None:
    transport = HttpTransport(ProviderSettings(name="a", url="http://127.0.0.1:9/", requests_per_second=10.0))
    await transport.close()
    with pytest.raises(TransportFault) as caught:
        await transport.send(Request(1, "m", ()))
    assert (caught.value.fault, caught.value.may_have_left) == (Fault.UNREACHABLE, False)


async def test_the_environment_has_no_say_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that is named there would see keys, and could answer for the provider."""

    async def handler(request: web.Request) -> web.Response:
        return web.json_response({"id": 7, "result": 1})

    async with server(handler) as url:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert (await send(url)).status == 200


async def test_no_tls_no_request() -> None:
    async def handler(request: web.Request) -> web.Response:
        raise AssertionError("a request got through")

    async with server(handler) as url:
        found = await fault(url.replace("http:", "https:"))
    assert (found.fault, found.may_have_left) == (Fault.UNREACHABLE, False)


async def test_a_connection_that_ends_early_is_broken_off_and_the_request_is_not_sent_again() -> None:
    asked = []

    async def handler(request: web.Request) -> web.Response:
        asked.append(await request.read())
        if len(asked) > 1:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"id": 1, "result": 1})

    async with server(handler) as url:
        settings = ProviderSettings(name="a", url=url, requests_per_second=10.0)
        transport = HttpTransport(settings)
        await transport.send(Request(1, "m", ()))
        # The second goes over the connection that is kept alive, which is where clients like to try again.
        with pytest.raises(TransportFault) as caught:
            await transport.send(Request(2, "m", ()))
        await transport.close()
    assert (caught.value.fault, caught.value.may_have_left, len(asked)) == (Fault.BROKEN_OFF, True, 2)


async def test_an_answer_that_is_not_http_is_garbled() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with listening:
        found = await fault(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
    assert found.fault is Fault.GARBLED


async def test_a_body_that_breaks_off_is_not_an_answer() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
        await writer.drain()
        writer.close()

    listening = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with listening:
        found = await fault(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/")
    assert (found.fault, found.may_have_left) == (Fault.GARBLED, True)
