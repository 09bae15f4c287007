"""Asking for blocks and putting together what is said of them: ranges without gaps, or no range at all.

A range is reported only when each block joins on to the one before and a quorum of providers make the same statement
about it, each of them having called it final by its own mark. Each statement is one provider's own (`reading`); what
follows from several is `chains.witnesses`' to say; this room does the asking.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar

import msgspec

from chains.errors import ChainError, Integrity, Retryable
from chains.evm import codec, facts, finality
from chains.evm.reading import FORGED, Reader
from chains.evm.rpc import FINALIZED, LATEST, SOON, EvmRpc
from chains.evm.spans import Spans
from chains.hearing import Hearing, order, urgency
from chains.observations import Block, Head, Range, Source
from chains.pool.calls import Priority
from chains.ports import WatchList
from chains.sightings import Sightings
from chains.witnesses import SHOWN, Ruling, Statement, Witness, judge, told

PARALLEL: Final = 8
"""Blocks read at once: enough to hide a round trip, few enough to leave the provider to others."""

T = TypeVar("T")
Facts = facts.Facts
Heard = Hearing[Witness[Facts]]


class Marks:
    """What each provider calls final, for one scan: each is asked once, when its word is first needed. `examine` looks
    at each mark before it counts, and raises `ChainError` for one that doesn't."""

    __slots__ = ("_examine", "_refused", "_rpc", "_turn", "known")

    def __init__(self, rpc: EvmRpc, examine: Callable[[str, Block], Awaitable[None]]) -> None:
        self._rpc, self._examine = rpc, examine
        self._turn = asyncio.Lock()
        self._refused: dict[str, ChainError] = {}
        self.known: dict[str, Block] = {}

    async def ask(self, provider: str) -> Block:
        """Its finalized block."""
        mark = codec.place(await self._rpc.header_from(provider, FINALIZED, Priority.HEAD))
        try:
            await self._examine(provider, mark)
        except ChainError as exc:
            self._refused[provider] = exc
            raise
        self.known[provider] = mark
        self._rpc.upstream.report_heights(provider, finalized=mark.position)
        return mark

    async def require(self, provider: str, number: int) -> Block:
        """Its mark, which must reach this block. Raises `Retryable` (`not_yet`)."""
        async with self._turn:
            if provider in self._refused:
                raise self._refused[provider]
            mark = self.known.get(provider) or await self.ask(provider)
        if mark.position < number:
            raise Retryable("not_yet", f"{provider} calls block {mark.position} final, not yet {number}")
        return mark


class Watcher:
    """Scans one chain. `quorum`: how many providers must say the same. `traces` says whether they have `trace_block`,
    without which internal calls that pay us are invisible here and show up as a surplus in reconciliation instead."""

    __slots__ = ("_chain", "_index", "_quorum", "_rpc", "_sightings", "_spans", "_traces", "doubts")

    def __init__(self, chain: str, rpc: EvmRpc, quorum: int, *, traces: bool) -> None:
        self._chain, self._rpc, self._quorum, self._traces = chain, rpc, quorum, traces
        self._index: facts.Index | None = None
        self._sightings = Sightings()
        self._spans = Spans()
        self.doubts: Counter[tuple[str, str]] = Counter()

    async def head(self) -> Head:
        """The newest block by one provider's word, for people; and the newest that a quorum calls final and tells
        alike, where a first cursor may start.

        Asked for one after the other, so that a finalized block newer than the latest can't be an artefact of order.
        """
        marks, mark = await self._finalized(-1)
        finalized = await self._told_alike(marks, mark.position)
        latest = codec.place(await self._rpc.header(LATEST))
        if latest.position < finalized.position:
            raise Retryable("inconsistent", f"latest {latest.position} is behind finalized {finalized.position}")
        return Head(latest=latest, finalized=finalized)

    async def sources(self, cursor: Block) -> tuple[Source, ...]:
        """See `chains.ports.Adapter.sources`. Who has not called the cursor's position final denies nothing by holding
        another block there; and who is behind what it called final before is no source until it has caught up."""
        finalized, latest, held = await asyncio.gather(
            self._rpc.headers(FINALIZED, Priority.HEAD, SOON),
            self._rpc.headers(LATEST, Priority.HEAD, SOON),
            self._rpc.headers(cursor.position, deadline=SOON),
        )
        newest = {a.provider: codec.place(a.value).position for a in latest if a.value is not None}
        marks = {a.provider: codec.place(a.value) for a in finalized if a.value is not None}
        final = {name: mark.position for name, mark in marks.items()}
        blocks = {
            a.provider: block
            for a in held
            if a.value is not None
            and ((block := codec.place(a.value)).hash == cursor.hash or final.get(a.provider, -1) >= cursor.position)
        }
        # What it calls final there counts, whatever it shows when it is asked by number.
        blocks |= {name: mark for name, mark in marks.items() if finality.contradicts(cursor, mark)}
        self._report(cursor, finality.judge(cursor, list(blocks.items())), 1)
        doubtful = {name for name, mark in marks.items() if await self._doubtful(name, mark)}
        asked = {a.provider for a in (*finalized, *latest, *held)}
        sources = []
        for name in self._rpc.upstream.providers():
            if name not in asked:
                continue
            self._rpc.upstream.report_heights(name, latest=newest.get(name), finalized=final.get(name))
            confirms = blocks[name].hash == cursor.hash if name in blocks else None
            heights = [one[name] for one in (newest, final) if name in one]
            if name in doubtful or any(self._sightings.behind(name, height) for height in heights):
                confirms = None
            sources.append(Source(provider=name, latest=newest.get(name), finalized=final.get(name), confirms=confirms))
        return tuple(sources)

    async def block(self, position: int) -> Block:
        """The finalized block at a position, as a quorum has it. Raises `Retryable` (`not_yet`) above what a quorum
        calls final, `unproven` when too few say the same, and `Integrity` (`providers_disagree`)."""
        marks, finalized = await self._finalized(position)
        if position > finalized.position:
            raise Retryable("not_yet", f"block {position} is not final, only {finalized.position} is")
        return await self._told_alike(marks, position)

    async def _told_alike(self, marks: Marks, position: int) -> Block:
        async def read(provider: str, first: bool) -> Block:
            await marks.require(provider, position)
            block = codec.place(await self._rpc.header_from(provider, position, urgency(first, Priority.HEAD)))
            if block.position != position:
                raise Retryable("inconsistent", f"asked for block {position}, was given {block.position}")
            return block

        heard = Hearing(self._order(marks, position), self._quorum, read)
        await heard.enough()
        if any(block != heard.values[0] for block in heard.values):
            tellings = "; ".join(f"{name}: {block.hash}" for name, block in heard.said)
            raise Integrity(Ruling.DISPUTED.value, f"block {position}: {tellings}")
        if len(heard.said) < self._quorum:
            raise heard.error(f"block {position}")
        return heard.values[0]

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        """See `chains.ports.Adapter.scan`. Where a block can't be proven yet, the range ends before it; an error is
        raised only when not a single block could be proven."""
        view = self._view(watch)
        marks, finalized = await self._finalized(cursor.position, cursor)
        window = finality.window(cursor, finalized, limit)
        if window is None:
            return None
        at = Priority.LIVE if finalized.position - cursor.position <= limit else Priority.BACKFILL
        readers = {name: self._reader(name, view, window) for name in self._rpc.upstream.providers()}
        names = self._order(marks, window[1])

        def hear(number: int) -> Heard:
            async def read(provider: str, first: bool) -> Witness[Facts]:
                mark = await marks.require(provider, number)
                statement = await readers[provider].read(number, urgency(first, at))
                if mark.position == number and mark.hash != statement.block.hash:
                    raise Retryable("inconsistent", f"{provider}: block {number} is not the finalized {mark.hash}")
                return Witness(provider=provider, statement=statement)

            return Heard(names, self._quorum, read, key=lambda witness: witness.statement)

        proven: list[Statement[Facts]] = []
        try:
            async for _, heard in _each(window, hear):
                proven.append(await self._prove(proven[-1].block if proven else cursor, heard))
        except ChainError as exc:
            # What doesn't join on to a block of this very look makes that block doubtful too.
            if not proven or exc.code == Ruling.MISMATCH:
                raise
        return self._range(proven, view)

    async def preview(self, after: int, watch: WatchList, limit: int) -> Range | None:
        """See `chains.ports.Adapter.preview`. By one provider's word for each block."""
        view = self._view(watch)
        head = await self.head()
        start = max(after, head.finalized.position) + 1
        window = (start, min(start + limit - 1, head.latest.position))
        if window[1] < window[0]:
            return None
        readers = {name: self._reader(name, view, window) for name in self._rpc.upstream.providers()}

        def hear(number: int) -> Hearing[Statement[Facts]]:
            async def read(provider: str, _: bool) -> Statement[Facts]:
                return await readers[provider].read(number, Priority.BACKFILL)

            return Hearing(order(self._rpc.upstream), 1, read)

        seen: list[Statement[Facts]] = []
        async for number, heard in _each(window, hear):
            if not heard.said:
                raise heard.error(f"block {number}")
            seen.append(heard.values[0])
        finality.check_joined([one.block for one in seen], window[0], seen[0].block.parent_hash)
        return self._range(seen, view)

    async def finalized(self) -> tuple[tuple[str, ...], Block]:
        """What a quorum calls final now, and whom to ask about it, who does so first."""
        marks, block = await self._finalized(-1)
        return self._order(marks, block.position), block

    def _view(self, watch: WatchList) -> facts.View:
        if self._index is None or not self._index.of(watch):
            self._index = facts.Index(watch)
        return self._index.view()

    def _reader(self, provider: str, view: facts.View, window: tuple[int, int]) -> Reader:
        return Reader(provider, self._rpc, view, self._spans, first=window[0], last=window[1], traces=self._traces)

    def _order(self, marks: Marks, position: int) -> tuple[str, ...]:
        """All providers, those first that are known to have called the position final."""
        names = order(self._rpc.upstream)
        final = [name for name in names if name in marks.known and marks.known[name].position >= position]
        return (*final, *(name for name in names if name not in final))

    async def _finalized(self, position: int, cursor: Block | None = None) -> tuple[Marks, Block]:
        """What a quorum calls final: of the marks of those asked, the quorum-th from the top, so that no provider
        alone makes an unfinal block final. Where some know of something newer than `position` and too few say so,
        everybody is asked, so that one that is behind doesn't hold up the others. A mark that is refuted counts for
        nothing, and the next provider is asked instead. Raises `Integrity` where the chain itself went back."""
        marks = Marks(self._rpc, lambda provider, mark: self._examine(provider, mark, cursor))
        heard = Hearing(
            order(self._rpc.upstream), self._quorum, lambda provider, _: marks.ask(provider), lambda _: None
        )
        await heard.enough()
        if len(heard.said) >= self._quorum and _lowest(heard) <= position < max(b.position for b in heard.values):
            await heard.everybody()
        heard.raise_integrity()
        if len(heard.said) < self._quorum:
            raise heard.error("the finalized block")
        ranked = sorted(heard.values, key=lambda block: block.position, reverse=True)
        return marks, ranked[self._quorum - 1]

    async def _examine(self, provider: str, mark: Block, cursor: Block | None) -> None:
        """Look at a finalized mark before it counts, and remember it. Raises `Retryable` where it denies the cursor or
        what the provider itself called final before, and `Integrity` where a quorum does so."""
        before = self._sightings.note(provider, mark.position, mark.hash)
        if cursor is not None and finality.contradicts(cursor, mark):
            raise await self._settle(cursor, provider, mark, 1)
        if before is None:
            return
        if self._sightings.callers(mark.position, before) >= self._quorum:
            raise await self._settle(msgspec.structs.replace(mark, hash=before), provider, mark, self._quorum)
        # Which of its two words is false doesn't matter; and neither says anything against those who never said it.
        self._strike(provider, f"calls {mark.hash} final at {mark.position}, where it called {before} final before")
        raise Retryable(Ruling.MISMATCH.value, f"{provider} takes back its finalized block {mark.position} {before}")

    async def _doubtful(self, provider: str, mark: Block) -> bool:
        """Whether the provider takes back what it called final."""
        try:
            await self._examine(provider, mark, None)
        except ChainError:
            return True
        return False

    async def _prove(self, previous: Block, heard: Heard) -> Statement[Facts]:
        """The statement that follows `previous`, if it is proven. Raises `Integrity`, `Retryable`."""
        judgement = judge(previous, heard.values, heard.required)
        if judgement.ruling is Ruling.MISMATCH:
            # All who were asked deny our chain: so grave a thing is heard from everybody.
            await heard.everybody()
            judgement = judge(previous, heard.values, heard.required)
        where = f"block {previous.position + 1}"
        for provider in judgement.refuted:
            self._strike(provider, f"{where} contradicts the proven chain")
        if judgement.ruling is Ruling.PROVEN and judgement.statement is not None:
            for provider, error in heard.failed:
                self.doubts[provider, error.code] += 1
                if error.code == FORGED:
                    self._strike(provider, error.message)
            return judgement.statement
        if judgement.ruling is Ruling.UNPROVEN:
            raise heard.error(where)
        raise Integrity(judgement.ruling.value, f"{where} after {previous.hash[:SHOWN]}: {told(heard.values)}")

    def _range(self, statements: Sequence[Statement[Facts]], view: facts.View) -> Range:
        first, last = statements[0].block, statements[-1].block
        found = [statement.facts for statement in statements]
        return Range(
            chain=self._chain,
            first=first.position,
            last=last.position,
            parent_position=first.parent_position,
            parent_hash=first.parent_hash,
            last_hash=last.hash,
            blocks=tuple(statement.block for statement in statements),
            deposits=tuple(deposit for one in found for deposit in one.deposits),
            movements=tuple(movement for one in found for movement in one.movements),
            outcomes=tuple(outcome for one in found for outcome in one.outcomes),
            decoder=facts.DECODER,
            tokens=view.tokens_version,
            watched=view.watched,
        )

    async def _settle(self, block: Block, denier: str, mark: Block, enough: int) -> Exception:
        """Ask everybody about a block that was final and that `denier`'s mark denies, report who denies it while
        `enough` confirm it, say what to raise. What a provider calls final counts, whatever it shows by number."""
        answers = await self._rpc.headers(block.position)
        held = {a.provider: codec.place(a.value) for a in answers if a.value is not None}
        judgement = finality.judge(block, list({**held, denier: mark}.items()))
        self._report(block, judgement, enough)
        return finality.verdict(block, judgement, self._quorum)

    def _report(self, block: Block, judgement: finality.Judgement, enough: int) -> None:
        """A strike for who denies a block that `enough` others still have: one for our cursor, which was proven; a
        quorum for a block that was called final and has not been proven."""
        if len(judgement.agreeing) >= enough:
            for provider in judgement.contradicting:
                self._strike(provider, f"another finalized block at {block.position} than {block.hash}")

    def _strike(self, provider: str, reason: str) -> None:
        self._rpc.upstream.report_integrity(provider, f"{self._chain}: {reason}")


async def _each(window: tuple[int, int], hear: Callable[[int], Hearing[T]]) -> AsyncIterator[tuple[int, Hearing[T]]]:
    """What was said of each block, in their order, `PARALLEL` of them asked about at once."""
    for start in range(window[0], window[1] + 1, PARALLEL):
        numbers = range(start, min(start + PARALLEL, window[1] + 1))
        heard = [hear(number) for number in numbers]
        await asyncio.gather(*(one.enough() for one in heard))
        for number, one in zip(numbers, heard, strict=True):
            yield number, one


def _lowest(heard: Hearing[Block]) -> int:
    return min(block.position for block in heard.values)
