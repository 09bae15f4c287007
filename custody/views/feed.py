"""The public feed: what an exchange's backend may follow, one number after the other, without a gap, for ever.

Numbers follow from the journal alone, so a rebuilt feed has the same ones. A reader that remembers the last number it
worked off misses nothing and sees nothing twice, whatever crashed in between.
"""

from __future__ import annotations

import asyncio

import msgspec

from custody.execution import Executed
from custody.ledger import events as ev
from custody.ledger.lifecycle import WITHDRAWAL, WithdrawalState

Public = (
    ev.AccountOpened
    | ev.AddressAssigned
    | ev.DepositRecorded
    | ev.DepositCredited
    | ev.WithdrawalOpened
    | ev.WithdrawalMoved
    | ev.BatchBooked
    | ev.HoldSet
    | ev.HoldLifted
)

REACHED: dict[str, WithdrawalState] = {move: state for (_, move), state in WITHDRAWAL.items()}
"""The state a withdrawal's move leads to: the table has one for each move."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One public event. `at`: its block's time, unix milliseconds."""

    sequence: int
    height: int
    at: int
    event: Public


class Feed:
    """Follows durable blocks, and wakes those who wait for the next event."""

    __slots__ = ("_changed", "_entries", "waiting")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._changed = asyncio.Event()
        self.waiting = 0
        """Readers that wait now."""

    @property
    def last(self) -> int:
        """The newest number, 0 before the first event."""
        return len(self._entries)

    def published(self, executed: Executed) -> None:
        """Number the public events of one durable block."""
        before = len(self._entries)
        for event in executed.events():
            if isinstance(event, Public) and not (isinstance(event, ev.AddressAssigned) and not event.account):
                self._entries.append(
                    Entry(
                        sequence=len(self._entries) + 1,
                        height=executed.link.height,
                        at=executed.block.header.time,
                        event=event,
                    )
                )
        if len(self._entries) > before:
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()

    def page(self, after: int, limit: int) -> tuple[Entry, ...]:
        """At most `limit` events that follow number `after`."""
        return tuple(self._entries[after : after + limit])

    async def beyond(self, after: int, seconds: float) -> None:
        """Wait until there is an event past `after`, or until the time is over."""
        self.waiting += 1
        try:
            async with asyncio.timeout(seconds):
                while self.last <= after:
                    await self._changed.wait()
        except TimeoutError:
            return
        finally:
            self.waiting -= 1
