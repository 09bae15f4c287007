"""Reading a journal without a right to write: beside a running daemon, or from a copy on an auditor's table."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import apsw

from custody.journal import block as blocks
from custody.journal import storage
from custody.journal.block import Block
from custody.journal.chain import Link, verify_chain
from custody.journal.errors import JournalCode, JournalError
from custody.journal.tip import Tip, read_tip, tip_path


class JournalReader:
    """A read-only view. Threads may share it; each look takes one row, so no long read holds the log's checkpoint."""

    __slots__ = ("_connection", "_lock", "path", "remembered")

    def __init__(self, path: Path, connection: apsw.Connection, remembered: Tip | None) -> None:
        self.path = path
        self.remembered = remembered
        """What the tip file said when this was opened; None when there was no tip file to ask."""
        self._connection = connection
        self._lock = threading.Lock()

    @classmethod
    def open(cls, path: Path) -> JournalReader:
        """Open a journal, live or copied, and hold it against the tip file if there is one beside it.

        Without one (`remembered` is None) nobody can tell whether blocks are missing behind the last; say so to people.
        Raises `JournalError`: `journal_missing`, `journal_damaged`, `journal_unreadable`, `journal_missing_block`,
        `journal_behind_tip`, `journal_tip_damaged`.
        """
        # The tip first: the journal only grows, so it can't be behind a tip read earlier.
        place = tip_path(path)
        remembered = read_tip(place) if place.exists() else None
        reader = cls(path, storage.open_reader(path), remembered)
        try:
            if remembered is not None:
                reader.require_tip(remembered)
        except BaseException:
            reader.close()
            raise
        return reader

    def height(self) -> int:
        """The height of the last block now, -1 when there is none."""
        with self._lock, storage.reading(self.path):
            extent = storage.read_extent(self._connection)
        if extent is None:
            return -1
        if extent[0] != 0:
            raise JournalError(JournalCode.MISSING_BLOCK, f"{self.path} begins at block {extent[0]}, not at block 0")
        return extent[1]

    def blob(self, height: int) -> bytes:
        """The bytes of one block that must be there. Raises `JournalError` (`journal_missing_block`, …)."""
        with self._lock, storage.reading(self.path):
            found = storage.read_row(self._connection, height)
        if found is None:
            raise JournalError(JournalCode.MISSING_BLOCK, f"{self.path} has no block {height}; restore it from a copy")
        return found

    def read(self, first: int, last: int) -> Iterator[tuple[int, bytes]]:
        """Blobs of the heights `first` … `last`, in order, none left out."""
        for height in range(first, last + 1):
            yield height, self.blob(height)

    def block(self, height: int) -> Block:
        """One block, decoded, that must be the one of this height."""
        found = blocks.decode(self.blob(height))
        if found.header.height != height:
            raise JournalError(JournalCode.DAMAGED, f"block {found.header.height} stands in the place of {height}")
        return found

    def link(self, height: int) -> Link:
        """The link that the block at `height` states, unverified but for the block's own digests."""
        header = self.block(height).header
        hash_ = blocks.block_hash(header)
        return Link(height=height, hash=hash_, ledger=header.ledger or hash_, epoch=header.epoch, time=header.time)

    def verify(self, last: int, after: Link | None = None) -> Iterator[tuple[Block, Link]]:
        """Every block up to `last`, streaming, each once it is known to follow; from block 0 or a trusted link."""
        first = 0 if after is None else after.height + 1
        return verify_chain((self.block(height) for height in range(first, last + 1)), after)

    def require_tip(self, tip: Tip) -> None:
        """Insist that the journal contains a remembered block. Raises `JournalError` (`journal_behind_tip`, …)."""
        height = self.height()
        if height < tip.height:
            raise JournalError(
                JournalCode.BEHIND_TIP,
                f"{self.path} ends at block {height}, but block {tip.height} was acknowledged: it was restored from an "
                "older copy, or has lost its end. Keep these files, bring back the newest copy, or accept this one and "
                "let the signer's log show what was paid since",
            )
        if tip.height >= 0 and (found := self.link(tip.height)).hash != tip.hash:
            raise JournalError(
                JournalCode.BEHIND_TIP,
                f"{self.path} holds {found.hash} as block {tip.height}, but {tip.hash} was acknowledged: it is another "
                "history. Bring back the right copy",
            )

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
