"""Which block an answer speaks of: the commitment asked for, no older than `minContextSlot`, named in the answer."""

from __future__ import annotations

from chains.devnet.solana import errors
from chains.devnet.solana.bank import Bank, Commitment
from chains.devnet.solana.history import Block
from chains.devnet.solana.params import Config

API_VERSION = "4.0.0"


def block_for(bank: Bank, config: Config, name: str = "commitment") -> Block:
    """The newest block of the commitment in `config`, `finalized` by default. Raises -32016."""
    block = bank.at(config.commitment(name))
    least = config.integer("minContextSlot")
    if least is not None and block.slot < least:
        raise errors.min_context_slot(block.slot)
    return block


def at_least_confirmed(bank: Bank, config: Config) -> Commitment:
    """The commitment for methods that never serve `processed`. Raises -32602, -32016."""
    commitment = config.commitment()
    if commitment is Commitment.PROCESSED:
        raise errors.invalid_params("Method does not support commitment below `confirmed`")
    block_for(bank, config)
    return commitment


def answer(block: Block, value: object) -> dict[str, object]:
    """`RpcResponse`: a value and the slot it is true at."""
    return {"context": {"apiVersion": API_VERSION, "slot": block.slot}, "value": value}
