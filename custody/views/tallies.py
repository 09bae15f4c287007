"""Sums and counts kept as blocks come, so that a scrape or a glance never walks all accounts or all withdrawals."""

from __future__ import annotations

import heapq

import msgspec

from custody.execution import Executed
from custody.ledger import encoding
from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.amounts import to_units
from custody.ledger.identifiers import PENDING
from custody.ledger.lifecycle import OPEN_WITHDRAWALS, WithdrawalState
from custody.ledger.state import State, Withdrawal
from custody.views.books import Books
from custody.views.feed import REACHED

_SLACK = 64
"""Entries that a queue of waiting withdrawals may hold for ones that are gone, beyond those that are there."""


class HouseWallet(msgspec.Struct, frozen=True, kw_only=True):
    """An address of the house's own."""

    chain: str
    address: str
    tier: str


class _Waiting:
    """The withdrawals in one state on one chain, and the oldest of them, by a heap that forgets lazily."""

    __slots__ = ("_heap", "_members")

    def __init__(self) -> None:
        self._heap: list[tuple[int, str]] = []
        self._members: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._members)

    def add(self, name: str, requested: int) -> None:
        self._members[name] = requested
        heapq.heappush(self._heap, (requested, name))

    def drop(self, name: str) -> None:
        del self._members[name]
        if len(self._heap) > 2 * len(self._members) + _SLACK:
            self._heap = [(requested, name) for name, requested in self._members.items()]
            heapq.heapify(self._heap)

    def oldest(self) -> int | None:
        while self._heap and self._heap[0][1] not in self._members:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None


class Tallies:
    """Follows the books, which must be subscribed before it."""

    __slots__ = ("_books", "_houses", "_open", "_over", "_placed", "_wallets", "owed", "reconciled")

    def __init__(self, books: Books) -> None:
        self._books = books
        self.owed: dict[str, int] = {}
        """Asset → what users are owed in its unit: available, held, and recorded deposits that wait for credit."""
        self.reconciled: dict[tuple[str, str], int] = {}
        """(chain, asset) → unix milliseconds at which chain and wallet book were last found equal."""
        self._wallets: dict[tuple[str, str, str], int] = {}
        self._houses: list[HouseWallet] = []
        self._open: dict[tuple[str, str], _Waiting] = {}
        self._over: dict[tuple[str, str], int] = {}
        self._placed: dict[str, tuple[str, str]] = {}

    def published(self, executed: Executed) -> None:
        """Follow one durable block."""
        state = self._books.state
        for result, envelope in zip(executed.results, executed.block.transactions, strict=True):
            for event in result.events:
                match event:
                    case ev.Posted():
                        for account, amount in event.legs:
                            if account.startswith("user:") or account == PENDING:
                                self.owed[event.asset] = self.owed.get(event.asset, 0) + amount
                    case ev.WalletMoved():
                        tier = state.addresses.need(event.chain, event.address).tier
                        key = (event.chain, event.token, tier)
                        self._wallets[key] = self._wallets.get(key, 0) + event.delta
                    case ev.AddressAttested() if not event.account:
                        self._houses.append(HouseWallet(chain=event.chain, address=event.address, tier=event.tier))
                    case ev.WithdrawalOpened() | ev.WithdrawalMoved():
                        row = state.withdrawals.need(event.withdrawal)
                        self._place(event.withdrawal, row, REACHED[event.move])
                    case ev.BalancesAgreed():
                        self._agree(envelope.payload, result.events, executed.block.header.time)
                    case _:
                        pass

    def _place(self, name: str, row: Withdrawal, reached: WithdrawalState) -> None:
        """The row is as it stands after the whole block, so the state comes from the move."""
        before, now = self._placed.pop(name, None), (row.chain, str(reached))
        if before is not None:
            self._open[before].drop(name)
        if reached in OPEN_WITHDRAWALS:
            self._placed[name] = now
            self._open.setdefault(now, _Waiting()).add(name, row.requested)
        else:
            self._over[now] = self._over.get(now, 0) + 1

    def _agree(self, payload: bytes, events: tuple[ev.Event, ...], at: int) -> None:
        """Every asset that was compared and neither short nor over is reconciled."""
        said = encoding.decode(payload)
        assert isinstance(said, tx.BalancesObserved), "only that agrees balances"
        off = {event.asset for event in events if isinstance(event, ev.SurplusBooked | ev.HoldSet)}
        for item in said.balances:
            asset = self._books.state.tokens.need(said.chain, item.token)
            if asset not in off:
                self.reconciled[said.chain, asset] = at

    def houses(self) -> tuple[HouseWallet, ...]:
        """The house's addresses, in the order they were attested."""
        return tuple(self._houses)

    def assets(self) -> tuple[tuple[str, str, str, int], ...]:
        """(asset, chain, tier, amount in the asset's unit) of what the wallet book holds."""
        return tuple(
            (*_in_units(self._books.state, chain, token, raw, tier),)
            for (chain, token, tier), raw in sorted(self._wallets.items())
        )

    def withdrawals(self) -> tuple[tuple[str, str, int], ...]:
        """(chain, state, how many), those that are over included."""
        counts = {key: len(waiting) for key, waiting in self._open.items()}
        counts.update(self._over)
        return tuple((chain, state, count) for (chain, state), count in sorted(counts.items()))

    def oldest(self) -> tuple[tuple[str, str, int], ...]:
        """(chain, state, unix milliseconds of the oldest request) for every state in which any withdrawal waits."""
        found = ((key, waiting.oldest()) for key, waiting in sorted(self._open.items()))
        return tuple((chain, state, at) for (chain, state), at in found if at is not None)


def _in_units(state: State, chain: str, token: str, raw: int, tier: str) -> tuple[str, str, str, int]:
    asset = state.tokens.need(chain, token)
    row = state.assets.need(asset)
    decimals = row.as_token(chain, token).decimals
    units = to_units(abs(raw), decimals=decimals, unit_decimals=row.decimals)
    return asset, chain, tier, units if raw >= 0 else -units
