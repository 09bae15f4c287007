"""Withdrawals of one chain, paid in the order of their requests, each by an attempt of its own.

One worker a chain: it follows what is out first, then starts what is queued and not held, as far as the hot wallet
reaches. A payment the chain would refuse now is left queued with its reason visible, and tried again at a slower pace;
the next one does not wait for it.
"""

from __future__ import annotations

import asyncio

import msgspec
import structlog

from chains.errors import ChainError, Permanent
from custody.flows.attempts import AttemptDesk
from custody.flows.condition import Condition
from custody.flows.roster import Roster
from custody.ledger.holds import Scope, in_force, stopping
from custody.ledger.lifecycle import WithdrawalState
from custody.ledger.outcomes import NATIVE
from custody.ledger.state import Withdrawal
from custody.ledger.transactions import Purpose
from custody.sequencer import Busy
from custody.views.books import Books
from custody.voice import Voice

_log = structlog.get_logger(__name__)


class PayoutSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`poll_seconds` between rounds; `in_flight` attempts at most; `retry_seconds` before a payment that could not be
    prepared is tried again, doubling up to `retry_cap_seconds`; `reserve`: native units kept back for fees."""

    poll_seconds: float = 0.5
    in_flight: int = 16
    retry_seconds: float = 2.0
    retry_cap_seconds: float = 60.0
    reserve: int = 0


class Payouts:
    """The worker."""

    def __init__(
        self,
        desk: AttemptDesk,
        books: Books,
        roster: Roster,
        voice: Voice,
        condition: Condition,
        settings: PayoutSettings,
    ) -> None:
        self.chain = desk.adapter.chain
        self._desk = desk
        self._books = books
        self._roster = roster
        self._voice = voice
        self._condition = condition
        self._settings = settings
        self._later: dict[str, tuple[float, float]] = {}  # withdrawal → (not before, the pause after that)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self._desk.follow()
                await self.start()
            except Busy:
                _log.warning("ledger_busy", chain=self.chain)
            await asyncio.sleep(self._settings.poll_seconds)

    async def start(self) -> None:
        """Prepare, sign and send as many queued withdrawals as may go. Raises `Busy`."""
        self._condition.waiting.clear()
        wallet = self._roster.wallet(self.chain)
        if wallet is None or self._desk.braked():
            return
        holds = in_force(self._books.state)
        now = asyncio.get_running_loop().time()
        for name, row in self._queued():
            scope = Scope(
                direction="withdrawals", chain=self.chain, asset=row.asset, account=row.account, wallet=wallet.address
            )
            stopped = stopping(holds, scope)
            if stopped:
                self._condition.waiting[name] = f"held by {', '.join(stopped)}"
                continue
            not_before, _ = self._later.get(name, (0.0, 0.0))
            if now < not_before:
                continue
            if len(self._desk.open()) >= self._settings.in_flight:
                break
            await self._pay(name, row, wallet.address)

    def _queued(self) -> list[tuple[str, Withdrawal]]:
        state = self._books.state
        rows = [(name, state.withdrawals.need(name)) for _, name in state.open_withdrawals.rows()]
        return [(n, row) for n, row in rows if row.chain == self.chain and row.state is WithdrawalState.QUEUED]

    async def _pay(self, name: str, row: Withdrawal, sender: str) -> None:
        state = self._books.state
        representation = state.assets.need(row.asset).on(self.chain)
        assert representation is not None, "a queued withdrawal's asset is on its chain"
        short = self._short(sender, representation.token, row.raw)
        if short:
            self._postpone(name, short)
            return
        purpose = Purpose(
            kind="withdrawal",
            id=name,
            source=sender,
            recipient=row.to,
            token=representation.token,
            amount=str(row.raw),
            reference=self._voice.reference(name),
            create_account=row.create_account,
        )
        try:
            attempt = await self._desk.prepare(sender, (purpose,))
        except Permanent as exc:
            self._postpone(name, f"{exc.code}: {exc.message}")
            return
        except ChainError as exc:
            self._postpone(name, f"{exc.code}: {exc.message}")
            return
        if attempt is None:
            self._postpone(name, "the ledger refused the attempt")
            return
        self._later.pop(name, None)
        await self._desk.hasten(attempt)

    def _short(self, sender: str, token: str, raw: int) -> str:
        """Why the hot wallet can't pay this now, by the wallet book less all that is out; empty when it can."""
        spoken_for = {token: 0, NATIVE: self._settings.reserve}
        for _, attempt in self._desk.open():
            if attempt.sender != sender:
                continue
            spoken_for[NATIVE] += attempt.fee_cap + attempt.rent_cap
            for purpose in attempt.purposes:
                if purpose.source == sender:
                    spoken_for[purpose.token] = spoken_for.get(purpose.token, 0) + int(purpose.amount)
        held = self._books.state.wallets.get(self.chain, sender, token) or 0
        if held - spoken_for[token] >= raw:
            return ""
        return f"the hot wallet holds {held} of {token}, {spoken_for[token]} of it spoken for"

    def _postpone(self, name: str, why: str) -> None:
        _, pause = self._later.get(name, (0.0, self._settings.retry_seconds))
        self._later[name] = (
            asyncio.get_running_loop().time() + pause,
            min(2 * pause, self._settings.retry_cap_seconds),
        )
        self._condition.waiting[name] = why
        _log.info("withdrawal_waits", chain=self.chain, withdrawal=name, why=why)
