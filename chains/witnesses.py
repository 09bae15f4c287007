"""What providers say about one block, and what follows when they say the same, or don't: the same for every chain.

A finalized block reaches us through providers that lag, lose data, or lie. Three rules carry the weight:

- *Continuity.* A block joins on when its parent's position, hash and height are those of our last proven block. What a
  provider says against our own proven chain is refuted by it, and is that provider's fault.
- *Agreement.* As many providers as the chain's `quorum` asks for must make the same statement: where the block stands,
  and everything in it that concerns us. Each statement is one provider's own, all pieces of it.
- *Contradiction.* Of those asked, nobody may make another statement that could also be true: that stops the chain for
  a person to look at, however many say the same against it. Two that leave out the same deposit, by the same fault of
  the same software, are likelier than one that makes it up; so votes are not counted, and one honest word among those
  asked is enough to keep the cursor from a false block.

No more are asked than are needed while they agree. So whoever configures a quorum must know: **a lie that a whole
quorum tells in unison, about a block that joins on to our chain, is believed** if they are those asked first. No
provider alone can tell one where the quorum is two.

Pure: no I/O, no clock, no chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from chains.observations import Block

F = TypeVar("F", bound=msgspec.Struct)

QUORUM = 2
"""Providers that must say the same where nothing else is configured and there are so many: the least number of which
one alone can't lie."""


SHOWN = 14
"""Characters of a hash that are shown where several stand side by side."""


class Statement(msgspec.Struct, Generic[F], frozen=True, kw_only=True):
    """All that one provider says about one block that matters to us; two honest ones say the same. `facts` is the
    chain's own struct of tuples."""

    block: Block
    facts: F


class Witness(msgspec.Struct, Generic[F], frozen=True, kw_only=True):
    """One provider's reading of a block. `time` is unix seconds where it is no part of the statement, 0 for none."""

    provider: str
    statement: Statement[F]
    time: int = 0


class Ruling(StrEnum):
    """What follows from the statements about one block."""

    PROVEN = "proven"
    ORPHAN = "orphan"  # its parent lies between our last block and it: read that first
    UNPROVEN = "unproven"  # too few say the same; ask again later
    MISMATCH = "parent_mismatch"  # enough agree on a block that contradicts our own chain
    DISPUTED = "providers_disagree"  # two versions that could both be true


class Judgement(msgspec.Struct, Generic[F], frozen=True, kw_only=True):
    """A ruling, what it is about, and the providers whose statements our own proven chain refutes."""

    ruling: Ruling
    statement: Statement[F] | None = None
    refuted: tuple[str, ...] = ()


def needed(quorum: int | None, configured: int) -> int:
    """How many providers must say the same; `quorum` None: the default. At least one, whatever is configured."""
    return max(1, min(QUORUM, configured) if quorum is None else quorum)


def joins(previous: Block, block: Block) -> bool:
    """Whether `block` is the very next block after `previous`, all positions between them without one."""
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


def judge(previous: Block, witnesses: Sequence[Witness[F]], required: int) -> Judgement[F]:
    """Whether the block that `witnesses` were asked for may follow the proven `previous`; `required`: see `needed`."""
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


def told(witnesses: Sequence[Witness[F]]) -> str:
    """Who says what, for people: those together who say the same. Hashes are cut, so that all of it fits into a hold's
    reason."""
    versions: list[tuple[Statement[F], list[str]]] = []
    for one in witnesses:
        same = next((names for statement, names in versions if statement == one.statement), None)
        if same is None:
            versions.append((one.statement, [one.provider]))
        else:
            same.append(one.provider)
    return "; ".join(f"{', '.join(names)}: {_brief(statement)}" for statement, names in versions)


def _brief(statement: Statement[F]) -> str:
    block, facts = statement.block, sum(len(part) for part in msgspec.structs.astuple(statement.facts))
    return f"block {block.hash[:SHOWN]} on parent {block.parent_hash[:SHOWN]}, facts about us: {facts}"
