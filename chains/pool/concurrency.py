"""How many requests may be in flight at a provider, with places that only the most urgent may take.

Pure counting. The limit is fixed by the provider's settings; it stands in a room of its own because it is the one
number that a provider teaches us by getting slow.
"""

from __future__ import annotations

from chains.pool.calls import Priority


class Slots:
    """`limit` requests at once, of which the last `reserved` are for broadcasts and own-transaction status. With so
    few slots that nothing would be left for the others, fewer are reserved."""

    __slots__ = ("in_flight", "limit", "reserved")

    def __init__(self, limit: int, reserved: int) -> None:
        self.limit = limit
        self.reserved = min(reserved, limit - 1)
        self.in_flight = 0

    def free(self, priority: Priority) -> bool:
        """Whether one more of this class may go out."""
        ceiling = self.limit if priority is Priority.BROADCAST else self.limit - self.reserved
        return self.in_flight < ceiling

    def take(self, priority: Priority) -> None:
        """One more is out. Only when `free`."""
        assert self.free(priority), "more requests in flight than allowed"
        self.in_flight += 1

    def give_back(self) -> None:
        """One is over, whatever became of it."""
        assert self.in_flight > 0, "a slot was given back twice"
        self.in_flight -= 1
