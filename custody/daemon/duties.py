"""Small duties that stand between the API's ports and the parts: recipients, the relay's voice, the brake."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from chains.errors import Permanent
from chains.ports import Adapter
from custody.api.ports import HoldWords, Reconciled
from custody.flows.reconciliation import Reconciliation
from custody.flows.signerlink import SignerLink
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.sequencer import Busy, Receipt, Stopped
from custody.signing.brake import Brake as Latchfile
from custody.signing.client import SignerRefused, SignerUnreachable
from custody.views.books import Books
from custody.views.facts import Latch
from custody.voice import Voice

_log = structlog.get_logger(__name__)

BRAKE_HOLD = "brake"


class Recipients:
    """`api.ports.Recipients` over the adapters."""

    def __init__(self, adapters: Mapping[str, Adapter], books: Books) -> None:
        self._adapters = adapters
        self._books = books

    def check_address(self, chain: str, to: str) -> None:
        """An unknown chain is the ledger's to refuse."""
        adapter = self._adapters.get(chain)
        if adapter is not None:
            adapter.check_address(to)

    async def check_recipient(self, chain: str, to: str, asset: str, *, create_account: bool) -> None:
        """An address of ours needs no asking: it becomes a transfer."""
        adapter = self._adapters.get(chain)
        row = self._books.state.assets.get(asset)
        representation = None if row is None else row.on(chain)
        if adapter is None or representation is None or self._books.state.addresses.get(chain, to) is not None:
            return
        await adapter.check_recipient(to, representation.token, may_create=create_account)


class RelayDesk:
    """`api.ports.Relay`: holds for local operators, under the daemon's own key."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice

    async def hold(self, words: HoldWords) -> Receipt | Rejection:
        """See the port."""
        return await self._voice.say(
            lambda ledger, seq: tx.HoldSet(
                ledger=ledger,
                seq=seq,
                hold=words.hold,
                chain=words.chain,
                asset=words.asset,
                account=words.account,
                wallet="",
                provider="",
                direction=words.direction,
                origin="operator",
                cause=words.cause,
                reason=words.reason,
                actor=words.actor,
                until=words.until,
            )
        )


class BrakeDesk:
    """`api.ports.Brake`: the daemon's latch first, the signer's next, the ledger's record last.

    The latch holds though nothing else works. Each brake is recorded as a hold of its own.
    """

    def __init__(self, latch: Latchfile, signer: SignerLink, relay: RelayDesk, now_ms: Mapping[str, object]) -> None:
        raise AssertionError
