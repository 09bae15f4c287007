"""Closing the signer's process: what is in its memory stays there.

Python can't wipe secrets, so they must not leave memory: no core dump, no debugger of the same user, no swap. Each
step is attempted and reported, since what a kernel grants depends on how the service was started.
"""

from __future__ import annotations

import ctypes
import os
import resource
from enum import StrEnum

import msgspec

# <linux/prctl.h> and <sys/mman.h>.
_PR_GET_DUMPABLE = 3
_PR_SET_DUMPABLE = 4
_MCL_CURRENT = 1
_MCL_FUTURE = 2


class Locked(StrEnum):
    """How much of the process' memory can't be swapped out."""

    ALL = "all"  # what is mapped and what will be
    CURRENT = "current"  # what was mapped when asked
    NOTHING = "nothing"


class Hardening(msgspec.Struct, frozen=True, kw_only=True):
    """What was achieved. `problems` are sentences for the log, empty when all is well."""

    dumpable: bool
    core_bytes: int
    locked: Locked
    problems: tuple[str, ...]


def harden() -> Hardening:
    """Close this process as far as the kernel allows. Call first thing, before any secret is read.

    Not dumpable: no core, no ptrace by the same user, /proc entries owned by root. Core limit 0, soft and hard. Memory
    locked: for good where the lock limit is unlimited (`LimitMEMLOCK=infinity`), since a bounded lock on future memory
    would make scrypt's 256 MB fail; else what fits at this moment.
    """
    problems = []
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0) != 0:
        problems.append(f"PR_SET_DUMPABLE: {os.strerror(ctypes.get_errno())}")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    locked = _lock_memory(libc)
    if locked is not Locked.ALL:
        problems.append("memory can be swapped out: set LimitMEMLOCK=infinity, or run without swap")
    return Hardening(
        dumpable=libc.prctl(_PR_GET_DUMPABLE, 0, 0, 0, 0) != 0,
        core_bytes=resource.getrlimit(resource.RLIMIT_CORE)[0],
        locked=locked,
        problems=tuple(problems),
    )


def _lock_memory(libc: ctypes.CDLL) -> Locked:
    _, hard = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    resource.setrlimit(resource.RLIMIT_MEMLOCK, (hard, hard))
    if hard == resource.RLIM_INFINITY and libc.mlockall(_MCL_CURRENT | _MCL_FUTURE) == 0:
        return Locked.ALL
    return Locked.CURRENT if libc.mlockall(_MCL_CURRENT) == 0 else Locked.NOTHING
