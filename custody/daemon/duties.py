"""Small duties that stand between the API's ports and the parts: recipients, the relay's voice, the brake."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress

import structlog

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
                provider=words.provider,
                direction=words.direction,
                origin="operator",
                cause=words.cause,
                reason=words.reason,
                actor=words.actor,
                until=words.until,
            )
        )


class BrakeDesk:
    """`api.ports.Brake`: the daemon's own latch first, the signer's next, the ledger's record last.

    The latch holds though nothing else works; each pull is recorded as a hold of its own as soon as it can be.
    """

    def __init__(self, latch: Latchfile, signer: SignerLink, relay: RelayDesk, clock: Callable[[], int]) -> None:
        self._latch = latch
        self._signer = signer
        self._relay = relay
        self._clock = clock

    def latched(self) -> Latch | None:
        """See the port."""
        on = self._latch.on
        return None if on is None else Latch(cause="brake", reason=on.reason, actor=on.actor, since=on.since)

    async def pull(self, *, actor: str, reason: str) -> Latch:
        """See the port. A latch that can't be written still holds in this process, and the log says so."""
        try:
            self._latch.pull(reason, actor, self._clock())
        except OSError as exc:
            _log.error("brake_not_durable", error=exc.strerror)
        latch = self.latched()
        assert latch is not None, "a pulled brake is on"
        try:
            await self._signer.brake(on=True, reason=reason, actor=actor)
        except (SignerUnreachable, SignerRefused) as exc:
            _log.error("brake_not_at_signer", error=str(exc))
        await self._record(latch)
        return latch

    async def _record(self, latch: Latch) -> None:
        words = HoldWords(
            hold=f"brake:{latch.since}",
            chain="",
            asset="",
            account="",
            direction="all",
            cause="brake",
            reason=latch.reason,
            actor=latch.actor,
            until=0,
        )
        try:
            await self._relay.hold(words)
        except (Busy, Stopped) as exc:
            _log.error("brake_not_recorded", error=str(exc))

    async def release(self, *, actor: str, reason: str) -> None:
        """See the port. The signer first: while its latch is on, ours being open pays nothing."""
        await self._signer.brake(on=False, reason=reason, actor=actor)
        self._latch.release()

    async def settle(self) -> None:
        """At start: a latch that was never recorded is recorded now, and the signer's is made to agree."""
        latch = self.latched()
        if latch is None:
            return
        with suppress(SignerUnreachable, SignerRefused):
            await self._signer.brake(on=True, reason=latch.reason, actor=latch.actor)
        await self._record(latch)


class Reconciler:
    """`api.ports.Reconciler` over the flow."""

    def __init__(self, flow: Reconciliation) -> None:
        self._flow = flow

    async def reconcile(self, chain: str) -> tuple[Reconciled, ...]:
        """See the port."""
        return tuple(
            Reconciled(
                chain=line.chain,
                asset=line.asset,
                position=line.position,
                ledger=line.ledger,
                wallets=line.wallets,
                observed=line.observed,
                result=line.result,
                detail=line.detail,
            )
            for line in await self._flow.run(chain)
        )
