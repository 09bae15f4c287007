"""The journal's one writer: what `append` returned for is durable, and nothing less is ever served.

An append is one SQLite commit, synced (see `storage`), then the tip file, synced (see `tip`); only then does it return
and only then do readers of this object see the blocks. A crash in between leaves blocks behind the tip that nobody was
told of; they are sound, and the next opening takes them over. Any failure to write latches: after a failed sync nobody
knows what the disk holds, so the only honest way on is to stop, look, and open again.
"""

from __future__ import annotations

import fcntl
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import apsw

from custody.journal import block as blocks
from custody.journal import storage
from custody.journal.block import Block
from custody.journal.chain import Link, extend
from custody.journal.errors import JournalCode, JournalError
from custody.journal.reader import JournalReader
from custody.journal.tip import NO_TIP, TipFile, create_tip, read_tip, tip_of, tip_path


class Journal:
    """An open journal with the right to append. One process has it, and one thread at a time may append.

    `append` blocks for two syncs: call it on a worker thread. `read` may be called from any thread.
    """

    __slots__ = ("_checked", "_connection", "_lock", "_reader", "_tip", "_tip_file", "failed", "path")

    def __init__(
        self, path: Path, lock: int, reader: JournalReader, connection: apsw.Connection, tip_file: TipFile
    ) -> None:
        """Use `open`."""
        self.path = path
        self.failed: JournalError | None = None
        """Why this journal takes no more blocks, once it does not."""
        self._lock = lock
        self._reader = reader
        self._connection = connection
        self._tip_file = tip_file
        height = reader.height()
        self._tip = reader.link(height) if height >= 0 else None
        self._checked = self._tip is None

    @classmethod
    def open(
        cls, path: Path, *, create: bool = False, ledger: str | None = None, max_bytes: int | None = None
    ) -> Journal:
        """Take the lock and open, or with `create` make, a journal. `replay` must be run through before appending.

        `create` is for the first start alone: it refuses a journal that has blocks. `ledger` is the genesis hash that
        must be found; `max_bytes` bounds the size of the main file. Raises `JournalError`: `journal_locked`,
        `journal_missing`, `journal_exists`, `journal_other_ledger`, `journal_behind_tip`, `journal_tip_missing`,
        `journal_tip_damaged`, `journal_damaged`, `journal_missing_block`, `journal_unreadable`, `journal_full`,
        `journal_write_failed`, `sqlite_too_old`. A refused journal's files are left as they were found.
        """
        with ExitStack() as held:
            lock = _take_lock(path)
            held.callback(os.close, lock)
            if create:
                _create(path)
            elif not path.exists():
                _refuse_missing(path)
            read_tip(tip_path(path))
            reader = JournalReader.open(path)
            held.callback(reader.close)
            _require_ledger(reader, ledger)
            with storage.writing(path):
                tip_file = TipFile(tip_path(path))
            held.callback(tip_file.close)
            connection = storage.open_writer(path, max_bytes)
            held.callback(connection.close)
            journal = cls(path, lock, reader, connection, tip_file)
            held.pop_all()
        return journal

    @property
    def tip(self) -> Link | None:
        """The last block, None before block 0. Everything up to it is durable."""
        return self._tip

    def replay(self, after: Link | None = None) -> Iterator[tuple[Block, Link]]:
        """Every block from block 0, or behind a trusted link, each once it is known to follow the one before.

        The opener re-executes them as they come. Only after the last one has been taken may `append` be called.
        Raises `JournalError` (`journal_damaged`, `journal_missing_block`, `journal_forked`, …).
        """
        link = after
        for block, link in self._reader.verify(self._height, after):
            yield block, link
        if link != self._tip:
            raise JournalError(JournalCode.FORKED, f"{self.path} does not lead from {after} to its own end")
        if self._reader.remembered != tip_of(self._tip):
            # Blocks of a commit that a crash cut off before its tip, perhaps before its sync: make both good first.
            self._latching(self._adopt)
        self._checked = True

    def append(self, new: Sequence[Block]) -> Link:
        """Make blocks that follow the tip durable in one commit, and return the new tip.

        Raises `JournalError`: a block that does not follow or is not well-formed changes nothing (`journal_forked`,
        `journal_block_invalid`, …); a failed write (`journal_full`, `journal_write_failed`) latches, and every later
        append raises it again. What became of the blocks is then unknown until the journal is opened anew.
        """
        if self.failed is not None:
            raise JournalError(self.failed.code, f"stopped after a failed write: {self.failed.message}")
        if not self._checked:
            raise AssertionError("replay the journal before appending to it")
        if not new:
            raise AssertionError("an append has at least one block")
        link = self._tip
        rows = []
        for block in new:
            link = extend(link, block.header)
            rows.append((link.height, blocks.encode(block)))

        def write() -> None:
            storage.insert_rows(self._connection, rows)
            self._tip_file.write(tip_of(link))

        self._latching(write)
        if link is None:
            raise AssertionError("appended blocks have a link")
        self._tip = link
        return link

    def read(self, first: int, limit: int) -> Iterator[tuple[int, bytes]]:
        """Up to `limit` (height, blob) from `first` on, none left out; ends early at the tip."""
        return self._reader.read(first, min(first + limit - 1, self._height))

    def block(self, height: int) -> Block:
        """One block at or below the tip."""
        if not 0 <= height <= self._height:
            raise JournalError(JournalCode.MISSING_BLOCK, f"block {height} is not written yet")
        return self._reader.block(height)

    def close(self) -> None:
        """Let go of files and lock. Every append was durable by itself; the log is folded into the main file, so that
        a copy of that file alone is complete, unless a write failed: then all stays as it is."""
        if self.failed is None and self._checked:
            with suppress(apsw.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        self._connection.close()
        self._reader.close()
        self._tip_file.close()
        os.close(self._lock)

    @property
    def _height(self) -> int:
        return -1 if self._tip is None else self._tip.height

    def _adopt(self) -> None:
        storage.sync_log(self.path)
        self._tip_file.write(tip_of(self._tip))

    def _latching(self, write: Callable[[], None]) -> None:
        try:
            with storage.writing(self.path):
                write()
        except JournalError as exc:
            self.failed = exc
            with suppress(apsw.Error):
                self._connection.execute("ROLLBACK")
            raise


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep every other process from opening the journal at `path`, for work on its files while nothing runs. Raises
    `JournalError` (`journal_locked`)."""
    lock = _take_lock(path)
    try:
        yield
    finally:
        os.close(lock)


def accept_journal(path: Path) -> Link | None:
    """Declare a journal without a matching tip file, such as a restored copy, to be the journal, and return its end.

    An operator's deliberate act while nothing runs: the whole chain is verified, then the old tip file, if any, is set
    aside as `<name>.tip.replaced-by-<height>` and a new one written. Raises `JournalError`.
    """
    lock = _take_lock(path)
    try:
        reader = JournalReader(path, storage.open_reader(path), None)
        try:
            checked = deque(reader.verify(reader.height()), maxlen=1)
        finally:
            reader.close()
        link = checked[-1][1] if checked else None
        place = tip_path(path)
        with storage.writing(path):
            if place.exists():
                place.rename(place.with_name(f"{place.name}.replaced-by-{-1 if link is None else link.height}"))
        create_tip(place, tip_of(link))
        return link
    finally:
        os.close(lock)


def _require_ledger(reader: JournalReader, ledger: str | None) -> None:
    if ledger is not None and reader.height() >= 0 and (found := reader.link(0).hash) != ledger:
        raise JournalError(JournalCode.OTHER_LEDGER, f"{reader.path} is the journal of {found}, not of {ledger}")


def _create(path: Path) -> None:
    place = tip_path(path)
    if place.exists() and read_tip(place) != NO_TIP:
        raise JournalError(JournalCode.EXISTS, f"{place} remembers a journal; a new one is not made over it")
    if path.exists() and path.stat().st_size > 0:
        reader = JournalReader(path, storage.open_reader(path), None)
        try:
            if reader.height() >= 0:
                raise JournalError(JournalCode.EXISTS, f"{path} has blocks; a new journal is not made over it")
        finally:
            reader.close()
    storage.create_database(path)
    if not place.exists():
        create_tip(place, NO_TIP)


def _refuse_missing(path: Path) -> None:
    place = tip_path(path)
    if place.exists() and (tip := read_tip(place)) != NO_TIP:
        raise JournalError(
            JournalCode.BEHIND_TIP, f"{path} is gone, but its block {tip.height} was acknowledged: bring it back"
        )
    raise JournalError(JournalCode.MISSING, f"there is no journal at {path}; the first start creates one")


def _take_lock(path: Path) -> int:
    """An exclusive lock that dies with the process, on a file of its own so that no database code can drop it."""
    place = path.with_name(path.name + ".lock")
    with storage.writing(path):
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        os.close(descriptor)
        raise JournalError(JournalCode.LOCKED, f"another process has {path} open for writing") from exc
    return descriptor
