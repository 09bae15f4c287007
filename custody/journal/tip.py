"""The tip file: what the journal must contain, remembered apart from it.

SQLite recovers from a damaged write-ahead log by dropping its tail without a word, and a restored copy looks as sound
as the original. So height and hash of the last block are kept here as well, synced after the journal's commit and
before anything is acknowledged. A journal without the tip's block has lost something, or was put back.

The file is four records in two slots, each record in a page of its own. Writes alternate between the slots, so a write
that a power cut tears leaves the other slot, synced earlier, intact; and every slot holds its record twice, so a record
that decays alone weakens nothing. A record is: magic (8), height (8, signed; -1 when there is no block yet), block hash
(32), genesis hash (32), CRC-32 of all that (4); integers are big-endian.
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import msgspec

from custody.envelope.privatefile import PrivateFileCode, PrivateFileError, create_private
from custody.journal.chain import Link
from custody.journal.errors import JournalCode, JournalError

MAGIC = b"CUSTTIP1"
SPACING = 4096
COPIES = 2
SLOTS = 2
FILE_BYTES = SPACING * COPIES * SLOTS
_RECORD = struct.Struct(">8sq32s32s")
_CHECK = struct.Struct(">I")


class Tip(msgspec.Struct, frozen=True, kw_only=True):
    """What was acknowledged last. `height` is -1 and the hashes are empty before block 0."""

    height: int
    hash: str
    ledger: str


NO_TIP = Tip(height=-1, hash="", ledger="")


def tip_path(journal: Path) -> Path:
    """The tip file of a journal: beside it."""
    return journal.with_name(journal.name + ".tip")


def tip_of(link: Link | None) -> Tip:
    """The tip that a journal ending in `link` has."""
    return NO_TIP if link is None else Tip(height=link.height, hash=link.hash, ledger=link.ledger)


def read_tip(path: Path) -> Tip:
    """The newest tip in the file. Raises `JournalError`: `journal_tip_missing`, `journal_tip_damaged`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError as exc:
        raise JournalError(
            JournalCode.TIP_MISSING,
            f"{path} is missing, so nobody can tell whether the journal is complete; put it back beside the journal, "
            "or accept the journal as it is, if you know that nothing is lost",
        ) from exc
    except OSError as exc:
        raise JournalError(JournalCode.UNREADABLE, f"{path}: {exc.strerror}") from exc
    tips = [tip for place in range(0, FILE_BYTES, SPACING) if (tip := _unpack(content[place : place + SPACING]))]
    if len(content) != FILE_BYTES or not tips:
        raise JournalError(
            JournalCode.TIP_DAMAGED,
            f"{path} holds no sound record; verify the journal, compare its tip with the signer's, and accept it",
        )
    return max(tips, key=lambda tip: tip.height)


def create_tip(path: Path, tip: Tip) -> None:
    """A new tip file, durably. Raises `JournalError` (`journal_exists`, `journal_write_failed`)."""
    try:
        create_private(path, _page(tip) * (COPIES * SLOTS))
    except PrivateFileError as exc:
        code = JournalCode.EXISTS if exc.code is PrivateFileCode.EXISTS else JournalCode.WRITE_FAILED
        raise JournalError(code, exc.message) from exc


class TipFile:
    """The open tip file of the one writer."""

    __slots__ = ("_descriptor", "_slot")

    def __init__(self, path: Path) -> None:
        """Open an existing file that `read_tip` has found sound, and heal a torn slot. Raises `OSError`."""
        newest = read_tip(path)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._slot = 0
        # First the slot that does not hold the newest record: until it is synced, the other must not be touched.
        content = os.pread(self._descriptor, FILE_BYTES, 0)
        for slot in range(SLOTS):
            start = slot * COPIES * SPACING
            if all(_unpack(content[start + copy * SPACING :][:SPACING]) != newest for copy in range(COPIES)):
                self._slot = slot
        for _ in range(SLOTS):
            self.write(newest)

    def write(self, tip: Tip) -> None:
        """Remember `tip`, durably. Raises `OSError`, after which the file may hold the old tip or the new one."""
        pages = _page(tip) * COPIES
        written = os.pwrite(self._descriptor, pages, self._slot * len(pages))
        if written != len(pages):
            raise OSError(f"only {written} of {len(pages)} bytes of the tip were written")
        os.fdatasync(self._descriptor)
        self._slot = (self._slot + 1) % SLOTS

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._descriptor)


def _page(tip: Tip) -> bytes:
    record = _RECORD.pack(MAGIC, tip.height, bytes.fromhex(tip.hash), bytes.fromhex(tip.ledger))
    return (record + _CHECK.pack(zlib.crc32(record))).ljust(SPACING, b"\0")


def _unpack(page: bytes) -> Tip | None:
    if len(page) != SPACING:
        return None
    record, rest = page[: _RECORD.size], page[_RECORD.size :]
    if rest[: _CHECK.size] != _CHECK.pack(zlib.crc32(record)):
        return None
    magic, height, hash_, ledger = _RECORD.unpack(record)
    if magic != MAGIC or height < NO_TIP.height:
        return None
    return NO_TIP if height == NO_TIP.height else Tip(height=height, hash=hash_.hex(), ledger=ledger.hex())
