"""The EVM's lies in front of a real node: what the fault proxy says, and that pool and adapter are not deceived."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
import pytest

from chains.devnet.anvil import ETHER
from chains.devnet.faultproxy import FaultProxy, Healthy
from chains.devnet.faults.catalogue import AnyFault, Some
from chains.devnet.faults.lies import EmptyLogs, EmptyReceipts, HeadFreeze, StaleNode, WrongChain
from chains.devnet.faults.line import ResetAfterBroadcast
from chains.errors import Integrity, Retryable
from chains.evm.adapter import EvmAdapter
from chains.observations import NATIVE, Block, Deposit, Range
from chains.pool.breaker import State
from chains.pool.pool import Pool, open_pool
from chains.pool.settings import ProviderSettings
from chains.ports import Payment, Sent, Tier
from tests.contract.rig_evm import SETTINGS, EvmRig, open_rig

LIMIT = 50


class Stage:
    """anvil behind three fault proxies, and the adapter behind the pool of them all: two must say the same."""

    def __init__(self, rig: EvmRig, proxies: list[FaultProxy], pool: Pool) -> None:
        self.rig, self.proxies, self.pool = rig, proxies, pool
        self.adapter = EvmAdapter(SETTINGS, pool)

    def switch(self, *faults: AnyFault) -> None:
        for proxy, fault in zip(self.proxies, faults, strict=False):
            proxy.switch(fault)

    def switch_all(self, fault: AnyFault) -> None:
        for proxy in self.proxies:
            proxy.switch(fault)

    async def ask(self, method: str, *params: object) -> Any:
        """Through the first proxy, plainly: the result, or the error's code in a list of its own."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json"}
        async with aiohttp.request("POST", self.proxies[0].url, data=body, headers=headers) as answer:
            said = msgspec.json.decode(await answer.read())
        return [said["error"]["code"]] if "error" in said else said["result"]

    async def scan(self, cursor: Block) -> Range | None:
        return await self.adapter.scan(cursor, self.rig.watch, LIMIT)

    def strikes(self) -> list[str]:
        return [health.name for health in self.pool.health(0.0) if health.integrity_breaker is State.OPEN]


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with (
        open_rig() as rig,
        FaultProxy(rig.anvil.url) as first,
        FaultProxy(rig.anvil.url) as second,
        FaultProxy(rig.anvil.url) as third,
    ):
        proxies = [first, second, third]
        providers = [
            ProviderSettings(name=f"p{number}", url=proxy.url, requests_per_second=10_000.0)
            for number, proxy in enumerate(proxies)
        ]
        async with open_pool("ethereum", "evm", providers) as pool:
            yield Stage(rig, proxies, pool)


async def a_deposit(stage: Stage) -> tuple[Block, str]:
    """A token deposit, final; the finalized block before it and its transaction."""
    user = stage.rig.new_address()
    stage.rig.watch.add(user, Tier.DEPOSIT)
    cursor = (await stage.adapter.head()).finalized
    tx = await stage.rig.fund(user, stage.rig.token, 7)
    await stage.rig.finalize()
    return cursor, tx


async def patiently(stage: Stage, cursor: Block, tries: int = 6) -> tuple[list[Deposit], list[str]]:
    """Scan as a flow does, again after trouble and on from what was proven; what it found and was told meanwhile."""
    found: list[Deposit] = []
    troubles: list[str] = []
    for _ in range(tries):
        try:
            more = await stage.scan(cursor)
        except Retryable as error:
            troubles.append(error.code)
            continue
        if more is not None:
            found += more.deposits
            cursor = more.blocks[-1]
    return found, troubles


@pytest.mark.parametrize("liar", [0, 1, 2])
async def test_logs_that_one_keeps_to_itself_are_missed_by_the_bloom(stage: Stage, liar: int) -> None:
    cursor, _ = await a_deposit(stage)
    stage.proxies[liar].switch(EmptyLogs())
    for _ in range(6):
        found, troubles = await patiently(stage, cursor)
        assert [deposit.amount for deposit in found] == [7], "no scan leaves the deposit out"
        assert troubles == []
    assert stage.strikes() == []


async def test_logs_that_all_keep_to_themselves_stop_the_cursor(stage: Stage) -> None:
    cursor, _ = await a_deposit(stage)
    stage.switch_all(EmptyLogs())
    found, troubles = await patiently(stage, cursor)
    assert (found, set(troubles)) == ([], {"unproven"})
    stage.switch_all(Healthy())
    found, _ = await patiently(stage, cursor)
    assert [deposit.amount for deposit in found] == [7]


async def test_a_receipt_that_one_denies_is_asked_for_again(stage: Stage) -> None:
    cursor, _ = await a_deposit(stage)
    stage.switch(EmptyReceipts())
    found, troubles = await patiently(stage, cursor)
    assert [deposit.amount for deposit in found] == [7]
    assert troubles == []


async def test_receipts_that_all_deny_stop_the_cursor_until_they_come(stage: Stage) -> None:
    cursor, tx = await a_deposit(stage)
    stage.switch_all(EmptyReceipts())
    assert await stage.ask("eth_getTransactionReceipt", tx) is None
    found, troubles = await patiently(stage, cursor)
    assert (found, set(troubles)) == ([], {"lacks_data"})
    stage.switch_all(Healthy())
    found, _ = await patiently(stage, cursor)
    assert [deposit.tx for deposit in found] == [tx]


async def test_another_chain_is_found_at_the_door(stage: Stage) -> None:
    stage.switch(WrongChain(chain_id=5))
    assert [await stage.ask("eth_chainId"), await stage.ask("net_version")] == ["0x5", "5"]
    await stage.adapter.identify()
    assert stage.strikes() == ["p0"], "the two others are enough"
    stage.switch(Healthy(), WrongChain(chain_id=5))
    with pytest.raises(Integrity, match="wrong_chain"):
        await stage.adapter.identify()
    assert stage.strikes() == ["p0", "p1"]


async def test_a_broadcast_without_an_answer_is_ambiguous_sent_once_to_each_and_mined_once(stage: Stage) -> None:
    rig = stage.rig
    hot, recipient = rig.new_address(), rig.new_address()
    await rig.fund(hot, rig.native, ETHER)
    await rig.finalize()
    payments = (Payment(source=hot, recipient=recipient, token=NATIVE, amount=5),)
    draft = await stage.adapter.draft(hot, payments, nonce=0, blockhash=None, tokens=())
    message = stage.adapter.compose(draft)
    raw = stage.adapter.attach(message, {hot: rig.sign(message, hot)})
    stage.switch_all(ResetAfterBroadcast())
    before = [proxy.forwarded for proxy in stage.proxies]
    assert (await stage.adapter.broadcast(raw)).result is Sent.AMBIGUOUS
    assert [proxy.forwarded for proxy in stage.proxies] == [number + 1 for number in before]
    await rig.mine()
    assert await rig.lane(hot) == (1, None)
    stage.switch_all(Healthy())
    await rig.finalize()
    assert {absence.found for absence in await stage.adapter.absence(stage.adapter.transaction_id(raw))} == {True}
    assert (await stage.adapter.balance(recipient, NATIVE)).amount == 5


async def test_a_frozen_head_stands_still_and_is_caught_up_with(stage: Stage) -> None:
    cursor = (await stage.adapter.head()).finalized
    stage.switch_all(HeadFreeze())
    before = await stage.adapter.head()
    assert before.finalized == cursor
    await a_deposit(stage)
    assert await stage.adapter.head() == before
    assert await stage.scan(cursor) is None
    stage.switch_all(Healthy())
    found = await stage.scan(cursor)
    assert found is not None
    assert [deposit.amount for deposit in found.deposits] == [7]
    assert (await stage.adapter.head()).finalized.position > before.finalized.position


async def test_a_stale_node_is_the_node_of_then(stage: Stage) -> None:
    rig = stage.rig
    user = rig.new_address()
    await rig.fund(user, rig.native, 5)
    await rig.mine()
    await rig.anvil.mine(9)
    tx = await rig.fund(user, rig.token, 7)
    await rig.fund(user, rig.native, 6)
    await rig.mine()
    newest = await rig.anvil.height()
    late = int(str((await rig.anvil.receipt(tx) or {})["blockNumber"]), 16)
    then = newest - 4
    assert then < late, "the deposit came after"
    logs = {"fromBlock": hex(late), "toBlock": hex(newest)}
    by_hash = {"blockHash": (await stage.ask("eth_getBlockByNumber", hex(late), False))["hash"]}
    assert len(await stage.ask("eth_getLogs", logs)) == len(await stage.ask("eth_getLogs", by_hash)) > 0
    straight = await rig.anvil.rpc("eth_getBlockByNumber", hex(then), False)
    stage.switch(StaleNode(behind=4))
    assert await stage.ask("eth_blockNumber") == hex(then)
    assert await stage.ask("eth_getBlockByNumber", "latest", False) == straight
    assert await stage.ask("eth_getBlockByNumber", hex(newest), False) is None
    assert await stage.ask("eth_getBalance", user, "latest") == "0x5"
    assert await stage.ask("eth_getBalance", user) == "0x5"
    assert await stage.ask("eth_getBalance", user, hex(newest)) == [-32000]
    assert await stage.ask("eth_getTransactionReceipt", tx) is None
    assert await stage.ask("eth_getLogs", logs) == []
    assert await stage.ask("eth_getLogs", by_hash) == [-32000]
    assert await stage.ask("trace_block", hex(newest)) is None
    finalized = await stage.ask("eth_getBlockByNumber", "finalized", False)
    stage.switch(Healthy())
    honest = await stage.ask("eth_getBlockByNumber", "finalized", False)
    assert int(finalized["number"], 16) == int(honest["number"], 16) - 4


async def test_a_scan_of_one_late_and_one_honest_node_is_never_wrong(stage: Stage) -> None:
    cursor, tx = await a_deposit(stage)
    stage.switch(Some(then=StaleNode(behind=3), share=0.5, seed=7))
    found, _ = await patiently(stage, cursor, tries=8)
    seen = [deposit.tx for deposit in found]
    assert seen == [tx]
    assert stage.strikes() == []
