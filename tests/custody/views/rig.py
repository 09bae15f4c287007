"""All views, rebuilt from a ledger's journal as the daemon does at its start."""

from __future__ import annotations

from collections.abc import Iterator

from custody.execution import Executed, Replica
from custody.journal import block as blocks
from custody.views.books import Books
from custody.views.feed import Feed
from custody.views.history import History
from custody.views.tallies import Tallies
from tests.custody.ledgers import Ledger


class Views:
    """All views of a ledger, rebuilt from its journal up to now."""

    def __init__(self, ledger: Ledger) -> None:
        self.books = Books()
        self.history = History(self.books)
        self.feed = Feed()
        self.tallies = Tallies(self.books)
        self.executed: list[Executed] = []
        for executed in replayed(ledger):
            self.follow(executed)

    def follow(self, executed: Executed) -> None:
        self.executed.append(executed)
        for view in (self.books, self.history, self.feed, self.tallies):
            view.published(executed)

    def withdrawals(self, *, account: str = "", chain: str = "", state: str = "") -> list[str]:
        """All pages of withdrawals, one row each."""
        found: list[str] = []
        after: int | None = 0
        while after is not None:
            page = self.history.withdrawals(account=account, chain=chain, state=state, after=after, limit=1)
            found.extend(page.ids)
            after = page.after
        return found


def replayed(ledger: Ledger) -> Iterator[Executed]:
    replica = Replica()
    for blob in ledger.blobs:
        yield replica.execute(blocks.decode(blob))
