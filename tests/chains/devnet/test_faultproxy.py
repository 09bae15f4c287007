"""The fault proxy and the real pool over the loopback: each fault as a pool meets it, switched both ways."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec
import pytest
from aiohttp import web

from chains.devnet.faultproxy import BlackHole, FaultProxy, Healthy, TooManyRequests
from chains.devnet.faults.lies import HeadFreeze
from chains.errors import Ambiguous, NoProvider, Retryable
from chains.pool.calls import Call, Priority
from chains.pool.pool import Pool, open_pool
from chains.pool.settings import BreakerSettings, PoolSettings, ProviderSettings

NUMBER = msgspec.json.Decoder(int)
PATIENT, HASTY = 20.0, 0.3


@asynccontextmanager
async def node() -> AsyncIterator[str]:
    """The smallest honest node: it answers every request with its id, doubled."""

    async def handler(request: web.BaseRequest) -> web.Response:
        sent = msgspec.json.decode(await request.read())
        return web.json_response({"jsonrpc": "2.0", "id": sent["id"], "result": sent["params"][0] * 2})

    runner = web.ServerRunner(web.Server(handler, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


def doubled(number: int, deadline: float, *, broadcast: bool = False) -> Call:
    return Call(method="double", params=(number,), priority=Priority.LIVE, deadline=deadline, broadcast=broadcast)


@asynccontextmanager
async def behind_proxies(count: int) -> AsyncIterator[tuple[Pool, list[FaultProxy]]]:
    async with node() as url:
        proxies = [await FaultProxy(url).start() for _ in range(count)]
        settings = PoolSettings(breaker=BreakerSettings(open_seconds=0.01, silent_seconds=0.0, silent_failures=2))
        providers = [
            ProviderSettings(name=f"p{i}", url=proxy.url, requests_per_second=1_000.0)
            for i, proxy in enumerate(proxies)
        ]
        try:
            async with open_pool("testnet", "evm", providers, settings=settings) as pool:
                yield pool, proxies
        finally:
            for proxy in proxies:
                await proxy.close()


async def test_without_a_fault_the_node_s_answers_pass() -> None:
    async with behind_proxies(2) as (pool, proxies):
        assert [await pool.call(doubled(n, PATIENT), NUMBER) for n in range(6)] == [0, 2, 4, 6, 8, 10]
        assert [proxy.forwarded for proxy in proxies] == [3, 3]


async def test_a_429_freezes_that_provider_and_the_other_serves() -> None:
    async with behind_proxies(2) as (pool, proxies):
        proxies[0].switch(TooManyRequests(retry_after=60))
        assert [await pool.call(doubled(n, PATIENT), NUMBER) for n in range(4)] == [0, 2, 4, 6]
        assert [proxy.requests for proxy in proxies] == [1, 4]
        assert proxies[0].forwarded == 0
        throttled, _ = pool.health(asyncio.get_running_loop().time())
        assert throttled.frozen_for > 50.0


async def test_429_from_everybody_leaves_no_provider() -> None:
    async with behind_proxies(2) as (pool, proxies):
        for proxy in proxies:
            proxy.switch(TooManyRequests(retry_after=60))
        with pytest.raises(NoProvider, match=r"p0: throttled.*p1: throttled"):
            await pool.call(doubled(1, PATIENT), NUMBER)


async def test_a_black_hole_is_left_and_found_again_when_it_answers() -> None:
    async with behind_proxies(1) as (pool, (proxy,)):
        proxy.switch(BlackHole())
        for _ in range(2):
            with pytest.raises(Retryable) as caught:
                await pool.call(doubled(1, HASTY), NUMBER)
            assert caught.value.code in {"timeout", "no_provider"}
        with pytest.raises(Ambiguous):
            await pool.call(doubled(1, HASTY, broadcast=True), NUMBER)
        assert (proxy.requests >= 3, proxy.forwarded) == (True, 0)
        proxy.switch(Healthy())
        assert await pool.call(doubled(4, PATIENT), NUMBER) == 8


async def test_what_a_black_hole_holds_is_cut_when_it_ends() -> None:
    async with behind_proxies(1) as (pool, (proxy,)):
        proxy.switch(BlackHole())
        held = asyncio.create_task(pool.call(doubled(1, PATIENT, broadcast=True), NUMBER))
        while proxy.requests == 0:  # noqa: ASYNC110 the proxy runs on this very loop: turns, not time
            await asyncio.sleep(0)
        proxy.switch(Healthy())
        with pytest.raises(Ambiguous) as caught:
            await held
        assert caught.value.code == "broken_off"


async def test_faults_are_switched_over_http() -> None:
    async with node() as url, FaultProxy(url) as proxy, aiohttp.ClientSession() as operator:
        control = proxy.url + "_fault"
        async with operator.post(control, data=b'{"fault": "http_429", "retry_after": 2}') as answer:
            assert (answer.status, (await answer.json())["fault"]) == (200, {"fault": "http_429", "retry_after": 2})
        async with operator.post(proxy.url, data=b"{}") as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "2")
        async with operator.post(control, data=b'{"fault": "http_429"}') as answer:
            assert answer.status == 200
        async with operator.post(proxy.url, data=b"{}") as answer:
            assert (answer.status, "Retry-After" in answer.headers) == (429, False)
        for nonsense in (b'{"fault": "gremlins"}', b"", b'{"fault": "http_429", "retry_after": "soon"}'):
            async with operator.post(control, data=nonsense) as answer:
                assert answer.status == 400
        assert proxy.fault == TooManyRequests()
        async with operator.post(control, data=b'{"fault": "none"}') as answer:
            assert answer.status == 200
        async with operator.post(proxy.url, data=b'{"id":1,"method":"double","params":[21]}') as answer:
            assert (await answer.json())["result"] == 42
        async with operator.get(control) as answer:
            assert await answer.json() == {"fault": {"fault": "none"}, "requests": 3, "forwarded": 1}


async def test_no_more_than_so_many_are_held() -> None:
    async with FaultProxy("http://127.0.0.1:1/secret-key", held_limit=8) as proxy:
        proxy.switch(BlackHole())
        async with aiohttp.ClientSession() as crowd, aiohttp.ClientSession() as late:
            held = [asyncio.create_task(crowd.post(proxy.url, data=b"{}").__aenter__()) for _ in range(8)]
            while proxy.requests < 8:  # noqa: ASYNC110 the proxy runs on this very loop: turns, not time
                await asyncio.sleep(0)
            with pytest.raises(aiohttp.ClientError):
                await late.post(proxy.url, data=b"{}")
            proxy.switch(Healthy())
            ends = await asyncio.gather(*held, return_exceptions=True)
            assert all(isinstance(end, aiohttp.ClientError) for end in ends)
            async with late.post(proxy.url, data=b"{}") as answer:
                assert (answer.status, await answer.text()) == (502, "the node behind: ClientConnectorError")


async def test_a_fault_that_lacks_what_it_must_know_is_a_bad_gateway_that_says_so() -> None:
    async with node() as url, FaultProxy(url) as proxy, aiohttp.ClientSession() as operator:
        proxy.switch(HeadFreeze())
        async with operator.post(proxy.url, data=b'{"id":1,"method":"getSlot","params":[1]}') as answer:
            assert answer.status == 502
            assert (await answer.text()).startswith("the node behind: getSlot: Reply(")


async def test_a_dead_node_is_a_bad_gateway() -> None:
    async with node() as url:
        gone = url
    async with FaultProxy(gone) as proxy, aiohttp.request("POST", proxy.url, data=b"{}") as answer:
        assert answer.status == 502
