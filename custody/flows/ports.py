"""What the flows need from the signer, as a protocol, so that they can be told without a process behind it."""

from __future__ import annotations

from typing import Protocol

from custody.envelope.envelopes import Envelope


class Signer(Protocol):
    """Answers with envelopes that the signer has signed under its own key, ready to be submitted. Every method raises
    `SignerUnreachable` and `SignerRefused` of `custody.signing.client`."""

    async def attest(self, chain: str, tier: str, account: str, index: int) -> Envelope:
        """An `address.attested` for the address at (tier, index) of a chain."""
        ...

    async def sign(self, attempt: str) -> Envelope:
        """An `attempt.signed` for a prepared attempt; the same bytes however often it is asked."""
        ...
