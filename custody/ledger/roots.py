"""The state root: a chained hash over the leaves a block touched.

A leaf is (table, key) and the canonical JSON of its row; a removed row is `null`. After each block

    root' = SHA-256("custody/root/1" 0x00 root leaf₁ leaf₂ …)
    leaf  = SHA-256("custody/leaf/1" 0x00 [table, key…] 0x00 row)

with the leaves sorted by their key's bytes. Whoever re-executes the journal gets the same chain of roots; it costs one
hash for each row that changed, against nine or more for a tree. Integers in rows have no 53-bit bound.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

EMPTY_ROOT = bytes(32)

_ENCODER = msgspec.json.Encoder(order="sorted")


def leaf_key(table: str, key: tuple[str | int, ...]) -> bytes:
    """The canonical name of a row."""
    return _ENCODER.encode([table, *key])


def leaf(key: bytes, row: object) -> bytes:
    """The hash of one row, or of its absence when `row` is None."""
    return hashlib.sha256(b"custody/leaf/1\0" + key + b"\0" + _ENCODER.encode(row)).digest()


def chain(root: bytes, touched: Iterable[tuple[bytes, object]]) -> bytes:
    """The next root from the touched (key, row) pairs, in whatever order they come."""
    ordered = sorted(touched, key=lambda pair: pair[0])
    digest = hashlib.sha256(b"custody/root/1\0" + root)
    for key, row in ordered:
        digest.update(leaf(key, row))
    return digest.digest()
