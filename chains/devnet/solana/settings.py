"""Every choice and every limit of the local chain, written once, with its unit and its reason."""

from __future__ import annotations

import msgspec

MAX_PROCESSING_AGE = 150
"""Blocks a blockhash stays usable. Ages count from 0 (agave `solana-clock`, `BlockhashQueue::is_hash_index_valid`)."""

LOWEST_HISTORY = 512
"""Blocks below which `history_blocks` may not go: the window of ages, finality on top, and room to look back."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How one local chain behaves. Two chains with different seeds never accept each other's transactions."""

    seed: str = "custody devnet"
    """Determines genesis hash, blockhashes, faucet and leader: the same seed and calls give the same chain."""

    manual: bool = False
    """True: slots pass only by `tick`, and block times follow `genesis_time`. False: slots follow the clock."""

    slot_ms: int = 100
    """Milliseconds a slot. Mainnet is near 250; a rehearsal has less patience."""

    genesis_time: int = 1_750_000_000
    """Unix seconds of slot 0 in manual mode."""

    first_slot: int = 0
    """Slot of the genesis block. Above 0 it makes slots and block heights differ from the start."""

    skip_every: int = 0
    """Every n-th slot has no block; 0 skips none. Mainnet skips about one in twenty."""

    confirmed_depth: int = 2
    """Blocks that `confirmed` trails behind `processed`."""

    finalized_depth: int = 32
    """Blocks that `finalized` trails behind `processed` (mainnet: 32)."""

    faucet_lamports: int = 5_000_000 * 10**9
    """What the faucet owns at genesis: below 2^53, because some clients count in doubles."""

    airdrop_lamports: int = 10_000 * 10**9
    """The most that one `requestAirdrop` gives."""

    history_blocks: int = 50_000
    """Blocks kept; older ones are cleaned up (-32001). 83 minutes of 100 ms slots."""

    history_transactions: int = 50_000
    """Transactions kept, at some 4 kB each; the oldest blocks go first."""

    recent_status_blocks: int = 300
    """Blocks whose statuses answer without `searchTransactionHistory` (agave: `MAX_CACHE_ENTRIES`)."""

    pending_transactions: int = 10_000
    """Transactions waiting for a block; beyond that a send is refused."""

    block_transactions: int = 2_000
    """Transactions in one block, so that a tick stays well below a second."""

    request_bytes: int = 50 * 1024
    """Body limit of one request (agave: `MAX_REQUEST_BODY_SIZE`)."""

    batch_requests: int = 200
    """Requests in one JSON-RPC batch: a client's own habit is 100 or fewer."""

    connections: int = 200
    """Open websockets."""

    subscriptions: int = 1_000
    """Subscriptions of one websocket."""

    notifications: int = 2_000
    """Messages waiting for one slow websocket before it is closed."""

    @property
    def least_history(self) -> int:
        """Blocks that are never cleaned up, however many transactions they hold."""
        return LOWEST_HISTORY + self.finalized_depth

    @property
    def most_unfinalized(self) -> int:
        """Blocks past the finalized one at which a chain without finality halts, before its history has no bottom."""
        return LOWEST_HISTORY // 2 + self.finalized_depth

    def __post_init__(self) -> None:
        if not 0 <= self.confirmed_depth <= self.finalized_depth:
            raise ValueError("confirmed_depth must lie between 0 and finalized_depth")
        if self.history_blocks < self.least_history:
            raise ValueError(f"history_blocks must be at least {LOWEST_HISTORY} more than finalized_depth")
        if self.slot_ms < 1 or self.first_slot < 0 or self.skip_every < 0 or self.skip_every == 1:
            raise ValueError("slot_ms must be positive, first_slot and skip_every not negative, skip_every not 1")
