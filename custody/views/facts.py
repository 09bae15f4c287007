"""What the daemon knows beside the ledger, at one moment: heads, providers, latches. For status, readiness and scrapes.

The composition fills it in; whoever shows it neither knows nor waits for where it came from.
"""

from __future__ import annotations

import msgspec

from chains.pool.events import ProviderHealth


class Latch(msgspec.Struct, frozen=True, kw_only=True):
    """A stop that needs no working journal: the brake, or storage that can't be written. `since`: unix milliseconds."""

    cause: str
    reason: str
    actor: str
    since: int


PAUSE_STATES = ("running", "degraded", "draining", "paused", "probing", "catching_up")
"""Where a direction of a chain can stand; the places are the values of the metric `custody_pause_state`."""


class PauseFacts(msgspec.Struct, frozen=True, kw_only=True):
    """Where the pausing controller stands with one direction of a chain. `state` is one of `PAUSE_STATES`, in any
    case; `since`: unix milliseconds; `cause` and `reason` are those of its hold, empty when all is well.
    `queue_age_seconds`: how long what waits has waited; `estimate_seconds`: until it runs again, None: not known."""

    direction: str
    state: str
    since: int
    cause: str
    reason: str
    queue_age_seconds: float
    estimate_seconds: float | None


class ChainFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A chain as its providers show it now. `cursor_time`: unix seconds of the cursor's block, None before the first
    scan. `queue`: (priority, calls waiting) of the chain's pool, `waits`: (priority, seconds the oldest of them has
    waited), where that is known. `trouble`: why the chain can't be read, empty when it can. `waiting`: (withdrawal, why
    it can't go now), in the order of the requests. `quorum`: how many providers must say the same before a money fact
    is believed, 0 when that is not known. `doubts`: (provider, code, times) that a word about a block was not to be
    had, or not believed, while others' proved the block."""

    chain: str
    latest: int | None = None
    finalized: int | None = None
    cursor_time: int | None = None
    providers: tuple[ProviderHealth, ...] = ()
    queue: tuple[tuple[str, int], ...] = ()
    trouble: str = ""
    waiting: tuple[tuple[str, str], ...] = ()
    waits: tuple[tuple[str, float], ...] = ()
    quorum: int = 0
    pauses: tuple[PauseFacts, ...] = ()
    doubts: tuple[tuple[str, str, int], ...] = ()


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """The whole. `waiting_for` says, for people, what is missing while `ready` is false; `started` is unix
    milliseconds."""

    version: str
    started: int
    ready: bool
    waiting_for: str
    latches: tuple[Latch, ...]
    chains: tuple[ChainFacts, ...]
