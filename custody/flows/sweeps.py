"""Collecting deposits into the hot wallet, so that withdrawals can be paid from one place.

On Solana the hot wallet pays the fee and the deposit address only signs. On an EVM chain the deposit address pays its
own fee: its coins pay for themselves, and tokens are preceded by a top-up of just the gas. Each move is an attempt like
any other, with a purpose that says that the money stays ours.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from chains.errors import ChainError
from chains.ports import Payment
from custody.drafting import tokens_of
from custody.flows.attempts import AttemptDesk
from custody.flows.roster import Entry, Roster
from custody.ledger.holds import Scope, in_force, stopping
from custody.ledger.outcomes import NATIVE, in_units
from custody.ledger.transactions import Purpose
from custody.sequencer import Busy
from custody.views.books import Books

_log = structlog.get_logger(__name__)


class SweepSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`minimum` by asset in the asset's unit; what is not named is left where it is. `at_once`: new attempts in one
    round, so that withdrawals are not kept waiting by a crowd of sweeps."""

    poll_seconds: float = 30.0
    minimum: dict[str, int] = msgspec.field(default_factory=dict)
    at_once: int = 4


class Sweeps:
    """One chain's worker."""

    def __init__(self, desk: AttemptDesk, books: Books, roster: Roster, settings: SweepSettings) -> None:
        self.chain = desk.adapter.chain
        self._desk = desk
        self._books = books
        self._roster = roster
        self._settings = settings

    async def run(self) -> None:
        """Until cancelled. Without minimums there is nothing to do."""
        while self._settings.minimum:
            await asyncio.sleep(self._settings.poll_seconds)
            try:
                await self.step()
            except Busy:
                _log.warning("ledger_busy", chain=self.chain)

    async def step(self) -> None:
        """Start what is worth it and not held. Raises `Busy`."""
        wallet = self._roster.wallet(self.chain)
        if wallet is None or self._desk.braked():
            return
        scope = Scope(direction="withdrawals", chain=self.chain, wallet=wallet.address)
        if stopping(in_force(self._books.state), scope):
            return
        for entry, token, raw in self._due()[: self._settings.at_once]:
            try:
                await self._sweep(entry, token, raw, wallet.address)
            except ChainError as exc:
                _log.warning("sweep_postponed", chain=self.chain, code=exc.code, error=exc.message)

    def _due(self) -> list[tuple[Entry, str, int]]:
        """(address, token, raw amount) of every deposit address whose book is worth a sweep, tokens before the coin
        that pays for them, and which no open attempt touches."""
        state = self._books.state
        busy: dict[str, None] = {}
        for _, attempt in self._desk.open():
            busy[attempt.sender] = None
            for purpose in attempt.purposes:
                busy[purpose.source] = busy[purpose.recipient] = None
        tokens = sorted((item.address for item in tokens_of(state, self.chain)), key=lambda token: token == NATIVE)
        due: list[tuple[Entry, str, int]] = []
        for entry in self._roster.entries(self.chain):
            if entry.tier != "deposit" or entry.address in busy:
                continue
            for token in tokens:
                raw = state.wallets.get(self.chain, entry.address, token) or 0
                asset, amount = in_units(state, self.chain, token, raw)
                minimum = self._settings.minimum.get(asset)
                if minimum is not None and raw > 0 and amount >= minimum:
                    due.append((entry, token, raw))
                    break
        return due

    async def _sweep(self, entry: Entry, token: str, raw: int, wallet: str) -> None:
        if self._books.state.chains.need(self.chain).family == "solana":
            purpose = _purpose("sweep", entry.address, wallet, token, raw)
            # The hot wallet's first tokens of a kind need an account to go to.
            create = token != NATIVE and self._desk.settings.rent_cap > 0
            await self._start(wallet, msgspec.structs.replace(purpose, create_account=create))
            return
        cost = await self._cost(entry.address, wallet, token, raw)
        coins = self._books.state.wallets.get(self.chain, entry.address, NATIVE) or 0
        if token != NATIVE and coins < cost:
            await self._start(wallet, _purpose("topup", wallet, entry.address, NATIVE, cost - coins))
        elif token != NATIVE:
            await self._start(entry.address, _purpose("sweep", entry.address, wallet, token, raw))
        elif coins > cost:
            await self._start(entry.address, _purpose("sweep", entry.address, wallet, token, coins - cost))

    async def _cost(self, address: str, wallet: str, token: str, raw: int) -> int:
        """What the sweep may cost in the native unit, with a quarter on top for a base fee that rises meanwhile. A
        coin is priced by a transfer of one unit: its gas does not depend on the amount."""
        amount = 1 if token == NATIVE else raw
        payment = Payment(source=address, recipient=wallet, token=token, amount=amount)
        tokens = tuple(item for item in tokens_of(self._books.state, self.chain) if item.address == token)
        nonce = self._desk.lane(address).next_nonce
        draft = await self._desk.adapter.draft(address, (payment,), nonce=nonce, blockhash=None, tokens=tokens)
        return -(-self._desk.adapter.fee_cap(draft) * 5 // 4)

    async def _start(self, sender: str, purpose: Purpose) -> None:
        attempt = await self._desk.prepare(sender, (purpose,))
        if attempt is not None:
            await self._desk.hasten(attempt)


def _purpose(kind: str, source: str, recipient: str, token: str, raw: int) -> Purpose:
    return Purpose(
        kind=kind,
        id="",
        source=source,
        recipient=recipient,
        token=token,
        amount=str(raw),
        reference="",
        create_account=False,
    )
