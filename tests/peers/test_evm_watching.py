"""What a real EVM node's blocks say about us: every way in which value arrives, or only seems to."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest
import rlp  # type: ignore[import-untyped] # the library ships no type information

from chains.devnet.anvil import CHAIN_ID, Anvil, bytecode
from chains.errors import ChainError, Integrity, Retryable
from chains.evm.adapter import EvmAdapter
from chains.evm.spans import START
from chains.observations import NATIVE, Block, Deposit, Range
from chains.ports import Adapter, Tier, Token
from tests.contract.rig_evm import SETTINGS, EvmRig, open_rig
from tests.tampered import EVERYBODY, Tampered
from tests.upstream_direct import DirectUpstream

LIMIT = 100


@pytest.fixture
async def rig() -> AsyncIterator[EvmRig]:
    async with open_rig() as opened:
        yield opened


async def start(rig: EvmRig) -> tuple[str, Block]:
    """A watched user and the finalized block to scan from."""
    user = rig.new_address()
    rig.watch.add(user, Tier.DEPOSIT)
    return user, (await rig.adapter.head()).finalized


async def scanned(rig: EvmRig, cursor: Block) -> Range:
    await rig.finalize()
    found = await rig.adapter.scan(cursor, rig.watch, LIMIT)
    assert found is not None
    return found


async def until_stuck(adapter: Adapter, rig: EvmRig, cursor: Block) -> tuple[list[Range], ChainError | None]:
    """Everything that can be scanned, as a flow does it, and what stopped it."""
    ranges: list[Range] = []
    while True:
        try:
            found = await adapter.scan(cursor, rig.watch, LIMIT)
        except ChainError as exc:
            return ranges, exc
        if found is None:
            return ranges, None
        ranges.append(found)
        cursor = found.blocks[-1]


def facts_of(ranges: list[Range]) -> list[object]:
    """Blocks and deposits, wherever one range ends and the next begins."""
    return [*(one for found in ranges for one in found.blocks), *(one for found in ranges for one in found.deposits)]


def brief(deposits: tuple[Deposit, ...]) -> list[tuple[str, str, int]]:
    return [(deposit.ordinal, deposit.token, deposit.amount) for deposit in deposits]


async def test_ether_comes_by_many_roads(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    await rig.anvil.send(user, 1)
    await rig.anvil.call(rig.forwarder, "forward(address)", user, value=2)
    await rig.anvil.call(rig.forwarder, "spread(address[])", [user, rig.anvil.faucet, user], value=9)
    found = await scanned(rig, cursor)
    assert brief(found.deposits) == [
        ("native", NATIVE, 1),
        ("trace:0", NATIVE, 2),
        ("trace:0", NATIVE, 3),
        ("trace:2", NATIVE, 3),
    ]
    assert len({(deposit.tx, deposit.ordinal) for deposit in found.deposits}) == 4
    assert (await rig.adapter.balance(user, NATIVE)).amount == 9


async def test_a_contract_that_ends_leaves_its_ether(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    await rig.anvil.send(None, 11, bytecode("Bequest") + bytes(12) + bytes.fromhex(user[2:]), gas=hex(1_000_000))
    found = await scanned(rig, cursor)
    assert brief(found.deposits) == [("trace:0", NATIVE, 11)]
    assert (await rig.adapter.balance(user, NATIVE)).amount == 11


async def test_payments_that_were_undone_never_happened(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    undone = await rig.anvil.call(rig.forwarder, "forwardAndUndo(address)", user, value=2)
    reverted = await rig.anvil.call(rig.forwarder, "forwardAndRevert(address)", user, value=3)
    found = await scanned(rig, cursor)
    assert [await status(rig, tx) for tx in (undone, reverted)] == ["0x1", "0x0"]
    assert (found.deposits, found.movements, found.outcomes) == ((), (), ())
    assert (await rig.adapter.balance(user, NATIVE)).amount == 0


async def test_without_traces_internal_payments_stay_unseen(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    await rig.anvil.call(rig.forwarder, "forward(address)", user, value=2)
    await rig.anvil.send(user, 1)
    await rig.finalize()
    blind = EvmAdapter(msgspec.structs.replace(SETTINGS, traces=False), rig.upstream)
    found = await blind.scan(cursor, rig.watch, LIMIT)
    assert found is not None
    assert brief(found.deposits) == [("native", NATIVE, 1)]


async def test_tokens_that_lie(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    fee = await rig.anvil.deploy("FeeToken")
    false = await rig.anvil.deploy("FalseToken")
    lying = await rig.anvil.deploy("LyingToken")
    listed = tuple(Token(address=address, decimals=6) for address in (rig.token.address, fee, false, lying))
    rig.watch.list_tokens(listed, 2)
    await rig.anvil.mint(fee, rig.anvil.faucet, 1000)
    await rig.anvil.transfer(fee, user, 1000)
    said_no = await rig.anvil.transfer(false, user, 1000)
    await rig.anvil.call(lying, "claimCollectible(address,address,uint256)", rig.anvil.faucet, user, 5)
    await rig.anvil.call(lying, "claim(address,address,uint256)", rig.anvil.faucet, user, 999_999)
    await rig.fund(user, rig.unlisted, 50)
    found = await scanned(rig, cursor)
    assert brief(found.deposits) == [("log:0", fee, 1000), ("log:0", lying, 999_999)]
    assert await status(rig, said_no) == "0x1"
    assert (await rig.adapter.balance(user, fee)).amount == 990


async def test_a_reorganisation_before_finality_changes_its_mind_and_nothing_else(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    gone = await rig.anvil.send(user, 1)
    moved = await rig.anvil.send(user, 2)
    await rig.mine()
    raw = str(await rig.anvil.rpc("eth_getRawTransactionByHash", moved))
    early = await rig.adapter.preview(cursor.position, rig.watch, LIMIT)
    assert early is not None
    assert [deposit.tx for deposit in early.deposits] == [gone, moved]
    await rig.anvil.reorganise(1)
    late = await rig.adapter.preview(cursor.position, rig.watch, LIMIT)
    assert late is not None
    assert late.deposits == ()
    assert late.last_hash != early.last_hash
    await rig.anvil.rpc("anvil_setNonce", rig.anvil.faucet, hex(nonce_of(raw)))
    await rig.anvil.rpc("eth_sendRawTransaction", raw)
    found = await scanned(rig, cursor)
    assert [(deposit.tx, deposit.ordinal, deposit.amount) for deposit in found.deposits] == [(moved, "native", 2)]


async def test_a_reorganisation_across_the_cursor_stops_the_chain(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    await rig.anvil.send(user, 1)
    found = await scanned(rig, cursor)
    await rig.anvil.reorganise(4)
    for _ in range(2):
        with pytest.raises(Integrity) as refused:
            await rig.adapter.scan(found.blocks[-1], rig.watch, LIMIT)
        assert refused.value.code == "parent_mismatch"
        await rig.finalize()
    assert rig.upstream.strikes == []


async def test_a_provider_on_another_fork_is_found_out_by_the_others(rig: EvmRig) -> None:
    """And so is one that comes back on another chain in the middle of things, which is the same sight."""
    user, cursor = await start(rig)
    async with Anvil() as fork:
        await fork.mine(cursor.position + 20)
        honest = dict(rig.upstream.urls)
        rig.upstream.urls.clear()
        rig.upstream.urls.update({"liar": fork.url, **honest})
        assert await rig.adapter.scan(cursor, rig.watch, LIMIT) is None, "its mark alone opens no window"
        await rig.anvil.send(user, 1)
        assert len((await scanned(rig, cursor)).deposits) == 1
        assert {provider for provider, _ in rig.upstream.strikes} == {"liar"}
        told = await rig.adapter.sources(cursor)
        assert [(one.provider, one.confirms) for one in told] == [("liar", False), ("p1", True), ("p2", True)]
        del rig.upstream.urls["p2"]
        with pytest.raises(Retryable, match="unproven"):
            await rig.adapter.scan(cursor, rig.watch, LIMIT)


async def test_a_provider_that_lags_is_waited_for(rig: EvmRig) -> None:
    _, cursor = await start(rig)
    async with Anvil() as young, DirectUpstream("ethereum", {"young": young.url}) as upstream:
        assert await EvmAdapter(SETTINGS, upstream).scan(cursor, rig.watch, LIMIT) is None


async def test_another_chain_among_the_providers_is_named_and_the_rest_go_on(rig: EvmRig) -> None:
    async with Anvil(chain_id=CHAIN_ID + 1) as other:
        rig.upstream.urls["other"] = other.url
        await rig.adapter.identify()
        assert [provider for provider, _ in rig.upstream.strikes] == ["other"]
        del rig.upstream.urls["p1"]
        with pytest.raises(Integrity, match="other serves chain 31338, not 31337; 1 of the 2 needed"):
            await rig.adapter.identify()


def without_last(entries: list[Any]) -> list[Any]:
    return entries[:-1]


def changed(field: str, value: object) -> Callable[[Any], Any]:
    """A lie about one field: of the answer itself, or of each entry of a list."""

    def lie(answer: Any) -> Any:
        if isinstance(answer, list):
            return [{**entry, field: value} for entry in answer]
        return {**answer, field: value}

    return lie


def in_full(block: Any, **lies: Any) -> Any:
    """A lie about blocks asked for with their transactions; the headers beside them stay true."""
    return {**block, **lies} if block["transactions"] and isinstance(block["transactions"][0], dict) else block


FORGED = "0x" + "ee" * 32
LIES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "no block": ("eth_getBlockByNumber", lambda _: None),
    "another block": ("eth_getBlockByNumber", lambda block: in_full(block, number="0x3")),
    "another block's hash": ("eth_getBlockByNumber", lambda block: in_full(block, hash=FORGED)),
    "another block's parent": ("eth_getBlockByNumber", lambda block: in_full(block, parentHash=FORGED)),
    "another finalized hash": (
        "eth_getBlockByNumber",
        lambda block: {**block, "hash": FORGED} if isinstance((block["transactions"] or [0])[0], str) else block,
    ),
    "a block without its transactions": ("eth_getBlockByNumber", lambda block: in_full(block, transactions=[])),
    "a block with fewer transactions": (
        "eth_getBlockByNumber",
        lambda block: in_full(block, transactions=block["transactions"][:-1]),
    ),
    "no receipt": ("eth_getTransactionReceipt", lambda _: None),
    "another block's receipt": ("eth_getTransactionReceipt", changed("blockHash", FORGED)),
    "another transaction's receipt": ("eth_getTransactionReceipt", changed("transactionHash", FORGED)),
    "a receipt without its logs": ("eth_getTransactionReceipt", changed("logs", [])),
    "another block's logs": ("eth_getLogs", changed("blockHash", FORGED)),
    "another transaction's logs": ("eth_getLogs", changed("transactionHash", FORGED)),
    "no logs": ("eth_getLogs", lambda _: []),
    "removed logs": ("eth_getLogs", changed("removed", True)),
    "half the logs of a transaction": ("eth_getLogs", without_last),
    "traces cut short": ("trace_block", without_last),
    "no traces": ("trace_block", lambda _: []),
    "another block's traces": ("trace_block", changed("blockHash", FORGED)),
}


@pytest.mark.parametrize("lie", LIES)
async def test_an_answer_that_contradicts_another_becomes_no_fact(rig: EvmRig, lie: str) -> None:
    user, cursor = await start(rig)
    await rig.fund_together([user, user], 5)
    await rig.finalize()
    tampered = Tampered(rig.upstream)
    tampered.liar = EVERYBODY
    adapter = EvmAdapter(SETTINGS, tampered)
    honest, stopped = await until_stuck(adapter, rig, cursor)
    assert stopped is None
    assert sum(len(found.deposits) for found in honest) == 2
    method, change = LIES[lie]
    tampered.lies[method] = change
    ranges, stopped = await until_stuck(adapter, rig, cursor)
    assert stopped is not None
    assert [found.deposits for found in ranges if found.deposits] == []
    tampered.lies.clear()
    rest, stopped = await until_stuck(adapter, rig, ranges[-1].blocks[-1] if ranges else cursor)
    assert stopped is None
    assert facts_of([*ranges, *rest]) == facts_of(honest)


LAGGING: dict[str, Callable[[list[Any]], list[Any]]] = {
    "none": lambda _: [],
    "without the first": lambda logs: logs[1:],
    "without the last": without_last,
    "one twice": lambda logs: [*logs, *logs[-1:]],
    "numbered from elsewhere": lambda logs: [{**log, "logIndex": hex(int(log["logIndex"], 16) + 1)} for log in logs],
    "another recipient": lambda logs: [{**log, "topics": [*log["topics"][:2], "0x" + "00" * 32]} for log in logs],
    "another token": changed("address", "0x" + "ab" * 20),
    "no addresses": changed("address", "0x"),
}


@pytest.mark.parametrize("lag", LAGGING)
async def test_logs_that_nobody_can_prove_hold_the_cursor_and_blame_nobody(rig: EvmRig, lag: str) -> None:
    user, cursor = await start(rig)
    await rig.fund_together([user, rig.new_address()], 5)
    await rig.finalize()
    tampered = Tampered(rig.upstream)
    tampered.lies["eth_getLogs"], tampered.liar = LAGGING[lag], EVERYBODY
    adapter = EvmAdapter(SETTINGS, tampered)
    ranges: list[Range] = []
    for _ in range(2):
        more, stopped = await until_stuck(adapter, rig, ranges[-1].blocks[-1] if ranges else cursor)
        ranges += more
        assert stopped is not None
        assert stopped.code in {"unproven", "forged_logs"}
    assert rig.upstream.strikes == []
    tampered.lies.clear()
    rest, stopped = await until_stuck(adapter, rig, ranges[-1].blocks[-1] if ranges else cursor)
    assert stopped is None
    assert [one.amount for found in [*ranges, *rest] for one in found.deposits] == [5]


@pytest.mark.parametrize("lag", LAGGING)
async def test_logs_that_one_gets_wrong_are_had_from_others_and_inventions_are_struck(rig: EvmRig, lag: str) -> None:
    user, cursor = await start(rig)
    rig.upstream.urls["p3"] = rig.upstream.urls["p1"]
    await rig.fund_together([user, rig.new_address()], 5)
    await rig.finalize()
    tampered = Tampered(rig.upstream)
    tampered.lies["eth_getLogs"], tampered.liar = LAGGING[lag], "p1"
    found = await EvmAdapter(SETTINGS, tampered).scan(cursor, rig.watch, LIMIT)
    assert found is not None
    assert found == await rig.adapter.scan(cursor, rig.watch, LIMIT)
    assert [amount for _, _, amount in brief(found.deposits)] == [5]
    assert {provider for provider, _ in rig.upstream.strikes} == ({"p1"} if lag == "another token" else set())


async def test_no_logs_are_asked_for_where_the_filter_rules_our_tokens_out(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    await rig.anvil.send(user, 1)
    await rig.fund(user, rig.unlisted, 50)
    rig.upstream.calls.clear()
    assert brief((await scanned(rig, cursor)).deposits) == [("native", NATIVE, 1)]
    assert [method for _, method in rig.upstream.calls if method == "eth_getLogs"] == []


async def test_logs_of_many_blocks_are_read_at_once_and_every_block_has_its_own(rig: EvmRig) -> None:
    user, cursor = await start(rig)
    txs = []
    for amount in range(1, 13):
        await rig.anvil.mint(rig.token.address, rig.anvil.faucet, amount)
        txs.append(await rig.anvil.transfer(rig.token.address, user, amount))
        await rig.mine()
    rig.upstream.calls.clear()
    found = await scanned(rig, cursor)
    assert brief(found.deposits) == [("log:0", rig.token.address, amount) for amount in range(1, 13)]
    assert [deposit.tx for deposit in found.deposits] == txs
    assert len({deposit.position for deposit in found.deposits}) == 12
    asked = [provider for provider, method in rig.upstream.calls if method == "eth_getLogs"]
    most = -(-len(found.blocks) // START)
    assert 0 < asked.count("p1") <= most
    assert 0 < asked.count("p2") <= most


async def test_a_block_above_finality_is_not_handed_out(rig: EvmRig) -> None:
    await rig.mine()
    head = await rig.adapter.head()
    with pytest.raises(Retryable, match="not_yet"):
        await rig.adapter.block(head.latest.position)


async def test_a_token_that_is_no_contract_has_no_balance(rig: EvmRig) -> None:
    user, _ = await start(rig)
    with pytest.raises(Retryable, match="lacks_data"):
        await rig.adapter.balance(user, rig.new_address())


async def status(rig: EvmRig, tx: str) -> object:
    receipt = await rig.anvil.receipt(tx)
    assert receipt is not None
    return receipt["status"]


def nonce_of(raw: str) -> int:
    """The sender's nonce in a raw transaction, for letting it in again after anvil has forgotten its predecessors."""
    fields = rlp.decode(bytes.fromhex(raw[4:]))
    return int.from_bytes(fields[1], "big")
