"""From one seed to many keys: BIP-32 for EVM, SLIP-10 for Solana, and the addresses that belong to them. Pure.

The paths follow BIP-44, with the tier as account: deposit 0, hot 1, gas 2.

    EVM     m/44'/60'/tier'/0/index
    Solana  m/44'/501'/tier'/index'

They are part of what a backup of the seed restores, so they never change. Sources: BIP-32 (private child derivation),
SLIP-0010 (Ed25519: hardened children only), BIP-44, SLIP-0044 (coin types 60 and 501), EIP-55 (checksum address).
Everything of this module that is not an address or a path is secret.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from enum import StrEnum

import coincurve
from eth_hash.auto import keccak
from solders.keypair import Keypair

from chains.ports import Tier

HARDENED = 1 << 31
MAX_INDEX = HARDENED - 1
SEED_BYTES = 32

# The order of secp256k1's base point (SEC 2, section 2.4.1).
_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Family(StrEnum):
    """Chains that share keys and addresses: every EVM chain is one family."""

    EVM = "evm"
    SOLANA = "solana"


ACCOUNTS = {Tier.DEPOSIT: 0, Tier.HOT: 1, Tier.GAS: 2}
"""The account number of each tier in a path."""


class Node:
    """An extended private key: 32 bytes of key, 32 of chain code. Never shown."""

    __slots__ = ("chain_code", "key")

    def __init__(self, key: bytes, chain_code: bytes) -> None:
        self.key, self.chain_code = key, chain_code

    def __repr__(self) -> str:
        return "Node(secret)"


def tier_path(family: Family, tier: Tier) -> tuple[int, ...]:
    """The part of a path that all keys of a tier share, as child numbers."""
    account = ACCOUNTS[tier] + HARDENED
    if family is Family.EVM:
        return (44 + HARDENED, 60 + HARDENED, account, 0)
    return (44 + HARDENED, 501 + HARDENED, account)


def index_number(family: Family, index: int) -> int:
    """The last child number of a path. `index` is 0 … 2^31 - 1; anything else is a bug of the caller."""
    if not 0 <= index <= MAX_INDEX:
        raise AssertionError(f"a key's index lies between 0 and {MAX_INDEX}")
    return index if family is Family.EVM else index + HARDENED


def written_path(family: Family, tier: Tier, index: int) -> str:
    """The path as people write it, for records and for other wallets."""
    numbers = (*tier_path(family, tier), index_number(family, index))
    return "/".join(["m", *(f"{n - HARDENED}'" if n >= HARDENED else str(n) for n in numbers)])


def secp256k1_node(seed: bytes, path: Sequence[int]) -> Node:
    """BIP-32, from the master key of `seed` (16 to 64 bytes) along child numbers (≥ 2^31: hardened)."""
    node = _split(_hmac(b"Bitcoin seed", seed))
    if not 0 < int.from_bytes(node.key, "big") < _ORDER:
        raise AssertionError("a seed of probability 2^-127 has no BIP-32 master key")
    for number in path:
        node = secp256k1_child(node, number)
    return node


def secp256k1_child(node: Node, number: int) -> Node:
    """One step of BIP-32's private derivation."""
    if number >= HARDENED:
        head = b"\0" + node.key
    else:
        head = coincurve.PrivateKey(node.key).public_key.format(compressed=True)
    step = _split(_hmac(node.chain_code, head + number.to_bytes(4, "big")))
    tweak = int.from_bytes(step.key, "big")
    key = (tweak + int.from_bytes(node.key, "big")) % _ORDER
    if tweak >= _ORDER or key == 0:
        raise AssertionError("a child of probability 2^-127 has no key; BIP-32 says to take the next index")
    return Node(key.to_bytes(32, "big"), step.chain_code)


def ed25519_node(seed: bytes, path: Sequence[int]) -> Node:
    """SLIP-0010 for Ed25519, from the master key of `seed` along hardened child numbers."""
    node = _split(_hmac(b"ed25519 seed", seed))
    for number in path:
        node = ed25519_child(node, number)
    return node


def ed25519_child(node: Node, number: int) -> Node:
    """One step of SLIP-0010. Ed25519 has hardened children only; another number is a bug of the caller."""
    if number < HARDENED:
        raise AssertionError("Ed25519 keys have hardened children only")
    return _split(_hmac(node.chain_code, b"\0" + node.key + number.to_bytes(4, "big")))


def evm_address(key: bytes) -> str:
    """The EIP-55 address of a secp256k1 private key."""
    public = coincurve.PrivateKey(key).public_key.format(compressed=False)
    plain = keccak(public[1:])[-20:].hex()
    digest = keccak(plain.encode("ascii")).hex()
    return "0x" + "".join(
        letter.upper() if int(nibble, 16) >= 8 else letter for letter, nibble in zip(plain, digest, strict=False)
    )


def solana_address(key: bytes) -> str:
    """The base58 address of an Ed25519 private key (its 32-byte seed in RFC 8032's sense)."""
    return str(Keypair.from_seed(key).pubkey())


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, hashlib.sha512)


def _split(digest: bytes) -> Node:
    return Node(digest[:32], digest[32:])
