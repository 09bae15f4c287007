"""The local EVM chain itself: it starts, does as it is told, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from chains.devnet import anvil
from chains.devnet.anvil import Anvil, DevnetMissing
from chains.errors import Verdict
from tests.contract.rig_evm import require_anvil
from tests.eventually import eventually


async def test_it_mines_on_demand_and_is_final_two_blocks_later() -> None:
    require_anvil()
    async with Anvil(chain_id=4242) as chain:
        assert await chain.rpc("eth_chainId") == hex(4242)
        assert await chain.height() == 0
        await chain.mine(5)
        assert await chain.height() == 5
        finalized = await chain.rpc("eth_getBlockByNumber", "finalized", False)
        assert isinstance(finalized, dict)
        assert finalized["number"] == hex(3)


async def test_it_mines_by_itself_with_a_block_time() -> None:
    require_anvil()
    async with Anvil(block_time=1) as chain:

        async def grown() -> bool:
            return await chain.height() >= 1

        await eventually(grown, 15, "a first block")


async def test_two_run_side_by_side_and_are_gone_afterwards() -> None:
    require_anvil()
    async with Anvil() as one, Anvil() as other:
        assert one.url != other.url
        port = one.port
        await one.set_balance(one.faucet, 5)
        assert await one.rpc("eth_getBalance", one.faucet, "latest") == "0x5"
        with pytest.raises(Verdict, match="eth_noSuchThing"):
            await one.rpc("eth_noSuchThing")
    with pytest.raises(OSError, match="Connect"):
        await asyncio.open_connection("127.0.0.1", port)


async def test_a_token_can_be_minted_and_moved() -> None:
    require_anvil()
    async with Anvil() as chain:
        token = await chain.deploy_token("USDC", 18)
        await chain.mint(token, chain.faucet, 7)
        tx = await chain.transfer(token, token, 2)
        assert await chain.receipt(tx) is None
        await chain.mine()
        receipt = await chain.receipt(tx)
        assert receipt is not None
        assert receipt["status"] == "0x1"
        asked = {"to": token, "data": "0x" + anvil.call_data("decimals()").hex()}
        assert int(str(await chain.rpc("eth_call", asked, "latest")), 16) == 18


def test_an_absent_anvil_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevnetMissing, match="anvil is not installed: make setup"):
        anvil.find_anvil(tmp_path)
