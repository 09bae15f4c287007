"""What the chain remembers: blocks, who landed where, and how accounts were before each block that is not yet final.

Bounded by blocks and by transactions: the oldest blocks go first, with everything that points into them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from chains.devnet.solana.execution import Changes, Execution
from chains.devnet.solana.settings import Settings


class Landed(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A transaction in a block. `price` is its priority fee in micro-lamports a compute unit."""

    slot: int
    height: int
    index: int
    transaction: VersionedTransaction
    signature: str
    digest: bytes
    price: int
    execution: Execution


class Block(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A frozen block. `before` holds the accounts it changed as they were before it; emptied at finality."""

    slot: int
    height: int
    blockhash: str
    parent_slot: int
    parent_hash: str
    time: int
    landed: tuple[Landed, ...]
    before: Changes


class History:
    """All indexes over the kept blocks. `by_address` is in chain order, oldest first."""

    __slots__ = ("_blocks", "_settings", "by_address", "by_digest", "by_hash", "by_signature", "by_slot", "count")

    def __init__(self, settings: Settings, genesis: Block) -> None:
        self._settings = settings
        self._blocks: deque[Block] = deque((genesis,))
        self.by_slot: dict[int, Block] = {genesis.slot: genesis}
        self.by_hash: dict[str, Block] = {genesis.blockhash: genesis}
        self.by_signature: dict[str, Landed] = {}
        self.by_digest: dict[bytes, Landed] = {}
        self.by_address: dict[str, deque[Landed]] = {}
        self.count = 0

    @property
    def first(self) -> Block:
        """The oldest block still kept."""
        return self._blocks[0]

    @property
    def tip(self) -> Block:
        """The newest block: what `processed` sees."""
        return self._blocks[-1]

    def at_height(self, height: int) -> Block:
        """A kept block by height; asking for another is a bug."""
        assert self.first.height <= height <= self.tip.height
        return self._blocks[height - self.first.height]

    def slots(self, first: int, last: int, limit: int) -> list[int]:
        """Slots of the kept blocks in `first` … `last`, at most `limit`, ascending."""
        found: list[int] = []
        low, high = 0, len(self._blocks)
        while low < high:
            middle = (low + high) // 2
            if self._blocks[middle].slot < first:
                low = middle + 1
            else:
                high = middle
        for place in range(low, len(self._blocks)):
            block = self._blocks[place]
            if block.slot > last or len(found) >= limit:
                break
            found.append(block.slot)
        return found

    def after(self, block: Block) -> Iterator[Block]:
        """The blocks that follow `block`, oldest first."""
        return (self.at_height(height) for height in range(block.height + 1, self.tip.height + 1))

    def past(self, key: Pubkey, block: Block) -> tuple[bool, Account | None]:
        """Whether an account changed after `block`, and if so, what it was at its end."""
        for later in self.after(block):
            if key in later.before:
                return True, later.before[key]
        return False, None

    def append(self, block: Block) -> None:
        """Add a frozen block and clean up what is beyond the limits."""
        self._blocks.append(block)
        self.by_slot[block.slot] = block
        self.by_hash[block.blockhash] = block
        for landed in block.landed:
            self.by_signature[landed.signature] = landed
            self.by_digest[landed.digest] = landed
            for name in landed.execution.keys.names:
                self.by_address.setdefault(name, deque()).append(landed)
        self.count += len(block.landed)
        while self._excess():
            self._forget(self._blocks.popleft())

    def _excess(self) -> bool:
        kept = len(self._blocks)
        if kept > self._settings.history_blocks:
            return True
        return self.count > self._settings.history_transactions and kept > self._settings.least_history

    def _forget(self, block: Block) -> None:
        del self.by_slot[block.slot], self.by_hash[block.blockhash]
        self.count -= len(block.landed)
        for landed in block.landed:
            del self.by_signature[landed.signature], self.by_digest[landed.digest]
            for name in landed.execution.keys.names:
                queue = self.by_address[name]
                queue.popleft()
                if not queue:
                    del self.by_address[name]
