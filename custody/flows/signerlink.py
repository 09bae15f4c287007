"""The daemon's way to the signer: first the blocks it has not seen, then the question.

The signer believes only what it has executed itself, so every question is preceded by whatever blocks are new. One
request at a time. When the signer says that our history is not its own, nothing is paid any more: the whole ledger is
held `auto:divergence`, and only people end that.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import structlog

from custody.envelope.envelopes import Envelope
from custody.flows.deposits import accepted
from custody.flows.holding import hold_automatically
from custody.journal.block import block_hash
from custody.journal.journal import Journal
from custody.sequencer import Busy
from custody.signing.client import SignerClient, SignerRefused, SignerUnreachable
from custody.signing.protocol import Standing
from custody.signing.refusals import RefusalCode
from custody.views.books import Books
from custody.voice import Voice

_log = structlog.get_logger(__name__)

BLOCKS_AT_ONCE = 256
BYTES_AT_ONCE = 4 * 1024 * 1024
DIVERGENT = (RefusalCode.DIVERGENCE, RefusalCode.OTHER_LEDGER)


class SignerLink:
    """`flows.ports.Signer` over the socket."""

    def __init__(
        self, client: SignerClient, journal: Journal, books: Books, relay: Voice, *, poll_seconds: float = 1.0
    ) -> None:
        self._client = client
        self._journal = journal
        self._books = books
        self._relay = relay
        self._poll = poll_seconds
        self._known: int | None = None
        self._turn = asyncio.Lock()
        self.reachable = False
        self.trouble = "not asked yet"

    async def run(self) -> None:
        """Keep the signer's copy fresh, until cancelled: its tip is what makes a restored journal show."""
        while True:
            with suppress(SignerUnreachable, SignerRefused, Busy):
                async with self._talking():
                    pass
            await asyncio.sleep(self._poll)

    async def standing(self) -> Standing:
        """Where the signer stands. Raises `SignerUnreachable`, `SignerRefused`."""
        async with self._turn:
            return await self._client.hello()

    async def attest(self, chain: str, tier: str, account: str, index: int) -> Envelope:
        """See `flows.ports.Signer`."""
        async with self._talking():
            return await self._client.attest(chain, tier, account, index)

    async def sign(self, attempt: str) -> Envelope:
        """See `flows.ports.Signer`."""
        async with self._talking():
            return await self._client.sign(attempt)

    async def brake(self, *, on: bool, reason: str, actor: str) -> None:
        """Pull or release the signer's own latch; needs no blocks and waits for nobody's turn."""
        await self._client.brake(on, reason=reason, actor=actor)

    @asynccontextmanager
    async def _talking(self) -> AsyncIterator[None]:
        """One turn, with the signer's copy brought up to our tip before anything is asked."""
        async with self._turn:
            try:
                await self._catch_up()
                self.reachable, self.trouble = True, ""
                yield
            except SignerUnreachable as exc:
                # It may come back as another process: its tip is asked for anew.
                self._known, self.reachable, self.trouble = None, False, str(exc)
                raise
            except SignerRefused as exc:
                self.trouble = str(exc)
                if exc.code in DIVERGENT:
                    await self._hold(exc.message)
                if exc.code in DIVERGENT or exc.code is RefusalCode.BLOCKS_MISSING:
                    # It stands elsewhere than we thought: where, is asked for anew.
                    self._known = None
                raise

    async def _catch_up(self) -> None:
        if self._known is None:
            standing = await self._client.hello()
            if standing.height >= 0:
                await self._compare(standing)
            self._known = standing.height
        tip = self._books.link
        while tip is not None and self._known < tip.height:
            blobs: list[bytes] = []
            size = 0
            for _, blob in self._journal.read(self._known + 1, BLOCKS_AT_ONCE):
                blobs.append(blob)
                size += len(blob)
                if size >= BYTES_AT_ONCE:
                    break
            self._known = (await self._client.extend(tuple(blobs))).height

    async def _compare(self, standing: Standing) -> None:
        """The signer's tip must be one of our blocks. Raises `SignerRefused` (`divergence`)."""
        tip = self._books.link
        if tip is not None and standing.height <= tip.height:
            ours = block_hash(self._journal.block(standing.height).header)
            if ours == standing.hash:
                return
        height = -1 if tip is None else tip.height
        raise SignerRefused(
            RefusalCode.DIVERGENCE,
            f"the signer stands at block {standing.height} ({standing.hash[:16]}…), which is not in this journal; "
            f"it ends at block {height}",
            standing.height,
            standing.hash,
        )

    async def _hold(self, why: str) -> None:
        """Everything stops until two admins have joined the histories again."""
        if any(hold.cause == "divergence" for _, hold in self._books.state.holds.rows()):
            return
        answer = await hold_automatically(self._relay, self._books, cause="divergence", direction="all", reason=why)
        _log.error("divergence", accepted=accepted(answer), reason=why)
