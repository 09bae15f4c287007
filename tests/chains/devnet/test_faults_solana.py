"""Solana's lies on the real programs: what each one says, and that the real pool and watcher never follow it.

The chain, the faults, the pool and the adapter are the ones that ship; only the sockets are left out, so that time is
virtual and a scan that waits and asks again takes no time at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.hash import Hash
from solders.message import Message
from solders.transaction import VersionedTransaction

from chains.devnet.faults.exchange import Fault
from chains.devnet.faults.lies import DEVNET_GENESIS, ForgedSkips, HeadFreeze, StaleNode, WrongChain
from chains.devnet.faults.line import ResetAfterBroadcast
from chains.devnet.faults.overload import Healthy
from chains.errors import ChainError, Integrity, NoProvider
from chains.observations import Block, Range
from chains.pool.breaker import State
from chains.pool.pool import Pool
from chains.pool.settings import ProviderSettings
from chains.ports import Sent
from chains.solana.adapter import SolanaAdapter, SolanaSettings
from tests.chains.devnet.faultrig import BankNode, FaultyTransport, Rig, batch_of
from tests.chains.solana.realchain import SOL, RealChain, name, wallet, watch
from tests.virtualtime import run

ALICE = wallet(1)
SKIPPED = {4, 5, 9, 13}
LAST = 16
NODE = {"maxSupportedTransactionVersion": 1, "transactionDetails": "none", "rewards": False}


def a_block(chain: RealChain, slot: int) -> None:
    chain.run([chain.pay_sol(chain.payer, ALICE, SOL + slot)])
    chain.block()


def story() -> RealChain:
    """Sixteen slots, four of them skipped; every block pays Alice its own slot's number of lamports."""
    chain = RealChain("faults")
    for slot in range(1, LAST + 1):
        if slot in SKIPPED:
            chain.bank.slots_to_skip = 1
            chain.bank.tick(0)
        else:
            a_block(chain, slot)
    return chain


@pytest.fixture(scope="module")
def chain() -> RealChain:
    return story()


def genesis_block(chain: RealChain) -> Block:
    block = chain.bank.history.at_height(0)
    return Block(
        position=block.slot,
        height=block.height,
        hash=block.blockhash,
        parent_position=block.parent_slot,
        parent_hash=block.parent_hash,
        time=block.time,
    )


def truth(chain: RealChain) -> list[tuple[int, str]]:
    """Slot and hash of each finalized block after the first."""
    final = chain.bank.history.tip.height - 1
    return [(one.slot, one.blockhash) for one in map(chain.bank.history.at_height, range(1, final + 1))]


def read(ranges: Sequence[Range]) -> list[tuple[int, str]]:
    return [(block.position, block.hash) for found in ranges for block in found.blocks]


@asynccontextmanager
async def behind(chain: RealChain, *faults: Fault) -> AsyncIterator[tuple[SolanaAdapter, Pool, list[FaultyTransport]]]:
    """The adapter over a pool of one provider for each fault, all of the same chain."""
    transports = [FaultyTransport(fault, BankNode(chain.bank)) for fault in faults]
    pairs = [
        (ProviderSettings(name=f"p{n}", url="http://p.invalid/", requests_per_second=1_000.0), transport)
        for n, transport in enumerate(transports)
    ]
    settings = SolanaSettings(chain="solana", genesis_hash=chain.bank.genesis.blockhash)
    async with Pool("solana", "solana", pairs, clock=asyncio.get_running_loop().time) as pool:
        yield SolanaAdapter(settings, pool), pool, transports


async def scanned(adapter: SolanaAdapter, cursor: Block, tries: int = 8) -> list[Range]:
    """Scan as a flow does: again after trouble, from the last block proven."""
    ranges: list[Range] = []
    for _ in range(tries):
        try:
            found = await adapter.scan(cursor, watch([ALICE]), 5)
        except ChainError:
            await asyncio.sleep(1.0)
            continue
        if found is not None:
            cursor = found.blocks[-1]
            ranges.append(found)
    return ranges


# --- what the faults say ---


def test_forged_skips_deny_what_exists_and_nothing_else(chain: RealChain) -> None:
    async def main() -> None:
        rig = Rig(ForgedSkips(one_in=2, first=6, last=10), BankNode(chain.bank))
        honest = Rig(Healthy(), BankNode(chain.bank))
        assert await rig.ask("getBlocks", 0, 15) == [0, 1, 2, 3, 7, 11, 12, 14, 15]
        assert await rig.ask("getBlocksWithLimit", 6, 3) == [7]
        assert await rig.ask("getBlock", 6, NODE) == [-32007] == await rig.ask("getBlockTime", 6)
        for slot in (7, 9, 12, 99):
            assert await rig.ask("getBlock", slot, NODE) == await honest.ask("getBlock", slot, NODE)
        batch = await rig.send(batch_of(("getBlockTime", 6), ("getBlockTime", 7)))
        assert [one.get("error", {}).get("code") for one in msgspec.json.decode(batch.body)] == [-32007, None]  # type: ignore[union-attr]  # no cut here

    run(main())


def test_another_chain_in_name_only(chain: RealChain) -> None:
    async def main() -> None:
        rig = Rig(WrongChain(), BankNode(chain.bank))
        assert await rig.ask("getGenesisHash") == DEVNET_GENESIS
        assert await rig.ask("getSlot") == chain.bank.at(chain.bank.commitment_of(0)).slot

    run(main())


async def everything_about(rig: Rig) -> dict[str, Any]:
    epoch = await rig.ask("getEpochInfo")
    blockhash = (await rig.ask("getLatestBlockhash"))["value"]
    return {
        "slot": await rig.ask("getSlot"),
        "confirmed": await rig.ask("getSlot", {"commitment": "confirmed"}),
        "height": await rig.ask("getBlockHeight"),
        "epoch": (epoch["absoluteSlot"], epoch["blockHeight"]),
        "blockhash": (blockhash["blockhash"], blockhash["lastValidBlockHeight"]),
        "blocks": await rig.ask("getBlocks", 0, 1_000),
        "context": (await rig.ask("getBalance", name(ALICE)))["context"]["slot"],
    }


def test_a_frozen_node_stands_where_it_was_and_an_honest_one_goes_on() -> None:
    async def main() -> None:
        chain = story()
        rig, honest = Rig(HeadFreeze(), BankNode(chain.bank)), Rig(Healthy(), BankNode(chain.bank))
        before = await everything_about(honest)
        assert await everything_about(rig) == before
        for slot in range(LAST + 1, LAST + 6):
            a_block(chain, slot)
        tx = chain.bank.history.at_height(chain.bank.history.tip.height - 1).landed[0].signature
        assert await everything_about(rig) == before
        assert (await everything_about(honest))["slot"] == before["slot"] + 5
        assert (
            await rig.ask("getBlock", before["slot"] + 1, NODE) == [-32004] == await rig.ask("getBlockTime", LAST + 2)
        )
        assert await rig.ask("getTransaction", tx, {"maxSupportedTransactionVersion": 1}) is None
        assert (await rig.ask("getSignatureStatuses", [tx]))["value"] == [None]
        assert (await honest.ask("getSignatureStatuses", [tx]))["value"][0]["slot"] == LAST + 4
        assert await rig.ask("getBalance", name(ALICE), {"minContextSlot": before["slot"] + 1}) == [-32016]
        rig.stage.over.set()

    run(main())


@pytest.mark.parametrize(("behind", "slot"), [(1, 14), (2, 12), (3, 12), (5, 10), (14, 1), (900, 0)])
def test_a_stale_node_is_so_many_slots_late_and_stands_on_a_block(chain: RealChain, behind: int, slot: int) -> None:
    async def main() -> None:
        rig = Rig(StaleNode(behind=behind), BankNode(chain.bank))
        seen = await everything_about(rig)
        block = chain.bank.history.by_slot[slot]
        assert seen["slot"] == seen["context"] == slot
        assert seen["height"] == block.height
        assert seen["epoch"] == (slot, block.height)
        assert seen["blockhash"] == (block.blockhash, block.height + 150)
        assert seen["blocks"] == [one for one in range(slot + 1) if one not in SKIPPED]
        assert await rig.ask("getGenesisHash") == chain.bank.genesis.blockhash

    run(main())


# --- what the pool and the watcher make of them ---


@settings(max_examples=25, deadline=None)
@given(
    forgers=st.lists(
        st.builds(
            ForgedSkips, one_in=st.integers(1, 4), first=st.integers(0, LAST), last=st.none() | st.integers(0, 20)
        ),
        min_size=1,
        max_size=2,
    ),
    honest=st.integers(0, 2),
)
def test_the_watcher_never_passes_a_block_that_forgers_deny(
    chain: RealChain, forgers: list[ForgedSkips], honest: int
) -> None:
    async def main() -> None:
        healthy = [Healthy()] * honest
        async with behind(chain, *forgers, *healthy) as (adapter, pool, transports):
            ranges = await scanned(adapter, genesis_block(chain))
            whole = truth(chain)
            assert read(ranges) == whole[: len(read(ranges))], "what was read is the beginning of the truth, gapless"
            if honest == 2:
                assert read(ranges) == whole, "two honest ones are enough, whatever the others say"
            for transport in transports:
                transport.switch(Healthy())
            cursor = ranges[-1].blocks[-1] if ranges else genesis_block(chain)
            rest = await scanned(adapter, cursor)
            assert read(ranges) + read(rest) == whole, "when the lies end, nothing is missing"
            amounts = [one.amount for found in (*ranges, *rest) for one in found.deposits]
            assert amounts == [SOL + slot for slot, _ in whole]
            assert all(health.integrity_breaker is State.CLOSED for health in pool.health(0.0))

    run(main())


@pytest.mark.parametrize("fault", [HeadFreeze(), StaleNode(behind=6)])
def test_the_watcher_waits_for_a_provider_that_is_behind_and_then_goes_on(fault: Fault) -> None:
    async def main() -> None:
        chain = story()
        async with behind(chain, fault, Healthy()) as (adapter, _, transports):
            ranges = await scanned(adapter, genesis_block(chain))
            for slot in range(LAST + 1, LAST + 9):
                a_block(chain, slot)
            ranges += await scanned(adapter, ranges[-1].blocks[-1])
            assert read(ranges) == truth(chain)[: len(read(ranges))]
            assert ranges[-1].last < truth(chain)[-1][0], "one witness is not enough where two are configured"
            transports[0].switch(Healthy())
            ranges += await scanned(adapter, ranges[-1].blocks[-1])
            assert read(ranges) == truth(chain)

    run(main())


def test_the_wrong_chain_is_found_its_provider_quarantined_and_the_rest_go_on(chain: RealChain) -> None:
    async def main() -> None:
        async with behind(chain, Healthy(), WrongChain(), Healthy()) as (adapter, pool, _):
            for _ in range(2):
                await adapter.identify()
            states = {
                health.name: health.integrity_breaker for health in pool.health(asyncio.get_running_loop().time())
            }
            assert states == {"p0": State.CLOSED, "p1": State.OPEN, "p2": State.CLOSED}
            assert read(await scanned(adapter, genesis_block(chain))) == truth(chain)

    run(main())


def test_fewer_on_the_right_chain_than_are_needed_stop_it(chain: RealChain) -> None:
    async def main() -> None:
        async with behind(chain, Healthy(), WrongChain()) as (adapter, _, _transports):
            with pytest.raises(Integrity, match=r"wrong_chain: p1 serves chain .*; 1 of the 2 needed serve the right"):
                await adapter.identify()
            with pytest.raises(NoProvider, match="1 of the 2 providers needed"):
                await adapter.identify()

    run(main())


def test_a_broadcast_that_nobody_confirms_is_ambiguous_and_pays_once() -> None:
    async def main() -> None:
        chain = story()
        before = chain.bank.svm.get_balance(ALICE.pubkey()) or 0
        async with behind(chain, ResetAfterBroadcast()) as (adapter, _, transports):
            blockhash = Hash.from_string(chain.bank.tip.blockhash)
            instruction = chain.pay_sol(chain.payer, ALICE, 77)
            message = Message.new_with_blockhash([instruction], chain.payer.pubkey(), blockhash)
            raw = bytes(VersionedTransaction(message, [chain.payer]))
            first = await adapter.broadcast(raw)
            assert (first.result, transports[0].sent) == (Sent.AMBIGUOUS, 1), "the transport sends nothing twice"
            second = await adapter.broadcast(raw)
            assert second.result is Sent.AMBIGUOUS
            transports[0].switch(Healthy())
            chain.block()
            assert chain.bank.svm.get_balance(ALICE.pubkey()) == before + 77
            assert adapter.transaction_id(raw) in chain.bank.history.by_signature

    run(main())


def test_one_forger_of_two_holds_the_cursor_before_the_block_it_denies(chain: RealChain) -> None:
    async def main() -> None:
        async with behind(chain, Healthy(), ForgedSkips(first=6, last=6)) as (adapter, _, _transports):
            assert read(await scanned(adapter, genesis_block(chain))) == [one for one in truth(chain) if one[0] < 6]

    run(main())
