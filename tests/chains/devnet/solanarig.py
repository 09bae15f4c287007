"""The local Solana chain without a socket: requests in, decoded answers out, slots by hand."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from hashlib import sha512
from typing import Any

import msgspec
import pytest
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, VersionedMessage
from solders.pubkey import Pubkey
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from chains.devnet.solana import rehearsal, rpc, tokens
from chains.devnet.solana.bank import Bank, Commitment
from chains.devnet.solana.errors import RpcError
from chains.devnet.solana.history import Block
from chains.devnet.solana.settings import Settings

SOL = 10**9
MEMO = rehearsal.MEMO
FEE = 5_000
PROCESSED = {"commitment": "processed"}
CONFIRMED = {"commitment": "confirmed"}
FINALIZED = {"commitment": "finalized"}
IN_FULL = {"maxSupportedTransactionVersion": 1, "commitment": "confirmed"}


def wallet(number: int) -> Keypair:
    """A key pair that is the same in every run."""
    return Keypair.from_seed(number.to_bytes(32, "big"))


def name(key: Keypair) -> str:
    return str(key.pubkey())


def pay(source: Keypair, target: Keypair, lamports: int) -> Instruction:
    return transfer(TransferParams(from_pubkey=source.pubkey(), to_pubkey=target.pubkey(), lamports=lamports))


def wire(transaction: VersionedTransaction) -> str:
    return base64.b64encode(bytes(transaction)).decode()


class Rig:
    """A manual chain with `alice` funded at genesis's first block."""

    def __init__(self, **choices: Any) -> None:
        self.settings = Settings(manual=True, **{"first_slot": 1_000, "finalized_depth": 8, **choices})
        self.bank = Bank(self.settings, self.settings.genesis_time)
        self.alice, self.bob = wallet(1), wallet(2)

    def fund(self, key: Keypair, lamports: int = 10 * SOL) -> str:
        """SOL from the faucet, final when this returns."""
        signature = self.bank.submit(rehearsal.airdrop(self.bank, key.pubkey(), lamports))
        self.finalize()
        return signature

    def tick(self, count: int = 1) -> list[Block]:
        blocks = [self.bank.tick(self.bank.manual_time()) for _ in range(count)]
        return [block for block in blocks if block is not None]

    def finalize(self) -> None:
        """Slots until all that waits has landed and is final."""
        for _ in range(self.settings.finalized_depth + 1):
            while not self.tick():
                pass

    def message(
        self,
        payer: Keypair,
        instructions: Sequence[Instruction],
        version: int | None = 0,
        blockhash: str | None = None,
        tables: Sequence[AddressLookupTableAccount] = (),
    ) -> VersionedMessage:
        recent = Hash.from_string(blockhash or self.bank.tip.blockhash)
        match version:
            case None:
                return Message.new_with_blockhash(instructions, payer.pubkey(), recent)
            case 1:
                return MessageV1.try_compile(payer.pubkey(), instructions, recent)
            case _:
                return MessageV0.try_compile(payer.pubkey(), instructions, list(tables), recent)

    def signed(self, payer: Keypair, *instructions: Instruction, **how: Any) -> VersionedTransaction:
        return VersionedTransaction(self.message(payer, instructions, **how), [payer])

    def ask(self, method: str, *params: object) -> dict[str, Any]:
        """The whole response to one request."""
        body = msgspec.json.encode({"jsonrpc": "2.0", "id": 7, "method": method, "params": params})
        answer: dict[str, Any] = msgspec.json.decode(rpc.respond(self.bank, body))
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == 7
        return answer

    def call(self, method: str, *params: object) -> Any:
        """The result; raises `RpcError` for an error."""
        answer = self.ask(method, *params)
        if "error" in answer:
            error = answer["error"]
            raise RpcError(error["code"], error["message"], error.get("data"))
        return answer["result"]

    def value(self, method: str, *params: object) -> Any:
        """The result's value, for methods that answer with a context."""
        return self.call(method, *params)["value"]

    def send(self, transaction: VersionedTransaction, **options: object) -> str:
        signature: str = self.call(
            "sendTransaction",
            wire(transaction),
            {"encoding": "base64", "preflightCommitment": "processed", **options},
        )
        return signature

    def lamports(self, key: Keypair | Pubkey, commitment: Commitment = Commitment.PROCESSED) -> int:
        address = key if isinstance(key, Pubkey) else key.pubkey()
        found: int = self.value("getBalance", str(address), {"commitment": commitment.value})
        return found


def read_by_solders(kind: Any, response: dict[str, Any]) -> Any:
    """The response as solders reads it, which must be the kind it is asked for (it takes errors as well)."""
    parsed = kind.from_json(json.dumps(response))
    assert isinstance(parsed, kind), parsed
    return parsed


def refused(rig: Rig, method: str, *params: object) -> RpcError:
    with pytest.raises(RpcError) as caught:
        rig.call(method, *params)
    return caught.value


def mint(rig: Rig, amount: int, program: Pubkey = tokens.TOKEN) -> tuple[str, str]:
    """A mint of six decimals with `amount` at alice's associated account: (mint, account)."""
    made = rig.call("devnet_createMint", 6, str(program))["mint"]
    account = rig.call("devnet_mintTo", made, name(rig.alice), str(amount), str(program))["account"]
    rig.tick(3)
    return made, account


# Ed25519 with a nonce of the caller's choice (RFC 8032 fixes it; a threshold session does not), affine and slow.
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_BASE_Y = 4 * pow(5, -1, _P) % _P
_BASE_X = 15112221349535400772501151409588531511454012693041857206046113283949847762202


def _add(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    product = _D * a[0] * b[0] * a[1] * b[1] % _P
    x = (a[0] * b[1] + a[1] * b[0]) * pow(1 + product, -1, _P) % _P
    y = (a[1] * b[1] + a[0] * b[0]) * pow(1 - product, -1, _P) % _P
    return x, y


def _times(scalar: int) -> bytes:
    point, step = (0, 1), (_BASE_X, _BASE_Y)
    while scalar:
        if scalar & 1:
            point = _add(point, step)
        step, scalar = _add(step, step), scalar >> 1
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def another_signature(key: Keypair, message: bytes, nonce: int) -> bytes:
    """A valid Ed25519 signature that `key`'s own signer would not have made."""
    scalar = int.from_bytes(sha512(key.secret()).digest()[:32], "little") & (2**254 - 8) | 2**254
    point = _times(nonce)
    challenge = int.from_bytes(sha512(point + bytes(key.pubkey()) + message).digest(), "little")
    return point + ((nonce + challenge * scalar) % _L).to_bytes(32, "little")
