"""The journal on a real disk: what was acknowledged is there, and what is not there is never passed over."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from custody.journal.block import Block, decode, encode
from custody.journal.chain import Link, verify_chain
from custody.journal.errors import JournalCode, JournalError
from custody.journal.journal import Journal, accept_journal
from custody.journal.reader import JournalReader
from custody.journal.tip import FILE_BYTES, NO_TIP, SLOTS, Tip, create_tip, read_tip, tip_path
from tests.custody.journal.blockmaking import make_block, make_chain

PARTS = ("", "-wal", "-shm", ".tip")


def refused(act: Callable[[], object]) -> JournalCode:
    with pytest.raises(JournalError) as error:
        act()
    return error.value.code


def opened(path: Path) -> Journal:
    """Opened and replayed, as the sequencer does it."""
    journal = Journal.open(path)
    try:
        for _ in journal.replay():
            pass
    except BaseException:
        journal.close()
        raise
    return journal


def written(path: Path, count: int = 12, *, size: int = 1500, fold_after: int | None = None) -> list[Block]:
    """A journal of `count` commits as a crash leaves it; the log was folded into the main file once, if at all."""
    live = path.with_name("live")
    live.mkdir()
    journal = Journal.open(live / path.name, create=True)
    chain = make_chain(count, size=size)
    for height, block in enumerate(chain):
        journal.append([block])
        if fold_after == height + 1:
            journal.close()
            journal = opened(live / path.name)
    for suffix in PARTS:
        if (source := live / f"{path.name}{suffix}").exists():
            shutil.copy(source, part(path, suffix))
    journal.close()
    return chain


def part(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


class JournalMachine(RuleBasedStateMachine):
    """Appends in groups, looks, crashes and comes back; the model is a list."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.model: list[bytes] = []
        self.generation = 0
        self.directory = Path(tempfile.mkdtemp(dir=root))
        self.path = self.directory / "journal"
        self.journal = Journal.open(self.path, create=True)

    @rule(count=st.integers(1, 5), transactions=st.integers(0, 3), size=st.sampled_from([1, 5000]))
    def append(self, count: int, transactions: int, size: int) -> None:
        chain = make_chain(count, self.journal.tip, transactions=transactions, size=size)
        link = self.journal.append(chain)
        self.model += [encode(block) for block in chain]
        assert link == self.journal.tip

    @rule(first=st.integers(0, 30), limit=st.integers(0, 10))
    def read(self, first: int, limit: int) -> None:
        expected = list(enumerate(self.model))[first : first + limit]
        assert list(self.journal.read(first, limit)) == expected

    @rule()
    def append_what_does_not_follow(self) -> None:
        for wrong in (make_chain(2, self.journal.tip)[1:], make_chain(3, self.journal.tip)[::2]):
            assert refused(lambda wrong=wrong: self.journal.append(wrong)) is JournalCode.MISSING_BLOCK  # type: ignore[misc] # mypy does not infer a lambda's default

    @rule()
    def close_and_open(self) -> None:
        self.journal.close()
        self.journal = opened(self.path)

    @rule()
    def crash_and_open(self) -> None:
        """What another process would find if this one died now: the files as they stand."""
        self.generation += 1
        place = self.directory / str(self.generation)
        place.mkdir()
        for suffix in PARTS:
            if part(self.path, suffix).exists():
                shutil.copy(part(self.path, suffix), place / f"journal{suffix}")
        self.journal.close()
        self.path = place / "journal"
        self.journal = opened(self.path)

    @precondition(lambda self: self.model)
    @rule()
    def verify_beside_the_writer(self) -> None:
        reader = JournalReader.open(self.path)
        links = [link for _, link in reader.verify(reader.height())]
        reader.close()
        assert links[-1] == self.journal.tip
        assert len(links) == len(self.model)

    @invariant()
    def the_tip_is_the_last_block_everywhere(self) -> None:
        tip = self.journal.tip
        assert (-1 if tip is None else tip.height) == len(self.model) - 1
        remembered = read_tip(tip_path(self.path))
        assert (remembered.height, remembered.hash) == ((-1, "") if tip is None else (tip.height, tip.hash))

    def teardown(self) -> None:
        self.journal.close()


def test_journal_machine(tmp_path: Path) -> None:
    class Machine(JournalMachine):
        def __init__(self) -> None:
            super().__init__(tmp_path)

    run_state_machine_as_test(Machine, settings=settings(max_examples=15, stateful_step_count=12, deadline=None))


def test_what_a_reader_gets_is_a_chain(tmp_path: Path) -> None:
    chain = written(tmp_path / "journal")
    journal = opened(tmp_path / "journal")
    assert [decode(blob) for _, blob in journal.read(0, 100)] == chain
    links = [link for _, link in verify_chain(decode(blob) for _, blob in journal.read(0, 100))]
    assert links[-1] == journal.tip
    assert [block for block, _ in journal.replay(links[5])] == chain[6:]
    assert journal.block(3) == chain[3]
    assert refused(lambda: journal.block(12)) is JournalCode.MISSING_BLOCK
    assert refused(lambda: journal.block(-1)) is JournalCode.MISSING_BLOCK
    fork = msgspec.structs.replace(links[5], hash="00" * 32)
    assert refused(lambda: list(journal.replay(fork))) is JournalCode.FORKED
    journal.close()


def test_a_journal_must_be_replayed_before_it_is_appended_to(tmp_path: Path) -> None:
    written(tmp_path / "journal", 3)
    journal = Journal.open(tmp_path / "journal")
    for _ in range(2):
        with pytest.raises(AssertionError):
            journal.append(make_chain(1, journal.tip))
        next(journal.replay())
    assert [link.height for _, link in journal.replay()] == [0, 1, 2]
    journal.append(make_chain(1, journal.tip))
    with pytest.raises(AssertionError):
        journal.append([])
    journal.close()


def test_a_closed_journal_is_complete_in_its_main_file(tmp_path: Path) -> None:
    written(tmp_path / "journal")
    opened(tmp_path / "journal").close()
    (tmp_path / "copy").mkdir()
    shutil.copy(tmp_path / "journal", tmp_path / "copy" / "journal")
    reader = JournalReader.open(tmp_path / "copy" / "journal")
    assert reader.remembered is None
    assert len(list(reader.verify(reader.height()))) == 12
    reader.close()


@pytest.mark.parametrize("name", ["a b", "a?mode=rwc", "a#b", "a%41b", "é"])
def test_any_path_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / name / "journal"
    path.parent.mkdir()
    journal = Journal.open(path, create=True)
    journal.append(make_chain(2))
    reader = JournalReader.open(path)
    assert reader.height() == 1
    reader.close()
    journal.close()
    assert os.listdir(tmp_path) == [name]


def test_every_file_is_private(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        journal = Journal.open(tmp_path / "journal", create=True)
        journal.append(make_chain(1))
    finally:
        os.umask(before)
    modes = {entry.name: entry.stat().st_mode & 0o777 for entry in tmp_path.iterdir()}
    assert modes == dict.fromkeys(["journal", "journal-wal", "journal-shm", "journal.tip", "journal.lock"], 0o600)
    journal.close()


# --- creating and opening -----------------------------------------------------------------------------------------


def test_creating_is_for_the_first_start_alone(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    assert refused(lambda: Journal.open(path)) is JournalCode.MISSING
    Journal.open(path, create=True).close()
    Journal.open(path, create=True).close()
    journal = Journal.open(path)
    journal.append(make_chain(1))
    journal.close()
    assert refused(lambda: Journal.open(path, create=True)) is JournalCode.EXISTS
    path.unlink()
    assert refused(lambda: Journal.open(path, create=True)) is JournalCode.EXISTS
    assert refused(lambda: Journal.open(path)) is JournalCode.BEHIND_TIP
    tip_path(path).unlink()
    part(path, "-wal").unlink(missing_ok=True)
    part(path, "-shm").unlink(missing_ok=True)
    Journal.open(path, create=True).close()


def test_a_creation_that_was_cut_short_is_finished(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.touch(0o600)
    Journal.open(path, create=True).close()
    tip_path(path).unlink()
    assert refused(lambda: Journal.open(path)) is JournalCode.TIP_MISSING
    Journal.open(path, create=True).close()
    journal = Journal.open(path)
    journal.append(make_chain(1))
    journal.close()


def test_another_ledger_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path, 2)
    journal = Journal.open(path)
    tip = journal.tip
    assert tip is not None
    journal.close()
    Journal.open(path, ledger=tip.ledger).close()
    assert refused(lambda: Journal.open(path, ledger="00" * 32)) is JournalCode.OTHER_LEDGER


def test_there_is_one_writer(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal.open(path, create=True)
    assert refused(lambda: Journal.open(path)) is JournalCode.LOCKED
    assert refused(lambda: accept_journal(path)) is JournalCode.LOCKED
    other = subprocess.run(
        [sys.executable, "-c", f"from custody.journal.journal import *; Journal.open(Path({str(path)!r}))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "journal_locked" in other.stderr
    journal.close()
    Journal.open(path).close()


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    create_tip(tip_path(path), NO_TIP)
    connection = apsw.Connection(str(path))
    connection.execute("CREATE TABLE blocks (height INTEGER PRIMARY KEY, blob BLOB, crc INTEGER)")
    connection.close()
    assert refused(lambda: Journal.open(path)) is JournalCode.DAMAGED
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    assert refused(lambda: Journal.open(path)) is JournalCode.DAMAGED


# --- loss and decay -----------------------------------------------------------------------------------------------


def tampered(path: Path, sql: str) -> None:
    connection = apsw.Connection(str(path))
    connection.execute(sql).fetchall()
    connection.close()


@pytest.mark.parametrize("height", [0, 5, 11])
def test_a_missing_block_is_never_passed_over(tmp_path: Path, height: int) -> None:
    path = tmp_path / "journal"
    written(path)
    tampered(path, f"DELETE FROM blocks WHERE height = {height}")
    expected = JournalCode.BEHIND_TIP if height == 11 else JournalCode.MISSING_BLOCK
    assert refused(lambda: opened(path)) is expected
    reader = JournalReader(path, _connection(path), None)
    if height != 11:
        assert refused(lambda: list(reader.verify(reader.height()))) is JournalCode.MISSING_BLOCK
        assert refused(lambda: list(reader.read(0, 11))) is JournalCode.MISSING_BLOCK
    reader.close()


def _connection(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


def test_blocks_that_changed_places_are_seen(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)
    tampered(path, "UPDATE blocks SET height = -1 WHERE height = 4")
    tampered(path, "UPDATE blocks SET height = 4 WHERE height = 5")
    tampered(path, "UPDATE blocks SET height = 5 WHERE height = -1")
    assert refused(lambda: opened(path)) is JournalCode.DAMAGED


def test_a_block_of_another_history_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    chain = written(path)
    other = make_block(link_after(chain[:5]), (), time=chain[4].header.time + 7)
    connection = apsw.Connection(str(path))
    row = encode(other)
    connection.execute("UPDATE blocks SET blob = ?, crc = ? WHERE height = 5", (row, zlib.crc32(row)))
    connection.close()
    assert refused(lambda: opened(path)) is JournalCode.FORKED


def link_after(chain: list[Block]) -> Link:
    *_, (_, link) = verify_chain(chain)
    return link


def test_a_tip_ahead_of_the_journal_is_refused_and_nothing_is_touched(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    chain = written(path)
    link = link_after(chain)
    for wrong in (
        Tip(height=12, hash="11" * 32, ledger=link.ledger),
        Tip(height=11, hash="11" * 32, ledger=link.ledger),
    ):
        tip_path(path).unlink()
        create_tip(tip_path(path), wrong)
        before = files(path)
        assert refused(lambda: opened(path)) is JournalCode.BEHIND_TIP
        assert refused(lambda: JournalReader.open(path)) is JournalCode.BEHIND_TIP
        assert files(path) == before


def files(path: Path) -> dict[str, bytes]:
    """Everything that holds data. The shared memory is SQLite's own scratch, and an empty log says nothing."""
    found = {suffix: part(path, suffix) for suffix in ("", "-wal", ".tip")}
    return {suffix: file.read_bytes() for suffix, file in found.items() if file.exists() and file.stat().st_size}


def restore(path: Path, pristine: dict[str, bytes]) -> None:
    for suffix in ("", "-wal", "-shm", ".tip"):
        part(path, suffix).unlink(missing_ok=True)
    for suffix, content in pristine.items():
        part(path, suffix).write_bytes(content)


def test_blocks_behind_the_tip_were_never_acknowledged_and_are_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    chain = written(path)
    tip_path(path).unlink()
    link = link_after(chain[:10])
    create_tip(tip_path(path), Tip(height=link.height, hash=link.hash, ledger=link.ledger))
    journal = Journal.open(path)
    assert len(list(journal.replay())) == 12
    assert journal.tip == link_after(chain)
    assert read_tip(tip_path(path)).height == 11
    journal.append(make_chain(1, journal.tip))
    journal.close()


def test_a_missing_or_damaged_tip_file_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path, 3)
    good = tip_path(path).read_bytes()
    tip_path(path).write_bytes(bytes(len(good)))
    assert refused(lambda: Journal.open(path)) is JournalCode.TIP_DAMAGED
    assert refused(lambda: JournalReader.open(path)) is JournalCode.TIP_DAMAGED
    tip_path(path).unlink()
    assert refused(lambda: Journal.open(path)) is JournalCode.TIP_MISSING
    assert len(files(path)[""]) > 0


def test_an_operator_may_accept_a_restored_copy(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    chain = written(path)
    tampered(path, "DELETE FROM blocks WHERE height > 7")
    assert refused(lambda: opened(path)) is JournalCode.BEHIND_TIP
    assert accept_journal(path) == link_after(chain[:8])
    assert read_tip(part(path, ".tip.replaced-by-7")).height == 11
    journal = opened(path)
    assert journal.tip == link_after(chain[:8])
    journal.close()


def test_a_damaged_copy_is_not_accepted(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)
    tampered(path, "DELETE FROM blocks WHERE height = 4")
    before = files(path)
    assert refused(lambda: accept_journal(path)) is JournalCode.MISSING_BLOCK
    assert files(path) == before


def outcome(path: Path) -> list[bytes] | JournalCode:
    """All blocks, or the name under which the journal was refused: a third thing must not happen."""
    try:
        journal = opened(path)
    except JournalError as error:
        return error.code
    try:
        return [blob for _, blob in journal.read(0, 100)]
    except JournalError as error:
        return error.code
    finally:
        journal.close()


@pytest.mark.parametrize("state", ["all in the log", "half in the log", "all in the main file"])
def test_a_flipped_bit_in_the_files_never_loses_a_block_silently(tmp_path: Path, state: str) -> None:
    """Pages, cells, frames and headers alike, a spread of bits over the whole of each file. A bit in unused space may
    change nothing; a bit that does anything is refused by name."""
    path = tmp_path / "journal"
    fold_after = {"all in the log": None, "half in the log": 6, "all in the main file": 12}[state]
    expected = [encode(block) for block in written(path, fold_after=fold_after)]
    pristine = files(path)
    assert ("-wal" in pristine) == (fold_after != 12)
    seen = set()
    for suffix in ("", "-wal") if "-wal" in pristine else ("",):
        content = pristine[suffix]
        # The first kilobyte in small steps, then a prime stride, so that all kinds of places are met.
        places = [*range(0, min(1024, len(content)), 17), *range(1024, len(content), 661)]
        for turn, place in enumerate(places):
            flipped = bytearray(content)
            flipped[place] ^= 1 << turn % 8
            restore(path, pristine | {suffix: bytes(flipped)})
            found = outcome(path)
            assert isinstance(found, JournalCode) or found == expected, f"{suffix or 'main file'} at {place}"
            if isinstance(found, JournalCode):
                seen.add(found)
    if fold_after is not None:
        assert JournalCode.DAMAGED in seen
    if fold_after != 12:
        assert JournalCode.BEHIND_TIP in seen


def test_a_damaged_log_stays_as_evidence(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)
    log = bytearray(part(path, "-wal").read_bytes())
    log[len(log) // 2] ^= 1
    part(path, "-wal").write_bytes(log)
    part(path, "-shm").unlink(missing_ok=True)
    before = files(path)
    assert refused(lambda: opened(path)) is JournalCode.BEHIND_TIP
    assert files(path) == before


def test_a_journal_that_fails_its_replay_is_left_as_it_was_found(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    written(path)
    connection = apsw.Connection(str(path))
    connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
    connection.execute("DELETE FROM blocks WHERE height = 5")
    connection.close()
    before = files(path)
    assert "-wal" in before
    assert refused(lambda: opened(path)) is JournalCode.MISSING_BLOCK
    after = files(path)
    assert (after[""], after["-wal"]) == (before[""], before["-wal"])


@pytest.mark.parametrize("suffix", ["", "-wal"])
def test_a_truncated_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "journal"
    written(path, fold_after=None if suffix else 12)
    pristine = files(path)
    for keep in (0, 1, 100, 4096, len(pristine[suffix]) // 2, len(pristine[suffix]) - 1):
        restore(path, pristine | {suffix: pristine[suffix][:keep]})
        assert isinstance(outcome(path), JournalCode), f"{keep} bytes kept"


# --- a disk that says no ------------------------------------------------------------------------------------------


def test_a_full_journal_latches_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal.open(path, create=True, max_bytes=100_000)
    acknowledged: list[Block] = []

    def fill() -> None:
        for _ in range(100):
            chain = make_chain(2, journal.tip, size=3000)
            journal.append(chain)
            acknowledged.extend(chain)

    assert refused(fill) is JournalCode.FULL
    assert len(acknowledged) > 10
    assert journal.failed is not None
    assert refused(lambda: journal.append(make_chain(1, journal.tip))) is JournalCode.FULL
    assert [decode(blob) for _, blob in journal.read(0, 1000)] == acknowledged
    journal.close()
    journal = opened(path)
    assert [decode(blob) for _, blob in journal.read(0, 1000)] == acknowledged
    journal.append(make_chain(1, journal.tip))
    journal.close()


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """The kernel refuses to let any file of this process grow further: the real errno from the real system call."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def test_a_write_that_the_kernel_refuses_latches(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal.open(path, create=True)
    journal.append(make_chain(2))
    tip = journal.tip
    with file_size_limit(part(path, "-wal").stat().st_size):
        code = refused(lambda: journal.append(make_chain(3, journal.tip, size=9000)))
    assert code in (JournalCode.FULL, JournalCode.WRITE_FAILED)
    assert journal.tip == tip
    assert refused(lambda: journal.append(make_chain(1, journal.tip))) is code
    assert len(list(journal.read(0, 100))) == 2
    journal.close()
    journal = opened(path)
    assert journal.tip == tip
    journal.close()


def test_a_tip_that_can_not_be_written_latches_and_nothing_is_acknowledged(tmp_path: Path) -> None:
    """The second commit's tip goes into the second slot, beyond the limit, which the log has not reached by then. The
    kernel first shows a full disk as a short write."""
    path, twin = tmp_path / "journal", tmp_path / "twin"
    for place in (path, twin):
        Journal.open(place, create=True).close()
    measured = opened(twin)
    for block in make_chain(2):
        measured.append([block])
    log = part(twin, "-wal").stat().st_size
    measured.close()
    slot = FILE_BYTES // SLOTS
    assert log < FILE_BYTES

    journal = opened(path)
    chain = make_chain(2)
    journal.append(chain[:1])
    with file_size_limit(max(log, slot + 100)):
        assert refused(lambda: journal.append(chain[1:])) is JournalCode.WRITE_FAILED
    assert refused(lambda: journal.append(chain[1:])) is JournalCode.WRITE_FAILED
    assert journal.tip == link_after(chain[:1])
    assert [decode(blob) for _, blob in journal.read(0, 100)] == chain[:1]
    journal.close()
    # A torn record was the old one's neighbour, or is already whole in one of its two copies.
    assert read_tip(tip_path(path)).height in (0, 1)
    # The block itself is there, unacknowledged and sound: the next opening takes it over.
    journal = opened(path)
    assert journal.tip == link_after(chain)
    journal.close()


# --- beside a running writer --------------------------------------------------------------------------------------


def test_a_reader_follows_a_live_journal(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    journal = Journal.open(path, create=True)
    reader = JournalReader.open(path)
    assert reader.height() == -1
    link = None
    for height in range(20):
        journal.append(make_chain(1, journal.tip, size=4000))
        assert reader.height() == height
        *_, (_, link) = reader.verify(height, link)
    assert link == journal.tip
    reader.close()
    journal.close()


def test_threads_may_read_while_one_appends(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal", create=True)
    journal.append(make_chain(1))
    faults: list[BaseException] = []
    done = threading.Event()

    def read() -> None:
        try:
            while not done.is_set():
                tip = journal.tip
                assert tip is not None
                *_, (height, blob) = journal.read(max(0, tip.height - 3), 100)
                assert decode(blob).header.height == height >= tip.height
        except BaseException as fault:
            faults.append(fault)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for _ in range(60):
        journal.append(make_chain(1, journal.tip))
    done.set()
    for reader in readers:
        reader.join()
    assert faults == []
    journal.close()


@contextmanager
def closed_directory() -> Iterator[Path]:
    """A directory in which we may read and not write; root steps down to a nobody, whom the kernel does stop."""
    with tempfile.TemporaryDirectory() as name:
        directory, user = Path(name), os.geteuid()
        try:
            yield directory
        finally:
            os.seteuid(user)
            directory.chmod(0o700)


def close_directory(directory: Path) -> None:
    for entry in directory.iterdir():
        entry.chmod(0o444)
    directory.chmod(0o555)
    if os.geteuid() == 0:
        os.seteuid(65534)


@pytest.mark.parametrize("empty_log", [False, True])
def test_a_copy_is_verified_where_nobody_may_write(tmp_path: Path, empty_log: bool) -> None:
    written(tmp_path / "journal", fold_after=12)
    with closed_directory() as directory:
        shutil.copy(tmp_path / "journal", directory / "journal")
        if empty_log:
            (directory / "journal-wal").touch()
        close_directory(directory)
        reader = JournalReader.open(directory / "journal")
        heights = [link.height for _, link in reader.verify(reader.height())]
        reader.close()
    assert heights == list(range(12))


def test_a_log_is_never_left_out_because_nobody_may_write(tmp_path: Path) -> None:
    written(tmp_path / "journal", fold_after=6)
    with closed_directory() as directory:
        for suffix in ("", "-wal"):
            shutil.copy(part(tmp_path / "journal", suffix), part(directory / "journal", suffix))
        close_directory(directory)
        assert refused(lambda: JournalReader.open(directory / "journal")) is JournalCode.UNREADABLE
