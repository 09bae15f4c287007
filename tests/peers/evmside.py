"""anvil as a side of the flows' world: mining by hand, final two blocks later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chains.devnet.anvil import CHAIN_ID, Anvil, call_data
from chains.evm.adapter import EvmAdapter, EvmSettings
from chains.evm.codec import checksummed
from chains.observations import NATIVE
from chains.ports import Adapter
from custody.flows.ports import PoolControl
from custody.ledger import transactions as tx
from tests.contract.rig_evm import require_anvil
from tests.custody.flows.fuse import Fuse, FusedUpstream
from tests.evm_keys import EvmKey
from tests.upstream_direct import DirectUpstream

SETTINGS = EvmSettings(chain="ethereum", chain_id=CHAIN_ID, max_fee=100 * 10**9, max_tip=5 * 10**9)


class EvmSide:
    """See `tests.custody.flows.sides.Side`."""

    def __init__(self, anvil: Anvil, upstream: DirectUpstream, token: str) -> None:
        self.chain = "ethereum"
        self.coin = "ETH"
        self.anvil = anvil
        self.upstream = upstream
        self.token = token
        self.sent: list[str] = []
        self.pool: PoolControl | None = None

    def adapter(self, fuse: Fuse) -> Adapter:
        fused = FusedUpstream(self.upstream, fuse)
        fused.sent = self.sent
        return EvmAdapter(SETTINGS, fused)

    async def row(self) -> tx.ChainRow:
        head = await self.adapter(Fuse()).head()
        last = head.finalized
        return tx.ChainRow(
            chain=self.chain,
            family="evm",
            identity=str(CHAIN_ID),
            decoder=EvmAdapter(SETTINGS, self.upstream).decoder,
            position=last.position,
            height=last.height,
            hash=last.hash,
        )

    def on_chain(self, asset: str, minimum: str) -> tx.Representation:
        native = asset == self.coin
        return tx.Representation(
            chain=self.chain,
            token=NATIVE if native else self.token,
            decimals=18 if native else 6,
            program="",
            minimum=minimum,
        )

    async def give(self, address: str, token: str, amount: int) -> str:
        if token == NATIVE:
            return await self.anvil.send(address, amount)
        return await self.anvil.mint(token, address, amount)

    async def mine(self, blocks: int = 1) -> None:
        await self.anvil.mine(blocks)

    async def finalize(self) -> None:
        await self.anvil.finalize()

    async def holds(self, address: str, token: str) -> int:
        if token == NATIVE:
            return int(str(await self.anvil.rpc("eth_getBalance", address, "finalized")), 16)
        asked = {"to": token, "data": "0x" + call_data("balanceOf(address)", address).hex()}
        return int(str(await self.anvil.rpc("eth_call", asked, "finalized")), 16)

    async def conjure(self, address: str, amount: int) -> None:
        held = int(str(await self.anvil.rpc("eth_getBalance", address, "latest")), 16)
        await self.anvil.set_balance(address, held + amount)

    def stranger(self, number: int) -> str:
        return EvmKey(7_000 + number).address


@asynccontextmanager
async def an_evm_side() -> AsyncIterator[EvmSide]:
    """A fresh anvil with one token; skips by name where it is not installed."""
    require_anvil()
    async with Anvil() as anvil, DirectUpstream("ethereum", {}) as upstream:
        upstream.urls.update({f"p{number}": anvil.url for number in (1, 2)})
        token = checksummed(bytes.fromhex((await anvil.deploy_token("USDC", 6))[2:]))
        await anvil.finalize()
        yield EvmSide(anvil, upstream, token)
