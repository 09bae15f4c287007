"""The desk that every transaction of ours goes over: prepared, signed, sent, followed to its end.

Each step is recorded before the next one is taken, and each can be taken again after a crash: preparing is refused by
the ledger when it was done, signing gives the same bytes, and sending the same bytes again is always safe. What ends an
attempt is never decided here: the chain's own finalized blocks, scanned by the cursor, tell the ledger.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec
import structlog

from chains.errors import ChainError, Permanent
from chains.ports import Adapter, Draft, Sent
from custody import intake
from custody.drafting import draft_of, payment_of, tokens_of
from custody.envelope.envelopes import Envelope
from custody.flows.condition import Condition
from custody.flows.deposits import accepted
from custody.flows.ports import Signer
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.attempts import BLOCKHASH_LIFE, DEATH_MARGIN
from custody.ledger.identifiers import attempt_id
from custody.ledger.lifecycle import AttemptState
from custody.ledger.state import Attempt, Lane
from custody.ledger.transactions import Purpose
from custody.signing.client import SignerRefused, SignerUnreachable
from custody.views.books import Books
from custody.voice import Voice

_log = structlog.get_logger(__name__)


class AttemptSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`resend_seconds`: identical bytes again while they are out. `bump_seconds`: a nonce that has not landed after
    this long is bumped, once. `filler_seconds`: a prepared nonce that the signer refuses is closed after this long.
    `rent_cap`: native units a created token account may cost."""

    resend_seconds: float = 2.0
    bump_seconds: float = 120.0
    filler_seconds: float = 60.0
    rent_cap: int = 0


@dataclass(slots=True)
class _Seen:
    """What this process knows of an open attempt; a restart begins anew, which is safe."""

    since: float
    sent: float = -1e9
    refusals: int = 0
    bumped: bool = False
    trouble: str = ""


@dataclass(slots=True)
class AttemptDesk:
    """One chain's. `braked` tells whether the brake is on: then nothing is signed or sent."""

    adapter: Adapter
    composer: Voice
    watcher: Voice
    books: Books
    signer: Signer
    condition: Condition
    settings: AttemptSettings
    braked: Callable[[], bool]
    _seen: dict[str, _Seen] = field(default_factory=dict)

    def lane(self, sender: str) -> Lane:
        """Where a sender's nonces stand."""
        return self.books.state.lanes.get(self.adapter.chain, sender) or Lane(next_nonce=0, done=0)

    def open(self) -> list[tuple[str, Attempt]]:
        """The chain's attempts whose end is not proven, in the order in which they were recorded."""
        state = self.books.state
        names = [str(key[0]) for key, chain in state.open_attempts.rows() if chain == self.adapter.chain]
        rows = [(name, state.attempts.need(name)) for name in names]
        return sorted(rows, key=lambda item: (item[1].journal_height, item[1].nonce or 0, item[0]))

    async def prepare(self, sender: str, purposes: tuple[Purpose, ...]) -> str | None:
        """A new attempt in the sender's lane: its id, None when the ledger said no. Raises `ChainError`, `Busy`."""
        state = self.books.state
        chain = state.chains.need(self.adapter.chain)
        nonce = None if chain.family == "solana" else self.lane(sender).next_nonce
        blockhash = state.cursors.need(self.adapter.chain).hash if nonce is None else None
        return await self._prepare(sender, purposes, nonce, blockhash, (), None)

    async def _prepare(
        self,
        sender: str,
        purposes: tuple[Purpose, ...],
        nonce: int | None,
        blockhash: str | None,
        excludes: tuple[str, ...],
        bump: Draft | None,
    ) -> str | None:
        named = {purpose.token: None for purpose in purposes}
        tokens = tuple(item for item in tokens_of(self.books.state, self.adapter.chain) if item.address in named)
        draft = await self.adapter.draft(
            sender,
            tuple(payment_of(purpose) for purpose in purposes),
            nonce=nonce,
            blockhash=blockhash,
            tokens=tokens,
            bump=bump,
        )
        message = self.adapter.compose(draft)
        created = sum(1 for purpose in purposes if purpose.create_account)
        attempt = attempt_id(self.adapter.chain, sender, encoding.digest(message))
        answer = await self.composer.say(
            lambda ledger, seq: tx.AttemptPrepared(
                ledger=ledger,
                seq=seq,
                attempt=attempt,
                chain=self.adapter.chain,
                sender=sender,
                nonce=nonce,
                blockhash=blockhash,
                excludes=excludes,
                purposes=purposes,
                parameters=dict(draft.parameters),
                fee_cap=str(self.adapter.fee_cap(draft)),
                rent_cap=str(created * self.settings.rent_cap),
                message=message.hex(),
            )
        )
        if not accepted(answer):
            _log.warning("attempt_not_prepared", chain=self.adapter.chain, code=answer.code)
            return None
        _log.info("attempt_prepared", chain=self.adapter.chain, attempt=attempt, nonce=nonce)
        return attempt

    async def follow(self) -> None:
        """One round over everything that is out. Raises nothing of a chain's: an attempt's trouble is its own."""
        rows = self.open()
        names = {name: None for name, _ in rows}
        for gone in [name for name in self._seen if name not in names]:
            del self._seen[gone]
        for name, row in rows:
            await self._tend(name, row)

    async def hasten(self, name: str) -> None:
        """Sign and send a fresh attempt at once instead of in the next round. Raises nothing of a chain's, as
        `follow`."""
        row = self.books.state.attempts.get(name)
        if row is not None:
            await self._tend(name, row)

    async def _tend(self, name: str, row: Attempt) -> None:
        seen = self._seen.setdefault(name, _Seen(since=asyncio.get_running_loop().time()))
        try:
            if row.state is AttemptState.PREPARED:
                await self._sign(name, row, seen)
            else:
                await self.send(name, row, seen)
        except ChainError as exc:
            seen.trouble = f"{exc.code}: {exc.message}"
            _log.warning("attempt_trouble", chain=row.chain, attempt=name, code=exc.code, error=exc.message)

    def oldest_signed(self) -> float:
        """Seconds that the oldest signed attempt has been out, as far as this process knows; 0 when none is."""
        now = asyncio.get_running_loop().time()
        ages = [
            now - seen.since
            for name, row in self.open()
            if row.state is AttemptState.SIGNED and (seen := self._seen.get(name)) is not None
        ]
        return max(ages, default=0.0)

    def troubles(self) -> dict[str, str]:
        """Withdrawals in an attempt that is not well: id → why."""
        troubles: dict[str, str] = {}
        for name, row in self.open():
            seen = self._seen.get(name)
            if seen is not None and seen.trouble:
                troubles.update((purpose.id, seen.trouble) for purpose in row.purposes if purpose.kind == "withdrawal")
        return troubles

    async def _sign(self, name: str, row: Attempt, seen: _Seen) -> None:
        if row.nonce is None and self._past_life(row):
            await self._bury(name, row)
            return
        if self.braked():
            return
        try:
            envelope: Envelope = await self.signer.sign(name)
        except SignerUnreachable as exc:
            seen.trouble = str(exc)
            return
        except SignerRefused as exc:
            seen.refusals += 1
            seen.trouble = f"the signer refuses: {exc.code}"
            _log.warning("signer_refused", chain=row.chain, attempt=name, code=exc.code, error=exc.message)
            if row.nonce is not None and self._age(seen) >= self.settings.filler_seconds:
                await self._fill(row)
            return
        answer = await self.composer.relay(envelope)
        if not accepted(answer):
            seen.trouble = f"the ledger refuses the signed bytes: {answer.code}"
            _log.warning("signed_refused", chain=row.chain, attempt=name, code=answer.code)
            return
        signed = self.books.state.attempts.need(name)
        if signed.state is AttemptState.SIGNED:
            await self.send(name, signed, seen)

    async def send(self, name: str, row: Attempt, seen: _Seen) -> None:
        """The same bytes once more when it is time, and what an attempt that does not land needs."""
        now = asyncio.get_running_loop().time()
        if self.braked():
            return
        if row.nonce is None and self._past_life(row):
            await self._bury(name, row)
            return
        if now - seen.sent < self.settings.resend_seconds:
            return
        seen.sent = now
        outcome = await self.adapter.broadcast(bytes.fromhex(row.raw))
        seen.trouble = "" if outcome.result is Sent.ACCEPTED else f"{outcome.result}: {outcome.code}"
        _log.info("attempt_sent", chain=row.chain, attempt=name, tx=row.tx, result=outcome.result, code=outcome.code)
        if row.nonce is not None and self._age(seen) >= self.settings.bump_seconds and not seen.bumped:
            await self._bump(name, row, seen)

    def _age(self, seen: _Seen) -> float:
        return asyncio.get_running_loop().time() - seen.since

    def _past_life(self, row: Attempt) -> bool:
        cursor = self.books.state.cursors.need(row.chain)
        return cursor.height >= row.height + BLOCKHASH_LIFE + DEATH_MARGIN

    async def _bury(self, name: str, row: Attempt) -> None:
        """Ask the providers, where there are bytes to ask for; with our own cursor past the mark, the ledger can
        judge."""
        absences = await self.adapter.absence(row.tx) if row.tx else ()
        answer = await self.watcher.say(lambda ledger, seq: intake.evidence(name, absences, ledger=ledger, seq=seq))
        if accepted(answer):
            _log.warning("attempt_dead", chain=row.chain, attempt=name, tx=row.tx)
        else:
            _log.info("attempt_not_dead_yet", chain=row.chain, attempt=name, code=answer.code)

    async def _bump(self, name: str, row: Attempt, seen: _Seen) -> None:
        """The lowest open nonce, once: the same payment at a higher fee."""
        if row.nonce is None or row.nonce != self.lane(row.sender).done:
            return
        slot = self.books.state.nonces.need(row.chain, row.sender, row.nonce)
        if len(slot.attempts) > 1 or slot.attempts[-1] != name:
            return
        old = draft_of(
            self.books.state,
            chain=row.chain,
            sender=row.sender,
            nonce=row.nonce,
            blockhash=None,
            purposes=row.purposes,
            parameters=row.parameters,
        )
        seen.bumped = await self._prepare(row.sender, row.purposes, row.nonce, None, slot.attempts, old) is not None

    async def _fill(self, row: Attempt) -> None:
        """Close a nonce that will not be signed: a self-send of nothing, so that the lane has no hole."""
        assert row.nonce is not None
        slot = self.books.state.nonces.need(row.chain, row.sender, row.nonce)
        if any(not self.books.state.attempts.need(item).purposes for item in slot.attempts):
            return
        try:
            await self._prepare(row.sender, (), row.nonce, None, slot.attempts, None)
        except Permanent as exc:
            _log.warning("filler_not_prepared", chain=row.chain, nonce=row.nonce, code=exc.code, error=exc.message)
