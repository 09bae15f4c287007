"""Asking for blocks and putting together what they say: ranges without gaps, or no range at all.

A range is reported only when each block joins on to the one before, every piece (block, logs, traces, receipts)
names the same block hash, and the logs are all that the block's bloom filter commits to. Pieces may come from
different providers; their agreement is checked, not assumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

from chains.errors import Retryable
from chains.evm import codec, facts, finality
from chains.evm.rpc import FINALIZED, LATEST, EvmRpc
from chains.observations import Block, Head, Range, Source
from chains.pool.calls import Priority
from chains.ports import WatchList

K = TypeVar("K")
T = TypeVar("T")

PARALLEL = 8
"""Requests of one scan in flight: enough to hide a round trip, few enough to leave the provider to others."""


class Watcher:
    """Scans one chain. `traces` says whether the providers have `trace_block`, without which internal calls that pay
    us are invisible here and show up as a surplus in reconciliation instead."""

    __slots__ = ("_chain", "_index", "_rpc", "_traces")

    def __init__(self, chain: str, rpc: EvmRpc, *, traces: bool) -> None:
        self._chain, self._rpc, self._traces = chain, rpc, traces
        self._index: facts.Index | None = None

    async def head(self) -> Head:
        """The newest block and the newest finalized one.

        Asked for one after the other, so that a finalized block newer than the latest can't be an artefact of order.
        """
        finalized = codec.place(await self._rpc.header(FINALIZED))
        latest = codec.place(await self._rpc.header(LATEST))
        if latest.position < finalized.position:
            raise Retryable("inconsistent", f"latest {latest.position} is behind finalized {finalized.position}")
        return Head(latest=latest, finalized=finalized)

    async def sources(self, cursor: Block) -> tuple[Source, ...]:
        """See `chains.ports.Adapter.sources`."""
        finalized, latest, held = await asyncio.gather(
            self._rpc.headers(FINALIZED), self._rpc.headers(LATEST), self._rpc.headers(cursor.position)
        )
        newest = {a.provider: codec.place(a.value).position for a in latest if a.value is not None}
        final = {a.provider: codec.place(a.value).position for a in finalized if a.value is not None}
        blocks = {a.provider: codec.place(a.value) for a in held if a.value is not None}
        self._report(cursor, finality.judge(cursor, list(blocks.items())))
        asked = {a.provider for a in (*finalized, *latest, *held)}
        sources = []
        for name in self._rpc.upstream.providers():
            if name not in asked:
                continue
            self._rpc.upstream.report_heights(name, latest=newest.get(name), finalized=final.get(name))
            confirms = blocks[name].hash == cursor.hash if name in blocks else None
            sources.append(Source(provider=name, latest=newest.get(name), finalized=final.get(name), confirms=confirms))
        return tuple(sources)

    async def block(self, position: int) -> Block:
        """The finalized block at a position. Raises `Retryable` (`not_yet`) above the finalized mark."""
        finalized = codec.place(await self._rpc.header(FINALIZED))
        if position > finalized.position:
            raise Retryable("not_yet", f"block {position} is not final, only {finalized.position} is")
        block = codec.place(await self._rpc.header(position))
        if block.position != position:
            raise Retryable("inconsistent", f"asked for block {position}, was given {block.position}")
        return block

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        """See `chains.ports.Adapter.scan`."""
        view = self._view(watch)
        finalized = codec.place(await self._rpc.header(FINALIZED))
        window = finality.window(cursor, finalized, limit)
        if window is None:
            if finality.contradicts(cursor, finalized, None):
                raise await self._settle(cursor)
            return None
        priority = Priority.LIVE if finalized.position - cursor.position <= limit else Priority.BACKFILL
        first = await self._rpc.block(window[0], priority)
        if finality.contradicts(cursor, finalized, codec.place(first)):
            raise await self._settle(cursor)
        reported = await self._range(first, window, cursor.hash, view, priority)
        if window[1] == finalized.position and reported.last_hash != finalized.hash:
            raise Retryable("inconsistent", f"block {window[1]} is not the finalized {finalized.hash}")
        return reported

    async def preview(self, after: int, watch: WatchList, limit: int) -> Range | None:
        """See `chains.ports.Adapter.preview`."""
        view = self._view(watch)
        head = await self.head()
        start = max(after, head.finalized.position) + 1
        window = (start, min(start + limit - 1, head.latest.position))
        if window[1] < window[0]:
            return None
        first = await self._rpc.block(start, Priority.BACKFILL)
        return await self._range(first, window, first.parent_hash, view, Priority.BACKFILL)

    def _view(self, watch: WatchList) -> facts.View:
        if self._index is None or not self._index.of(watch):
            self._index = facts.Index(watch)
        return self._index.view()

    async def _range(
        self, first: codec.FullBlock, window: tuple[int, int], parent_hash: str, view: facts.View, priority: Priority
    ) -> Range:
        """Blocks are concluded from as they arrive and then let go: a range may be large, a block is too."""

        async def conclude(number: int) -> tuple[Block, facts.Facts]:
            block = first if number == window[0] else await self._rpc.block(number, priority)
            return codec.place(block), await self._facts(block, view, priority)

        concluded = await _together(range(window[0], window[1] + 1), conclude)
        places = tuple(place for place, _ in concluded)
        finality.check_joined(places, window[0], parent_hash)
        return Range(
            chain=self._chain,
            first=window[0],
            last=window[1],
            parent_position=window[0] - 1,
            parent_hash=parent_hash,
            last_hash=places[-1].hash,
            blocks=places,
            deposits=tuple(deposit for _, found in concluded for deposit in found.deposits),
            movements=tuple(movement for _, found in concluded for movement in found.movements),
            outcomes=tuple(outcome for _, found in concluded for outcome in found.outcomes),
            decoder=facts.DECODER,
            tokens=view.tokens_version,
            watched=view.watched,
        )

    async def _facts(self, block: codec.FullBlock, view: facts.View, priority: Priority) -> facts.Facts:
        facts.check_whole(block, None)
        logs = await self._logs(block, view, priority)
        calls: tuple[facts.Internal, ...] = ()
        if self._traces and block.transactions:
            traces = await self._rpc.traces(codec.quantity(block.number), priority)
            _same_block(block, (trace.block_hash for trace in traces))
            facts.check_whole(block, traces)
            calls = facts.internals(traces)
        chosen = facts.touching(block, logs, calls, view)
        receipts = {}
        for transaction in chosen:
            receipts[transaction.hash] = await self._rpc.receipt(transaction.hash, priority)
        return facts.extract(block, chosen, receipts, logs, calls, view)

    async def _logs(self, block: codec.FullBlock, view: facts.View, priority: Priority) -> list[codec.Log]:
        """The block's transfers of listed tokens, out of a list of logs that the block's own bloom filter proves.

        A node whose log index is behind its blocks answers with too few logs, or none, and no error; so what isn't
        proven is asked of everybody, and what nobody can prove keeps the cursor where it is. That is slowness and no
        lie, so nobody is reported for it. Where the filter rules out our tokens there is nothing to ask.
        """
        if not view.may_log(block):
            return []
        logs = await self._rpc.logs(block.hash, priority)
        if not facts.proven(block, logs):
            answers = await self._rpc.logs_each(block.hash)
            whole = [told.value for told in answers if told.value is not None and facts.proven(block, told.value)]
            if not whole:
                raise Retryable("unproven", f"nobody's logs of block {block.hash} are those of its bloom filter")
            logs = whole[0]
        return [log for log in logs if view.sought(log)]

    async def _settle(self, cursor: Block) -> Exception:
        """Ask everybody about the cursor's block, report who denies it while others confirm it, say what to raise."""
        answers = await self._rpc.headers(cursor.position)
        judgement = finality.judge(
            cursor, [(a.provider, None if a.value is None else codec.place(a.value)) for a in answers]
        )
        self._report(cursor, judgement)
        return finality.verdict(cursor, judgement)

    def _report(self, cursor: Block, judgement: finality.Judgement) -> None:
        """A strike for who denies a block that somebody else still has."""
        if judgement.agreeing:
            for provider in judgement.contradicting:
                self._rpc.upstream.report_integrity(
                    provider, f"{self._chain}: another finalized block at {cursor.position} than {cursor.hash}"
                )


def _same_block(block: codec.FullBlock, hashes: Iterable[str]) -> None:
    for other in hashes:
        if other != block.hash:
            raise Retryable("inconsistent", f"asked about block {block.hash}, was told about {other}")


async def _together(items: Iterable[K], work: Callable[[K], Awaitable[T]]) -> list[T]:
    """Work on all items, `PARALLEL` at a time, results in their order; the first failure cancels the rest."""
    slots = asyncio.Semaphore(PARALLEL)

    async def one(item: K) -> T:
        async with slots:
            return await work(item)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(item)) for item in items]
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from failures
    return [task.result() for task in tasks]
