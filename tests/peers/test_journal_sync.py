"""Durability as the kernel sees it: the order of syncs before each acknowledgement, and a sync that fails."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from custody.journal.errors import JournalCode
from custody.journal.journal import Journal
from custody.journal.tip import tip_path
from tests.tools import require_tool

APPENDS = 3
TIMEOUT_SECONDS = 60

APPENDER = """
import os, sys
from pathlib import Path
from custody.journal.errors import JournalError
from custody.journal.journal import Journal
from custody.journal.tip import tip_path
from tests.custody.journal.blockmaking import make_chain

def say(text):
    os.write(1, text.encode() + b"\\n")

journal = None
try:
    journal = Journal.open(Path(sys.argv[1]))
    for _ in journal.replay():
        pass
    say("opened")
    for _ in range(int(sys.argv[2])):
        say(f"acknowledged {journal.append(make_chain(1, journal.tip)).height}")
except JournalError as refused:
    say(f"refused {refused.code}")
    if journal is not None and journal.failed is not None:
        try:
            journal.append(make_chain(1, journal.tip))
        except JournalError as again:
            say(f"again {again.code}")
os._exit(0)
"""


def traced(path: Path, trace: Path, *options: str) -> list[str]:
    """What the appender said, run under strace with these options."""
    strace = require_tool("strace")
    command = [str(strace), "-f", "-y", "-o", str(trace), *options]
    done = subprocess.run(
        [*command, sys.executable, "-c", APPENDER, str(path), str(APPENDS)],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
        check=False,
    )
    if "Operation not permitted" in done.stderr:
        pytest.skip("strace is not allowed to trace here")
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def steps(trace: Path) -> list[str]:
    """The trace in words: what was synced, what of the tip was written, what was said."""
    words = []
    for line in trace.read_text().splitlines():
        if synced := re.search(r"\bf(?:data)?sync\(\d+<[^>]*/(journal[^>]*)>\)", line):
            words.append(f"sync {synced[1]}")
        elif re.search(r"\bpwrite64\(\d+<[^>]*/journal\.tip>", line):
            words.append("write journal.tip")
        elif said := re.search(r'\bwrite\(1<[^>]*>, "(\w+)', line):
            words.append(said[1])
    return words


def test_log_then_tip_then_acknowledgement(tmp_path: Path) -> None:
    path, trace = tmp_path / "journal", tmp_path / "trace"
    Journal.open(path, create=True).close()
    said = traced(path, trace, "-e", "trace=fsync,fdatasync,pwrite64,write")
    assert said == ["opened", *(f"acknowledged {height}" for height in range(APPENDS))]
    words = steps(trace)
    # The first commit syncs the header of the new log as well.
    commit = ["sync journal-wal", "write journal.tip", "sync journal.tip", "acknowledged"]
    assert words[words.index("opened") :] == ["opened", "sync journal-wal", *commit * APPENDS]


def test_blocks_behind_the_tip_are_synced_before_they_are_believed(tmp_path: Path) -> None:
    """A killed writer's last commit may stand in the log without having reached the disk."""
    path, trace = tmp_path / "journal", tmp_path / "trace"
    Journal.open(path, create=True).close()
    before = tip_path(path).read_bytes()
    killed = [sys.executable, "-c", APPENDER, str(path), "2"]
    subprocess.run(killed, check=True, capture_output=True, timeout=TIMEOUT_SECONDS)
    tip_path(path).write_bytes(before)
    said = traced(path, trace, "-e", "trace=fsync,fdatasync,pwrite64,write")
    assert said[1] == "acknowledged 2"
    words = steps(trace)
    opening = words[: words.index("opened")]
    assert opening[-3:] == ["sync journal-wal", "write journal.tip", "sync journal.tip"]


@pytest.mark.parametrize("turn", range(1, 11))
def test_a_sync_that_fails_latches_and_loses_nothing_acknowledged(tmp_path: Path, turn: int) -> None:
    """The kernel answers EIO to the n-th fdatasync: in opening, in a commit, in a tip."""
    path = tmp_path / "journal"
    Journal.open(path, create=True).close()
    options = ("-e", "trace=fdatasync", "-e", f"inject=fdatasync:error=EIO:when={turn}")
    said = traced(path, tmp_path / "trace", *options)
    acknowledged = [int(line.split()[1]) for line in said if line.startswith("acknowledged")]
    if len(acknowledged) < APPENDS:
        assert f"refused {JournalCode.WRITE_FAILED}" in said
    if "opened" in said and len(acknowledged) < APPENDS:
        assert said[-1] == f"again {JournalCode.WRITE_FAILED}"
    journal = Journal.open(path)
    heights = [link.height for _, link in journal.replay()]
    journal.close()
    assert heights[: len(acknowledged)] == acknowledged
    # A block that was refused may be there or not: nobody was told. More than that one must not be.
    assert len(heights) <= len(acknowledged) + 1
