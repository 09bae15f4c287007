"""What each provider has called final so far, so that a word taken back is noticed.

A finalized mark that goes back is what a lying node shows, and also what an honest address shows whose load balancer
now asks a node that is behind, or one that was started again from yesterday's copy. So going back makes a provider
*behind*: no source of anything newer, until it has caught up with itself. Another *hash* in a place that was final is
something else: no honest node does that. It convicts the provider that says both, and nobody else, unless a quorum had
called the first one final too (`callers`): only then has anything been taken back that others must answer for.

Pure. It remembers for as long as the daemon runs.
"""

from __future__ import annotations

from collections import OrderedDict

REMEMBERED = 256
"""Finalized marks kept of each provider: at one a second, four minutes; on Ethereum, a day."""

LEAP = 100_000
"""Positions between two marks of one provider that no chain covers between two looks: half a day on Solana, two weeks
on Ethereum. One of the two was nonsense, and the provider must not be held to it for as long as we run."""


class Sightings:
    """The marks of one chain's providers. `hash` may be unknown (None): then only positions are compared."""

    __slots__ = ("_highest", "_marks")

    def __init__(self) -> None:
        self._highest: dict[str, int] = {}
        self._marks: dict[str, OrderedDict[int, str]] = {}

    def note(self, provider: str, position: int, block_hash: str | None = None) -> str | None:
        """Remember a finalized mark. Returns the hash that the provider has called final there before, if it was
        another one; that one stays remembered."""
        highest = self._highest.get(provider, position)
        self._highest[provider] = position if abs(position - highest) > LEAP else max(position, highest)
        if block_hash is None:
            return None
        marks = self._marks.setdefault(provider, OrderedDict())
        before = marks.setdefault(position, block_hash)
        while len(marks) > REMEMBERED:
            marks.popitem(last=False)
        return before if before != block_hash else None

    def callers(self, position: int, block_hash: str) -> int:
        """How many providers have called that block final, as far as is remembered."""
        return sum(1 for marks in self._marks.values() if marks.get(position) == block_hash)

    def behind(self, provider: str, position: int) -> bool:
        """Whether the provider itself has called a later position final before."""
        return position < self._highest.get(provider, position)
