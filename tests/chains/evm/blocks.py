"""Blocks, receipts and logs written as nodes write them, for tests of the rooms that read them."""

from __future__ import annotations

import msgspec

from chains.evm import codec, facts
from chains.observations import NATIVE
from chains.ports import Tier, Token, WatchList
from tests.evm_keys import EvmKey

USER, HOT, STRANGER, OTHER = (EvmKey(number).address for number in (1, 2, 3, 4))
TOKEN, UNLISTED = (EvmKey(number).address for number in (5, 6))
BLOCK = "0x" + "b1" * 32
TX = "0x" + "a1" * 32


def watching() -> facts.View:
    """One deposit address, one hot wallet, one token."""
    watch = WatchList()
    watch.add(USER, Tier.DEPOSIT)
    watch.add(HOT, Tier.HOT)
    watch.list_tokens((Token(address=NATIVE, decimals=18), Token(address=TOKEN, decimals=6)), 3)
    return facts.Index(watch).view()


def wire(address: str) -> str:
    """As nodes write it."""
    return address.lower()


def word(address: str) -> str:
    """As a topic."""
    return "0x" + "00" * 12 + address[2:].lower()


def transaction(sender: str, to: str | None, value: int = 0, *, tx: str = TX, **fields: object) -> dict[str, object]:
    """An EIP-1559 transaction whose hash is made up: good for everybody's but our own."""
    return {
        "hash": tx,
        "from": wire(sender),
        "to": None if to is None else wire(to),
        "value": hex(value),
        "nonce": "0x0",
        "gas": "0x5208",
        "type": "0x2",
        "chainId": "0x1",
        "maxFeePerGas": "0x2",
        "maxPriorityFeePerGas": "0x1",
        "gasPrice": "0x2",
        "input": "0x",
        "accessList": [],
        "r": "0x1",
        "s": "0x1",
        "yParity": "0x0",
        "v": "0x0",
        **fields,
    }


def log(token: str, sender: str, to: str, amount: int, *, index: int = 0, tx: str = TX) -> dict[str, object]:
    """An EIP-20 Transfer."""
    return {
        "address": wire(token),
        "topics": [codec.TRANSFER, word(sender), word(to)],
        "data": "0x" + amount.to_bytes(32, "big").hex(),
        "blockHash": BLOCK,
        "blockNumber": "0x7",
        "transactionHash": tx,
        "logIndex": hex(index),
        "removed": False,
    }


def receipt(logs: list[dict[str, object]], *, status: int = 1, tx: str = TX, **fields: object) -> dict[str, object]:
    """21,000 gas at 2 wei."""
    return {
        "transactionHash": tx,
        "blockHash": BLOCK,
        "blockNumber": "0x7",
        "status": hex(status),
        "gasUsed": "0x5208",
        "effectiveGasPrice": "0x2",
        "logs": logs,
        **fields,
    }


def block(transactions: list[dict[str, object]], withdrawals: list[dict[str, object]] | None = None) -> codec.FullBlock:
    """Block 7."""
    return msgspec.convert(
        {
            "number": "0x7",
            "hash": BLOCK,
            "parentHash": "0x" + "b0" * 32,
            "timestamp": "0x64",
            "logsBloom": "0x" + "00" * 256,
            "transactionsRoot": "0x" + "70" * 32 if transactions else codec.EMPTY_ROOT,
            "transactions": transactions_of(transactions),
            "withdrawals": withdrawals,
        },
        codec.FullBlock,
    )


def transactions_of(transactions: list[dict[str, object]]) -> list[codec.Transaction]:
    """Through JSON, since some fields are kept raw."""
    return msgspec.json.decode(msgspec.json.encode(transactions), type=list[codec.Transaction])


def logs_of(logs: list[dict[str, object]]) -> list[codec.Log]:
    """Decoded."""
    return msgspec.convert(logs, list[codec.Log])


def receipts_of(receipts: list[dict[str, object]]) -> dict[str, codec.Receipt]:
    """Decoded, by transaction."""
    return {each.transaction_hash: each for each in msgspec.convert(receipts, list[codec.Receipt])}
