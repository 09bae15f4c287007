"""Answers that are well-formed, prompt and false: the faults that cost money, because nothing looks wrong."""

from __future__ import annotations

from typing import Annotated

import msgspec

from chains.devnet.faults.evmview import EVM_METHODS, evm_view
from chains.devnet.faults.exchange import Answer, Exchange, Named
from chains.devnet.faults.solanaview import SOLANA_METHODS, solana_view
from chains.devnet.faults.views import Held, retold
from chains.devnet.faults.wire import Asked, Said, refused, told

SLOT_SKIPPED = -32007
"""agave `JSON_RPC_SERVER_ERROR_SLOT_SKIPPED`."""

DEVNET_GENESIS = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG"
"""The genesis hash of Solana's public devnet: what a URL copied from the wrong page serves."""

SEPOLIA = 11_155_111
"""The chain id of Ethereum's test network."""

Slot = Annotated[int, msgspec.Meta(ge=0)]


class ForgedSkips(Named, frozen=True, kw_only=True, tag="forged_skips"):
    """Solana: of the slots `first` … `last` (None: no end) every `one_in`-th that has a block is reported as skipped:
    `getBlocks` leaves it out and `getBlock` answers -32007 for it.

    Seen: a node that was overwhelmed reported 300 to 900 existing blocks in this way (solana-labs/solana issue 17000).
    """

    one_in: Annotated[int, msgspec.Meta(ge=1)] = 1
    first: Slot = 0
    last: Slot | None = None

    async def answer(self, exchange: Exchange) -> Answer:
        """Leave out and deny."""
        return await exchange.retell(self._change)

    def hides(self, slot: int) -> bool:
        """Whether this slot is denied."""
        within = self.first <= slot and (self.last is None or slot <= self.last)
        return within and (slot - self.first) % self.one_in == 0

    def _change(self, asked: Asked, said: Said) -> Said:
        if said.refused:
            return said
        if asked.method in {"getBlocks", "getBlocksWithLimit"}:
            slots = msgspec.json.decode(said.result, type=list[int])
            return told(asked, [slot for slot in slots if not self.hides(slot)])
        if asked.method in {"getBlock", "getBlockTime"}:
            slot = next(iter(asked.arguments()), None)
            if isinstance(slot, int) and self.hides(slot):
                sentence = f"Slot {slot} was skipped, or missing due to ledger jump to recent snapshot"
                return refused(asked, SLOT_SKIPPED, sentence)
        return said


class EmptyReceipts(Named, frozen=True, kw_only=True, tag="empty_receipts"):
    """EVM: the receipt of every transaction is null, the receipts of every block are none.

    Seen: geth 1.8.20 for whole blocks (go-ethereum issues 18423 and 19813), and any load balancer over nodes that are
    not at the same height. Who takes null for "not mined" pays again.
    """

    async def answer(self, exchange: Exchange) -> Answer:
        """Deny them."""
        return await exchange.retell(_without_receipts)


class EmptyLogs(Named, frozen=True, kw_only=True, tag="empty_logs"):
    """EVM: `eth_getLogs` finds nothing, whatever a block's bloom filter says.

    Seen: nodes whose log index is behind their blocks (filecoin-project/lotus issue 13749) and load balancers over
    nodes at different heights (go-ethereum issue 24078).
    """

    async def answer(self, exchange: Exchange) -> Answer:
        """Find nothing."""
        return await exchange.retell(_without_logs)


class HeadFreeze(Named, frozen=True, kw_only=True, tag="head_freeze"):
    """Head and finalized block stay where they were at the first request under this fault; what came after doesn't
    exist. Both families; for what a view of the past can't show see `evmview` and `solanaview`.

    Seen: a node that lost its peers or its consensus client and goes on answering.
    """

    async def answer(self, exchange: Exchange) -> Answer:
        """Answer as of then."""
        held = exchange.stage.recall(self, Held)
        if _about(exchange, EVM_METHODS):
            return await retold(exchange, await held.evm(lambda: evm_view(exchange, 0)))
        if _about(exchange, SOLANA_METHODS):
            return await retold(exchange, await held.solana(lambda: solana_view(exchange, 0)))
        return await exchange.forward()


class StaleNode(Named, frozen=True, kw_only=True, tag="stale_node"):
    """A node that is `behind` blocks late (Solana: slots), head and finalized alike. Both families.

    Seen: nodes that catch up after a restart, behind a load balancer that asks only whether they are alive.
    """

    behind: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 50

    async def answer(self, exchange: Exchange) -> Answer:
        """Answer as of that long ago."""
        if _about(exchange, EVM_METHODS):
            return await retold(exchange, await evm_view(exchange, self.behind))
        if _about(exchange, SOLANA_METHODS):
            return await retold(exchange, await solana_view(exchange, self.behind))
        return await exchange.forward()


class WrongChain(Named, frozen=True, kw_only=True, tag="wrong_chain"):
    """Another chain's identity (`eth_chainId`, `net_version`, `getGenesisHash`); everything else is this chain's.

    Seen: the URL of a test network in a production configuration, and a provider's routing mistake.
    """

    chain_id: Annotated[int, msgspec.Meta(ge=1)] = SEPOLIA
    genesis_hash: Annotated[str, msgspec.Meta(max_length=64)] = DEVNET_GENESIS

    async def answer(self, exchange: Exchange) -> Answer:
        """Answer as that chain."""
        return await exchange.retell(self._change)

    def _change(self, asked: Asked, said: Said) -> Said:
        match asked.method:
            case "eth_chainId":
                return told(asked, hex(self.chain_id))
            case "net_version":
                return told(asked, str(self.chain_id))
            case "getGenesisHash":
                return told(asked, self.genesis_hash)
            case _:
                return said


def _without_receipts(asked: Asked, said: Said) -> Said:
    if said.refused:
        return said
    if asked.method == "eth_getTransactionReceipt":
        return told(asked, None)
    return told(asked, []) if asked.method == "eth_getBlockReceipts" else said


def _without_logs(asked: Asked, said: Said) -> Said:
    return told(asked, []) if asked.method == "eth_getLogs" and not said.refused else said


def _about(exchange: Exchange, methods: frozenset[str]) -> bool:
    return any(call.method in methods for call in exchange.calls)
