"""The first block and the state under it: what LiteSVM lacks of a cluster's genesis, put there once."""

from __future__ import annotations

from hashlib import sha256

import msgspec
from solders.account import Account
from solders.hash import Hash
from solders.keypair import Keypair
from solders.litesvm import LiteSVM

from chains.devnet.solana import tokens
from chains.devnet.solana.messages import SYSTEM
from chains.devnet.solana.settings import Settings


class Genesis(msgspec.Struct, frozen=True):
    """What a seed determines. `faucet` and `minter` are throw-away keys of this local chain."""

    blockhash: str
    faucet: Keypair
    minter: Keypair
    leader: Keypair


def derive(seed: str) -> Genesis:
    """The chain's identity, by domain-separated SHA-256 of its seed."""
    return Genesis(
        blockhash=str(Hash(_derive(seed, "genesis"))),
        faucet=Keypair.from_seed(_derive(seed, "faucet")),
        minter=Keypair.from_seed(_derive(seed, "minter")),
        leader=Keypair.from_seed(_derive(seed, "leader")),
    )


def prepare(settings: Settings, genesis: Genesis) -> LiteSVM:
    """The runtime with all programs, the native mint, and a funded faucet and minter.

    Signatures, blockhashes and repeats are checked by the bank, which alone knows blocks; so the runtime's own checks
    are off.
    """
    svm = LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
    data = tokens.native_mint_data()
    svm.set_account(tokens.NATIVE_MINT, Account(svm.minimum_balance_for_rent_exemption(len(data)), data, tokens.TOKEN))
    svm.set_account(genesis.faucet.pubkey(), Account(settings.faucet_lamports, b"", SYSTEM))
    svm.set_account(genesis.minter.pubkey(), Account(settings.faucet_lamports // 1_000, b"", SYSTEM))
    return svm


def next_blockhash(parent_hash: str, slot: int, signatures: list[str]) -> str:
    """A block's hash binds its parent, its slot and its transactions, so two histories never share one."""
    body = "\n".join((parent_hash, str(slot), *signatures))
    return str(Hash(sha256(body.encode()).digest()))


def _derive(seed: str, purpose: str) -> bytes:
    return sha256(f"chains/devnet/solana/{purpose}/{seed}".encode()).digest()
