"""Several providers of the local Solana chain, each of which may lie: the answers are the chain's own bytes."""

from __future__ import annotations

import msgspec

from chains.devnet.solana import rpc
from chains.devnet.solana.bank import Bank
from chains.pool.calls import Call
from chains.pool.classify import SOLANA
from tests.chains.lyingproviders import LyingProviders, Reply, Temper


class LocalUpstream(LyingProviders):
    """`Upstream` over one bank."""

    def __init__(self, bank: Bank, **tempers: Temper) -> None:
        super().__init__("solana", SOLANA, self._respond, tempers)
        self.bank = bank

    def _respond(self, call: Call) -> Reply:
        body = {"jsonrpc": "2.0", "id": 1, "method": call.method, "params": list(call.params)}
        said: Reply = msgspec.json.decode(rpc.respond(self.bank, msgspec.json.encode(body)))
        return said
