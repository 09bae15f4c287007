"""What may be believed: the `finalized` tag, blocks that join on to each other, and what it means when they don't.

The cursor is a mark that this project has already built on: money was credited below it. A chain that no longer has
the cursor's block below its own finalized mark has broken the one promise everything rests on, so that is `Integrity`
and stops the chain. But the same sight is also what one lying or forked provider looks like, so the accusation is
settled by asking all of them about the cursor's block before anybody is believed (`judge`).
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from chains.errors import Integrity, Retryable
from chains.observations import Block


class Judgement(msgspec.Struct, frozen=True):
    """Who still has the cursor's block, and who has another one in its place."""

    agreeing: tuple[str, ...]
    contradicting: tuple[str, ...]


def window(cursor: Block, finalized: Block, limit: int) -> tuple[int, int] | None:
    """The next positions to scan, first and last inclusive; None when nothing newer than the cursor is final.

    A finalized mark behind the cursor is a provider that lags, not a chain that went back: going back would show as
    another block at a position we know, which is what `contradicts` looks for.
    """
    if limit < 1:
        raise AssertionError("a scan of no blocks was asked for")
    if finalized.position <= cursor.position:
        return None
    return cursor.position + 1, min(cursor.position + limit, finalized.position)


def contradicts(cursor: Block, finalized: Block) -> bool:
    """Whether a finalized mark denies the cursor's block. (A block past the cursor that does is refuted by it, see
    `chains.witnesses`.)"""
    return finalized.position == cursor.position and finalized.hash != cursor.hash


def judge(cursor: Block, answers: Sequence[tuple[str, Block | None]]) -> Judgement:
    """Sort providers by what they hold at the cursor's position; those that hold nothing there say nothing."""
    agreeing = tuple(name for name, block in answers if block is not None and block.hash == cursor.hash)
    contradicting = tuple(name for name, block in answers if block is not None and block.hash != cursor.hash)
    return Judgement(agreeing, contradicting)


def verdict(block: Block, judgement: Judgement, required: int) -> Retryable | Integrity:
    """What to raise once everybody has been asked.

    When somebody still holds the block, the others are at fault: try again without them. When nobody does, and as many
    as a quorum needs have another one in its place, the chain crossed the finalized mark. Fewer prove nothing: those
    who still have it may be away for a moment.
    """
    if judgement.agreeing or len(judgement.contradicting) < required:
        return Retryable(
            "parent_mismatch",
            f"{', '.join(judgement.contradicting) or 'a provider'} denied block {block.position} {block.hash}"
            f" which {', '.join(judgement.agreeing) or 'nobody'} confirmed",
        )
    return Integrity(
        "parent_mismatch",
        f"no provider has block {block.hash} at {block.position} any more: the chain was rewritten below the"
        " finalized mark, or all providers serve another fork",
    )


def check_joined(blocks: Sequence[Block], first: int, parent_hash: str) -> None:
    """Each block at its position and the child of the one before, the first one of `parent_hash`.

    Raises `Retryable` (`inconsistent`): inside a range this is providers at different heads, or one in a reorg.
    """
    expected = parent_hash
    for offset, block in enumerate(blocks):
        if block.position != first + offset:
            raise Retryable("inconsistent", f"asked for block {first + offset}, was given {block.position}")
        if block.parent_hash != expected:
            raise Retryable("inconsistent", f"block {block.position} {block.hash} is no child of {expected}")
        expected = block.hash
