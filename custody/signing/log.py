"""Everything the signer has ever signed, kept by and for itself: written and synced before the bytes leave the process.

A small SQLite database and not an appended file, because one signing is several facts that must be durable together
(the bytes, the purposes they serve, the nonce they use, the envelope that carries them), and each of them is asked for
by key. It keeps a rollback journal with `synchronous = EXTRA` and no write-ahead log: a damaged write-ahead log is cut
without a word, and a log that forgot its last entry could sign a second message for a purpose. Here a committed row is
in the main file; each row carries a CRC-32, places count without a gap, and all of it is checked on opening. Tens of
commits a second are far above what payments need.

Issued envelopes are remembered as well. A sequence number is spent when an envelope is issued, not when the ledger has
it, so a restart can't give the same number to something else; and the same question gets the same envelope.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec

from custody.envelope.envelopes import Envelope
from custody.envelope.privatefile import sync_directory
from custody.signing.permit import Knowledge
from custody.signing.protocol import Entry

APPLICATION_ID = 0x43555347  # "CUSG", shown by file(1)
FORMAT = 1
BUSY_MILLISECONDS = 5000
"""How long to wait for another process' short lock, such as a backup's."""

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE signed (place INTEGER PRIMARY KEY, attempt TEXT NOT NULL UNIQUE, entry BLOB NOT NULL,
                     crc INTEGER NOT NULL) STRICT;
CREATE TABLE purposes (withdrawal TEXT NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (withdrawal, place)) STRICT;
CREATE TABLE nonces (chain TEXT NOT NULL, sender TEXT NOT NULL, nonce INTEGER NOT NULL, place INTEGER NOT NULL,
                     PRIMARY KEY (chain, sender, nonce, place)) STRICT;
CREATE TABLE issued (place INTEGER PRIMARY KEY, subject TEXT NOT NULL, seq INTEGER NOT NULL, envelope BLOB NOT NULL,
                     crc INTEGER NOT NULL) STRICT;
CREATE INDEX issued_subject ON issued (subject, place);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
COMMIT;
"""

_entries = msgspec.msgpack.Decoder(Entry)
_envelopes = msgspec.msgpack.Decoder(Envelope)
_packer = msgspec.msgpack.Encoder()


class LogError(Exception):
    """The log can't be read or written. Nothing may be signed then: what it has signed is not known for certain."""


class Issued(msgspec.Struct, frozen=True, kw_only=True):
    """An envelope that may have left the process, and the sequence number it spent."""

    seq: int
    envelope: Envelope


class SignerLog:
    """One process writes it (the lock of the signer's journal sees to that), one thread at a time."""

    __slots__ = ("_connection", "_count", "_path", "failed")

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        """Use `open`."""
        self._path = path
        self._connection = connection
        self._count = 0
        self.failed: LogError | None = None
        """Why nothing more is written, once a write failed: what became of it is unknown until it is opened anew."""

    @classmethod
    def create(cls, path: Path) -> None:
        """Make an empty log; it appears whole or not at all, and never in the place of another. Raises `LogError`."""
        draft = path.with_name(f".{path.name}.draft")
        with _mapped(path):
            draft.unlink(missing_ok=True)
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
            connection = _connect(draft)
            try:
                connection.execute(_SCHEMA).fetchall()
            finally:
                connection.close()
            # A hard link, unlike a rename, fails if the name is taken.
            os.link(draft, path)
            draft.unlink()
            sync_directory(path.parent)

    @classmethod
    def open(cls, path: Path) -> SignerLog:
        """Open the log and check every row. Raises `LogError`."""
        with _mapped(path):
            connection = _connect(path)
            try:
                log = cls(path, connection)
                log._check()
            except BaseException:
                connection.close()
                raise
        return log

    def __len__(self) -> int:
        """How many messages were signed; from memory, so that any thread may ask."""
        return self._count

    def knowledge(
        self, attempt: str, lane: tuple[str, str, int | None] | None, withdrawals: tuple[str, ...]
    ) -> Knowledge:
        """What `permit` must know of an attempt with this (chain, sender, nonce) and these withdrawals. Raises
        `LogError`."""
        with _mapped(self._path):
            at_nonce: tuple[Entry, ...] = ()
            if lane is not None and lane[2] is not None:
                query = "SELECT place FROM nonces WHERE (chain, sender, nonce) = (?, ?, ?) ORDER BY place"
                at_nonce = self._entries(query, lane)
            query = "SELECT place FROM purposes WHERE withdrawal = ? ORDER BY place"
            for_purposes = tuple((name, entry) for name in withdrawals for entry in self._entries(query, (name,)))
            return Knowledge(own=self._find(attempt), for_purposes=for_purposes, at_nonce=at_nonce)

    def entry(self, attempt: str) -> Entry | None:
        """What was signed for an attempt. Raises `LogError`."""
        with _mapped(self._path):
            return self._find(attempt)

    def page(self, after: int, limit: int) -> tuple[Entry, ...]:
        """Up to `limit` entries behind a place, in order. Raises `LogError`."""
        with _mapped(self._path):
            return self._entries("SELECT place FROM signed WHERE place > ? ORDER BY place LIMIT ?", (after, limit))

    def issued(self, subject: str) -> Issued | None:
        """The latest envelope issued for a subject. Raises `LogError`."""
        with _mapped(self._path):
            row = self._connection.execute(
                "SELECT seq, envelope, crc FROM issued WHERE subject = ? ORDER BY place DESC LIMIT 1", (subject,)
            ).fetchone()
            if row is None:
                return None
            return Issued(seq=int(row[0]), envelope=_envelopes.decode(_sound(row[1], row[2])))

    def last_sequence(self) -> int:
        """The number spent last, −1 before the first. Raises `LogError`."""
        with _mapped(self._path):
            row = self._connection.execute("SELECT seq FROM issued ORDER BY place DESC LIMIT 1").fetchone()
            return -1 if row is None else int(row[0])

    def remember(self, subject: str, issued: Issued, entry: Entry | None = None) -> None:
        """Keep an envelope, with what was signed if something was, in one durable commit. Returns only when synced.

        `entry.place` is ignored and given here. Raises `LogError`, which latches: every later write raises it again.
        """
        if self.failed is not None:
            raise self.failed
        try:
            with _mapped(self._path), self._commit():
                if entry is not None:
                    self._insert(entry)
                blob = _packer.encode(issued.envelope)
                row = (subject, issued.seq, blob, zlib.crc32(blob))
                self._connection.execute("INSERT INTO issued (subject, seq, envelope, crc) VALUES (?, ?, ?, ?)", row)
        except LogError as exc:
            self.failed = exc
            raise

    def adopt(self, entry: Entry) -> None:
        """Take over what the ledger proves to have been signed with our key. Raises `LogError`, as `remember`."""
        if self.failed is not None:
            raise self.failed
        try:
            with _mapped(self._path), self._commit():
                self._insert(entry)
        except LogError as exc:
            self.failed = exc
            raise

    def close(self) -> None:
        """Let go of the file. Every write was durable by itself."""
        self._connection.close()

    @contextmanager
    def _commit(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._connection.execute("COMMIT")
            self._count = self._one("SELECT count(*) FROM signed")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise

    def _insert(self, entry: Entry) -> None:
        place = self._count + 1
        blob = _packer.encode(msgspec.structs.replace(entry, place=place))
        self._connection.execute(
            "INSERT INTO signed (place, attempt, entry, crc) VALUES (?, ?, ?, ?)",
            (place, entry.attempt, blob, zlib.crc32(blob)),
        )
        for purpose in entry.purposes:
            if purpose.kind == "withdrawal":
                self._connection.execute("INSERT INTO purposes VALUES (?, ?)", (purpose.id, place))
        if entry.nonce is not None:
            row = (entry.chain, entry.sender, entry.nonce, place)
            self._connection.execute("INSERT INTO nonces VALUES (?, ?, ?, ?)", row)

    def _find(self, attempt: str) -> Entry | None:
        row = self._connection.execute("SELECT place FROM signed WHERE attempt = ?", (attempt,)).fetchone()
        return None if row is None else self._entry(row[0])

    def _entries(self, query: str, values: tuple[str | int | None, ...]) -> tuple[Entry, ...]:
        return tuple(self._entry(row[0]) for row in self._connection.execute(query, values).fetchall())

    def _entry(self, place: object) -> Entry:
        assert isinstance(place, int), "the schema says so"
        row = self._connection.execute("SELECT entry, crc FROM signed WHERE place = ?", (place,)).fetchone()
        if row is None:
            raise LogError(f"{self._path}: entry {place} is missing")
        entry = _entries.decode(_sound(*row))
        if entry.place != place:
            raise LogError(f"{self._path}: entry {entry.place} stands in the place of {place}")
        return entry

    def _one(self, query: str) -> int:
        return int(next(iter(self._connection.execute(query)))[0])

    def _check(self) -> None:
        marks = (self._one("PRAGMA application_id"), self._one("PRAGMA user_version"))
        if marks != (APPLICATION_ID, FORMAT):
            raise LogError(f"{self._path} does not carry the marks of a signer's log of format {FORMAT}")
        verdict = next(iter(self._connection.execute("PRAGMA integrity_check(1)")))[0]
        if verdict != "ok":
            raise LogError(f"{self._path} is damaged: {verdict}")
        self._count = self._one("SELECT count(*) FROM signed")
        for place in range(1, self._count + 1):
            entry = self._entry(place)
            purposes = tuple(purpose.id for purpose in entry.purposes if purpose.kind == "withdrawal")
            known = self.knowledge(entry.attempt, (entry.chain, entry.sender, entry.nonce), purposes)
            listed = [found.place for _, found in known.for_purposes].count(place) == len(purposes)
            if known.own != entry or not listed or (entry.nonce is not None and entry not in known.at_nonce):
                raise LogError(f"{self._path}: entry {place} can't be found by what it was signed for")


def _connect(path: Path) -> apsw.Connection:
    connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    for pragma in ("journal_mode = delete", "synchronous = extra", "trusted_schema = off"):
        connection.execute(f"PRAGMA {pragma}").fetchall()
    return connection


def _sound(blob: object, crc: object) -> bytes:
    if not isinstance(blob, bytes) or zlib.crc32(blob) != crc:
        raise LogError("a row of the signer's log does not match its checksum")
    return blob


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except (apsw.Error, OSError, msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise LogError(f"{path}: {exc}") from exc
