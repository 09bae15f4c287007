"""Cutting the power at a named place: what is durable stays, everything else is gone.

A fuse sits around the two things a payment goes through outside the daemon, the signer and the providers. It wraps
real parts and changes nothing about them until it blows.
"""

from __future__ import annotations

from typing import TypeVar

import msgspec

from chains.pool.calls import Answer, Call, Upstream
from custody.envelope.envelopes import Envelope
from custody.flows.ports import Signer

T = TypeVar("T")

BEFORE_SIGNING = "before the signer is asked"
BEFORE_RECORDING = "after the signer signed, before the ledger knows"
BEFORE_SENDING = "after the signed bytes are recorded, before they are sent"
AFTER_SENDING = "after the first send"

PLACES = (BEFORE_SIGNING, BEFORE_RECORDING, BEFORE_SENDING, AFTER_SENDING)


class PowerCut(BaseException):
    """The process is gone. Not an `Exception`: no code of ours may catch it and go on."""


class Fuse:
    """Armed at one place, it blows once, there; then it is a plain wire again."""

    def __init__(self) -> None:
        self.armed = ""

    def pass_(self, place: str) -> None:
        if place == self.armed:
            self.armed = ""
            raise PowerCut(place)


class FusedSigner:
    """`flows.ports.Signer` around another."""

    def __init__(self, signer: Signer, fuse: Fuse) -> None:
        self._signer = signer
        self._fuse = fuse

    async def attest(self, chain: str, tier: str, account: str, index: int) -> Envelope:
        return await self._signer.attest(chain, tier, account, index)

    async def sign(self, attempt: str) -> Envelope:
        self._fuse.pass_(BEFORE_SIGNING)
        envelope = await self._signer.sign(attempt)
        self._fuse.pass_(BEFORE_RECORDING)
        return envelope


class FusedUpstream:
    """`Upstream` around another; `sent` keeps every broadcast in its order."""

    def __init__(self, upstream: Upstream, fuse: Fuse) -> None:
        self.chain = upstream.chain
        self.sent: list[str] = []
        self._upstream = upstream
        self._fuse = fuse

    def providers(self) -> tuple[str, ...]:
        return self._upstream.providers()

    def report_integrity(self, provider: str, reason: str) -> None:
        self._upstream.report_integrity(provider, reason)

    async def call(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        return await self._upstream.call(call, decoder)

    async def call_from(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        return await self._upstream.call_from(provider, call, decoder)

    def preferred(self) -> tuple[str, ...]:
        return self._upstream.preferred()

    def report_heights(self, provider: str, *, latest: int | None = None, finalized: int | None = None) -> None:
        self._upstream.report_heights(provider, latest=latest, finalized=finalized)

    async def call_each(self, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[Answer[T], ...]:
        if not call.broadcast:
            return await self._upstream.call_each(call, decoder)
        self._fuse.pass_(BEFORE_SENDING)
        self.sent.append(str(call.params[0]))
        answers = await self._upstream.call_each(call, decoder)
        self._fuse.pass_(AFTER_SENDING)
        return answers
