"""The questions this project asks EVM nodes, typed. No decisions: what an answer means is said elsewhere."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from chains.errors import Retryable
from chains.evm import codec
from chains.hearing import ask, opinions
from chains.pool.calls import Answer, Call, Priority, Upstream

T = TypeVar("T")

FINALIZED = "finalized"
LATEST = "latest"

QUICK = 10.0
"""Seconds until a small answer is worthless: a head, a fee or a balance of ten seconds ago is asked for again."""

SOON = 3.0
"""Seconds for where each provider stands: all are waited for, and while a sick one is, the others' heads grow old."""

HEAVY = 30.0
"""Seconds for a whole block, its logs or its traces: a large one takes a slow provider that long."""

_HEADER: msgspec.json.Decoder[codec.Header | None] = msgspec.json.Decoder(codec.Header | None)
_BLOCK: msgspec.json.Decoder[codec.FullBlock | None] = msgspec.json.Decoder(codec.FullBlock | None)
_LOGS = msgspec.json.Decoder(list[codec.Log])
_TRACES = msgspec.json.Decoder(list[codec.Trace])
_RECEIPTS: msgspec.json.Decoder[list[codec.Receipt] | None] = msgspec.json.Decoder(list[codec.Receipt] | None)
_RECEIPT: msgspec.json.Decoder[codec.Receipt | None] = msgspec.json.Decoder(codec.Receipt | None)
_QUANTITY = msgspec.json.Decoder(codec.Quantity)
_DATA = msgspec.json.Decoder(codec.Data)
_HASH = msgspec.json.Decoder(codec.Hash)


class _Located(msgspec.Struct):
    """Any answer that names the transaction; the rest of it doesn't matter."""

    hash: codec.Hash


class _FeeHistory(msgspec.Struct, rename="camel"):
    base_fee_per_gas: Annotated[list[codec.Quantity], msgspec.Meta(min_length=1)]


_LOCATED: msgspec.json.Decoder[_Located | None] = msgspec.json.Decoder(_Located | None)
_FEE_HISTORY = msgspec.json.Decoder(_FeeHistory)


class EvmRpc:
    """Typed calls over an `Upstream`. Raises what `Upstream.call` raises, and `Retryable` (`malformed`)."""

    __slots__ = ("upstream",)

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream

    async def chain_ids(self) -> tuple[Answer[str], ...]:
        """`eth_chainId` of every provider."""
        return await self.upstream.call_each(_call("eth_chainId", (), Priority.HEAD), _QUANTITY)

    async def header(self, tag: str | int, priority: Priority = Priority.HEAD) -> codec.Header:
        """A block without transactions, by tag or number. Raises `Retryable` (`lacks_data`) where there is none."""
        found = await self.upstream.call(_call("eth_getBlockByNumber", (_tag(tag), False), priority), _HEADER)
        return _present(found, f"block {tag}")

    async def headers(
        self, tag: str | int, at: Priority = Priority.QUORUM, deadline: float = QUICK
    ) -> tuple[Answer[codec.Header | None], ...]:
        """The same, from every provider."""
        call = _call("eth_getBlockByNumber", (_tag(tag), False), at, deadline)
        return await self.upstream.call_each(call, _HEADER)

    async def header_from(self, provider: str, tag: str | int, at: Priority) -> codec.Header:
        """The same by one provider's word."""
        call = _call("eth_getBlockByNumber", (_tag(tag), False), at)
        found: codec.Header | None = await ask(self.upstream, provider, call, _HEADER)
        return _present(found, f"block {tag}")

    async def block(self, provider: str, number: int, at: Priority) -> codec.FullBlock:
        """A block with its transactions, by one provider's word, as all that follows."""
        call = _call("eth_getBlockByNumber", (hex(number), True), at, HEAVY)
        found: codec.FullBlock | None = await ask(self.upstream, provider, call, _BLOCK)
        return _present(found, f"block {number}")

    async def logs(self, provider: str, block_hash: str, at: Priority) -> list[codec.Log]:
        """All logs in the one block of that hash (EIP-234): a number could by now mean another block. Unfiltered, since
        only a whole list can be held against the block's bloom filter."""
        return await ask(self.upstream, provider, _call("eth_getLogs", ({"blockHash": block_hash},), at, HEAVY), _LOGS)

    async def logs_of_range(self, provider: str, first: int, last: int, at: Priority) -> list[codec.Log]:
        """All logs in some consecutive blocks. Raises `Retryable` (`split`) where that is too much for one answer."""
        span = {"fromBlock": hex(first), "toBlock": hex(last)}
        return await ask(self.upstream, provider, _call("eth_getLogs", (span,), at, HEAVY), _LOGS)

    async def block_receipts(self, provider: str, block_hash: str, at: Priority) -> list[codec.Receipt]:
        """All receipts of a block. Raises `Permanent` (`unsupported`) where the provider doesn't offer it."""
        call = _call("eth_getBlockReceipts", (block_hash,), at, HEAVY)
        found: list[codec.Receipt] | None = await ask(self.upstream, provider, call, _RECEIPTS)
        return _present(found, f"receipts of block {block_hash}")

    async def traces(self, provider: str, number: int, at: Priority) -> list[codec.Trace]:
        """Every call frame of a block (`trace_block`, an extension that not all providers have)."""
        return await ask(self.upstream, provider, _call("trace_block", (hex(number),), at, HEAVY), _TRACES)

    async def receipt(self, provider: str, tx: str, at: Priority) -> codec.Receipt:
        """The receipt of a transaction that is known to be in a block."""
        call = _call("eth_getTransactionReceipt", (tx,), at)
        found: codec.Receipt | None = await ask(self.upstream, provider, call, _RECEIPT)
        return _present(found, f"receipt of {tx}")

    async def receipts_each(self, tx: str) -> tuple[Answer[codec.Receipt | None], ...]:
        """The receipt from every provider, for evidence."""
        call = _call("eth_getTransactionReceipt", (tx,), Priority.BROADCAST)
        return await self.upstream.call_each(call, _RECEIPT)

    async def known_each(self, tx: str) -> tuple[Answer[bool], ...]:
        """Whether each provider knows a transaction, pooled or mined."""
        call = _call("eth_getTransactionByHash", (tx,), Priority.BROADCAST)
        answers = await self.upstream.call_each(call, _LOCATED)
        return tuple(
            Answer[bool](a.provider, None if a.error else a.value is not None and a.value.hash == tx, a.error)
            for a in answers
        )

    async def send_each(self, raw: bytes) -> tuple[Answer[str], ...]:
        """Send once to every provider."""
        call = _call("eth_sendRawTransaction", ("0x" + raw.hex(),), Priority.BROADCAST, HEAVY, broadcast=True)
        return await self.upstream.call_each(call, _HASH)

    async def balance_from(self, provider: str, address: str, number: int, at: Priority) -> int:
        """Wei at a block, by one provider's word."""
        call = _call("eth_getBalance", (address, hex(number)), at)
        found: str = await ask(self.upstream, provider, call, _QUANTITY)
        return codec.quantity(found)

    async def view_from(self, provider: str, contract: str, data: bytes, number: int, at: Priority) -> bytes:
        """What a contract answers at a block, by one provider's word."""
        call = _call("eth_call", (_asked(contract, data), hex(number)), at)
        found: str = await ask(self.upstream, provider, call, _DATA)
        return codec.raw_data(found)

    async def view(self, contract: str, data: bytes, number: int) -> bytes:
        """What a contract answers at a block, without a transaction."""
        call = _call("eth_call", (_asked(contract, data), hex(number)), Priority.QUORUM)
        return codec.raw_data(await self.upstream.call(call, _DATA))

    async def code(self, address: str) -> bytes:
        """What stands at an address now: nothing for an ordinary account."""
        call = _call("eth_getCode", (address, LATEST), Priority.LIVE)
        return codec.raw_data(await self.upstream.call(call, _DATA))

    async def estimate(self, sender: str, to: str, value: int, data: bytes) -> int:
        """Gas that a transaction would take now. Raises `Verdict` when it would fail."""
        asked = {"from": sender, "to": to, "value": hex(value), "data": "0x" + data.hex()}
        return await self._number(_call("eth_estimateGas", (asked,), Priority.LIVE))

    async def next_base_fees(self) -> tuple[int, ...]:
        """The base fee of the block that comes next, in wei per gas (the last entry of `eth_feeHistory`), by the words
        of all who answer."""
        call = _call("eth_feeHistory", ("0x1", LATEST, []), Priority.LIVE, SOON)
        told = await opinions(self.upstream, call, _FEE_HISTORY)
        return tuple(codec.quantity(one.base_fee_per_gas[-1]) for one in told)

    async def tips(self) -> tuple[int, ...]:
        """The priority fee that each who answers suggests, in wei per gas."""
        call = _call("eth_maxPriorityFeePerGas", (), Priority.LIVE, SOON)
        return tuple(codec.quantity(one) for one in await opinions(self.upstream, call, _QUANTITY))

    async def _number(self, call: Call) -> int:
        answer = await self.upstream.call(call, _QUANTITY)
        return codec.quantity(answer)


def _call(
    method: str, params: tuple[object, ...], priority: Priority, deadline: float = QUICK, *, broadcast: bool = False
) -> Call:
    return Call(method=method, params=params, priority=priority, deadline=deadline, broadcast=broadcast)


def _asked(contract: str, data: bytes) -> dict[str, str]:
    return {"to": contract, "data": "0x" + data.hex()}


def _tag(tag: str | int) -> str:
    return hex(tag) if isinstance(tag, int) else tag


def _present(found: T | None, what: str) -> T:
    if found is None:
        raise Retryable("lacks_data", f"{what} is not there")
    return found
