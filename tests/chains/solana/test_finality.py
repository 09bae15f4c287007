"""When a transaction is dead: each condition alone must be able to say no."""

from __future__ import annotations

import pytest

from chains.observations import Absence
from chains.solana.finality import MARGIN, MAX_AGE, is_dead, last_valid_height

L = last_valid_height(1_000)


def absent(provider: str, height: int = L + MARGIN, *, found: bool = False) -> Absence:
    return Absence(provider=provider, tx="t", found=found, finalized_height=height, context=1)


def test_the_last_valid_height() -> None:
    assert L == 1_000 + MAX_AGE == 1_150


@pytest.mark.parametrize(
    ("scanned", "seen", "statements", "required", "dead"),
    [
        (L + 2, False, [absent("a"), absent("b")], 2, True),
        (L + 1, False, [absent("a"), absent("b")], 2, False),
        (L + 2, True, [absent("a"), absent("b")], 2, False),
        (L + 2, False, [absent("a")], 2, False),
        (L + 2, False, [absent("a")], 1, True),
        (L + 2, False, [], 1, False),
        (L + 2, False, [absent("a"), absent("b", L + MARGIN - 1)], 2, False),
        (L + 2, False, [absent("a"), absent("b"), absent("c", found=True)], 2, False),
        (L + 2, False, [absent("a"), absent("a")], 2, False),
        (L + 2, False, [absent("a"), absent("a", 5), absent("b")], 2, False),
        (L + 2, False, [absent("a", 5), absent("a"), absent("b")], 2, False),
    ],
)
def test_death_needs_every_condition(
    scanned: int, seen: bool, statements: list[Absence], required: int, dead: bool
) -> None:
    assert is_dead(1_000, scanned, seen, statements, required) is dead
