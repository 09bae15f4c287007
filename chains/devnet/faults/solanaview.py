"""A Solana chain as it was at an earlier slot: the tip is an older block, and what is newer isn't available.

Two commitments are kept, `processed` being answered as `confirmed`. A node serves accounts only as they are now, so
balances are not those of then: their context slot is, by which a client can tell.
"""

from __future__ import annotations

import msgspec

from chains.devnet.faults.exchange import Exchange, Unanswered
from chains.devnet.faults.wire import Asked, Said, refused, told

SOLANA_METHODS = frozenset(
    {
        "getAccountInfo",
        "getBalance",
        "getBlock",
        "getBlockHeight",
        "getBlockTime",
        "getBlocks",
        "getBlocksWithLimit",
        "getEpochInfo",
        "getLatestBlockhash",
        "getMultipleAccounts",
        "getSignatureStatuses",
        "getSlot",
        "getTokenAccountBalance",
        "getTransaction",
    }
)
"""What depends on where the tip is."""

SEARCHED = 500
"""Slots looked back for a block, should the slots just below the wanted one be skipped."""

MAX_AGE = 150
"""Blocks a blockhash lives (agave `MAX_PROCESSING_AGE`)."""

NOT_AVAILABLE, CONTEXT_NOT_REACHED = -32004, -32016
"""agave `JSON_RPC_SERVER_ERROR_BLOCK_NOT_AVAILABLE`, `…_MIN_CONTEXT_SLOT_NOT_REACHED`."""


class Tip(msgspec.Struct, frozen=True, kw_only=True):
    """The newest block of a commitment."""

    slot: int
    height: int
    blockhash: str


class _Header(msgspec.Struct, rename="camel"):
    block_height: int
    blockhash: str


class SolanaView(msgspec.Struct, frozen=True, kw_only=True):
    """The tips of then."""

    confirmed: Tip
    finalized: Tip

    def ask(self, asked: Asked) -> Asked:
        """As it was put: no method takes a slot to answer as of."""
        return asked

    def tell(self, asked: Asked, said: Said) -> Said:
        """Without what is newer than the tip of the commitment asked for."""
        arguments = asked.arguments()
        options = next((one for one in reversed(arguments) if isinstance(one, dict)), {})
        tip = self.finalized if options.get("commitment", "finalized") == "finalized" else self.confirmed
        if said.refused:
            return said
        least = options.get("minContextSlot")
        if isinstance(least, int) and least > tip.slot:
            return refused(asked, CONTEXT_NOT_REACHED, "Minimum context slot has not been reached")
        match asked.method:
            case "getSlot":
                return told(asked, tip.slot)
            case "getBlockHeight":
                return told(asked, tip.height)
            case "getBlock" | "getBlockTime":
                slot = arguments[0] if arguments else None
                late = isinstance(slot, int) and slot > tip.slot
                return refused(asked, NOT_AVAILABLE, f"Block not available for slot {slot}") if late else said
            case _ if asked.method in SOLANA_METHODS:
                result = msgspec.json.decode(said.result)
                return told(asked, self._of_then(asked.method, result, tip))
            case _:
                return said

    def _of_then(self, method: str, result: object, tip: Tip) -> object:
        if isinstance(result, list):
            return [slot for slot in result if slot <= tip.slot]
        if not isinstance(result, dict):
            return result
        if method == "getEpochInfo":
            late = result["absoluteSlot"] - tip.slot
            return result | {
                "absoluteSlot": tip.slot,
                "slotIndex": max(0, result["slotIndex"] - late),
                "blockHeight": tip.height,
            }
        if method == "getTransaction":
            return None if result["slot"] > tip.slot else result
        context = {"context": result["context"] | {"slot": min(result["context"]["slot"], tip.slot)}}
        if method == "getLatestBlockhash":
            hash_of_then = {"blockhash": tip.blockhash, "lastValidBlockHeight": tip.height + MAX_AGE}
            return result | context | {"value": hash_of_then}
        if method == "getSignatureStatuses":
            return result | context | {"value": [self._status(one) for one in result["value"]]}
        return result | context

    def _status(self, status: dict[str, object] | None) -> dict[str, object] | None:
        if status is None or not isinstance(status["slot"], int) or status["slot"] > self.confirmed.slot:
            return None
        if status["slot"] > self.finalized.slot:
            return status | {"confirmationStatus": "confirmed", "confirmations": 1}
        return status


async def solana_view(exchange: Exchange, behind: int) -> SolanaView:
    """The chain as it was so many slots ago. Raises `Unanswered`."""
    finalized = await _tip(exchange, behind, "finalized")
    return SolanaView(confirmed=await _tip(exchange, behind, "confirmed"), finalized=finalized)


async def _tip(exchange: Exchange, behind: int, commitment: str) -> Tip:
    options = {"commitment": commitment}
    wanted = max(0, await exchange.ask(int, "getSlot", options) - behind)
    slots = await exchange.ask(list[int], "getBlocks", max(0, wanted - SEARCHED), wanted, options)
    if not slots:
        raise Unanswered(f"getBlocks: no block in the {SEARCHED} slots up to {wanted}")
    details = {"transactionDetails": "none", "rewards": False, "maxSupportedTransactionVersion": 1}
    header = await exchange.ask(_Header, "getBlock", slots[-1], details | options)
    return Tip(slot=slots[-1], height=header.block_height, blockhash=header.blockhash)
