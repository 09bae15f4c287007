"""The hardened process, as the kernel's own books show it."""

from __future__ import annotations

import json
import resource
import subprocess
import sys

import pytest

HARDENED = """
import json, resource, sys
limit = int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_MEMLOCK, (limit, limit))
from custody.signing.process import harden
done = harden()
ballast = bytearray(48 * 1024 * 1024)
status = dict(line.rstrip().split(":", 1) for line in open("/proc/self/status"))
limits = [line.split() for line in open("/proc/self/limits")]
print(json.dumps({
    "dumpable": done.dumpable, "core_bytes": done.core_bytes, "locked": done.locked, "problems": done.problems,
    "locked_kb": int(status["VmLck"].split()[0]),
    "core": next(words[4:6] for words in limits if words[:4] == ["Max", "core", "file", "size"]),
}))
"""


def run(memory_lock_limit: int) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", HARDENED, str(memory_lock_limit)], capture_output=True, text=True, check=True
    )
    report: dict[str, object] = json.loads(done.stdout)
    return report


def test_no_core_and_no_dump() -> None:
    report = run(0)
    assert report["dumpable"] is False
    assert report["core_bytes"] == 0
    assert report["core"] == ["0", "0"]


def test_a_limit_on_locked_memory_never_stops_later_allocations() -> None:
    # Root is above the limit, so for root all of today's memory is locked; for others, what fits: nothing. In both
    # cases the allocation of 48 MB afterwards went well, and the report says what is not locked.
    report = run(64 * 1024)
    assert report["locked"] in ("current", "nothing")
    assert (report["locked_kb"] == 0) == (report["locked"] == "nothing")
    assert report["problems"]


def test_all_memory_is_locked_where_the_limit_allows() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if hard != resource.RLIM_INFINITY:
        try:
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, resource.RLIM_INFINITY))
        except (ValueError, OSError):
            pytest.skip("the limit of locked memory can not be raised here: ulimit -l unlimited")
        resource.setrlimit(resource.RLIMIT_MEMLOCK, (soft, hard))
    report = run(resource.RLIM_INFINITY)
    assert report["locked"] == "all"
    assert report["problems"] == []
    # Memory allocated after hardening is locked as well.
    assert isinstance(report["locked_kb"], int)
    assert report["locked_kb"] > 48 * 1024
