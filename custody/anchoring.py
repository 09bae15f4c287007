"""What admins sign to let a signer leave its own history for another one of the same ledger, after a restore.

It is no transaction: the journal that would carry it is the very thing in doubt. Each admin signs the same payload with
their own key; the signer counts the keys that its own replica knows as admins, and does as they say only if its tip is
still the one they name.
"""

from __future__ import annotations

import msgspec

from custody.envelope import envelopes
from custody.envelope.canonical import canonical
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope


class Reanchored(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="signer.reanchored"
):
    """Leave the history that ends in block `from_hash` at `from_height`; believe the one that has `to_hash` at
    `to_height`. `ledger`: the genesis hash, which both share. `signer`: the id of the signer's key."""

    ledger: str
    signer: str
    from_height: int
    from_hash: str
    to_height: int
    to_hash: str


_decoder = msgspec.json.Decoder(Reanchored)


def state_reanchored(key: SigningKey, said: Reanchored) -> Envelope:
    """The statement under an admin's key."""
    return envelopes.sign(key, canonical(said))


def read_reanchored(payload: bytes) -> Reanchored | None:
    """What a payload says, None unless it is such a statement in its one spelling."""
    try:
        said = _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return said if canonical(said) == payload else None
