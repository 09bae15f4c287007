"""What is measured about a chain at one moment: all that the rules of pausing look at."""

from __future__ import annotations

import msgspec


class SourceFact(msgspec.Struct, frozen=True, kw_only=True):
    """One provider. `why` says, for people, why it is not `usable`. `latest`, `finalized`: positions by its last word,
    None before the first. `confirms`: whether it holds the cursor's own block; None when it had nothing to say."""

    name: str
    usable: bool
    why: str = ""
    sends: bool = True
    latest: int | None = None
    finalized: int | None = None
    confirms: bool | None = None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The chain as a whole.

    `capacity`: requests a second that the usable providers are believed to bear; `demand`: requests sent since the
    start, without backfill. `offered`, `answered`: questions at the head since the start, and those answered.
    `failing`: seconds since the chain could last be read, with `trouble` saying why not. `strikes`: proven lies so far,
    `strike` the last one's reason. `attempt_age`: seconds that our oldest signed attempt has been out. `looked_ago`:
    since the last look at the chain that succeeded. `surveys`, `canaries`: surveys made, and those with a quorum.
    """

    sources: tuple[SourceFact, ...]
    quorum: int
    cursor: int
    capacity: float = 0.0
    demand: int = 0
    offered: int = 0
    answered: int = 0
    failing: float = 0.0
    trouble: str = ""
    strikes: int = 0
    strike: str = ""
    attempt_age: float = 0.0
    looked_ago: float = 0.0
    surveys: int = 0
    canaries: int = 0


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """Why something must pause. `cause` is the hold's. `lasted`: it has been measured for as long as it takes, so no
    further grace is due."""

    cause: str
    reason: str
    lasted: bool = False


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """About one direction: what must stop it, if anything, and what people should know meanwhile."""

    trouble: Trouble | None = None
    warning: str = ""


def standing(look: Look, lag: int) -> tuple[SourceFact, ...]:
    """The independent sources: providers that may be asked, that don't deny our own block, and whose finality is less
    than `lag` positions behind the best that a quorum states: one that boasts puts nobody behind."""
    able = [one for one in look.sources if one.usable and one.confirms is not False]
    known = sorted((one.finalized for one in able if one.finalized is not None), reverse=True)
    best = known[min(look.quorum, len(known)) - 1] if known else 0
    return tuple(one for one in able if one.finalized is None or best - one.finalized < lag)


def agreed_finality(look: Look, lag: int) -> int | None:
    """The highest position that a quorum of the sources calls final; None when so many have not spoken."""
    marks = sorted((one.finalized for one in standing(look, lag) if one.finalized is not None), reverse=True)
    return marks[look.quorum - 1] if len(marks) >= look.quorum else None


def complaints(look: Look, lag: int) -> str:
    """Who is no source, and why, for people."""
    able = {one.name for one in standing(look, lag)}
    told = []
    for one in look.sources:
        if one.name not in able:
            reason = one.why or ("denies our block" if one.confirms is False else "is behind")
            told.append(f"{one.name}: {reason}")
    return "; ".join(told)
