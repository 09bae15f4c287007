"""The EVM's rig: anvil, mining on demand, final two blocks later."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import msgspec

from chains.devnet.anvil import CHAIN_ID, ETHER, Anvil, DevnetMissing, find_anvil
from chains.evm.adapter import EvmAdapter, EvmSettings
from chains.observations import NATIVE, Block
from chains.ports import Adapter, Token, WatchList
from tests.contract.rig import AdapterRig
from tests.evm_keys import EvmKey
from tests.tools import require_tool
from tests.upstream_direct import DirectUpstream

SETTINGS = EvmSettings(chain="ethereum", chain_id=CHAIN_ID, max_fee=100 * 10**9, max_tip=5 * 10**9, traces=True)

BAD_ADDRESSES: Mapping[str, str] = {
    "": "address_malformed",
    "0x": "address_malformed",
    "5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": "address_malformed",
    "0X5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": "address_malformed",
    " 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": "address_malformed",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed\n": "address_malformed",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe\uff24": "address_malformed",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe": "address_malformed",
    "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed": "address_checksum",
    "0x5AAEB6053F3E94C9B9A09F33669435E7EF1BEAED": "address_checksum",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD": "address_checksum",
    "0x0000000000000000000000000000000000000000": "address_not_payable",
    "0x0000000000000000000000000000000000000001": "address_not_payable",
    "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin": "address_malformed",
}


class EvmRig:
    """See `AdapterRig`."""

    def __init__(self, anvil: Anvil, upstream: DirectUpstream, tokens: Sequence[str], forwarder: str) -> None:
        self.anvil = anvil
        self.upstream = upstream
        self.adapter: Adapter = EvmAdapter(SETTINGS, upstream)
        self.stranger: Adapter = EvmAdapter(msgspec.structs.replace(SETTINGS, chain_id=1), upstream)
        self.native = Token(address=NATIVE, decimals=18)
        self.token = Token(address=tokens[0], decimals=6)
        self.unlisted = Token(address=tokens[1], decimals=6)
        self.watch = WatchList()
        self.watch.list_tokens((self.native, self.token), 1)
        self.wealth = ETHER
        self.amount = 10**9
        self.bad_addresses = BAD_ADDRESSES
        self.forwarder = forwarder
        self._keys: dict[str, EvmKey] = {}

    def new_address(self) -> str:
        key = EvmKey(10_000 + len(self._keys))
        self._keys[key.address] = key
        return key.address

    def key(self, address: str) -> EvmKey:
        """The key pair of an address made here."""
        return self._keys[address]

    def sign(self, message: bytes, address: str) -> bytes:
        return self._keys[address].sign(message)

    def sweeper(self, source: str, wallet: str) -> str:
        return source

    async def lane(self, sender: str) -> tuple[int | None, str | None]:
        return int(str(await self.anvil.rpc("eth_getTransactionCount", sender, "pending")), 16), None

    async def fund(self, address: str, token: Token, amount: int) -> str:
        if token.address == NATIVE:
            return await self.anvil.send(address, amount)
        await self.anvil.mint(token.address, self.anvil.faucet, amount)
        return await self.anvil.transfer(token.address, address, amount)

    async def fund_together(self, recipients: Sequence[str], amount: int) -> str:
        await self.anvil.mint(self.token.address, self.forwarder, amount * len(recipients))
        return await self.anvil.call(
            self.forwarder, "spreadToken(address,address[],uint256)", self.token.address, list(recipients), amount
        )

    async def fund_failing(self, address: str) -> str:
        return await self.anvil.transfer(self.token.address, address, 10**30)

    async def mine(self) -> None:
        await self.anvil.mine()

    async def finalize(self) -> None:
        await self.anvil.finalize()

    def another(self, block: Block) -> Block:
        return msgspec.structs.replace(block, hash="0x" + "ab" * 32)


def require_anvil() -> Path:
    """The binary, or the test is skipped by name."""
    try:
        found: Path | None = find_anvil()
    except DevnetMissing:
        found = None
    return require_tool("anvil", found)


@contextlib.asynccontextmanager
async def open_rig(*, providers: int = 2) -> AsyncIterator[EvmRig]:
    """The rig by its own type, for the tests that are about the EVM alone."""
    require_anvil()
    async with Anvil() as anvil, DirectUpstream("ethereum", {}) as upstream:
        upstream.urls.update({f"p{n}": anvil.url for n in range(1, providers + 1)})
        tokens = [await anvil.deploy_token("USDC", 6), await anvil.deploy_token("FAKE", 6)]
        forwarder = await anvil.deploy("Forwarder")
        await anvil.finalize()
        yield EvmRig(anvil, upstream, tokens, forwarder)


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[AdapterRig]:
    """The rig as the contract test wants it."""
    async with open_rig() as opened:
        yield opened
