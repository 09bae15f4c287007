"""Who is asking what right now, so that the same question asked twice at once is sent once.

Pure. The first to ask leads; others with the very same method and parameters wait for its answer, if it is at least as
urgent as they are: an urgent read doesn't wait in backfill's line. Only a good answer is shared, as bytes that each
decodes for itself; after a failure each goes its own way. Broadcasts and questions about our own transactions are
never shared: what was asked before an act knows nothing of it.
"""

from __future__ import annotations

import msgspec

from chains.pool.calls import Call, Priority

_ENCODE = msgspec.json.Encoder().encode
_BROADCAST = Priority.BROADCAST


class Flight:
    """One question on its way. `waiting` belongs to whoever waits: this room never looks at it."""

    __slots__ = ("key", "priority", "waiting")

    def __init__(self, key: tuple[str, bytes], priority: Priority) -> None:
        self.key, self.priority = key, priority
        self.waiting: list[object] = []


class Flights:
    """All questions of one pool that are on their way and may be shared."""

    __slots__ = ("_by_key",)

    def __init__(self) -> None:
        self._by_key: dict[tuple[str, bytes], Flight] = {}

    def __len__(self) -> int:
        return len(self._by_key)

    def join_or_lead(self, call: Call) -> tuple[Flight | None, bool]:
        """The flight of this question and whether the caller leads it; (None, True): go alone."""
        if call.broadcast or call.priority is _BROADCAST:
            return None, True
        key = (call.method, _ENCODE(call.params))
        known = self._by_key.get(key)
        if known is None:
            flight = self._by_key[key] = Flight(key, call.priority)
            return flight, True
        return (known, False) if known.priority <= call.priority else (None, True)

    def landed(self, flight: Flight) -> list[object]:
        """The leader is done, one way or the other: those who waited, in order of arrival."""
        del self._by_key[flight.key]
        return flight.waiting
