"""The only writer: in order, durable before anybody is told, stopped for good by a failed write.

The journal is a real one on a real disk; time is virtual.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from custody.envelope.envelopes import Envelope
from custody.execution import Executed, Replica
from custody.journal.block import Block
from custody.journal.chain import Link
from custody.journal.errors import JournalCode, JournalError
from custody.journal.journal import Journal
from custody.journal.reader import JournalReader
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.sequencer import MAX_BLOCK_TRANSACTIONS, MAX_WAITING, Busy, Receipt, Sequencer, Stopped, Subscriber
from tests.custody.ledger.world import ETH, World, key
from tests.virtualtime import run


class Gate:
    """A journal whose appends wait for a word, as a slow disk's do; everything else is the real one's."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.open = threading.Event()
        self.asked = 0

    def append(self, new: tuple[Block, ...]) -> Link:
        self.asked += 1
        assert self.open.wait(20), "a test never opened the gate"
        return self.journal.append(new)


class Seen:
    """A subscriber that writes down what it hears, and what a fresh reader of the disk sees at that moment."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.blocks: list[Executed] = []
        self.on_disk: list[int] = []

    def published(self, executed: Executed) -> None:
        self.blocks.append(executed)
        self.on_disk.append(on_disk(self.path))

    @property
    def heights(self) -> list[int]:
        return [item.link.height for item in self.blocks]


class Writer:
    """A founded ledger with a sequencer on it."""

    def __init__(self, path: Path, *, max_bytes: int | None = None, gated: bool = False) -> None:
        self.path = path
        self.world = World()
        self.journal = Journal.open(path, create=True, max_bytes=max_bytes)
        for _ in self.journal.replay():
            pass
        self.journal.append((self.world.executed[0].block,))
        self.gate = Gate(self.journal)
        self.waits: list[float] = []
        self.sequencer = Sequencer(
            self.gate if gated else self.journal,  # type: ignore[arg-type]  # all that a sequencer uses is `append`
            self.world.replica,
            key("sequencer"),
            clock=lambda: self.world.now,
            appended=self.waits.append,
        )
        self.seen = Seen(path)
        subscriber: Subscriber = self.seen
        self.sequencer.subscribe(subscriber)

    def ask(self, account: str, seq: int) -> Envelope:
        return self.world.envelope("payouts", tx.AddressRequested, account=account, chain=ETH, seq=seq)


def on_disk(path: Path) -> int:
    reader = JournalReader.open(path)
    try:
        return reader.height()
    finally:
        reader.close()


def reopened(path: Path) -> tuple[Replica, Journal]:
    """As the daemon starts: every block re-executed."""
    journal = Journal.open(path)
    replica = Replica()
    for block, _ in journal.replay():
        replica.execute(block)
    return replica, journal


def working(writer: Writer, story: Callable[[asyncio.Task[None]], Coroutine[Any, Any, None]]) -> None:
    """Run a story beside the worker, which is cancelled at its end; the journal is closed in any case."""

    async def main() -> None:
        worker = asyncio.create_task(writer.sequencer.run())
        try:
            await story(worker)
        finally:
            worker.cancel()
            await asyncio.gather(worker, return_exceptions=True)

    try:
        run(main())
    finally:
        writer.journal.close()


async def outcome(answer: Awaitable[Receipt | Rejection]) -> str:
    """A receipt's or rejection's code, or the name of what was raised."""
    try:
        return (await answer).code
    except (Busy, Stopped) as exc:
        return type(exc).__name__


async def settle() -> None:
    """Let every task that can run do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_nobody_is_told_before_it_is_on_the_disk(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal")

    async def story(_: asyncio.Task[None]) -> None:
        for seq in range(5):
            receipt = await writer.sequencer.submit(writer.ask(f"a{seq}", seq))
            assert receipt == Receipt(code="ok", height=seq + 1, repeat=False)
            assert on_disk(writer.path) >= seq + 1
            assert writer.seen.heights[-1] == seq + 1, "published before it is answered"

    working(writer, story)
    assert writer.seen.on_disk == writer.seen.heights == [1, 2, 3, 4, 5]
    assert len(writer.waits) == 5


def test_while_one_block_is_written_the_next_one_gathers(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal", gated=True)

    async def story(_: asyncio.Task[None]) -> None:
        first = asyncio.create_task(outcome(writer.sequencer.submit(writer.ask("a", 0))))
        await settle()
        others = [asyncio.create_task(outcome(writer.sequencer.submit(writer.ask(f"b{n}", n)))) for n in range(1, 50)]
        await settle()
        assert writer.gate.asked == 1
        assert not first.done()
        assert on_disk(writer.path) == 0
        assert writer.seen.blocks == []
        writer.gate.open.set()
        assert await first == "ok"
        assert await asyncio.gather(*others) == ["ok"] * 49

    working(writer, story)
    assert writer.seen.heights == [1, 2]
    assert [len(item.block.transactions) for item in writer.seen.blocks] == [1, 49]


def test_a_block_takes_so_many_and_no_more(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal")
    count = MAX_BLOCK_TRANSACTIONS + 3

    async def story(_: asyncio.Task[None]) -> None:
        names = ("payouts", "engine", "security")
        asked = [
            writer.world.envelope(names[n % 3], tx.AddressRequested, account=f"a{n}", chain=ETH, seq=n // 3)
            for n in range(count)
        ]
        answers = await asyncio.gather(*(writer.sequencer.submit(envelope) for envelope in asked))
        assert {answer.code for answer in answers} == {"ok"}

    working(writer, story)
    assert [len(item.block.transactions) for item in writer.seen.blocks] == [MAX_BLOCK_TRANSACTIONS, 3]


def test_an_envelope_twice_in_one_batch_is_one_entry_and_both_are_answered(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal")

    async def story(_: asyncio.Task[None]) -> None:
        envelope = writer.ask("a", 0)
        one, other = await asyncio.gather(*(writer.sequencer.submit(envelope) for _ in range(2)))
        assert one == Receipt(code="ok", height=1, repeat=False)
        assert other == Receipt(code="ok", height=-1, repeat=True)
        assert on_disk(writer.path) == 1
        assert await writer.sequencer.submit(envelope) == other, "and so it is ever after"
        assert writer.sequencer.was_said("payouts", 0)
        assert not writer.sequencer.was_said("payouts", 1)
        assert writer.sequencer.next_sequence("payouts") == 1
        assert writer.sequencer.next_sequence("relay") == 0

    working(writer, story)
    assert [len(item.block.transactions) for item in writer.seen.blocks] == [1]


def test_what_is_refused_before_admission_makes_no_block(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal")

    async def story(_: asyncio.Task[None]) -> None:
        good = writer.ask("a", 0)
        forged = Envelope(good.key, good.payload, bytes(64))
        assert await writer.sequencer.submit(forged) is Rejection.SIGNATURE_WRONG
        assert on_disk(writer.path) == 0
        refused = await writer.sequencer.submit(
            writer.world.envelope("payouts", tx.WithdrawalCancelled, id="none", reason="")
        )
        assert refused == Receipt(code="unknown_withdrawal", height=1, repeat=False)
        assert isinstance(refused, Receipt)
        assert not refused.ok

    working(writer, story)


def test_a_key_revoked_in_a_batch_says_nothing_more_in_it(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal")
    world = writer.world

    async def story(_: asyncio.Task[None]) -> None:
        batch = (
            world.envelope("admin-1", tx.KeyRevoked, id="payouts"),
            world.envelope("payouts", tx.AddressRequested, account="before", chain=ETH),
            world.envelope("admin-2", tx.KeyRevoked, id="payouts"),
            world.envelope("payouts", tx.AddressRequested, account="after", chain=ETH, seq=1),
        )
        answers = await asyncio.gather(*(writer.sequencer.submit(envelope) for envelope in batch))
        assert [answer.code for answer in answers] == ["endorsed", "ok", "ok", "key_revoked"]
        assert [type(answer) for answer in answers[2:]] == [Receipt, Rejection]

    working(writer, story)
    replica, journal = reopened(writer.path)
    journal.close()
    assert replica.state.root == world.state.root


def test_a_full_queue_is_busy_and_nothing_that_waits_is_lost(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal")
    envelope = writer.ask("a", 0)

    async def main() -> None:
        waiting = [asyncio.create_task(outcome(writer.sequencer.submit(envelope))) for _ in range(MAX_WAITING)]
        await settle()
        with pytest.raises(Busy, match=str(MAX_WAITING)):
            await writer.sequencer.submit(writer.ask("late", 1))
        worker = asyncio.create_task(writer.sequencer.run())
        assert set(await asyncio.gather(*waiting)) == {"ok"}
        assert await outcome(writer.sequencer.submit(writer.ask("late", 1))) == "ok"
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    try:
        run(main())
    finally:
        writer.journal.close()
    assert writer.seen.heights == [1, 2]


def test_a_failed_write_stops_the_writer_for_good(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal", max_bytes=200_000)

    async def story(worker: asyncio.Task[None]) -> None:
        codes: list[str] = []
        seq = 0
        while "Stopped" not in codes:
            batch = [writer.ask(f"a{n}", n) for n in range(seq, seq + 100)]
            codes = await asyncio.gather(*(outcome(writer.sequencer.submit(envelope)) for envelope in batch))
            seq += 100
            assert seq < 5000, "the disk was never full"
        assert set(codes) == {"Stopped"}
        with pytest.raises(JournalError) as caught:
            await worker
        assert caught.value.code is JournalCode.FULL
        assert writer.sequencer.failed is caught.value
        assert await outcome(writer.sequencer.submit(writer.ask("later", seq))) == "Stopped"
        with pytest.raises(Stopped, match=str(caught.value.code.value)):
            await writer.sequencer.submit(writer.ask("later", seq))

    working(writer, story)
    acknowledged = writer.seen.heights[-1]
    replica, journal = reopened(writer.path)
    journal.close()
    assert replica.height >= acknowledged, "what was acknowledged is there"
    assert writer.seen.on_disk == writer.seen.heights


def test_a_write_that_was_cancelled_is_still_a_write(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal", gated=True)
    envelope = writer.ask("a", 0)

    async def story(worker: asyncio.Task[None]) -> None:
        answer = asyncio.create_task(outcome(writer.sequencer.submit(envelope)))
        await settle()
        queued = asyncio.create_task(outcome(writer.sequencer.submit(writer.ask("b", 1))))
        await settle()
        worker.cancel()
        await settle()
        assert not worker.done(), "it waits for the disk"
        writer.gate.open.set()
        with pytest.raises(asyncio.CancelledError):
            await worker
        assert (await answer, await queued) == ("Stopped", "Stopped")
        assert await outcome(writer.sequencer.submit(envelope)) == "Stopped"
        await writer.sequencer.drained()

    working(writer, story)
    assert writer.seen.heights == writer.seen.on_disk == [1]
    replica, journal = reopened(writer.path)
    again = Sequencer(journal, replica, key("sequencer"), clock=lambda: writer.world.now)

    async def later() -> None:
        worker = asyncio.create_task(again.run())
        assert await again.submit(envelope) == Receipt(code="ok", height=-1, repeat=True)
        assert await outcome(again.submit(writer.ask("b", 1))) == "ok"
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    try:
        run(later())
    finally:
        journal.close()


def test_a_failure_that_comes_while_stopping_is_remembered(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal", max_bytes=1, gated=True)

    async def story(worker: asyncio.Task[None]) -> None:
        batch = [asyncio.create_task(outcome(writer.sequencer.submit(writer.ask(f"a{n}", n)))) for n in range(1000)]
        await settle()
        worker.cancel()
        await settle()
        writer.gate.open.set()
        await asyncio.gather(worker, return_exceptions=True)
        assert set(await asyncio.gather(*batch)) == {"Stopped"}
        assert writer.sequencer.failed is not None
        assert writer.sequencer.failed.code is JournalCode.FULL

    working(writer, story)
    assert writer.seen.blocks == []


def test_who_gives_up_waiting_is_written_all_the_same(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal", gated=True)

    async def story(_: asyncio.Task[None]) -> None:
        answer = asyncio.create_task(writer.sequencer.submit(writer.ask("a", 0)))
        await settle()
        answer.cancel()
        writer.gate.open.set()
        assert await outcome(writer.sequencer.submit(writer.ask("b", 1))) == "ok"

    working(writer, story)
    accounts = [str(name[0]) for name, _ in writer.world.state.accounts.rows()]
    assert accounts == ["a", "b"]


def test_subscribers_hear_of_every_block_in_order_from_where_they_join(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal")
    late = Seen(writer.path)

    async def story(_: asyncio.Task[None]) -> None:
        for seq in range(3):
            await writer.sequencer.submit(writer.ask(f"a{seq}", seq))
        writer.sequencer.subscribe(late)
        for seq in range(3, 6):
            await writer.sequencer.submit(writer.ask(f"a{seq}", seq))

    working(writer, story)
    assert (writer.seen.heights, late.heights) == ([1, 2, 3, 4, 5, 6], [4, 5, 6])
    follower = Replica()
    follower.execute(writer.world.executed[0].block)
    for item in writer.seen.blocks:
        assert follower.execute(item.block) == item
    assert follower.state.ledger == writer.sequencer.ledger


def test_drained_is_when_nothing_waits_and_nothing_is_written(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal", gated=True)

    async def story(_: asyncio.Task[None]) -> None:
        await writer.sequencer.drained()
        answers = []
        for seq in range(2):
            answers.append(asyncio.create_task(outcome(writer.sequencer.submit(writer.ask(f"a{seq}", seq)))))
            await settle()
        drained = asyncio.create_task(writer.sequencer.drained())
        await settle()
        assert not drained.done()
        writer.gate.open.set()
        await drained
        assert writer.seen.heights == [1, 2]
        assert await asyncio.gather(*answers) == ["ok", "ok"]

    working(writer, story)


def test_a_sealing_key_that_was_rotated_ends_the_writer_before_it_writes_what_nobody_accepts(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "journal")
    world = writer.world
    public = key("sequencer", "2").public.hex()

    async def story(worker: asyncio.Task[None]) -> None:
        for admin in ("admin-1", "admin-2"):
            answer = await writer.sequencer.submit(world.envelope(admin, tx.KeyRotated, id="sequencer", public=public))
            assert isinstance(answer, Receipt)
        assert await outcome(writer.sequencer.submit(writer.ask("a", 0))) == "Stopped"
        with pytest.raises(Stopped, match="rotated or revoked"):
            await worker
        assert await outcome(writer.sequencer.submit(writer.ask("a", 0))) == "Stopped"

    working(writer, story)
    replica, journal = reopened(writer.path)
    assert replica.height == 2
    again = Sequencer(journal, replica, key("sequencer", "2"), clock=lambda: world.now)

    async def later() -> None:
        worker = asyncio.create_task(again.run())
        assert await outcome(again.submit(writer.ask("a", 0))) == "ok"
        worker.cancel()
        await asyncio.gather(worker, return_exceptions=True)

    try:
        run(later())
    finally:
        journal.close()
    reopened(writer.path)[1].close()
