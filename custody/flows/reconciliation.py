"""Reconciliation on demand: what a chain says our addresses hold, against both books, at one finalized position.

Balances are sampled first, all at the same finalized position, and compared by the ledger when the cursor stands
exactly there. So nothing in flight has to be guessed: all three sides speak of the same block.
"""

from __future__ import annotations

import asyncio

import msgspec

from chains.errors import ChainError
from chains.observations import NATIVE, Balance
from chains.ports import Adapter
from custody.flows.deposits import ChainWatch
from custody.flows.roster import Roster
from custody.ledger.outcomes import in_units
from custody.views.books import Books

SAMPLE_ROUNDS = 10
"""Tries to get all balances at one position while finality moves on."""
PARALLEL = 8


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One asset on one chain at one position, in the asset's unit. `observed` is None when the chain could not be
    asked in time; `detail` says why. `ledger` is −external, `wallets` the wallet book."""

    chain: str
    asset: str
    position: int
    ledger: int
    wallets: int
    observed: int | None
    detail: str = ""

    @property
    def result(self) -> str:
        """`equal` to the unit, `surplus`, `deficit` or `unknown`, as it stood before anything was booked."""
        if self.observed is None:
            return "unknown"
        if self.observed == self.wallets == self.ledger:
            return "equal"
        return "surplus" if self.observed > self.wallets else "deficit"


class Reconciliation:
    """For all chains; one run at a time."""

    def __init__(
        self,
        adapters: dict[str, Adapter],
        watches: dict[str, ChainWatch],
        roster: Roster,
        books: Books,
        deadline_seconds: float = 60.0,
    ) -> None:
        self._adapters = adapters
        self._watches = watches
        self._roster = roster
        self._books = books
        self._deadline = deadline_seconds
        self._turn = asyncio.Lock()

    async def run(self, chain: str = "") -> tuple[Line, ...]:
        """All chains, or one. Ends within the deadline: what could not be compared by then is `unknown`."""
        names = sorted(self._adapters) if not chain else [chain]
        async with self._turn:
            parts = await asyncio.gather(*(self._guarded(name) for name in names))
        return tuple(line for part in parts for line in part)

    async def _guarded(self, chain: str) -> tuple[Line, ...]:
        try:
            async with asyncio.timeout(self._deadline):
                return await self._chain(chain)
        except ChainError as exc:
            return self._unknown(chain, f"{exc.code}: {exc.message}")
        except TimeoutError:
            return self._unknown(chain, f"the cursor did not get there within {self._deadline:g} s")

    async def _chain(self, chain: str) -> tuple[Line, ...]:
        """Every wallet in every listed token, and every deposit address whose book is not zero."""
        while True:
            wanted = self._wanted(chain)
            samples = await self._sample(chain, wanted)
            if samples is None:
                return self._unknown(chain, "no two balances were of the same position")
            position = samples[0].position if samples else self._books.state.cursors.need(chain).position
            observed: dict[str, int] = {}
            for sample in samples:
                asset, amount = in_units(self._books.state, chain, sample.token, sample.amount)
                observed[asset] = observed.get(asset, 0) + amount
            statements = await self._watches[chain].compare(position, samples)
            if statements is None:
                continue
            return tuple(
                Line(
                    chain=chain,
                    asset=item.asset,
                    position=position,
                    ledger=item.owed,
                    wallets=item.held,
                    observed=observed.get(item.asset, 0),
                )
                for item in statements
            )

    async def _sample(self, chain: str, wanted: list[tuple[str, str]]) -> tuple[Balance, ...] | None:
        adapter = self._adapters[chain]
        turn = asyncio.Semaphore(PARALLEL)

        async def one(address: str, token: str) -> Balance:
            async with turn:
                return await adapter.balance(address, token)

        have: dict[tuple[str, str], Balance] = {}
        for _ in range(SAMPLE_ROUNDS):
            newest = max((item.position for item in have.values()), default=-1)
            due = [name for name in wanted if name not in have or have[name].position != newest]
            if not due and have:
                break
            for item in await asyncio.gather(*(one(*name) for name in due)):
                have[item.address, item.token] = item
        samples = tuple(have[name] for name in wanted)
        return samples if len({item.position for item in samples}) <= 1 else None

    def _wanted(self, chain: str) -> list[tuple[str, str]]:
        state = self._books.state
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

    def _unknown(self, chain: str, why: str) -> tuple[Line, ...]:
        position = self._books.state.cursors.need(chain).position
        names = [str(key[0]) for key, asset in self._books.state.assets.rows() if asset.on(chain) is not None]
        return tuple(
            Line(chain=chain, asset=name, position=position, ledger=0, wallets=0, observed=None, detail=why)
            for name in names
        )
