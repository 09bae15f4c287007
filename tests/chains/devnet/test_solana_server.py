"""The sockets of the local chain: both protocols on both ports, every limit, and a slow listener cut off."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from chains.devnet.solana.chain import Dropped, SolanaDevnet
from chains.devnet.solana.server import NoPorts
from chains.devnet.solana.settings import Settings
from tests.chains.devnet.solanarig import SOL, name, wallet


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def manual(**choices: Any) -> SolanaDevnet:
    return SolanaDevnet(Settings(manual=True, finalized_depth=4, **choices))


def request(method: str, *params: object) -> dict[str, object]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}


async def test_both_ports_speak_both_protocols(session: aiohttp.ClientSession) -> None:
    async with manual() as chain:
        for port in (int(chain.url.rpartition(":")[2]), int(chain.ws_url.rpartition(":")[2])):
            async with session.post(f"http://127.0.0.1:{port}", json=request("getHealth")) as response:
                assert (await response.json())["result"] == "ok"
            async with session.get(f"http://127.0.0.1:{port}/health") as response:
                assert await response.text() == "ok"
            async with session.get(f"http://127.0.0.1:{port}/") as response:
                assert response.status == 405
            async with session.ws_connect(f"ws://127.0.0.1:{port}") as socket:
                await socket.send_json(request("slotSubscribe"))
                assert (await socket.receive_json())["result"] == 1
                [block] = await chain.tick()
                told = await socket.receive_json()
                assert told["params"]["result"]["slot"] == block.slot


async def test_a_subscription_made_over_http_time_is_told_of_http_commands(session: aiohttp.ClientSession) -> None:
    async with manual() as chain, session.ws_connect(chain.ws_url) as socket:
        await socket.send_json(request("rootSubscribe"))
        await socket.receive_json()
        async with session.post(chain.url, json=request("devnet_tick", 6)) as response:
            assert (await response.json())["result"] == [1, 2, 3, 4, 5, 6]
        assert [(await socket.receive_json())["params"]["result"] for _ in range(2)] == [1, 2]


async def test_bodies_are_limited(session: aiohttp.ClientSession) -> None:
    async with manual() as chain:
        async with session.post(chain.url, data=b" " * (50 * 1024 + 1)) as response:
            assert response.status == 413
        async with session.post(chain.url, data=b"x" * 1_000) as response:
            assert (await response.json())["error"]["code"] == -32700
        async with session.ws_connect(chain.ws_url) as socket:
            await socket.send_bytes(b" " * (50 * 1024 + 1))
            assert (await socket.receive()).type in {aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED}


async def test_bad_messages_are_answered(session: aiohttp.ClientSession) -> None:
    async with manual() as chain, session.ws_connect(chain.ws_url) as socket:
        for text, code in (("{", -32700), ("[]", -32600), (json.dumps(request("getSlot")), -32601)):
            await socket.send_str(text)
            assert (await socket.receive_json())["error"]["code"] == code


async def test_a_slow_listener_is_cut_off(session: aiohttp.ClientSession) -> None:
    async with manual(notifications=8) as chain, session.ws_connect(chain.ws_url) as socket:
        await socket.send_json(request("slotSubscribe"))
        await socket.receive_json()
        async with session.post(chain.url, json=request("devnet_tick", 500)) as response:
            assert response.status == 200
        closing = await socket.receive()
        assert (closing.type, closing.data) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.TRY_AGAIN_LATER)


async def test_websockets_are_limited(session: aiohttp.ClientSession) -> None:
    async with manual(connections=1) as chain, session.ws_connect(chain.ws_url) as first:
        await first.send_json(request("slotSubscribe"))
        await first.receive_json()
        with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
            await session.ws_connect(chain.ws_url)


async def test_a_taken_port_is_a_named_error() -> None:
    async with manual() as chain:
        taken = int(chain.url.rpartition(":")[2])
        with pytest.raises(NoPorts, match=f"port {taken} or {taken + 1} is taken"):
            async with SolanaDevnet(Settings(manual=True), port=taken):
                pass


async def test_a_chain_in_hand_makes_money_and_tokens_and_waits_for_them() -> None:
    owner = name(wallet(1))
    async with manual() as chain:
        await chain.settle(await chain.airdrop(owner, SOL))
        mint = await chain.create_mint(6)
        landed = await chain.settle(await chain.mint_to(mint, owner, 7))
        assert landed.execution.post.tokens[0].amount == 7
        assert landed.execution.post.tokens[0].owner == owner
        chain.stop_blocks()
        assert await chain.tick(3) == []
        chain.resume_blocks()
        chain.skip_slots(2)
        assert len(await chain.tick(3)) == 1
        chain.pause_finality()
        await chain.tick(9)
        chain.resume_finality()
        chain.bank.sends_to_lose = 1
        lost = await chain.airdrop(owner, SOL)
        with pytest.raises(Dropped):
            await chain.settle(lost)
