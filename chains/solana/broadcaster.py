"""Sending signed bytes to everyone, and asking everyone whether a transaction exists.

Sending is safe to repeat, as often as wanted, as long as the bytes are the same; nothing here ever makes new ones. And
no answer to a send is proof of anything: what became of a transaction is read from finalized blocks, and that it can't
land any more is decided by `finality.is_dead` from the statements collected here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from chains.errors import NoProvider, Permanent, Verdict, cap
from chains.observations import Absence
from chains.ports import Broadcast, Sent
from chains.solana.codec import check_signature
from chains.solana.composer import transaction_id
from chains.solana.rpc import SolanaRpc

PREFLIGHT: Final = -32002
"""Preflight refused; `data.err` is the runtime's own name for why."""

_KNOWN: Final = frozenset({"already_processed", "already_known"})

_BY_ERROR: Final[Mapping[str, str]] = {
    "AlreadyProcessed": "already_processed",
    "BlockhashNotFound": "blockhash_not_found",
    "AccountNotFound": "insufficient_funds",
    "InsufficientFundsForFee": "insufficient_funds",
    "InsufficientFundsForRent": "insufficient_funds",
    "SignatureFailure": "malformed",
}
"""`TransactionError` variants (agave `solana-transaction-error`) that say why without a program's help."""

_CODES: Final = frozenset({"blockhash_not_found", "insufficient_funds", "simulation_failed"})


class Broadcaster:
    """The two questions an attempt in flight puts to all providers."""

    __slots__ = ("rpc",)

    def __init__(self, rpc: SolanaRpc) -> None:
        self.rpc = rpc

    async def broadcast(self, raw: bytes) -> Broadcast:
        """Send once to each provider. Raises `Permanent` (`message_malformed`) before anything is sent, and
        `NoProvider`."""
        expected = transaction_id(raw)
        answers = await self.rpc.send_each(raw)
        if not answers:
            raise NoProvider("no_provider", "no provider may be asked to send")
        refusals: list[Permanent] = []
        accepted = False
        for answer in answers:
            if answer.error is None and answer.value == expected:
                accepted = True
            elif answer.error is None:
                self.rpc.upstream.report_integrity(answer.provider, "answered a send with another transaction's id")
            elif isinstance(answer.error, Permanent) and _reason(answer.error) in _KNOWN:
                accepted = True
            elif isinstance(answer.error, Permanent):
                refusals.append(answer.error)
        if accepted:
            return Broadcast(result=Sent.ACCEPTED)
        if len(refusals) < len(answers):
            return Broadcast(result=Sent.AMBIGUOUS)
        first = refusals[0]
        return Broadcast(result=Sent.REFUSED, code=_reason(first), detail=cap(first.message))

    async def absence(self, tx: str) -> tuple[Absence, ...]:
        """What each provider says about a transaction, and as of which finalized height.

        The height is asked first and the status must come from a bank at least as new: behind one provider's address
        there may be several nodes, and a lagging one knows nothing of what the others saw. A provider whose answers
        don't fit together, or that lacks one of them, is left out. Raises `Permanent` (`tx_malformed`).
        """
        check_signature(tx)
        heights = {one.provider: one.value for one in await self.rpc.epoch_each() if one.value is not None}
        found: list[Absence] = []
        for answer in await self.rpc.statuses_each(tx):
            epoch, statuses = heights.get(answer.provider), answer.value
            if epoch is None or statuses is None or len(statuses.value) != 1:
                continue
            known = statuses.value[0] is not None
            if not known and statuses.context.slot < epoch.absolute_slot:
                continue
            found.append(
                Absence(
                    provider=answer.provider,
                    tx=tx,
                    found=known,
                    finalized_height=epoch.block_height,
                    context=statuses.context.slot,
                )
            )
        return tuple(found)


def _reason(error: Permanent) -> str:
    """The port's name for a refusal: by the runtime's own error where it is given, else by the classification."""
    if isinstance(error, Verdict) and error.rpc_code == PREFLIGHT and isinstance(error.data, dict):
        named = error.data.get("err")
        if isinstance(named, str) and named in _BY_ERROR:
            return _BY_ERROR[named]
    return error.code if error.code in _CODES | _KNOWN else "malformed"
