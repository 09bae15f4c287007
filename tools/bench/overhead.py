"""What the pool costs a call in processor time, as a ratio over the bare client.

Round by round, interleaved, on one core: the pool over a transport in memory, and a bare aiohttp session with orjson
against a server on loopback in a process of its own, so that only the client's time is counted. The ratio is
(pool + bare) ÷ bare, and the figure is the median of the rounds.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time

import aiohttp
import msgspec
import orjson

from chains.pool.calls import Call, Priority
from chains.pool.jsonrpc import Request
from chains.pool.pool import Pool
from chains.pool.settings import ProviderSettings
from chains.pool.transport import Response

ROUNDS = 25
CALLS = 400
AT_ONCE = 1
"""Lanes. One: more at once make the bare client cheaper a call and not us, so that eight add two hundredths."""
NUMBER = msgspec.json.Decoder(int)

SERVER = """
import asyncio
from aiohttp import web

async def answer(request):
    asked = await request.json()
    return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": 1})

async def main():
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class _Memory:
    """A wire without length."""

    async def send(self, request: Request) -> Response:
        """See `Transport`."""
        return Response(200, {}, b'{"jsonrpc":"2.0","id":%d,"result":1}' % request.id)

    async def close(self) -> None:
        """See `Transport`."""


async def _pooled(pool: Pool, first: int) -> None:
    for number in range(first, first + CALLS // AT_ONCE):
        call = Call(method="eth_blockNumber", params=(number,), priority=Priority.LIVE, deadline=10.0)
        await pool.call(call, NUMBER)


async def _bare(session: aiohttp.ClientSession, url: str, first: int) -> None:
    for number in range(first, first + CALLS // AT_ONCE):
        body = orjson.dumps({"jsonrpc": "2.0", "id": number, "method": "eth_blockNumber", "params": [number]})
        async with session.post(url, data=body, headers={"Content-Type": "application/json"}) as response:
            orjson.loads(await response.read())


async def _rounds(url: str) -> list[tuple[float, float]]:
    settings = [ProviderSettings(name=name, url=url, requests_per_second=1e6) for name in ("a", "b")]
    rounds: list[tuple[float, float]] = []
    async with (
        Pool("bench", "evm", [(each, _Memory()) for each in settings], clock=time.monotonic) as pool,
        aiohttp.ClientSession() as session,
    ):
        for number in range(ROUNDS + 2):
            firsts = [number * CALLS + lane * CALLS // AT_ONCE for lane in range(AT_ONCE)]
            began = time.process_time()
            await asyncio.gather(*(_pooled(pool, first) for first in firsts))
            between = time.process_time()
            await asyncio.gather(*(_bare(session, url, first) for first in firsts))
            rounds.append((between - began, time.process_time() - between))
    return rounds[2:]  # the first ones warm up


def measure() -> dict[str, float]:
    """The ratio, and microseconds a call on either side."""
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as server:  # noqa: S603 this very interpreter
        assert server.stdout is not None
        try:
            url = f"http://127.0.0.1:{int(server.stdout.readline())}/"
            rounds = asyncio.run(_rounds(url))
        finally:
            server.terminate()
    return {
        "pool_overhead_ratio": round(statistics.median((pool + bare) / bare for pool, bare in rounds), 4),
        "pool_microseconds_a_call": round(statistics.median(pool for pool, _ in rounds) / CALLS * 1e6, 1),
        "bare_microseconds_a_call": round(statistics.median(bare for _, bare in rounds) / CALLS * 1e6, 1),
    }
