"""A small EVM chain made by hand, as a node tells it: for putting lying providers in front of, without a node.

Twelve blocks, of which ten are final. Block 5 is empty, block 7 holds a payment of our hot wallet's; all others pay our
user something, in ether, in the listed token or in both, among strangers' transfers.
"""

from __future__ import annotations

import hashlib
from typing import Any

from eth_account import Account

from chains.evm import codec
from chains.observations import NATIVE, Block, Range
from chains.pool.calls import Call
from chains.ports import Tier, Token, WatchList
from tests.chains.evm import blocks
from tests.chains.evm.blocks import HOT, OTHER, STRANGER, TOKEN, UNLISTED, USER
from tests.chains.lyingproviders import Reply
from tests.evm_keys import EvmKey

Json = dict[str, Any]

LATEST, FINAL = 12, 10
EMPTY, OURS = 5, 7
WEI = 10**9


def digest(*parts: object) -> str:
    """A hash of its own for everything."""
    return "0x" + hashlib.sha256(repr(parts).encode()).hexdigest()


def watched() -> WatchList:
    """The user, the hot wallet and the token."""
    watch = WatchList()
    watch.add(USER, Tier.DEPOSIT)
    watch.add(HOT, Tier.HOT)
    watch.list_tokens((Token(address=NATIVE, decimals=18), Token(address=TOKEN, decimals=6)), 1)
    return watch


def own_payment() -> Json:
    """Really signed, since its hash is looked at."""
    fields = {"type": 2, "chainId": 1, "nonce": 0, "gas": 21_000, "maxFeePerGas": 2, "maxPriorityFeePerGas": 1}
    signed = Account.sign_transaction({**fields, "to": OTHER, "value": 5, "data": "0x"}, EvmKey(2).secret)
    return blocks.transaction(
        HOT, OTHER, 5, tx="0x" + signed.hash.hex(), r=hex(signed.r), s=hex(signed.s), yParity=hex(signed.v)
    )


class MadeChain:
    """Blocks and receipts as JSON, by number and by transaction."""

    def __init__(self) -> None:
        self.blocks: list[Json] = []
        self.receipts: dict[str, Json] = {}
        for number in range(LATEST + 1):
            self._append(number)
        self.numbers = {block["hash"]: number for number, block in enumerate(self.blocks)}

    def _append(self, number: int) -> None:
        here = digest("block", number)
        transactions: list[Json] = []
        logs: list[Json] = []

        def add(transaction: Json, *moved: Json) -> None:
            transactions.append(transaction)
            mine = [{**log, "blockHash": here, "logIndex": hex(len(logs) + n)} for n, log in enumerate(moved)]
            logs.extend(mine)
            tx = transaction["hash"]
            self.receipts[tx] = blocks.receipt(mine, tx=tx, blockHash=here, blockNumber=hex(number))

        if number == OURS:
            add(own_payment())
        elif number != EMPTY:
            add(blocks.transaction(STRANGER, USER, WEI + number, tx=digest("ether", number)))
        if number % 3 == 0:
            tx = digest("token", number)
            paid = blocks.log(TOKEN, STRANGER, USER, 100 + number, tx=tx)
            add(blocks.transaction(STRANGER, TOKEN, tx=tx), blocks.log(UNLISTED, STRANGER, USER, 9, tx=tx), paid)
        if number % 2 == 0:
            tx = digest("stranger", number)
            add(blocks.transaction(OTHER, TOKEN, tx=tx), blocks.log(TOKEN, OTHER, STRANGER, 7, tx=tx))
        self.blocks.append(
            {
                "number": hex(number),
                "hash": here,
                "parentHash": self.blocks[-1]["hash"] if self.blocks else digest("nothing"),
                "timestamp": hex(1_000 + number),
                "logsBloom": f"0x{codec.bloom_of(blocks.logs_of(logs)):0512x}",
                "transactionsRoot": digest("root", number) if transactions else codec.EMPTY_ROOT,
                "transactions": transactions,
            }
        )

    def logs(self, number: int) -> list[Json]:
        """All of a block's."""
        return [log for one in self.blocks[number]["transactions"] for log in self.receipts[one["hash"]]["logs"]]

    def number_of(self, call: Call) -> int | None:
        """The block that a call is about; the highest of a range; None for a tag."""
        about: Any = call.params[0]
        if isinstance(about, dict):
            about = about.get("blockHash", about.get("toBlock"))
        if about in self.receipts:
            about = self.receipts[about]["blockHash"]
        if about in self.numbers:
            return self.numbers[about]
        return int(about, 16) if isinstance(about, str) and about.startswith("0x") else None

    def says(self, call: Call) -> Reply:
        """What an honest node answers."""
        return {"id": 1, "result": self._result(call)}

    def _result(self, call: Call) -> object:
        about: Any = call.params[0]
        match call.method:
            case "eth_getBlockByNumber":
                number = {"finalized": FINAL, "latest": LATEST}.get(about, self.number_of(call))
                assert number is not None
                return self.shown(number, full=bool(call.params[1])) if number <= LATEST else None
            case "eth_getLogs" if "blockHash" in about:
                return self.logs(self.numbers[about["blockHash"]]) if about["blockHash"] in self.numbers else []
            case "eth_getLogs":
                numbers = range(int(about["fromBlock"], 16), int(about["toBlock"], 16) + 1)
                return [log for number in numbers for log in self.logs(number)]
            case "eth_getTransactionReceipt":
                return self.receipts.get(about)
            case "eth_getBlockReceipts":
                return [self.receipts[one["hash"]] for one in self.blocks[self.numbers[about]]["transactions"]]
            case "eth_getBalance":
                return "0x7"
            case _:
                raise AssertionError(call.method)

    def shown(self, number: int, *, full: bool) -> Json:
        """A block, with its transactions or with their hashes."""
        block = self.blocks[number]
        return block if full else {**block, "transactions": [one["hash"] for one in block["transactions"]]}

    def place(self, number: int) -> Block:
        """Where a block stands."""
        block = self.blocks[number]
        return Block(
            position=number,
            height=number,
            hash=block["hash"],
            parent_position=number - 1,
            parent_hash=block["parentHash"],
            time=1_000 + number,
        )


def paid(number: int) -> list[tuple[int, str, int]]:
    """What block `number` truly pays our user: position, token, amount."""
    ether = [] if number in {EMPTY, OURS} else [(number, NATIVE, WEI + number)]
    return ether + ([(number, TOKEN, 100 + number)] if number % 3 == 0 else [])


def read(ranges: list[Range]) -> list[tuple[int, str, int]]:
    """The deposits of some ranges, in the same form."""
    return [(one.position, one.token, one.amount) for found in ranges for one in found.deposits]
