"""Since when the oldest deposit or withdrawal of a chain has been waiting: how old a queue is, without walking it."""

from __future__ import annotations

from custody.ledger.lifecycle import WithdrawalState
from custody.views.books import Books
from custody.views.history import History
from custody.views.tallies import Tallies


class Queues:
    """Over the read models, which it asks and never changes."""

    __slots__ = ("_books", "_history", "_tallies")

    def __init__(self, books: Books, history: History, tallies: Tallies) -> None:
        self._books, self._history, self._tallies = books, history, tallies

    def oldest(self, chain: str, direction: str) -> int | None:
        """Unix milliseconds; None when nothing waits. `direction`: `deposits` (recorded and not credited) or
        `withdrawals` (queued and not in an attempt)."""
        if direction == "withdrawals":
            found = (at for c, state, at in self._tallies.oldest() if (c, state) == (chain, WithdrawalState.QUEUED))
            return next(found, None)
        queues = self._books.state.waiting.items()
        orders = [next(iter(queue)) for (name, _), queue in queues if name == chain and queue]
        return self._history.recorded_at(min(orders)) if orders else None
