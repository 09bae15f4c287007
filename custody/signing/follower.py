"""The signer's own copy of the ledger: blocks come in, are executed, kept durably, and only then acknowledged.

The tip file of its journal is its memory of how far history went. What does not extend that tip is refused, whoever
sends it: a restored or forked journal looks exactly like that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from custody.execution import Divergence, Executed, Replica
from custody.journal import block as blocks
from custody.journal.block import Block
from custody.journal.chain import Link
from custody.journal.errors import JournalCode, JournalError
from custody.journal.journal import Journal
from custody.journal.tip import NO_TIP, read_tip, tip_path
from custody.ledger.state import State
from custody.signing.permit import CLOCK_MARGIN_MS
from custody.signing.protocol import MAX_BLOCKS
from custody.signing.refusals import RefusalCode, RefusedError

Witness = Callable[[State, Executed], None]
"""Told of every block as it is executed, at the start too, with the state after it."""

_DIVERGED = (JournalCode.FORKED, JournalCode.OTHER_LEDGER, JournalCode.BACKWARDS)
_BLOB_OVERHEAD = 16
"""Bytes a blob's length takes in a frame, generously."""


class Follower:
    """Journal and replica, moved together. One thread at a time may call `extend`."""

    __slots__ = ("_journal", "_pinned", "_replica", "_spent", "_witness", "failed")

    def __init__(self, journal: Journal, replica: Replica, witness: Witness, pinned: str | None) -> None:
        """Use `open`."""
        self._journal = journal
        self._replica = replica
        self._witness = witness
        self._pinned = pinned
        self._spent = False
        self.failed: JournalError | None = None
        """Why no more blocks are taken, once a write failed: the replica is then ahead of what is durable."""

    @classmethod
    def open(cls, path: Path, *, pinned: str | None, witness: Witness) -> Follower:
        """Open the signer's journal, or make it at the very first start, and execute all of it again.

        `pinned` is the genesis hash that its ledger must have; None trusts the first block 0 that comes, and no other
        after it. Raises `JournalError`, `Divergence`.
        """
        tip = tip_path(path)
        fresh = not path.exists() and (not tip.exists() or read_tip(tip) == NO_TIP)
        journal = Journal.open(path, create=fresh, ledger=pinned)
        try:
            return cls(journal, _replayed(journal, witness), witness, pinned)
        except BaseException:
            journal.close()
            raise

    @property
    def tip(self) -> Link | None:
        """The last durable block."""
        return self._journal.tip

    @property
    def state(self) -> State:
        """The ledger after the tip."""
        return self._replica.state

    def extend(self, blobs: Sequence[bytes], now_ms: int) -> Link | None:
        """Compare known blocks, execute and keep new ones, and return the tip, which is durable. Those before one that
        is refused are kept. Raises `RefusedError`: `divergence`, `blocks_missing`, `block_invalid`, `other_ledger`,
        `clock_ahead`, `storage`."""
        fresh: list[Block] = []
        refused: RefusedError | None = None
        for blob in blobs:
            try:
                self._take(blob, fresh, now_ms)
            except RefusedError as exc:
                refused = exc
                break
        self._keep(fresh)
        if self._spent:
            # A new replica, from our own blocks: then the right block can be taken when it comes.
            self._replica, self._spent = _replayed(self._journal, _nobody), False
        if refused is not None:
            raise refused
        return self.tip

    def hash_at(self, height: int) -> str | None:
        """The hash of a durable block, None where there is none."""
        if self.tip is None or not 0 <= height <= self.tip.height:
            return None
        return blocks.block_hash(self._journal.block(height).header)

    def read(self, first: int, room: int) -> tuple[bytes, ...]:
        """Blobs from height `first` on, as many as fit into `room` bytes and one request."""
        return tuple(self._fitting(first, room))

    def close(self) -> None:
        """Let go of the journal."""
        self._journal.close()

    def _fitting(self, first: int, room: int) -> Iterator[bytes]:
        for _, blob in self._journal.read(first, MAX_BLOCKS):
            room -= len(blob) + _BLOB_OVERHEAD
            if room < 0:
                return
            yield blob

    def _take(self, blob: bytes, fresh: list[Block], now_ms: int) -> None:
        if self.failed is not None:
            raise RefusedError(RefusalCode.STORAGE, f"stopped after a failed write: {self.failed.code}")
        try:
            block = blocks.decode(blob)
        except JournalError as exc:
            raise RefusedError(RefusalCode.BLOCK_INVALID, exc.message) from exc
        height, due = block.header.height, self._replica.height + 1
        if height > due:
            raise RefusedError(RefusalCode.BLOCKS_MISSING, f"block {due} is due, and {height} came")
        if height < due:
            self._keep(fresh)
            known = blocks.block_hash(self._journal.block(height).header)
            if blocks.block_hash(block.header) != known:
                raise RefusedError(RefusalCode.DIVERGENCE, f"block {height} is {known} in the signer's history")
            return
        if height == 0 and self._pinned not in (None, blocks.block_hash(block.header)):
            raise RefusedError(RefusalCode.OTHER_LEDGER, f"the signer serves the ledger {self._pinned}")
        if block.header.time - now_ms > CLOCK_MARGIN_MS:
            raise RefusedError(
                RefusalCode.CLOCK_AHEAD, f"block {height} lies {block.header.time - now_ms} ms past the signer's clock"
            )
        executed = self._executed(block)
        try:
            self._witness(self._replica.state, executed)
        except BaseException as exc:
            self.failed = JournalError(
                JournalCode.WRITE_FAILED, f"what follows from block {height} was not kept: {exc}"
            )
            raise
        fresh.append(block)

    def _executed(self, block: Block) -> Executed:
        try:
            return self._replica.execute(block)
        except Divergence as exc:
            self._spent = True
            raise RefusedError(RefusalCode.DIVERGENCE, f"block {exc.height}: {exc.message}") from exc
        except JournalError as exc:
            code = RefusalCode.DIVERGENCE if exc.code in _DIVERGED else RefusalCode.BLOCK_INVALID
            raise RefusedError(code, exc.message) from exc

    def _keep(self, fresh: list[Block]) -> None:
        """Make executed blocks durable, all in one commit."""
        if not fresh:
            return
        try:
            self._journal.append(fresh)
        except JournalError as exc:
            self.failed = exc
            raise RefusedError(RefusalCode.STORAGE, f"the signer's journal could not be written: {exc.code}") from exc
        fresh.clear()


def _replayed(journal: Journal, witness: Witness) -> Replica:
    replica = Replica(check_signatures=True)
    for block, _ in journal.replay():
        executed = replica.execute(block)
        witness(replica.state, executed)
    return replica


def _nobody(_state: State, _executed: Executed) -> None:
    """For a replay of what was witnessed before."""
