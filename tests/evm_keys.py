"""EVM keys for tests, made from a number, signing as the signer does: coincurve over the message's digest."""

from __future__ import annotations

import coincurve

from chains.evm import codec, composer


class EvmKey:
    """One key pair. `address` is the checksummed spelling."""

    def __init__(self, number: int) -> None:
        self.secret = number.to_bytes(32, "big")
        self._key = coincurve.PrivateKey(self.secret)
        self.address = codec.checksummed(composer.address_of(self._key.public_key.format(compressed=False)))

    def sign(self, message: bytes) -> bytes:
        """r, s and parity over the keccak of a message: what `attach` takes."""
        return self._key.sign_recoverable(composer.digest(message), hasher=None)
