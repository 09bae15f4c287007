"""A key of the daemon's with which it speaks to its own ledger: builds, numbers, signs and submits.

One voice for each key, because a key's sequence numbers must be given out in one place.
"""

from __future__ import annotations

from collections.abc import Callable

from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.ledger import encoding
from custody.ledger.rejections import Rejection
from custody.ledger.transactions import Transaction
from custody.sequencer import Busy, Receipt, Sequencer, Stopped

Sentence = Callable[[str, int], Transaction]
"""(ledger, seq) → the transaction."""


class Voice:
    """Says things under one key."""

    __slots__ = ("_key", "_next", "_sequencer", "_unanswered")

    def __init__(self, key: SigningKey, sequencer: Sequencer) -> None:
        self._key = key
        self._sequencer = sequencer
        self._next = 0
        self._unanswered = 0

    @property
    def key(self) -> str:
        """The key's id."""
        return self._key.id

    async def say(self, sentence: Sentence) -> Receipt | Rejection:
        """Submit one transaction and return its durable answer. Raises `Busy`, `Stopped`."""
        if not self._unanswered:
            # Numbers of what was refused without a trace are free again: else the ledger's window would run out.
            self._next = 0
        seq = max(self._next, self._sequencer.next_sequence(self._key.id))
        self._next = seq + 1
        said = sentence(self._sequencer.ledger, seq)
        self._unanswered += 1
        answer = await self._submit(envelopes.sign(self._key, encoding.encode(said)))
        self._unanswered -= 1
        return answer

    async def _submit(self, envelope: Envelope) -> Receipt | Rejection:
        """A call that is cancelled stays unanswered for good: its envelope may still be in the writer's queue."""
        try:
            return await self._sequencer.submit(envelope)
        except (Busy, Stopped):
            self._unanswered -= 1
            raise

    async def relay(self, envelope: Envelope) -> Receipt | Rejection:
        """Submit what another key has signed (the signer's attestations and signed bytes)."""
        return await self._sequencer.submit(envelope)

    def reference(self, name: str) -> str:
        """A keyed hash of an id for a chain's memo, 32 hex digits: stable for us, meaningless to anybody else."""
        return encoding.digest(self._key.sign(b"custody/memo/1\0" + name.encode()))[:32]
