"""Reconciliation on demand: what a chain says our addresses hold, against the wallet book, at one finalized position.

Balances are sampled first, at whatever finalized position the provider answers for, and compared by the ledger when the
cursor stands exactly there. So nothing in flight has to be guessed: both sides speak of the same block.
"""

from __future__ import annotations

import asyncio

import msgspec

from chains.observations import NATIVE, Balance
from chains.ports import Adapter
from custody.flows.deposits import ChainWatch
from custody.flows.roster import Roster
from custody.ledger import invariants
from custody.ledger.state import State
from custody.views.books import Books


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One asset on one chain in the asset's unit: what the ledger owes there, what the wallet book holds."""

    chain: str
    asset: str
    owed: int
    held: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`compared`: balances held against a chain, by chain. `violations`: broken invariants; empty when all is right.
    `holds`: reconciliation holds in force afterwards."""

    compared: dict[str, int]
    lines: tuple[Line, ...]
    violations: tuple[str, ...]
    holds: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Whether every unit is explained."""
        return not self.violations and not self.holds


class Reconciliation:
    """For all chains; one run at a time."""

    def __init__(
        self, adapters: dict[str, Adapter], watches: dict[str, ChainWatch], roster: Roster, books: Books
    ) -> None:
        self._adapters = adapters
        self._watches = watches
        self._roster = roster
        self._books = books
        self._turn = asyncio.Lock()

    async def run(self, deadline_seconds: float) -> Report:
        """Sample, wait for the cursors, report. Raises `ChainError`, `TimeoutError`."""
        async with self._turn, asyncio.timeout(deadline_seconds):
            counts = await asyncio.gather(*(self._chain(name) for name in sorted(self._adapters)))
        state = self._books.state
        lines = tuple(
            Line(chain=chain, asset=item.asset, owed=item.owed, held=item.held)
            for chain, item in invariants.statements(state)
        )
        return Report(
            compared=dict(zip(sorted(self._adapters), counts, strict=True)),
            lines=lines,
            violations=invariants.violations(state),
            holds=tuple(str(key[0]) for key, hold in state.holds.rows() if hold.cause == "reconciliation"),
        )

    async def _chain(self, chain: str) -> int:
        """Every wallet in every listed token, and every deposit address whose book is not zero; samples that the
        cursor overtook are taken again."""
        adapter, watch = self._adapters[chain], self._watches[chain]
        wanted = self._wanted(self._books.state, chain)
        compared = 0
        while wanted:
            samples: list[Balance] = [await adapter.balance(address, token) for address, token in wanted]
            cursor = self._books.state.cursors.need(chain).position
            missed = [(item.address, item.token) for item in samples if item.position < cursor]
            compared += await watch.compare([item for item in samples if item.position >= cursor])
            wanted = missed
        return compared

    def _wanted(self, state: State, chain: str) -> list[tuple[str, str]]:
        tokens = [NATIVE]
        for _, asset in state.assets.rows():
            item = asset.on(chain)
            if item is not None and item.token != NATIVE:
                tokens.append(item.token)
        wanted: list[tuple[str, str]] = []
        for entry in self._roster.entries(chain):
            wanted.extend(
                (entry.address, token)
                for token in tokens
                if entry.tier != "deposit" or state.wallets.get(chain, entry.address, token)
            )
        return wanted
