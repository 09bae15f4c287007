"""Who did what, in which order: the lists that questions about the past are answered from.

The ledger's state has every deposit and withdrawal by id. This has their orders, by account too, and the times at which
things happened, which the state doesn't need. In memory, rebuilt from the journal at start.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from custody.execution import Executed
from custody.ledger import events as ev
from custody.ledger.lifecycle import OPEN_WITHDRAWALS
from custody.ledger.state import Deposit, Hold, Withdrawal
from custody.views.books import Books

SCAN_LIMIT = 5_000
"""Rows looked at for one page, so that a filter that matches nothing costs no more than one that matches all."""


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """Ids in order. `after` is what to ask with for what follows, None at the end; a page may be short, or empty, and
    not be the last."""

    ids: tuple[str, ...]
    after: int | None


class Booked(msgspec.Struct, frozen=True, kw_only=True):
    """A transfer batch: how many legs, in which block, when (unix milliseconds)."""

    legs: int
    height: int
    at: int


class HoldRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A hold that is or was in force. `lifted` in unix milliseconds, 0 while it stands."""

    id: str
    hold: Hold
    lifted: int = 0
    lifted_by: str = ""
    lifted_reason: str = ""


class _Orders:
    """Ids in the order the ledger counted them, in all and by account."""

    __slots__ = ("_by_account", "_ids")

    def __init__(self) -> None:
        self._ids: list[str] = []
        self._by_account: dict[str, array[int]] = {}

    def add(self, order: int, name: str, account: str) -> None:
        assert order == len(self._ids) + 1, "the ledger counts without a gap"
        self._ids.append(name)
        self._by_account.setdefault(account, array("q")).append(order)

    def __len__(self) -> int:
        return len(self._ids)

    def page(self, account: str, after: int, limit: int, keep: Callable[[str], bool]) -> Page:
        orders: Sequence[int] = range(1, len(self._ids) + 1)
        if account:
            orders = self._by_account.get(account, array("q"))
        start = bisect_right(orders, after)
        found: list[str] = []
        for place in range(start, min(len(orders), start + SCAN_LIMIT)):
            if len(found) == limit:
                return Page(ids=tuple(found), after=orders[place - 1])
            name = self._ids[orders[place] - 1]
            if keep(name):
                found.append(name)
        stopped = start + SCAN_LIMIT
        return Page(ids=tuple(found), after=orders[stopped - 1] if stopped < len(orders) else None)

    def latest(self, account: str, limit: int) -> tuple[str, ...]:
        return tuple(self._ids[order - 1] for order in reversed(self._by_account.get(account, array("q"))[-limit:]))


class History:
    """Follows the books, which must be subscribed before it."""

    __slots__ = ("_books", "_credited", "_deposits", "_ended", "_holds", "_recorded", "_transfers", "_withdrawals")

    def __init__(self, books: Books) -> None:
        self._books = books
        self._deposits = _Orders()
        self._recorded = array("q")
        self._credited: dict[str, int] = {}
        self._withdrawals = _Orders()
        self._ended: dict[str, int] = {}
        self._transfers: dict[str, Booked] = {}
        self._holds: dict[str, HoldRecord] = {}

    def published(self, executed: Executed) -> None:
        """Follow one durable block."""
        at, height = executed.block.header.time, executed.link.height
        for event in executed.events():
            match event:
                case ev.DepositRecorded():
                    self._deposits.add(event.order, event.deposit, event.account)
                    self._recorded.append(at)
                case ev.DepositCredited():
                    self._credited[event.deposit] = at
                case ev.WithdrawalOpened():
                    self._withdrawals.add(event.order, event.withdrawal, event.account)
                    if event.move == "transfer":
                        self._ended[event.withdrawal] = at
                case ev.WithdrawalMoved():
                    if self._books.state.withdrawals.need(event.withdrawal).state not in OPEN_WITHDRAWALS:
                        self._ended[event.withdrawal] = at
                case ev.BatchBooked():
                    self._transfers[event.batch] = Booked(legs=event.legs, height=height, at=at)
                case ev.HoldSet():
                    fields = {name: getattr(event, name) for name in Hold.__struct_fields__}
                    self._holds[event.hold] = HoldRecord(id=event.hold, hold=Hold(**fields))
                case ev.HoldLifted():
                    self._holds[event.hold] = replace(
                        self._holds[event.hold], lifted=event.at, lifted_by=event.actor, lifted_reason=event.reason
                    )
                case _:
                    pass

    def deposits(self, *, account: str, chain: str, state: str, after: int, limit: int) -> Page:
        """Deposits after an order, oldest first; empty filters match everything."""
        table = self._books.state.deposits
        return self._deposits.page(account, after, limit, lambda name: _matches(table.need(name), chain, state))

    def withdrawals(self, *, account: str, chain: str, state: str, after: int, limit: int) -> Page:
        """Withdrawals after an order, oldest first; empty filters match everything."""
        table = self._books.state.withdrawals
        return self._withdrawals.page(account, after, limit, lambda name: _matches(table.need(name), chain, state))

    def open_withdrawals(self, *, state: str, limit: int) -> tuple[str, ...]:
        """The oldest withdrawals that are not over, in one state or (empty) any."""
        found: list[str] = []
        table = self._books.state
        for _, name in table.open_withdrawals.rows():
            if len(found) == limit:
                break
            if not state or table.withdrawals.need(name).state == state:
                found.append(name)
        return tuple(found)

    def latest_deposits(self, account: str, limit: int) -> tuple[str, ...]:
        """An account's newest deposits, newest first."""
        return self._deposits.latest(account, limit)

    def latest_withdrawals(self, account: str, limit: int) -> tuple[str, ...]:
        """An account's newest withdrawals, newest first."""
        return self._withdrawals.latest(account, limit)

    def recorded_at(self, order: int) -> int:
        """When a deposit was recorded: the block's time, unix milliseconds."""
        return self._recorded[order - 1]

    def credited_at(self, deposit: str) -> int | None:
        """When it was credited, None until then."""
        return self._credited.get(deposit)

    def ended_at(self, withdrawal: str) -> int | None:
        """When a withdrawal was settled, failed or cancelled, None until then."""
        return self._ended.get(withdrawal)

    def transfer(self, batch: str) -> Booked | None:
        """A booked batch."""
        return self._transfers.get(batch)

    def holds(self, limit: int) -> tuple[HoldRecord, ...]:
        """The newest holds, whether they stand or not, newest first."""
        records = list(self._holds.values())
        return tuple(reversed(records[-limit:]))


def _matches(row: Deposit | Withdrawal, chain: str, state: str) -> bool:
    return (not chain or row.chain == chain) and (not state or row.state == state)
