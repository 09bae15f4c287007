"""The SQLite file below the journal: how it is opened, and what its errors mean to us.

One row a block: its height, its blob, and a CRC-32 of the blob, so that decay shows even in a seal, which the block's
own hashes leave out. The write-ahead log with `synchronous=FULL`: in this mode SQLite syncs the log at every commit,
which is what makes an acknowledgement true; `NORMAL` would sync only at checkpoints and could lose the last blocks in
a power cut.
"""

from __future__ import annotations

import errno
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

from custody.envelope.privatefile import sync_directory
from custody.journal.block import MAX_BLOB
from custody.journal.errors import JournalCode, JournalError

APPLICATION_ID = 0x43555354  # "CUST", shown by file(1)
FORMAT = 1
MINIMUM_SQLITE = (3, 51, 3)
"""Before it, a rare race could lose commits when the write-ahead log was restarted."""
BUSY_MILLISECONDS = 5000
"""How long to wait for another process' short lock: a reader that recovers the log, or a backup."""

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS blocks (height INTEGER PRIMARY KEY, blob BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {FORMAT};
COMMIT;
"""
_REFUSED_BY_THE_SYSTEM = (
    apsw.BusyError,
    apsw.CantOpenError,
    apsw.PermissionsError,
    apsw.ReadOnlyError,
    apsw.IOError,
    OSError,
)
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def require_sound_sqlite() -> None:
    """Refuse a SQLite library with the write-ahead log defect. Raises `JournalError` (`sqlite_too_old`)."""
    version = tuple(int(part) for part in apsw.sqlite_lib_version().split("."))
    if version < MINIMUM_SQLITE:
        raise JournalError(
            JournalCode.SQLITE_TOO_OLD,
            f"SQLite {apsw.sqlite_lib_version()} can lose commits; install apsw from its wheel, which brings its own",
        )


def create_database(path: Path) -> None:
    """An empty journal at `path`, mode 0600, or the rest of one whose creation was cut short."""
    require_sound_sqlite()
    with writing(path):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.execute("PRAGMA journal_mode = wal").fetchall()
            connection.execute("PRAGMA synchronous = full")
            connection.execute(_SCHEMA).fetchall()
        finally:
            connection.close()
        sync_directory(path.parent)


def open_writer(path: Path, max_bytes: int | None) -> apsw.Connection:
    """The writer's connection. `max_bytes` bounds the main file, rounded down to whole pages."""
    with writing(path):
        connection = apsw.Connection(os.fspath(path), flags=apsw.SQLITE_OPEN_READWRITE)
        _settle(connection)
        # What a refused journal's log holds is evidence: only a regular checkpoint may fold it in, never closing.
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.execute("PRAGMA journal_mode = wal").fetchall()
        connection.execute("PRAGMA synchronous = full")
        if max_bytes is not None:
            page = int(next(iter(connection.execute("PRAGMA page_size")))[0])
            connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page)}").fetchall()
        return connection


def open_reader(path: Path) -> apsw.Connection:
    """A connection that never writes to the journal, checked to be one of ours."""
    require_sound_sqlite()
    if not path.is_file():
        raise JournalError(JournalCode.MISSING, f"there is no journal at {path}")
    with reading(path):
        try:
            connection = _read_only(path, "mode=ro")
        except (apsw.CantOpenError, apsw.ReadOnlyError):
            # A directory where we may not write, so SQLite can't place its shared memory. Without a log it needs none:
            # the main file alone is the whole journal.
            log = path.with_name(path.name + "-wal")
            if log.exists() and log.stat().st_size > 0:
                raise
            connection = _read_only(path, "mode=ro&immutable=1")
    return connection


def _read_only(path: Path, mode: str) -> apsw.Connection:
    # The three characters that mean something in the path of a SQLite URI (sqlite.org/uri.html).
    place = os.fspath(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    connection = apsw.Connection(f"file:{place}?{mode}", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    try:
        _settle(connection)
        marks = (_pragma(connection, "application_id"), _pragma(connection, "user_version"))
    except BaseException:
        connection.close()
        raise
    if marks != (APPLICATION_ID, FORMAT):
        connection.close()
        raise JournalError(JournalCode.DAMAGED, f"{path} does not carry the marks of a journal of format {FORMAT}")
    return connection


def read_row(connection: apsw.Connection, height: int) -> bytes | None:
    """The blob of one block, None where there is no such row. Call within `reading`."""
    row = connection.execute("SELECT blob, crc FROM blocks WHERE height = ?", (height,)).fetchone()
    if row is None:
        return None
    blob, crc = row
    if not isinstance(blob, bytes) or zlib.crc32(blob) != crc:
        raise JournalError(JournalCode.DAMAGED, f"block {height}: the bytes do not match their checksum")
    return blob


def read_extent(connection: apsw.Connection) -> tuple[int, int] | None:
    """Lowest and highest height, None when there are no blocks. Call within `reading`."""
    low = connection.execute("SELECT height FROM blocks ORDER BY height ASC LIMIT 1").fetchone()
    high = connection.execute("SELECT height FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
    if low is None or high is None:
        return None
    return int(low[0]), int(high[0])


def insert_rows(connection: apsw.Connection, rows: list[tuple[int, bytes]]) -> None:
    """All blocks in one durable commit, or none. Call within `writing`."""
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany(
        "INSERT INTO blocks (height, blob, crc) VALUES (?, ?, ?)",
        ((height, blob, zlib.crc32(blob)) for height, blob in rows),
    )
    connection.execute("COMMIT")


def sync_log(path: Path) -> None:
    """Sync the write-ahead log as it is: a killed writer's last commit may be visible without having been synced.

    (Only the log may be opened beside SQLite: closing a second descriptor of the main file would drop its locks.)
    """
    log = path.with_name(path.name + "-wal")
    if log.exists():
        descriptor = os.open(log, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say while we read into `journal_damaged` or `journal_unreadable`."""
    try:
        yield
    except _REFUSED_BY_THE_SYSTEM as exc:
        raise JournalError(JournalCode.UNREADABLE, f"{path}: {exc}") from exc
    except (apsw.Error, UnicodeDecodeError, MemoryError) as exc:
        raise JournalError(JournalCode.DAMAGED, f"{path}: {exc}") from exc


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn what SQLite and the system say while we write into `journal_full` or `journal_write_failed`."""
    try:
        yield
    except apsw.FullError as exc:
        raise JournalError(JournalCode.FULL, f"{path}: {exc}") from exc
    except OSError as exc:
        code = JournalCode.FULL if exc.errno in _NO_SPACE else JournalCode.WRITE_FAILED
        raise JournalError(code, f"{path}: {exc}") from exc
    except apsw.Error as exc:
        raise JournalError(JournalCode.WRITE_FAILED, f"{path}: {exc}") from exc


def _settle(connection: apsw.Connection) -> None:
    connection.set_busy_timeout(BUSY_MILLISECONDS)
    # A damaged length must not make us allocate what it says.
    connection.limit(apsw.SQLITE_LIMIT_LENGTH, MAX_BLOB + 4096)
    connection.execute("PRAGMA trusted_schema = off")
    connection.execute("PRAGMA cell_size_check = on")


def _pragma(connection: apsw.Connection, name: str) -> object:
    row = connection.execute(f"PRAGMA {name}").fetchone()
    return None if row is None else row[0]
