"""One provider's reading of blocks: all pieces of one statement are its own, and are held against one another.

A block comes in pieces (the block, its logs, traces, receipts), and each provider is asked for all of them itself, so
that what it says is one statement which another provider's can be compared with. What one provider's pieces can prove
about themselves is looked at here, before anybody else is asked: they name the same block, the block is whole, and the
logs are all that its bloom filter commits to. A provider whose pieces don't add up makes no statement.

The block's *hash* is not computed from its header: which fields a header has differs by fork and by chain, and a rule
that is one fork late would call every provider a liar on the day of the fork. Agreement does that work instead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from chains.errors import Integrity, Permanent, Retryable
from chains.evm import codec, facts
from chains.evm.rpc import EvmRpc
from chains.evm.spans import Spans
from chains.pool.calls import Priority
from chains.witnesses import Statement

FORGED = "forged_logs"
"""The code of an answer with more logs than the block has by its own filter."""


class Reader:
    """Reads blocks from one provider, for one scan that ends at block `last`."""

    __slots__ = ("_book", "_provider", "_rpc", "_traces", "_view")

    def __init__(
        self, provider: str, rpc: EvmRpc, view: facts.View, spans: Spans, *, first: int, last: int, traces: bool
    ) -> None:
        self._provider, self._rpc, self._view, self._traces = provider, rpc, view, traces
        self._book = _LogBook(provider, rpc, spans, first, last)

    async def read(self, number: int, at: Priority) -> Statement[facts.Facts]:
        """What the provider says of the block. Raises `Retryable` (`inconsistent`, `unproven`, `forged_logs`, `split`,
        `lacks_data`, `malformed` and the pool's)."""
        block = await self._rpc.block(self._provider, number, at)
        place = codec.place(block)
        if place.position != number:
            raise Retryable("inconsistent", f"asked for block {number}, was given {place.position}")
        facts.check_whole(block, None)
        logs, receipts = await self._logs(block, at)
        calls: tuple[facts.Internal, ...] = ()
        if self._traces and block.transactions:
            traces = await self._rpc.traces(self._provider, number, at)
            _same_block(block, (trace.block_hash for trace in traces))
            facts.check_whole(block, traces)
            calls = facts.internals(traces)
        chosen = facts.touching(block, logs, calls, self._view)
        for transaction in chosen:
            if transaction.hash not in receipts:
                receipts[transaction.hash] = await self._rpc.receipt(self._provider, transaction.hash, at)
        return Statement(block=place, facts=facts.extract(block, chosen, receipts, logs, calls, self._view))

    async def _logs(self, block: codec.FullBlock, at: Priority) -> tuple[list[codec.Log], dict[str, codec.Receipt]]:
        """The block's transfers of listed tokens, out of a list of logs that the block's own bloom filter proves, and
        what receipts were read on the way.

        A node whose log index is behind its blocks answers with too few logs, or none, and no error. That is slowness
        and no lie. Where the filter rules out our tokens there is nothing to ask.
        """
        if not self._view.may_log(block):
            return [], {}
        logs = await self._book.logs(block, at)
        receipts: dict[str, codec.Receipt] = {}
        if logs is None or facts.weigh(block, logs) is not facts.Weight.PROVEN:
            logs, receipts = await self._logs_of_one(block, at)
        weight = facts.weigh(block, logs)
        if weight is facts.Weight.SHORT:
            raise Retryable(
                "unproven", f"{self._provider}'s logs of block {block.hash} are not all of its bloom filter"
            )
        if weight is facts.Weight.FORGED:
            raise Retryable(FORGED, f"{self._provider} has logs of block {block.hash} that its bloom filter excludes")
        return [log for log in logs if self._view.sought(log)], receipts

    async def _logs_of_one(
        self, block: codec.FullBlock, at: Priority
    ) -> tuple[list[codec.Log], dict[str, codec.Receipt]]:
        """All logs of one block: by its hash, or where that is too much for one answer, out of its receipts."""
        try:
            logs = await self._rpc.logs(self._provider, block.hash, at)
        except Retryable as exc:
            if exc.code != "split":
                raise
        else:
            self._book.granted_one()
            return logs, {}
        receipts = await self._receipts(block, at)
        return [log for receipt in receipts for log in receipt.logs], {one.transaction_hash: one for one in receipts}

    async def _receipts(self, block: codec.FullBlock, at: Priority) -> list[codec.Receipt]:
        """All receipts of a block, at once where the provider offers it, else one by one."""
        try:
            return await self._rpc.block_receipts(self._provider, block.hash, at)
        except Integrity:
            raise
        except (Permanent, Retryable) as exc:
            if isinstance(exc, Retryable) and exc.code != "split":
                raise
        try:
            return [await self._rpc.receipt(self._provider, one.hash, at) for one in block.transactions]
        except (Permanent, Retryable) as exc:
            raise Retryable(
                "split",
                f"{self._provider} gives the logs of block {block.hash} in no way: they are too many for one answer,"
                f" and its receipts can be had neither together nor one by one ({exc})",
            ) from exc


class _LogBook:
    """A provider's logs of the blocks `first` … `last`, read several blocks at a time, as many as it grants."""

    __slots__ = ("_first", "_groups", "_last", "_provider", "_read", "_rpc", "_spans", "_turn")

    def __init__(self, provider: str, rpc: EvmRpc, spans: Spans, first: int, last: int) -> None:
        self._provider, self._rpc, self._spans = provider, rpc, spans
        self._first, self._last = first, last
        self._groups: dict[str, list[codec.Log]] = {}
        self._read: set[int] = set()
        self._turn = asyncio.Lock()

    async def logs(self, block: codec.FullBlock, at: Priority) -> list[codec.Log] | None:
        """What the range that the block is in holds of it; None where it is better asked for by itself."""
        number = codec.quantity(block.number)
        async with self._turn:
            while number not in self._read:
                first, last = self._range(number)
                if first == last:
                    return None
                try:
                    logs = await self._rpc.logs_of_range(self._provider, first, last, at)
                except (Retryable, Permanent) as exc:
                    if isinstance(exc, Integrity) or (isinstance(exc, Retryable) and exc.code != "split"):
                        raise
                    self._spans.refused(self._provider, last - first + 1)
                    continue
                self._spans.granted(self._provider, last - first + 1)
                self._read.update(range(first, last + 1))
                for log in logs:
                    self._groups.setdefault(log.block_hash, []).append(log)
        return self._groups.pop(block.hash, [])

    def granted_one(self) -> None:
        """A block by itself was answered for; where that is all that is asked for at once, more may be tried again."""
        if self._last > self._first:
            self._spans.granted(self._provider, 1)

    def _range(self, number: int) -> tuple[int, int]:
        """From the first block that has not been read, where the wanted one can be reached from there."""
        size = self._spans.size(self._provider)
        first = next(one for one in range(self._first, number + 1) if one not in self._read)
        if number - first >= size:
            first = number
        return first, min(first + size - 1, self._last)


def _same_block(block: codec.FullBlock, hashes: Iterable[str]) -> None:
    for other in hashes:
        if other != block.hash:
            raise Retryable("inconsistent", f"asked about block {block.hash}, was told about {other}")
