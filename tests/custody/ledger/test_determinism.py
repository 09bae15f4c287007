"""The same journal, in processes whose hash seeds differ, comes to the same root."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]

REPLAY = """
import sys
from pathlib import Path
from custody.execution import Replica
from custody.journal import block as blocks

replica = Replica()
for line in Path(sys.argv[1]).read_text().splitlines():
    replica.execute(blocks.decode(bytes.fromhex(line.split(" ")[2])))
print(replica.state.root.hex(), hash("custody"))
"""


def replay(seed: str) -> tuple[str, str]:
    """The root, and what `hash` makes of a text in that process."""
    journal = Path(__file__).parent / "golden" / "journal.txt"
    finished = subprocess.run(
        [sys.executable, "-c", REPLAY, str(journal)],
        env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    root, hashed = finished.stdout.split()
    return root, hashed


def test_the_hash_seed_makes_no_difference() -> None:
    (one, hashed), (other, differently) = replay("1"), replay("2")
    assert hashed != differently, "the seeds do differ"
    assert one == other
