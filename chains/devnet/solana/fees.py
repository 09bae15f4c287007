"""What a transaction bids for its place: the base fee per signature and the priority fee on top.

Legacy and v0 messages bid by compute-budget instructions, v1 messages by their header (SIMD-0385 transaction config).
"""

from __future__ import annotations

from solders.message import MessageV1, VersionedMessage
from solders.pubkey import Pubkey

LAMPORTS_PER_SIGNATURE = 5_000
COMPUTE_BUDGET = Pubkey.from_string("ComputeBudget111111111111111111111111111111")
_SET_PRICE = 3
_MICRO = 10**6


def price(message: VersionedMessage, fee: int) -> int:
    """The priority fee in micro-lamports a compute unit. A v1 message bids in lamports, spread over its limit."""
    if isinstance(message, MessageV1):
        limit = message.config.compute_unit_limit or 0
        bid = fee - LAMPORTS_PER_SIGNATURE * message.header.num_required_signatures
        return bid * _MICRO // limit if limit and bid > 0 else 0
    for instruction in message.instructions:
        data = bytes(instruction.data)
        if message.account_keys[instruction.program_id_index] == COMPUTE_BUDGET and data[:1] == bytes((_SET_PRICE,)):
            return int.from_bytes(data[1:9], "little")
    return 0
