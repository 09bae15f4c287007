"""The only writer: puts transactions into an order, decides them, makes the block durable, and only then tells anybody.

Callers queue; one worker takes all that waits into one block (group commit), so the cost of a sync is shared and the
queue's bound is the only thing a burst can hit. Nothing a caller is told, and nothing a reader sees, is ahead of the
disk. A write that fails stops the writer for good: what became of those blocks is known only after opening anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.execution import Executed, Replica
from custody.journal.errors import JournalError
from custody.journal.journal import Journal
from custody.ledger.rejections import Rejection
from custody.ledger.transition import Repeat

MAX_WAITING = 4096
"""Transactions that may wait; more are refused with `busy`, and whoever sent them may try again."""
MAX_BLOCK_TRANSACTIONS = 2048
MAX_BLOCK_BYTES = 8 * 1024 * 1024


class Busy(Exception):
    """The queue is full: nothing happened, try again."""


class Stopped(Exception):
    """The writer takes nothing more: it was closed, or a write failed (`storage`)."""


class Receipt(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a journaled transaction: its code, and the block it is in (−1: it was a repeat of an earlier one).

    `code` is `ok`, `endorsed`, or a rejection's code.
    """

    code: str
    height: int
    repeat: bool

    @property
    def ok(self) -> bool:
        """Whether the ledger accepted it."""
        return self.code in ("ok", "endorsed")


class Subscriber(Protocol):
    """Whoever wants to know about durable blocks. Called in order, on the loop, and must not block or fail."""

    def published(self, executed: Executed) -> None:
        """A block that is durable."""
        ...


@dataclass(slots=True)
class _Waiting:
    envelope: Envelope
    answer: asyncio.Future[Receipt | Rejection]


class Sequencer:
    """`run` is the worker; `submit` may be called from any task of the same loop."""

    def __init__(
        self,
        journal: Journal,
        replica: Replica,
        sealer: SigningKey,
        *,
        clock: Callable[[], int],
        appended: Callable[[float], None] | None = None,
    ) -> None:
        """`clock` gives unix milliseconds. The replica stands at the journal's tip. `appended` hears how many seconds
        each durable write took."""
        self._journal = journal
        self._replica = replica
        self._sealer = sealer
        self._clock = clock
        self._appended = appended
        self._queue: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)
        self._subscribers: list[Subscriber] = []
        self.failed: JournalError | None = None
        """Why the writer stopped, once a write failed."""
        self._closed = False
        self._batch: list[_Waiting] = []

    @property
    def replica(self) -> Replica:
        """The writer's own replica; it may be a block ahead of the disk, so it answers nobody but the writer."""
        return self._replica

    @property
    def ledger(self) -> str:
        """The genesis hash."""
        return self._replica.state.ledger

    def subscribe(self, subscriber: Subscriber) -> None:
        """Hear of every block from the next one on."""
        self._subscribers.append(subscriber)

    def next_sequence(self, key: str) -> int:
        """The number a key should use next."""
        window = self._replica.state.windows.get(key)
        return 0 if window is None else window.high + 1

    def was_said(self, key: str, seq: int) -> bool:
        """Whether a key's sequence number is used and still remembered: the same envelope again gets its answer."""
        return self._replica.state.said.get(key, seq) is not None

    async def submit(self, envelope: Envelope) -> Receipt | Rejection:
        """The answer once it is durable: a receipt for what was journaled (also a rejection that was), a `Rejection`
        for what was refused before. Raises `Busy`, `Stopped`."""
        if self._closed or self.failed is not None:
            raise Stopped("the ledger takes no transactions: " + (str(self.failed) if self.failed else "shutting down"))
        waiting = _Waiting(envelope, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(waiting)
        except asyncio.QueueFull as exc:
            raise Busy(f"{MAX_WAITING} transactions wait already") from exc
        return await waiting.answer

    async def drained(self) -> None:
        """Wait until nothing is queued or being written; for a shutdown, after nobody submits any more."""
        await self._queue.join()

    async def run(self) -> None:
        """Work until cancelled or until a write fails; raises `JournalError` then, and `Stopped` when the writer's own
        key may seal no more: a block that nobody else accepts must not be acknowledged."""
        try:
            while True:
                self._batch = await self._take()
                await self._commit(self._batch)
                self._done(self._batch)
                self._batch = []
        finally:
            self._closed = True
            self._refuse_rest()

    async def _take(self) -> list[_Waiting]:
        batch = [await self._queue.get()]
        size = len(batch[0].envelope.payload)
        while len(batch) < MAX_BLOCK_TRANSACTIONS and size < MAX_BLOCK_BYTES and not self._queue.empty():
            batch.append(self._queue.get_nowait())
            size += len(batch[-1].envelope.payload)
        return batch

    async def _commit(self, batch: list[_Waiting]) -> None:
        if not self._replica.may_seal(self._sealer):
            raise Stopped(f"the key {self._sealer.id} was rotated or revoked and seals no more: start with the new one")
        draft = self._replica.begin(now=self._clock())
        answers: list[Receipt | Rejection] = []
        for waiting in batch:
            taken = draft.take(waiting.envelope)
            if isinstance(taken, Rejection):
                answers.append(taken)
            else:
                height = -1 if isinstance(taken, Repeat) else self._replica.height + 1
                answers.append(Receipt(code=taken.code, height=height, repeat=isinstance(taken, Repeat)))
        if draft.entries:
            await self._write(self._replica.seal(draft, self._sealer), batch)
        for waiting, answer in zip(batch, answers, strict=True):
            if not waiting.answer.done():
                waiting.answer.set_result(answer)

    async def _write(self, executed: Executed, batch: list[_Waiting]) -> None:
        """Make the block durable on a worker thread; shielded, since a cancelled write is still a write."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        append = asyncio.ensure_future(asyncio.to_thread(self._journal.append, (executed.block,)))
        try:
            await asyncio.shield(append)
        except asyncio.CancelledError:
            await asyncio.wait([append])
            exc = append.exception()
            if exc is None:
                self._publish(executed)
            elif isinstance(exc, JournalError):
                self.failed = exc
            raise
        except JournalError as exc:
            self.failed = exc
            for waiting in batch:
                if not waiting.answer.done():
                    waiting.answer.set_exception(Stopped(f"the journal could not be written: {exc}"))
            raise
        if self._appended is not None:
            self._appended(loop.time() - began)
        self._publish(executed)

    def _done(self, batch: list[_Waiting]) -> None:
        for _ in batch:
            self._queue.task_done()

    def _publish(self, executed: Executed) -> None:
        for subscriber in self._subscribers:
            subscriber.published(executed)

    def _refuse_rest(self) -> None:
        for waiting in self._batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(Stopped("stopped before the answer; the same envelope again gets it"))
        self._done(self._batch)
        while not self._queue.empty():
            waiting = self._queue.get_nowait()
            if not waiting.answer.done():
                waiting.answer.set_exception(Stopped("the ledger takes no transactions: shutting down"))
            self._done([waiting])
