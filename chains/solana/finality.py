"""Is a block proven, is a slot skipped, is a transaction dead? Decided from statements, never from one node's word.

A finalized block still reaches us through providers that lag, lose data, or lie. Three rules carry the weight:

- *Continuity.* A block joins on when its parent's slot, hash and height are those of our last proven block. Slots in
  between are thereby proven skipped: had they held a block, this one's parent would be that block.
- *Agreement.* Where two or more providers are configured, two of them must make the same statement about a block, and
  nobody may make another one that could also be true. A contradiction that our own proven chain refutes is that
  provider's fault; one that it cannot refute stops the chain for a person to look at.
- *Death by height.* A blockhash is accepted while its age is ≤ 150 blocks, counted from 0, so a transaction can still
  land one block above the "last valid" height. See `is_dead`.

Pure: no I/O, no clock, no chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from chains.observations import Absence, Block
from chains.solana.codec import Findings

MAX_AGE = 150
"""Blocks a blockhash lives (agave `MAX_PROCESSING_AGE`); an age of exactly 150 is still accepted."""

MARGIN = 32
"""Blocks beyond the last valid height that providers must have finalized: one lockout, so that no fork they could
still be on contains the transaction."""

QUORUM = 2
"""Providers that must agree on a money fact, where so many are configured."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """All that one provider says about one block that matters to us; two honest ones say the same.

    `block.time` is left at 0: it is an estimate that some nodes keep and others don't.
    """

    block: Block
    findings: Findings


class Witness(msgspec.Struct, frozen=True, kw_only=True):
    """One provider's reading of a block. `time` is unix seconds as it states them, 0 for none."""

    provider: str
    statement: Statement
    time: int = 0


class Ruling(StrEnum):
    """What follows from the statements about one block."""

    PROVEN = "proven"
    ORPHAN = "orphan"  # its parent lies between our last block and it: read that first
    UNPROVEN = "unproven"  # too few say the same; ask again later
    MISMATCH = "parent_mismatch"  # enough agree on a block that contradicts our own chain
    DISPUTED = "providers_disagree"  # two versions that could both be true


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A ruling, what it is about, and the providers whose statements our own proven chain refutes."""

    ruling: Ruling
    statement: Statement | None = None
    refuted: tuple[str, ...] = ()


def needed(configured: int) -> int:
    """How many providers must say the same."""
    return min(QUORUM, max(1, configured))


def joins(previous: Block, block: Block) -> bool:
    """Whether `block` is the very next block after `previous`, all slots between them skipped."""
    return (
        block.position > previous.position == block.parent_position
        and block.parent_hash == previous.hash
        and block.height == previous.height + 1
    )


def refutes(previous: Block, block: Block) -> bool:
    """Whether a proven `previous` makes the claim that `block` is a later block of this chain impossible.

    A claimed parent *after* `previous` is not refuted: there may be a block in between that we were not shown.
    """
    if block.parent_position > previous.position:
        return block.parent_position >= block.position or block.height < previous.height + 2
    return not joins(previous, block)


def judge(previous: Block, witnesses: Sequence[Witness], required: int) -> Judgement:
    """Whether the block that `witnesses` were asked for may follow the proven `previous`; `required` as `needed` says.

    One honest answer is enough to keep the cursor from a false block, however many others lie: a contradiction that
    `previous` does not refute always stops.
    """
    refuted = tuple(one.provider for one in witnesses if refutes(previous, one.statement.block))
    standing = [one.statement for one in witnesses if not refutes(previous, one.statement.block)]
    if not standing:
        same = max((sum(1 for b in witnesses if b.statement == a.statement) for a in witnesses), default=0)
        if same >= required:
            return Judgement(ruling=Ruling.MISMATCH, statement=witnesses[0].statement)
        return Judgement(ruling=Ruling.UNPROVEN, refuted=refuted)
    first = standing[0]
    if any(statement != first for statement in standing):
        return Judgement(ruling=Ruling.DISPUTED, statement=first, refuted=refuted)
    if not joins(previous, first.block):
        return Judgement(ruling=Ruling.ORPHAN, statement=first, refuted=refuted)
    ruling = Ruling.PROVEN if len(standing) >= required else Ruling.UNPROVEN
    return Judgement(ruling=ruling, statement=first, refuted=refuted)


def last_valid_height(blockhash_height: int) -> int:
    """L: the last height at which the chain *says* the blockhash is good. It can land at L + 1 as well.

    `blockhash_height` is the height of the block whose hash was used, from our own scan and never from a provider.
    """
    return blockhash_height + MAX_AGE


def is_dead(
    blockhash_height: int, scanned_height: int, seen: bool, statements: Sequence[Absence], configured: int
) -> bool:
    """Whether a transaction can certainly never land any more, so that its purpose may be attempted again.

    All of: our own contiguous finalized scan is past L + 1 and did not meet it (`seen` False); as many providers as
    are needed answered with a finalized height ≥ L + 32 and did not know it; nobody knew it. One provider counts once,
    by its lowest statement. `configured` is the number of providers configured, whether they answered or not.
    """
    last = last_valid_height(blockhash_height)
    if seen or scanned_height <= last + 1 or any(statement.found for statement in statements):
        return False
    lowest: dict[str, int] = {}
    for statement in statements:
        known = lowest.get(statement.provider, statement.finalized_height)
        lowest[statement.provider] = min(known, statement.finalized_height)
    voices = sum(1 for provider in sorted(lowest) if lowest[provider] >= last + MARGIN)
    return voices >= needed(configured)
