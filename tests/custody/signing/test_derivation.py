"""Derivation against the published vectors and against two libraries that share no code with it."""

from __future__ import annotations

import hashlib

import pytest
from eth_account import Account
from eth_account.hdaccount import key_from_seed, seed_from_mnemonic
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.keypair import Keypair

from chains.ports import Tier
from custody.signing.derivation import (
    ACCOUNTS,
    HARDENED,
    MAX_INDEX,
    Family,
    Node,
    ed25519_child,
    ed25519_node,
    evm_address,
    index_number,
    secp256k1_child,
    secp256k1_node,
    solana_address,
    tier_path,
    written_path,
)

SHORT_SEED = "000102030405060708090a0b0c0d0e0f"
LONG_SEED = (
    "fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a2"
    "9f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542"
)
ZEROS_SEED = (
    "4b381541583be4423346c643850da4b320e46a87ae3d2a4e6da11eba819cd4ac"
    "ba45d239319ac14f863b8d5ab5a0d0c64d2e8a1e7d1457df2e5a3c51c73235be"
)
OTHER_ZEROS_SEED = "3ddd5602285899a946114506157c7997e5444528f3003f6134712147db19b678"

BIP_32 = [
    (
        SHORT_SEED,
        "m",
        "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
    ),
    (
        SHORT_SEED,
        "m/0'",
        "xprv9uHRZZhk6KAJC1avXpDAp4MDc3sQKNxDiPvvkX8Br5ngLNv1TxvUxt4cV1rGL5hj6KCesnDYUhd7oWgT11eZG7XnxHrnYeSvkzY7d2bhkJ7",
    ),
    (
        SHORT_SEED,
        "m/0'/1",
        "xprv9wTYmMFdV23N2TdNG573QoEsfRrWKQgWeibmLntzniatZvR9BmLnvSxqu53Kw1UmYPxLgboyZQaXwTCg8MSY3H2EU4pWcQDnRnrVA1xe8fs",
    ),
    (
        SHORT_SEED,
        "m/0'/1/2'",
        "xprv9z4pot5VBttmtdRTWfWQmoH1taj2axGVzFqSb8C9xaxKymcFzXBDptWmT7FwuEzG3ryjH4ktypQSAewRiNMjANTtpgP4mLTj34bhnZX7UiM",
    ),
    (
        SHORT_SEED,
        "m/0'/1/2'/2",
        "xprvA2JDeKCSNNZky6uBCviVfJSKyQ1mDYahRjijr5idH2WwLsEd4Hsb2Tyh8RfQMuPh7f7RtyzTtdrbdqqsunu5Mm3wDvUAKRHSC34sJ7in334",
    ),
    (
        SHORT_SEED,
        "m/0'/1/2'/2/1000000000",
        "xprvA41z7zogVVwxVSgdKUHDy1SKmdb533PjDz7J6N6mV6uS3ze1ai8FHa8kmHScGpWmj4WggLyQjgPie1rFSruoUihUZREPSL39UNdE3BBDu76",
    ),
    (
        ZEROS_SEED,
        "m",
        "xprv9s21ZrQH143K25QhxbucbDDuQ4naNntJRi4KUfWT7xo4EKsHt2QJDu7KXp1A3u7Bi1j8ph3EGsZ9Xvz9dGuVrtHHs7pXeTzjuxBrCmmhgC6",
    ),
    (
        ZEROS_SEED,
        "m/0'",
        "xprv9uPDJpEQgRQfDcW7BkF7eTya6RPxXeJCqCJGHuCJ4GiRVLzkTXBAJMu2qaMWPrS7AANYqdq6vcBcBUdJCVVFceUvJFjaPdGZ2y9WACViL4L",
    ),
    (
        OTHER_ZEROS_SEED,
        "m/0'/1'",
        "xprv9xJocDuwtYCMNAo3Zw76WENQeAS6WGXQ55RCy7tDJ8oALr4FWkuVoHJeHVAcAqiZLE7Je3vZJHxspZdFHfnBEjHqU5hG1Jaj32dVoS6XLT1",
    ),
]

SLIP_10 = [
    (
        SHORT_SEED,
        "m",
        "90046a93de5380a72b5e45010748567d5ea02bbf6522f979e05c0d8d8ca9fffb",
        "2b4be7f19ee27bbf30c667b642d5f4aa69fd169872f8fc3059c08ebae2eb19e7",
    ),
    (
        SHORT_SEED,
        "m/0'",
        "8b59aa11380b624e81507a27fedda59fea6d0b779a778918a2fd3590e16e9c69",
        "68e0fe46dfb67e368c75379acec591dad19df3cde26e63b93a8e704f1dade7a3",
    ),
    (
        SHORT_SEED,
        "m/0'/1'",
        "a320425f77d1b5c2505a6b1b27382b37368ee640e3557c315416801243552f14",
        "b1d0bad404bf35da785a64ca1ac54b2617211d2777696fbffaf208f746ae84f2",
    ),
    (
        SHORT_SEED,
        "m/0'/1'/2'",
        "2e69929e00b5ab250f49c3fb1c12f252de4fed2c1db88387094a0f8c4c9ccd6c",
        "92a5b23c0b8a99e37d07df3fb9966917f5d06e02ddbd909c7e184371463e9fc9",
    ),
    (
        SHORT_SEED,
        "m/0'/1'/2'/2'",
        "8f6d87f93d750e0efccda017d662a1b31a266e4a6f5993b15f5c1f07f74dd5cc",
        "30d1dc7e5fc04c31219ab25a27ae00b50f6fd66622f6e9c913253d6511d1e662",
    ),
    (
        SHORT_SEED,
        "m/0'/1'/2'/2'/1000000000'",
        "68789923a0cac2cd5a29172a475fe9e0fb14cd6adb5ad98a3fa70333e7afa230",
        "8f94d394a8e8fd6b1bc2f3f49f5c47e385281d5c17e65324b0f62483e37e8793",
    ),
    (
        LONG_SEED,
        "m",
        "ef70a74db9c3a5af931b5fe73ed8e1a53464133654fd55e7a66f8570b8e33c3b",
        "171cb88b1b3c1db25add599712e36245d75bc65a1a5c9e18d76f9f2b1eab4012",
    ),
    (
        LONG_SEED,
        "m/0'/2147483647'",
        "138f0b2551bcafeca6ff2aa88ba8ed0ed8de070841f0c4ef0165df8181eaad7f",
        "ea4f5bfe8694d8bb74b7b59404632fd5968b774ed545e810de9c32a4fb4192f4",
    ),
]

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def numbers(path: str) -> list[int]:
    return [
        int(step.removesuffix("'")) + (HARDENED if step.endswith("'") else 0) for step in path.split("/") if step != "m"
    ]


def of_xprv(text: str) -> tuple[bytes, bytes]:
    """Chain code and key of BIP-32's serialisation, its checksum verified."""
    number = 0
    for letter in text:
        number = number * 58 + BASE58.index(letter)
    content = number.to_bytes(82, "big")
    assert hashlib.sha256(hashlib.sha256(content[:78]).digest()).digest()[:4] == content[78:]
    assert content[45] == 0
    return content[13:45], content[46:78]


@pytest.mark.parametrize(("seed", "path", "xprv"), BIP_32)
def test_bip_32_vectors(seed: str, path: str, xprv: str) -> None:
    node = secp256k1_node(bytes.fromhex(seed), numbers(path))
    assert (node.chain_code, node.key) == of_xprv(xprv)


@pytest.mark.parametrize(("seed", "path", "chain_code", "key"), SLIP_10)
def test_slip_10_vectors(seed: str, path: str, chain_code: str, key: str) -> None:
    node = ed25519_node(bytes.fromhex(seed), numbers(path))
    assert (node.chain_code.hex(), node.key.hex()) == (chain_code, key)


PLACES = st.tuples(st.sampled_from(Tier), st.integers(0, MAX_INDEX))


def key_at(family: Family, seed: bytes, tier: Tier, index: int) -> bytes:
    number = index_number(family, index)
    if family is Family.EVM:
        return secp256k1_child(secp256k1_node(seed, tier_path(family, tier)), number).key
    return ed25519_child(ed25519_node(seed, tier_path(family, tier)), number).key


@settings(max_examples=30)
@given(st.binary(min_size=32, max_size=32), PLACES)
def test_evm_keys_are_those_of_eth_account(seed: bytes, place: tuple[Tier, int]) -> None:
    tier, index = place
    key = key_at(Family.EVM, seed, tier, index)
    assert key == key_from_seed(seed, written_path(Family.EVM, tier, index))
    assert evm_address(key) == Account.from_key(key).address


@settings(max_examples=30)
@given(st.binary(min_size=64, max_size=64), PLACES)
def test_solana_keys_are_those_of_solders(seed: bytes, place: tuple[Tier, int]) -> None:
    tier, index = place
    key = key_at(Family.SOLANA, seed, tier, index)
    other = Keypair.from_seed_and_derivation_path(seed, written_path(Family.SOLANA, tier, index))
    assert key == other.secret()
    assert solana_address(key) == str(other.pubkey())


def test_a_known_wallet_has_its_known_address() -> None:
    seed = seed_from_mnemonic("test test test test test test test test test test test junk", "")
    assert evm_address(key_at(Family.EVM, seed, Tier.DEPOSIT, 0)) == "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    assert evm_address(key_at(Family.EVM, seed, Tier.DEPOSIT, 1)) == "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"


@pytest.mark.parametrize(
    ("key", "address"),
    [
        (1, "0x7E5F4552091A69125d5DfCb7b8C2659029395Bdf"),
        (2, "0x2B5AD5c4795c026514f8317c7a215E218DcCD6cF"),
    ],
)
def test_addresses_of_known_keys(key: int, address: str) -> None:
    assert evm_address(key.to_bytes(32, "big")) == address


def test_the_paths_never_change() -> None:
    assert {tier: ACCOUNTS[tier] for tier in Tier} == {Tier.DEPOSIT: 0, Tier.HOT: 1, Tier.GAS: 2}
    assert written_path(Family.EVM, Tier.DEPOSIT, 7) == "m/44'/60'/0'/0/7"
    assert written_path(Family.EVM, Tier.HOT, 0) == "m/44'/60'/1'/0/0"
    assert written_path(Family.EVM, Tier.GAS, MAX_INDEX) == "m/44'/60'/2'/0/2147483647"
    assert written_path(Family.SOLANA, Tier.DEPOSIT, 7) == "m/44'/501'/0'/7'"
    assert written_path(Family.SOLANA, Tier.GAS, 0) == "m/44'/501'/2'/0'"


@pytest.mark.parametrize("index", [-1, MAX_INDEX + 1])
def test_an_index_out_of_range_is_a_bug(index: int) -> None:
    for family in Family:
        with pytest.raises(AssertionError):
            index_number(family, index)


def test_ed25519_has_no_soft_children() -> None:
    with pytest.raises(AssertionError):
        ed25519_child(ed25519_node(bytes(32), ()), 0)


def test_a_node_shows_nothing() -> None:
    node = Node(b"k" * 32, b"c" * 32)
    assert "k" * 8 not in repr(node)
    assert "c" * 8 not in repr(node)
