"""kill -9 in the middle of appends: everything a process was told is durable is there when the next one opens."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from custody.journal.journal import Journal
from custody.journal.tip import read_tip, tip_path
from tests.eventually import eventually_sync

CYCLES = 5
DEADLINE_SECONDS = 20

APPENDER = """
import os, sys
from pathlib import Path
from custody.journal.journal import Journal
from tests.custody.journal.blockmaking import make_chain

journal = Journal.open(Path(sys.argv[1]))
for _ in journal.replay():
    pass
with open(sys.argv[2], "ab", buffering=0) as acknowledged:
    while True:
        for group in (1, 7, 2):
            link = journal.append(make_chain(group, journal.tip, transactions=2, size=2000))
            acknowledged.write(f"{link.height} {link.hash}\\n".encode())
"""


def acknowledgements(path: Path) -> dict[int, str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return {int(height): hash_ for height, hash_ in (line.split() for line in lines if len(line.split()) == 2)}


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    path, log = tmp_path / "journal", tmp_path / "acknowledged"
    Journal.open(path, create=True).close()
    for cycle in range(CYCLES):
        wanted = len(acknowledgements(log)) + 5 + 3 * cycle

        def enough(count: int = wanted) -> bool:
            return len(acknowledgements(log)) >= count

        with subprocess.Popen([sys.executable, "-c", APPENDER, str(path), str(log)]) as appender:
            try:
                eventually_sync(enough, DEADLINE_SECONDS, "the appender's acknowledgements")
            finally:
                appender.kill()
        assert appender.returncode == -signal.SIGKILL

        remembered = read_tip(tip_path(path))
        journal = Journal.open(path)
        hashes = {link.height: link.hash for _, link in journal.replay()}
        told = acknowledgements(log)
        assert {height: hashes.get(height) for height in told} == told
        assert journal.tip is not None
        assert journal.tip.height >= remembered.height >= max(told)
        assert sorted(hashes) == list(range(journal.tip.height + 1))
        assert read_tip(tip_path(path)).hash == journal.tip.hash
        journal.close()
