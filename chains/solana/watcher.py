"""Reading finalized slots into proven ranges: nothing advances past a block that isn't proven.

`getBlocks` is only a hint about where blocks are. What counts is that each block names its parent: a block joins on to
our last one, or the block in between is fetched first, or the range ends before it. So a node that reports existing
blocks as skipped, as an overwhelmed one does by the hundred, can delay us and nothing more. Blocks are asked for as
finalized ones, so whoever serves one says that it is final: no mark is taken from a provider's word. The rules are
`chains.witnesses`'; this room does the asking.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

import msgspec

from chains.errors import ChainError, Integrity, NoProvider, Permanent, Retryable
from chains.hearing import Hearing, order, urgency
from chains.observations import Block, Head, Outcome, Range, Source
from chains.pool.calls import Priority
from chains.ports import WatchList
from chains.sightings import Sightings
from chains.solana.codec import (
    DECODER,
    Findings,
    Own,
    WatchIndex,
    message_digest,
    outcome,
    place,
    read_block,
)
from chains.solana.rpc import CONFIRMED, FINALIZED, SOON, SolanaRpc, decode_base64
from chains.witnesses import Ruling, Statement, Witness, judge, told

PARALLEL: Final = 4
"""Blocks read at once: decoded ones are tens of megabytes each, and a healthy provider keeps ahead with two."""

GAP_WINDOW: Final = 5_000
"""Slots listed at once when a whole range is empty: 5,000 numbers are 50 kB."""

GAP_WINDOWS: Final = 100
"""Such windows looked through in one scan: 500,000 slots, about 35 hours of a halted chain."""


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One block that may be believed, and what it says about our addresses."""

    block: Block
    findings: Findings


Heard = Hearing[Witness[Findings]]
Walked = tuple[list[Reading], dict[int, Heard]]
"""What is proven so far, and what was said of slots that may have been skipped."""


class Watcher:
    """The scanner of one chain. It keeps no cursor: that is the ledger's. `quorum`: how many providers must say the
    same of a block."""

    __slots__ = ("_sightings", "chain", "doubts", "index", "quorum", "rpc")

    def __init__(self, chain: str, rpc: SolanaRpc, quorum: int) -> None:
        self.chain, self.rpc, self.quorum = chain, rpc, quorum
        self.index = WatchIndex()
        self._sightings = Sightings()
        self.doubts: Counter[tuple[str, str]] = Counter()

    async def head(self) -> Head:
        """The newest confirmed block of a slot that a quorum has reached, told by one provider, for people; and the
        newest that a quorum has finalized and tells alike, where a first cursor may start. Raises `Retryable`
        (`not_yet`, `unproven`)."""
        slot = await self._newest(FINALIZED)
        finalized = await self.block(slot)
        if finalized is None:
            raise Retryable("not_yet", f"slot {slot} was skipped, and yet somebody's newest finalized one")
        return Head(latest=await self._tip(CONFIRMED), finalized=finalized)

    async def sources(self, cursor: Block) -> tuple[Source, ...]:
        """See `chains.ports.Adapter.sources`."""
        finalized, latest, held = await asyncio.gather(
            self.rpc.slot_each(FINALIZED, SOON),
            self.rpc.slot_each(CONFIRMED, SOON),
            self.rpc.header_each(cursor.position, SOON),
        )
        newest = {a.provider: a.value for a in latest if a.value is not None}
        final = {a.provider: a.value for a in finalized if a.value is not None}
        hashes = {a.provider: place(cursor.position, a.value).hash for a in held if a.value is not None}
        if cursor.hash in hashes.values():
            for name, other in hashes.items():
                if other != cursor.hash:
                    where = f"slot {cursor.position}"
                    self.rpc.upstream.report_integrity(name, f"{where}: {other} where others have {cursor.hash}")
        asked = {a.provider for a in finalized} | {a.provider for a in latest} | {a.provider for a in held}
        sources = []
        for name in self.rpc.upstream.providers():
            if name not in asked:
                continue
            self.rpc.upstream.report_heights(name, latest=newest.get(name), finalized=final.get(name))
            confirms = hashes[name] == cursor.hash if name in hashes else None
            if self._fell_behind(name, newest.get(name), final.get(name)):
                confirms = None
            sources.append(Source(provider=name, latest=newest.get(name), finalized=final.get(name), confirms=confirms))
        return tuple(sources)

    def _fell_behind(self, provider: str, latest: int | None, finalized: int | None) -> bool:
        """Whether it is behind what it has called final before; remembers what it calls final now."""
        if finalized is not None:
            self._sightings.note(provider, finalized)
        return any(self._sightings.behind(provider, one) for one in (latest, finalized) if one is not None)

    async def block(self, position: int) -> Block | None:
        """The finalized block at a slot, None when a later block proves the slot skipped.

        Raises `Retryable` (`absent_unproven`) when neither can be shown, `unproven` when too few say the same, and
        `Integrity` (`providers_disagree`).
        """
        heard = await self._read(position, Priority.LIVE)
        if heard.said and not _dubious(heard):
            return self._agreed(heard)
        for later in await self._occupied(position + 1, position + GAP_WINDOW):
            after = await self._read(later, Priority.LIVE)
            if after.said and not _dubious(after):
                block = self._agreed(after)
                if block.parent_position < position:
                    self._disprove({position: heard}, block)
                    return None
                break
        if heard.said:
            return self._agreed(heard)
        raise Retryable("absent_unproven", f"slot {position} is neither served nor proven skipped")

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        """The proven blocks after `cursor` among the next `limit` slots, or None when there is nothing newer.

        Where a hole in the chain is wider than `limit`, the range holds the one block that ends it. Raises `Integrity`
        (`parent_mismatch`, `providers_disagree`, `unsupported_transaction_version`), `Retryable` (`unproven`,
        `absent_unproven` and the pool's), `Permanent` (`token_program_unsupported`).
        """
        self.index.catch_up(watch)
        versions = (watch.tokens_version, watch.version)
        slots = await self._occupied(cursor.position + 1, cursor.position + limit)
        catching_up = bool(slots) and slots[-1] >= cursor.position + limit > cursor.position + 1
        proven = await self._walk(cursor, slots, limit, Priority.BACKFILL if catching_up else Priority.LIVE)
        if not proven:
            return None
        return await self._range(cursor.position + 1, proven, versions, FINALIZED)

    async def preview(self, after: int, watch: WatchList, limit: int) -> Range | None:
        """The same of confirmed blocks past slot `after` that are not final yet, by one provider's word: for display
        only."""
        self.index.catch_up(watch)
        versions = (watch.tokens_version, watch.version)
        first = max(after, await self.rpc.slot(FINALIZED)) + 1
        slots = await self.rpc.slots(first, first + limit - 1, CONFIRMED)
        seen: list[Reading] = []
        for slot in slots:
            wire = await self.rpc.block(slot, CONFIRMED)
            if wire is None:
                break
            block = place(slot, wire)
            if seen and block.parent_position != seen[-1].block.position:
                break
            seen.append(Reading(block=block, findings=read_block(slot, wire, self.index)))
        if not seen:
            return None
        return await self._range(first, seen, versions, CONFIRMED)

    async def _tip(self, commitment: str) -> Block:
        slot = await self._newest(commitment)
        header = await self.rpc.header(slot, commitment)
        if header is None:
            raise Retryable("not_yet", f"no provider serves its own {commitment} tip, slot {slot}")
        return place(slot, header)

    async def _newest(self, commitment: str) -> int:
        """The newest slot at a commitment by a quorum's words: the quorum-th from the top, so that no provider alone
        makes us look for blocks that nobody has. Raises `Retryable` (`unproven`)."""
        newest = [answer.value for answer in await self.rpc.slot_each(commitment) if answer.value is not None]
        if len(newest) < self.quorum:
            raise Retryable("unproven", f"{len(newest)} of the {self.quorum} providers needed say what is {commitment}")
        return sorted(newest, reverse=True)[self.quorum - 1]

    async def _occupied(self, first: int, last: int) -> list[int]:
        """Finalized slots with a block in [first, last]; if there are none but finality is beyond, the next one. Raises
        `Retryable` (`absent_unproven`) where finality is beyond and no block at all is listed."""
        slots = await self.rpc.slots(first, last, FINALIZED)
        if slots:
            return slots
        newest = await self._newest(FINALIZED)
        for start in range(last + 1, min(newest, last + GAP_WINDOW * GAP_WINDOWS) + 1, GAP_WINDOW):
            slots = await self.rpc.slots(start, min(newest, start + GAP_WINDOW - 1), FINALIZED)
            if slots:
                return slots[:1]
        if newest >= first and not await self.rpc.slots(max(first, newest - GAP_WINDOW + 1), newest, FINALIZED):
            # A finalized slot by `getSlot` has a block: who lists none has lost, or hides, what it knows.
            raise Retryable("absent_unproven", f"slot {newest} is called final, and no block is listed up to it")
        return []

    async def _walk(self, cursor: Block, slots: Sequence[int], limit: int, at: Priority) -> list[Reading]:
        """Readings from the cursor on, each proven. What comes after the first unproven one is left for later.

        An error, or a lack of proof, is raised only when not a single block could be proven before it.
        """
        so_far: Walked = ([], {})
        proven, doubted = so_far
        await self._read_on(cursor, slots, limit, at, so_far)
        if doubted and not proven:
            # There may be nothing but such slots in the list: the block that tells what they are comes after it.
            further = await self._occupied(slots[-1] + 1, slots[-1] + GAP_WINDOW)
            await self._read_on(cursor, further[:limit], limit, at, so_far)
            proven = proven[:1]
        if doubted and not proven:
            slot, heard = next(iter(doubted.items()))
            raise heard.error(f"the block at slot {slot} after slot {cursor.position}")
        if slots and not proven:
            raise Retryable("absent_unproven", f"no provider serves the blocks it lists after slot {cursor.position}")
        return proven

    async def _read_on(self, cursor: Block, slots: Sequence[int], limit: int, at: Priority, so_far: Walked) -> None:
        """Append what is proven in these slots to the readings `so_far`, up to the first that isn't.

        A block that fewer than a quorum state, and that others say isn't there, is no reason to stop: nothing is
        believed of it, and the next proven block tells whether it is part of the chain. Where it isn't, its slot was
        skipped, and who stated it is struck.
        """
        proven, doubted = so_far
        for start in range(0, len(slots), PARALLEL):
            window = slots[start : start + PARALLEL]
            results = await asyncio.gather(*(self._read(slot, at) for slot in window), return_exceptions=True)
            for slot, result in zip(window, results, strict=True):
                try:
                    if isinstance(result, BaseException):
                        raise result
                    if _dubious(result):
                        doubted[slot] = result
                    elif result.said:
                        await self._extend(cursor, so_far, (slot, result), limit, at)
                        self._disprove(doubted, proven[-1].block)
                except ChainError as exc:
                    # What doesn't join on to a block of this very look makes that block doubtful too.
                    if proven and exc.code != Ruling.MISMATCH:
                        return
                    raise

    def _disprove(self, doubted: dict[int, Heard], proven: Block) -> None:
        """Strike those who state a finalized block at a slot where a proven chain, which reaches past it, has none."""
        for slot in [one for one in doubted if one < proven.position]:
            for provider, _ in doubted.pop(slot).said:
                reason = f"slot {slot}: a finalized block where the chain up to {proven.hash} has none"
                self.rpc.upstream.report_integrity(provider, reason)

    async def _extend(self, cursor: Block, so_far: Walked, read: tuple[int, Heard], limit: int, at: Priority) -> None:
        """Append a block and, before it, the ancestors that the list of slots left out."""
        proven, doubted = so_far
        pending = deque([read])
        while len(pending) <= limit:
            previous = proven[-1].block if proven else cursor
            next_slot, heard = pending[0]
            parent = await self._prove(previous, next_slot, heard, proven)
            if parent in doubted:
                raise doubted[parent].error(f"the block at slot {parent} after slot {previous.position}")
            if parent is not None:
                pending.appendleft((parent, await self._read(parent, at)))
                continue
            pending.popleft()
            if not pending:
                return
        raise Retryable("absent_unproven", f"more than {limit} unlisted blocks before slot {read[0]}")

    async def _prove(self, previous: Block, slot: int, heard: Heard, proven: list[Reading]) -> int | None:
        """Append the block if it is proven; return its parent's slot if that has to be read first."""
        judgement = judge(previous, heard.values, heard.required)
        if judgement.ruling is Ruling.MISMATCH:
            # All who were asked deny our chain: so grave a thing is heard from everybody.
            await heard.everybody()
            judgement = judge(previous, heard.values, heard.required)
        where = f"slot {slot} after slot {previous.position}"
        for provider in judgement.refuted:
            self.rpc.upstream.report_integrity(provider, f"{where}: contradicts the proven chain")
        statement = judgement.statement
        if statement is None or judgement.ruling is Ruling.UNPROVEN:
            raise heard.error(f"the block at {where}")
        if judgement.ruling is Ruling.ORPHAN:
            return statement.block.parent_position
        if judgement.ruling is Ruling.PROVEN:
            proven.append(_reading(statement, heard.values, previous.time))
            self.doubts.update((provider, error.code) for provider, error in heard.failed)
            return None
        raise Integrity(judgement.ruling.value, f"{where}: {told(heard.values)}")

    def _agreed(self, heard: Heard) -> Block:
        """The block that enough providers state and nobody disputes, where no proven predecessor helps to judge."""
        statement = heard.values[0].statement
        if any(witness.statement != statement for witness in heard.values):
            raise Integrity(Ruling.DISPUTED.value, told(heard.values))
        if len(heard.values) < heard.required:
            raise heard.error(f"the block at slot {statement.block.position}")
        return _reading(statement, heard.values, 0).block

    async def _read(self, slot: int, at: Priority) -> Heard:
        """As many readings of a finalized block as are needed; none when all who answer say it isn't there.

        The whole block is read from each, though that is the heaviest traffic there is: a provider that hides a
        deposit inside a transaction can be caught in no cheaper way.
        """

        async def read(provider: str, first: bool) -> Witness[Findings]:
            wire = await self.rpc.block_from(provider, slot, urgency(first, at))
            try:
                findings = read_block(slot, wire, self.index)
            except Retryable as exc:
                self.rpc.upstream.report_integrity(provider, str(exc))
                raise
            block = place(slot, wire)
            statement = Statement(block=msgspec.structs.replace(block, time=0), facts=findings)
            return Witness(provider=provider, statement=statement, time=block.time)

        heard = Heard(order(self.rpc.upstream), self.quorum, read, key=lambda witness: witness.statement)
        await heard.enough()
        if len(heard.said) < heard.required:
            heard.raise_integrity()  # where a quorum can read the block, one that says it can't be read says nothing
        if not heard.said and all(error.code != "absent_unproven" for _, error in heard.failed):
            raise heard.error(f"slot {slot}")
        return heard

    async def _range(
        self, first: int, readings: Sequence[Reading], versions: tuple[int, int], commitment: str
    ) -> Range:
        findings = [reading.findings for reading in readings]
        own = [one for finding in findings for one in finding.own]
        outcomes = [await self._outcome(one, commitment) for one in own]
        last = readings[-1].block
        return Range(
            chain=self.chain,
            first=first,
            last=last.position,
            parent_position=readings[0].block.parent_position,
            parent_hash=readings[0].block.parent_hash,
            last_hash=last.hash,
            blocks=tuple(reading.block for reading in readings),
            deposits=tuple(deposit for finding in findings for deposit in finding.deposits),
            movements=tuple(movement for finding in findings for movement in finding.movements),
            outcomes=tuple(outcomes),
            decoder=DECODER,
            tokens=versions[0],
            watched=versions[1],
        )

    async def _outcome(self, own: Own, commitment: str) -> Outcome:
        """The exact bytes of a transaction of ours, from the first that serves them: one word is enough, and more would
        add nothing. A provider without history, or one that serves other bytes, is replaced by the next. Whether it
        succeeded, what it cost and what it paid is in the block's statement, which a quorum made; the bytes only give
        the message's digest, and they prove themselves: the fee payer's signature over exactly this message is the
        transaction's id (`codec.message_digest`), and nobody but the owner of our key makes one."""

        async def read(provider: str, _: bool) -> str:
            full = await self.rpc.transaction_from(provider, own.tx, commitment)
            if full.slot != own.position:
                raise Retryable("not_yet", f"{provider} has {own.tx} in slot {full.slot}, not in {own.position}")
            raw = decode_base64(full.transaction[0])
            try:
                return message_digest(raw, own.tx, own.sender)
            except Retryable as exc:
                self.rpc.upstream.report_integrity(provider, str(exc))
                raise

        heard = Hearing(order(self.rpc.upstream), 1, read)
        await heard.enough()
        if heard.said:
            return outcome(own, heard.values[0])
        where = f"transaction {own.tx} of slot {own.position}"
        if all(isinstance(error, Permanent | NoProvider) for _, error in heard.failed):
            raise heard.error(where)
        raise Retryable("not_yet", f"{where} is not served in full ({heard.troubles()})")


def _dubious(heard: Heard) -> bool:
    """Whether fewer than a quorum state a block, all alike, and somebody says that there is none."""
    alike = all(one.statement == heard.values[0].statement for one in heard.values)
    absent = any(error.code == "absent_unproven" for _, error in heard.failed)
    return 0 < len(heard.said) < heard.required and alike and absent


def _reading(statement: Statement[Findings], witnesses: Sequence[Witness[Findings]], since: int) -> Reading:
    """The block with the time that most of those who state it give, if any give one. Where as many say one time as
    another, the one nearest to `since`, the time of the block before: time is no part of the statement, and one
    provider's absurd one must not stand for all."""
    times = [one.time for one in witnesses if one.time and one.statement == statement]
    time = min(times, key=lambda one: (-times.count(one), abs(one - since), one), default=0)
    return Reading(block=msgspec.structs.replace(statement.block, time=time), findings=statement.facts)
