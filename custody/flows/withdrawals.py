"""Withdrawals of one chain, paid in the order of their requests, each by an attempt of its own.

One worker a chain: it follows what is out first, then starts what is queued and not held, as far as the hot wallet
reaches. A payment the chain would refuse now is left queued with its reason visible, and tried again at a slower pace;
the next one does not wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import structlog

from chains.errors import ChainError
from custody.flows.attempts import AttemptDesk
from custody.flows.condition import Condition
from custody.flows.roster import Roster
from custody.ledger.holds import Scope, in_force, stopping
from custody.ledger.lifecycle import WithdrawalState
from custody.ledger.outcomes import NATIVE
from custody.ledger.state import Hold, Withdrawal
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


class _Later(NamedTuple):
    """Why a withdrawal is put off, until when, and for how long the next time."""

    not_before: float
    pause: float
    why: str


class Payouts:
    """The worker. `share`: the part of `in_flight` that may be out now; after a pause it begins small."""

    def __init__(
        self,
        desk: AttemptDesk,
        books: Books,
        roster: Roster,
        voice: Voice,
        condition: Condition,
        settings: PayoutSettings,
        share: Callable[[], float] = lambda: 1.0,
    ) -> None:
        self.chain = desk.adapter.chain
        self._desk = desk
        self._books = books
        self._roster = roster
        self._voice = voice
        self._condition = condition
        self._settings = settings
        self._share = share
        self._later: dict[str, _Later] = {}

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
        waiting = self._condition.waiting
        waiting.clear()
        queued = self._queued()
        self._later = {name: self._later[name] for name, _ in queued if name in self._later}
        wallet = self._roster.wallet(self.chain)
        if wallet is None or self._desk.braked():
            why = "there is no hot wallet yet" if wallet is None else "the brake is on"
            waiting.update((name, why) for name, _ in queued)
            waiting.update(self._desk.troubles())
            return
        holds = in_force(self._books.state)
        stopped = _for_all(holds, Scope(direction="withdrawals", chain=self.chain, wallet=wallet.address))
        if stopped:
            # However many wait: in a long pause that is everybody.
            waiting.update(dict.fromkeys((name for name, _ in queued), f"held by {', '.join(stopped)}"))
            waiting.update(self._desk.troubles())
            return
        now = asyncio.get_running_loop().time()
        most = max(1, int(self._settings.in_flight * self._share()))
        out = self._out()
        for name, row in queued:
            scope = Scope(
                direction="withdrawals", chain=self.chain, asset=row.asset, account=row.account, wallet=wallet.address
            )
            stopped = stopping(holds, scope)
            later = self._later.get(name)
            if stopped:
                waiting[name] = f"held by {', '.join(stopped)}"
            elif later is not None and now < later.not_before:
                waiting[name] = later.why
            elif out >= most:
                waiting[name] = f"{most} payments are in flight"
            else:
                await self._pay(name, row, wallet.address)
                out = self._out()
        waiting.update(self._desk.troubles())

    def _out(self) -> int:
        """Payments in flight. Sweeps don't count: they wait for finality too, and must not keep users waiting."""
        return sum(
            any(purpose.kind == "withdrawal" for purpose in attempt.purposes) for _, attempt in self._desk.open()
        )

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
            # The API has asked too, but lets a request through while no provider answers.
            await self._desk.adapter.check_recipient(row.to, representation.token, may_create=row.create_account)
            attempt = await self._desk.prepare(sender, (purpose,))
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
        wallets = self._books.state.wallets
        held = wallets.get(self.chain, sender, token) or 0
        if held - spoken_for[token] < raw:
            return f"the hot wallet holds {held} of {token}, {spoken_for[token]} of it spoken for"
        coins = wallets.get(self.chain, sender, NATIVE) or 0
        if coins + self._settings.reserve <= spoken_for[NATIVE]:
            return f"the hot wallet holds {coins} of {NATIVE}, all of it spoken for: nothing is left for fees"
        return ""

    def _postpone(self, name: str, why: str) -> None:
        before = self._later.get(name)
        pause = self._settings.retry_seconds if before is None else before.pause
        self._later[name] = _Later(
            not_before=asyncio.get_running_loop().time() + pause,
            pause=min(2 * pause, self._settings.retry_cap_seconds),
            why=why,
        )
        self._condition.waiting[name] = why
        _log.info("withdrawal_waits", chain=self.chain, withdrawal=name, why=why)


def _for_all(holds: tuple[tuple[str, Hold], ...], scope: Scope) -> tuple[str, ...]:
    """The ids of holds that stop every withdrawal of a chain, whatever its asset and account."""
    return stopping(((name, hold) for name, hold in holds if not (hold.asset or hold.account)), scope)
