"""The local Solana chain before its judges: clients that nobody here wrote, each making and comparing real amounts.

The two official JavaScript clients run as their own processes, `solana-py` in this one, against a chain whose slots
follow the clock, because that is what the clients' confirmation strategies are made for.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Commitment, Confirmed, Finalized
from solana.rpc.models import TxOpts
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction
from solders.transaction_status import TransactionConfirmationStatus

from chains.devnet.solana.chain import SolanaDevnet
from chains.devnet.solana.settings import Settings
from tests.chains.devnet.solanarig import FEE, SOL, wallet
from tests.eventually import eventually
from tests.tools import require_node

HERE = Path(__file__).resolve().parent / "js"
MODULES = Path(__file__).resolve().parents[2] / "node_modules" / "@solana"
JUDGE_SECONDS = 90
"""A judge needs about 3 s of a free machine."""


@pytest.fixture
async def chain() -> AsyncIterator[SolanaDevnet]:
    settings = Settings(slot_ms=40, first_slot=5_000, skip_every=5, finalized_depth=8)
    async with SolanaDevnet(settings) as chain:
        yield chain


async def judge(script: str, *arguments: str) -> dict[str, Any]:
    """Run a judge to its end; its verdict is its exit code, its findings one line of JSON."""
    node = require_node()
    if not (MODULES / "kit").is_dir():
        missing = pytest.fail if os.environ.get("REQUIRE_TOOLS") == "1" else pytest.skip
        missing("the official Solana clients are not installed: make setup")
    process = await asyncio.create_subprocess_exec(
        str(node.binary),
        str(HERE / script),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await asyncio.wait_for(process.communicate(), JUDGE_SECONDS)
    except TimeoutError:
        process.kill()
        out, err = await process.communicate()
        pytest.fail(f"{script} did not come to a verdict in {JUDGE_SECONDS} s:\n{err.decode()[-4_000:]}")
    assert process.returncode == 0, f"{script}:\n{err.decode()[-4_000:]}"
    findings: dict[str, Any] = json.loads(out.decode().splitlines()[-1])
    return findings


async def test_the_classic_client_accepts_the_chain(chain: SolanaDevnet) -> None:
    findings = await judge("solana_classic.mjs", chain.url)
    assert findings["lamports"] == 1_234_567_890 + 777
    assert findings["sent"] == ["25000001", "25000001"]
    assert set(findings["created"].values()) == {"9007199254740993"}
    assert findings["skipped"] > 0


async def test_the_newer_client_accepts_the_chain(chain: SolanaDevnet) -> None:
    findings = await judge("solana_kit.mjs", chain.url, chain.ws_url)
    assert findings["lamports"] == str(3 * SOL + 1)
    assert findings["sent"] == ["4000000000", "4000000000"]
    assert findings["blocks"] > 0


async def test_solana_py_accepts_the_chain(chain: SolanaDevnet) -> None:
    alice, bob = wallet(1), wallet(2).pubkey()
    async with AsyncClient(chain.url, Confirmed) as client:
        await _settled(client, (await client.request_airdrop(alice.pubkey(), SOL)).value)
        latest = (await client.get_latest_blockhash(Confirmed)).value
        pay = transfer(TransferParams(from_pubkey=alice.pubkey(), to_pubkey=bob, lamports=SOL // 4))
        message = MessageV0.try_compile(alice.pubkey(), [pay], [], latest.blockhash)
        raw = bytes(VersionedTransaction(message, [alice]))
        sent = (await client.send_raw_transaction(raw, TxOpts(preflight_commitment=Confirmed, max_retries=0))).value
        slot = await _settled(client, sent)
        block = (await client.get_block(slot, "base64", max_supported_transaction_version=0)).value
        assert block is not None
        [mine] = [t for t in block.transactions or [] if sent in t.transaction.signatures]
        assert mine.meta is not None
        assert mine.meta.pre_balances[:2] == [SOL, 0]
        assert mine.meta.post_balances[:2] == [SOL - SOL // 4 - FEE, SOL // 4]
        assert slot in (await client.get_blocks(slot - 20, slot)).value
        assert await _lamports(client, bob, Finalized) == SOL // 4


async def _settled(client: AsyncClient, signature: Signature) -> int:
    async def final() -> int:
        [status] = (await client.get_signature_statuses([signature])).value
        assert status is not None
        assert status.confirmation_status == TransactionConfirmationStatus.Finalized
        return status.slot

    return await eventually(final, 20, f"{signature} final")


async def _lamports(client: AsyncClient, key: Pubkey, commitment: Commitment) -> int:
    return (await client.get_balance(key, commitment)).value


async def test_the_command_serves_until_told_to_stop() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chains.devnet.solana", "--slot-ms", "20", "--finalized-depth", "4"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        facts = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
        async with AsyncClient(facts["url"]) as client:
            assert str((await client.get_genesis_hash()).value) == facts["genesis_hash"]

            async def final() -> bool:
                return (await client.get_block_height(Finalized)).value > 3

            await eventually(final, 20, "finality moves")
            assert await _lamports(client, Pubkey.from_string(facts["faucet"]), Finalized) > 0
    finally:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 20) == 0
