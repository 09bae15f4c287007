"""Jitter without chance: a sequence that never clusters, different for each name, the same on every run.

Pauses are spread so that many clients, or many breakers of one, don't come back in step. For that the numbers need to
be unlike each other, not unpredictable; so a pure function of a name and a count serves, and tests can repeat it.
"""

from __future__ import annotations

import zlib

_GOLDEN = 0.6180339887498949


def spread(name: str, count: int) -> float:
    """A number in [0, 1): the `count`-th of the golden-ratio sequence that starts where `name` says."""
    return (zlib.crc32(name.encode()) / 2**32 + count * _GOLDEN) % 1.0
