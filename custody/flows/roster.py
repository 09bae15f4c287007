"""Our addresses by chain, in the ledger's order, and the requests that still wait for one.

The ledger's tables answer "is this ours?"; scanners and the address flow need "which came since?". This is that list,
moved by durable blocks.
"""

from __future__ import annotations

import asyncio

import msgspec

from custody.execution import Executed
from custody.ledger import events as ev


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One attested address; `order` counts from 1 on its chain."""

    address: str
    tier: str
    account: str
    index: int
    order: int


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A user's slot without an address yet."""

    chain: str
    account: str
    index: int


class Roster:
    """Subscriber of durable blocks. Take `changed` first, look, then wait for it: the next addition sets it and puts a
    fresh one in its place, so that any number of workers can wait and none misses one."""

    __slots__ = ("_entries", "_wanted", "changed")

    def __init__(self) -> None:
        self._entries: dict[str, list[Entry]] = {}
        self._wanted: dict[tuple[str, str], Wanted] = {}
        self.changed = asyncio.Event()

    def published(self, executed: Executed) -> None:
        """Follow one durable block."""
        for event in executed.events():
            if isinstance(event, ev.SlotAllotted):
                wanted = Wanted(chain=event.chain, account=event.account, index=event.index)
                self._wanted[event.account, event.chain] = wanted
                self._announce()
            elif isinstance(event, ev.AddressAttested):
                entry = Entry(
                    address=event.address,
                    tier=event.tier,
                    account=event.account,
                    index=event.index,
                    order=event.order,
                )
                self._entries.setdefault(event.chain, []).append(entry)
                self._wanted.pop((event.account, event.chain), None)
                self._announce()

    def _announce(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def entries(self, chain: str, after: int = 0) -> tuple[Entry, ...]:
        """The chain's addresses past an order."""
        return tuple(self._entries.get(chain, ())[after:])

    def wallet(self, chain: str, tier: str = "hot") -> Entry | None:
        """The house's first wallet of a tier."""
        return next((entry for entry in self._entries.get(chain, ()) if entry.tier == tier), None)

    def wanted(self) -> tuple[Wanted, ...]:
        """Slots that wait for an attestation, in the order of their requests."""
        return tuple(self._wanted.values())
