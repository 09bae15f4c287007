"""What the contract test needs of a chain: an adapter in front of a real local one, and hands to make things happen.

A module `rig_<chain>.py` in this folder offers `rig()`, an async context manager that starts its chain and yields an
`AdapterRig`; the contract test finds it by its name. Nothing in the contract test knows which chain it is on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from chains.observations import Block
from chains.ports import Adapter, Token, WatchList


class AdapterRig(Protocol):
    """One chain, freshly started, with nothing of ours on it.

    `native`, `token` and `unlisted` exist on the chain; the first two are in the watch list from the start, under
    version 1. `wealth` is a comfortable native balance for a wallet; `amount` an ordinary native deposit, safely above
    what the chain wants an account to hold. `bad_addresses` maps spellings to the code they are refused with.
    """

    adapter: Adapter
    stranger: Adapter
    """The same adapter in front of the same node, configured for another chain: it must notice."""
    watch: WatchList
    native: Token
    token: Token
    unlisted: Token
    wealth: int
    amount: int
    bad_addresses: Mapping[str, str]

    def new_address(self) -> str:
        """An owner address whose key the rig keeps. Nothing stands there yet."""
        ...

    def sign(self, message: bytes, address: str) -> bytes:
        """The signature that `attach` expects, by the key of that address."""
        ...

    def sweeper(self, source: str, wallet: str) -> str:
        """Who sends the transaction that moves funds from a deposit address to a wallet: the source itself, or the
        wallet on chains where another may pay the fee."""
        ...

    async def lane(self, sender: str) -> tuple[int | None, str | None]:
        """What the sender's next transaction needs: (nonce, None) or (None, blockhash)."""
        ...

    async def fund(self, address: str, token: Token, amount: int) -> str:
        """A stranger pays, in a transaction of its own, not yet in a block. Returns the transaction's id."""
        ...

    async def fund_together(self, recipients: Sequence[str], amount: int) -> str:
        """A stranger pays the listed token to each (the same may occur twice), all in one transaction."""
        ...

    async def fund_failing(self, address: str) -> str:
        """A stranger's token payment that lands in a block and fails there."""
        ...

    async def mine(self) -> None:
        """Put what is waiting into a block that is not yet final."""
        ...

    async def finalize(self) -> None:
        """Put what is waiting into a block and make it final."""
        ...

    def another(self, block: Block) -> Block:
        """A block of the same position that this chain has never had: same shape, another hash."""
        ...
