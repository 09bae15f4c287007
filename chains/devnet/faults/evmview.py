"""An EVM chain as it was at an earlier block: tags become numbers, and what is newer isn't there.

State is asked for by number, so balances, nonces and calls are truly those of then, where the node keeps state that
old. Not shown: the mempool of then (a pending count is answered as of the head), and gas prices.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from chains.devnet.faults.exchange import Exchange, Unanswered
from chains.devnet.faults.wire import Asked, Said, refused, told

PLACES: Mapping[str, int] = {
    "debug_traceBlockByNumber": 0,
    "eth_call": 1,
    "eth_estimateGas": 1,
    "eth_feeHistory": 1,
    "eth_getBalance": 1,
    "eth_getBlockByNumber": 0,
    "eth_getBlockReceipts": 0,
    "eth_getBlockTransactionCountByNumber": 0,
    "eth_getCode": 1,
    "eth_getProof": 2,
    "eth_getStorageAt": 2,
    "eth_getTransactionByBlockNumberAndIndex": 0,
    "eth_getTransactionCount": 1,
    "trace_block": 0,
}
"""Method → place of its block parameter (Ethereum execution APIs)."""

BY_HASH = frozenset({"eth_getBlockByHash", "eth_getTransactionByHash", "eth_getTransactionReceipt"})

EVM_METHODS = frozenset({*PLACES, *BY_HASH, "eth_blockNumber", "eth_getLogs"})
"""What depends on where the head is."""

QUANTITY_LENGTH = 18
"""Characters of a 64-bit quantity at most; longer hexadecimal is a hash."""


class _Header(msgspec.Struct):
    number: str


class EvmView(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the newest, safe and finalized block."""

    latest: int
    safe: int
    finalized: int

    def ask(self, asked: Asked) -> Asked:
        """Block tags as numbers; an absent block parameter is the head."""
        arguments = asked.arguments()
        place = PLACES.get(asked.method)
        if place is not None and place <= len(arguments):
            tag = arguments[place] if place < len(arguments) else "latest"
            arguments[place : place + 1] = [self._number(tag)]
        elif asked.method == "eth_getLogs" and arguments and isinstance(arguments[0], dict):
            arguments[0] = self._filter(arguments[0])
        else:
            return asked
        return replace(asked, params=msgspec.Raw(msgspec.json.encode(arguments)))

    def tell(self, asked: Asked, said: Said) -> Said:
        """Without what is newer than the head."""
        if asked.method == "eth_blockNumber":
            return told(asked, hex(self.latest))
        arguments = asked.arguments()
        place = PLACES.get(asked.method)
        if place is not None and place < len(arguments):
            number = quantity(self._number(arguments[place]))
            if number is not None and number > self.latest:
                return told(asked, None) if place == 0 else refused(asked, -32000, "header not found")
        if said.refused or (
            asked.method not in BY_HASH and asked.method not in {"eth_getBlockReceipts", "eth_getLogs"}
        ):
            return said
        result = msgspec.json.decode(said.result)
        if newest(result) <= self.latest:
            return said
        if asked.method != "eth_getLogs":
            return told(asked, None)
        if isinstance(arguments[0], dict) and "blockHash" in arguments[0]:
            return refused(asked, -32000, "unknown block")
        return told(asked, [log for log in result if newest(log) <= self.latest])

    def _number(self, tag: object) -> object:
        tags = {"latest": self.latest, "pending": self.latest, "safe": self.safe, "finalized": self.finalized}
        return hex(tags[tag]) if isinstance(tag, str) and tag in tags else tag

    def _filter(self, asked: dict[str, object]) -> dict[str, object]:
        if "blockHash" in asked:
            return asked
        return asked | {name: self._number(asked.get(name, "latest")) for name in ("fromBlock", "toBlock")}


async def evm_view(exchange: Exchange, behind: int) -> EvmView:
    """The chain as it was so many blocks ago. Raises `Unanswered`."""

    async def number(tag: str) -> int:
        found = quantity((await exchange.ask(_Header, "eth_getBlockByNumber", tag, False)).number)
        if found is None:
            raise Unanswered(f"eth_getBlockByNumber {tag}: no number")
        return max(0, found - behind)

    # In this order a block can only get older than the one asked for before.
    finalized, safe = await number("finalized"), await number("safe")
    return EvmView(latest=await number("latest"), safe=safe, finalized=finalized)


def quantity(value: object) -> int | None:
    """A number as the EVM's JSON spells it (or a tracer, which uses plain integers), else None."""
    if isinstance(value, int):
        return value
    if isinstance(value, str) and value.startswith("0x") and len(value) <= QUANTITY_LENGTH:
        try:
            return int(value, 16)
        except ValueError:
            return None
    return None


def newest(result: object) -> int:
    """The highest block number that a block, a transaction, a receipt, or any of a list of them, names; −1 for none."""
    if isinstance(result, list):
        return max((newest(one) for one in result), default=-1)
    if not isinstance(result, dict):
        return -1
    found = quantity(result.get("blockNumber", result.get("number")))
    return -1 if found is None else found
