"""Is a transaction dead? Decided from statements, never from one node's word.

Whether a *block* is proven is `chains.witnesses`' to say, here as on every chain; on Solana its rules prove skipped
slots as well: had a slot between a block and its parent held a block, the parent would be that block. What is Solana's
own is *death by height*: a blockhash is accepted while its age is ≤ 150 blocks, counted from 0, so a transaction can
still land one block above the "last valid" height. See `is_dead`.

Pure: no I/O, no clock, no chance.
"""

from __future__ import annotations

from collections.abc import Sequence

from chains.observations import Absence

MAX_AGE = 150
"""Blocks a blockhash lives (agave `MAX_PROCESSING_AGE`); an age of exactly 150 is still accepted."""

MARGIN = 32
"""Blocks beyond the last valid height that providers must have finalized: one lockout, so that no fork they could
still be on contains the transaction."""


def last_valid_height(blockhash_height: int) -> int:
    """L: the last height at which the chain *says* the blockhash is good. It can land at L + 1 as well.

    `blockhash_height` is the height of the block whose hash was used, from our own scan and never from a provider.
    """
    return blockhash_height + MAX_AGE


def is_dead(
    blockhash_height: int, scanned_height: int, seen: bool, statements: Sequence[Absence], required: int
) -> bool:
    """Whether a transaction can certainly never land any more, so that its purpose may be attempted again.

    All of: our own contiguous finalized scan is past L + 1 and did not meet it (`seen` False); as many providers as
    are needed answered with a finalized height ≥ L + 32 and did not know it; nobody knew it. One provider counts once,
    by its lowest statement. `required` is how many are needed, see `chains.witnesses.needed`.
    """
    last = last_valid_height(blockhash_height)
    if seen or scanned_height <= last + 1 or any(statement.found for statement in statements):
        return False
    lowest: dict[str, int] = {}
    for statement in statements:
        known = lowest.get(statement.provider, statement.finalized_height)
        lowest[statement.provider] = min(known, statement.finalized_height)
    voices = sum(1 for provider in sorted(lowest) if lowest[provider] >= last + MARGIN)
    return voices >= required
