"""Deposit addresses: a user's request, the signer's attestation, into the ledger; the scanner does the rest."""

from __future__ import annotations

import asyncio

import structlog

from custody.flows.deposits import accepted
from custody.flows.ports import Signer
from custody.flows.roster import Roster
from custody.sequencer import Busy
from custody.signing.client import SignerRefused, SignerUnreachable
from custody.voice import Voice

_log = structlog.get_logger(__name__)

RETRY_SECONDS = 1.0


class AddressDesk:
    """One worker for all chains: attestations are quick, and their order is the ledger's."""

    def __init__(self, signer: Signer, voice: Voice, roster: Roster) -> None:
        self._signer = signer
        self._voice = voice
        self._roster = roster

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            changed = self._roster.changed
            if not await self.step():
                await asyncio.sleep(RETRY_SECONDS)
            elif not self._roster.wanted():
                await changed.wait()

    async def step(self) -> bool:
        """Attest everything that waits; False when something still does. What is refused keeps nobody else waiting."""
        done = True
        for wanted in self._roster.wanted():
            try:
                envelope = await self._signer.attest(wanted.chain, "deposit", wanted.account, wanted.index)
                answer = await self._voice.relay(envelope)
            except SignerRefused as exc:
                _log.warning("attestation_refused", chain=wanted.chain, index=wanted.index, error=str(exc))
                done = False
                continue
            except (SignerUnreachable, Busy) as exc:
                _log.warning("attestation_failed", chain=wanted.chain, error=str(exc))
                return False
            if not accepted(answer):
                _log.warning("attestation_rejected", chain=wanted.chain, index=wanted.index, code=answer.code)
                done = False
        return done

    async def wallet(self, chain: str, tier: str = "hot") -> bool:
        """Make sure the house has a wallet of this tier; False where the ledger does not take it. Raises
        `SignerUnreachable`, `SignerRefused`, `Busy`."""
        if self._roster.wallet(chain, tier) is not None:
            return True
        answer = await self._voice.relay(await self._signer.attest(chain, tier, "", 0))
        if not accepted(answer):
            _log.error("wallet_rejected", chain=chain, tier=tier, code=answer.code)
        return accepted(answer)
