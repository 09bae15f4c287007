"""What the flows need of the signer and of a provider pool, as protocols, so that they can be told without either."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from chains.pool.calls import Priority
from chains.pool.events import ProviderHealth, Traffic
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


class PoolControl(Protocol):
    """What the flows see of a chain's provider pool: how it does, and who is kept out of it. `now` by the pool's own
    clock, which is the loop's."""

    def providers(self) -> tuple[str, ...]:
        """All configured providers, in the order of the configuration."""
        ...

    def health(self, now: float) -> tuple[ProviderHealth, ...]:
        """Each provider at that moment."""
        ...

    def traffic(self) -> Mapping[Priority, Traffic]:
        """What was asked and answered since the start, by class."""
        ...

    def cordon(self, provider: str, reason: str) -> None:
        """Keep it out."""
        ...

    def uncordon(self, provider: str) -> None:
        """Let it in again."""
        ...

    def release(self, provider: str) -> None:
        """Open its latches."""
        ...
