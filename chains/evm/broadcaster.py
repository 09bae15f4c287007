"""Handing signed bytes to the network, and saying honestly what became of them.

The same bytes go once to every provider. One that took them is enough; a refusal counts only when it is the chain's
own verdict and everybody who answered agrees; everything else is `AMBIGUOUS`, because bytes that may be on their way
are never called failed. "Already known" and "nonce too low" say nothing about *these* bytes until somebody confirms
that it holds our hash.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

from chains.errors import Integrity, NoProvider, Permanent, Retryable
from chains.evm import codec, composer
from chains.evm.rpc import FINALIZED, EvmRpc
from chains.observations import Absence
from chains.pool.calls import Answer
from chains.ports import Broadcast, Sent

_LOOK_UP = ("already_known", "nonce_too_low")
"""Verdicts that our own bytes may have caused."""

_REFUSALS = ("underpriced", "insufficient_funds", "nonce_too_high", "gas_limit", "reverted", "malformed")
"""Verdicts against these bytes. Other permanent errors are about the provider (a method it lacks) and prove nothing."""


class _Said(Enum):
    TOOK = 0
    LOOK_UP = 1
    REFUSED = 2
    NOTHING_HAPPENED = 3
    UNKNOWN = 4


def read(answer: Answer[str], tx: str) -> tuple[_Said, str]:
    """What one provider's answer says about our bytes, with the verdict's code. Another hash is no receipt."""
    error = answer.error
    if error is None:
        return (_Said.TOOK, "") if answer.value == tx else (_Said.UNKNOWN, "wrong_hash")
    if isinstance(error, Permanent) and not isinstance(error, Integrity):
        if error.code in _LOOK_UP:
            return _Said.LOOK_UP, error.code
        if error.code in _REFUSALS:
            return _Said.REFUSED, error.code
        return _Said.NOTHING_HAPPENED, error.code
    if isinstance(error, Retryable):
        return _Said.NOTHING_HAPPENED, error.code
    return _Said.UNKNOWN, error.code


def decide(answers: Sequence[Answer[str]], tx: str) -> tuple[Broadcast, bool]:
    """All answers taken together, and whether our hash must be looked up before that is final.

    With the second value true the `Broadcast` is what holds when nobody confirms the hash.
    """
    said = [(*read(answer, tx), answer) for answer in answers]
    detail = "; ".join(f"{a.provider}: {a.error}" for _, _, a in said if a.error is not None)
    if any(kind is _Said.TOOK for kind, _, _ in said):
        return Broadcast(result=Sent.ACCEPTED), False
    if any(kind is _Said.LOOK_UP for kind, _, _ in said):
        code = next(code for kind, code, _ in said if kind is _Said.LOOK_UP)
        return Broadcast(result=Sent.AMBIGUOUS, code=code, detail=detail), True
    if all(kind is _Said.REFUSED for kind, _, _ in said):
        return Broadcast(result=Sent.REFUSED, code=said[0][1], detail=detail), False
    return Broadcast(result=Sent.AMBIGUOUS, detail=detail), False


class Broadcaster:
    """Sends, and asks after what was sent."""

    __slots__ = ("_chain", "_rpc")

    def __init__(self, chain: str, rpc: EvmRpc) -> None:
        self._chain, self._rpc = chain, rpc

    async def broadcast(self, raw: bytes) -> Broadcast:
        """See `chains.ports.Adapter.broadcast`. Raises `Retryable` when certainly nobody was reached, so that nothing
        happened."""
        tx = composer.transaction_id(raw)
        answers = await self._rpc.send_each(raw)
        if not answers:
            raise NoProvider("no_provider", f"nobody on {self._chain} may be asked to send {tx}")
        for answer in answers:
            if answer.error is None and answer.value != tx:
                self._rpc.upstream.report_integrity(answer.provider, f"took {tx} and answered {answer.value}")
        unreached = [a.error for a in answers if isinstance(a.error, Retryable)]
        if len(unreached) == len(answers):
            raise unreached[0]
        result, look_up = decide(answers, tx)
        if look_up and any(answer.value for answer in await self._rpc.known_each(tx)):
            return Broadcast(result=Sent.ACCEPTED)
        return result

    async def absence(self, tx: str) -> tuple[Absence, ...]:
        """See `chains.ports.Adapter.absence`. Each provider's finalized block is asked for first, so that the node that
        named it says "absent" of a state at least as new. Behind an address with several nodes another one may answer,
        and nothing in its answer tells how far it is: one more reason why no single provider's word is enough."""
        finalized = await self._rpc.headers(FINALIZED)
        heights = {a.provider: codec.quantity(a.value.number) for a in finalized if a.value is not None}
        receipts = await self._rpc.receipts_each(tx)
        return tuple(
            Absence(
                provider=answer.provider,
                tx=tx,
                found=answer.value is not None,
                finalized_height=heights[answer.provider],
                context=heights[answer.provider],
            )
            for answer in receipts
            if answer.error is None and answer.provider in heights
        )
