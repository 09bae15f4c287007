"""The keystore: made once, opened by its passphrase alone, and signing in ways that other libraries accept."""

from __future__ import annotations

import copy
import hashlib
import json
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
import rlp  # type: ignore[import-untyped] # it ships no annotations
from eth_account import Account
from eth_hash.auto import keccak
from eth_keyfile import keyfile
from eth_keys.datatypes import Signature as EvmSignature
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from solders.signature import Signature

from chains.ports import Tier
from custody.envelope.canonical import canonical
from custody.envelope.ed25519 import SigningKey, verify
from custody.envelope.envelopes import is_signed
from custody.signing.derivation import (
    MAX_INDEX,
    Family,
    index_number,
    secp256k1_child,
    secp256k1_node,
    tier_path,
)
from custody.signing.keystore import MIN_WORK_FACTOR, NAMES, Keystore, KeystoreCode, KeystoreError, read_passphrase

PASSPHRASE = "correct horse battery stäple".encode()
SEEDS = {"evm": bytes(range(32)), "solana": bytes(range(32, 64)), "signer": bytes(range(64, 96))}
KEYSTORE = Keystore(SEEDS)
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


def make(directory: Path) -> Keystore:
    return Keystore.create(directory, PASSPHRASE, work_factor=MIN_WORK_FACTOR)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pristine") / "keystore"
    make(directory)
    return directory


@pytest.fixture
def keystore_directory(pristine: Path, tmp_path: Path) -> Path:
    directory = tmp_path / "keystore"
    directory.mkdir(mode=0o700)
    for name in NAMES:
        (directory / f"{name}.json").write_bytes((pristine / f"{name}.json").read_bytes())
        (directory / f"{name}.json").chmod(0o600)
    return directory


def refusal(act: Callable[[], object]) -> KeystoreCode:
    with pytest.raises(KeystoreError) as refused:
        act()
    assert PASSPHRASE.decode() not in str(refused.value)
    return refused.value.code


def rewrite(path: Path, change: Callable[[dict[str, dict[str, object]]], object]) -> None:
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))


# --- files --------------------------------------------------------------------------------------------------------


def test_a_keystore_is_made_once_and_opened_again(tmp_path: Path) -> None:
    directory = tmp_path / "keystore"
    made = make(directory)
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in directory.iterdir()} == {
        "evm.json": 0o600,
        "solana.json": 0o600,
        "signer.json": 0o600,
    }
    assert os.listdir(tmp_path) == ["keystore"]
    opened = Keystore.open(directory, PASSPHRASE)
    for family in Family:
        for tier in Tier:
            assert opened.derive(family, tier, 5) == made.derive(family, tier, 5)
    assert opened.identity == made.identity
    before = {entry.name: entry.read_bytes() for entry in directory.iterdir()}
    assert refusal(lambda: make(directory)) is KeystoreCode.EXISTS
    assert {entry.name: entry.read_bytes() for entry in directory.iterdir()} == before
    assert os.listdir(tmp_path) == ["keystore"]


def test_two_keystores_share_nothing(tmp_path: Path, pristine: Path) -> None:
    other = make(tmp_path / "other")
    first = Keystore.open(pristine, PASSPHRASE)
    for family in Family:
        assert other.derive(family, Tier.HOT, 0) != first.derive(family, Tier.HOT, 0)
    assert other.identity != first.identity


def test_an_empty_directory_is_filled_and_another_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make(tmp_path / "empty")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "note").write_text("mine")
    assert refusal(lambda: make(tmp_path / "used")) is KeystoreCode.EXISTS
    assert os.listdir(tmp_path / "used") == ["note"]
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    assert refusal(lambda: make(tmp_path / "link")) is KeystoreCode.EXISTS
    assert refusal(lambda: make(tmp_path / "absent" / "keystore")) is KeystoreCode.UNWRITABLE
    (tmp_path / "file").write_text("")
    assert refusal(lambda: make(tmp_path / "file")) is KeystoreCode.UNWRITABLE
    assert sorted(os.listdir(tmp_path)) == ["empty", "file", "link", "used"]


def test_the_files_are_the_standards_and_hold_32_bytes(pristine: Path) -> None:
    for name in NAMES:
        content = json.loads((pristine / f"{name}.json").read_bytes())
        assert content["version"] == 3
        assert content["crypto"]["kdf"] == "scrypt"
        assert "address" not in content
        assert len(keyfile.decode_keyfile_json(content, PASSPHRASE)) == 32


def test_a_wrong_passphrase_is_named(keystore_directory: Path) -> None:
    for wrong in (PASSPHRASE + b" ", PASSPHRASE[:-1], b"", b"x" * 2000):
        assert refusal(lambda wrong=wrong: Keystore.open(keystore_directory, wrong)) is KeystoreCode.PASSPHRASE_WRONG  # type: ignore[misc] # mypy does not infer a lambda's default


def test_a_passphrase_of_one_file_alone_is_wrong(keystore_directory: Path, tmp_path: Path) -> None:
    Keystore.create(tmp_path / "other", b"another", work_factor=MIN_WORK_FACTOR)
    (keystore_directory / "solana.json").write_bytes((tmp_path / "other" / "solana.json").read_bytes())
    assert refusal(lambda: Keystore.open(keystore_directory, PASSPHRASE)) is KeystoreCode.PASSPHRASE_WRONG


def test_an_empty_passphrase_makes_no_keystore(tmp_path: Path) -> None:
    assert refusal(lambda: Keystore.create(tmp_path / "k", b"")) is KeystoreCode.PASSPHRASE_WRONG
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("factor", [0, 2**13, 2**14 + 1, 2**21])
def test_a_work_factor_out_of_bounds_is_a_bug(tmp_path: Path, factor: int) -> None:
    with pytest.raises(AssertionError):
        Keystore.create(tmp_path / "k", PASSPHRASE, work_factor=factor)


def test_what_is_missing_is_named(keystore_directory: Path) -> None:
    assert refusal(lambda: Keystore.open(keystore_directory / "absent", PASSPHRASE)) is KeystoreCode.MISSING
    assert refusal(lambda: Keystore.open(keystore_directory / "evm.json", PASSPHRASE)) is KeystoreCode.MISSING
    (keystore_directory / "signer.json").unlink()
    assert refusal(lambda: Keystore.open(keystore_directory, PASSPHRASE)) is KeystoreCode.MISSING


def test_what_others_can_reach_is_refused(keystore_directory: Path) -> None:
    for name in NAMES:
        for mode in (0o640, 0o604, 0o660):
            (keystore_directory / f"{name}.json").chmod(mode)
            assert refusal(lambda: Keystore.open(keystore_directory, PASSPHRASE)) is KeystoreCode.PERMISSIONS
        (keystore_directory / f"{name}.json").chmod(0o600)
    for mode in (0o770, 0o702):
        keystore_directory.chmod(mode)
        assert refusal(lambda: Keystore.open(keystore_directory, PASSPHRASE)) is KeystoreCode.PERMISSIONS
    keystore_directory.chmod(0o755)
    Keystore.open(keystore_directory, PASSPHRASE)


DAMAGE: list[tuple[str, Callable[[dict[str, dict[str, object]]], object]]] = [
    ("ciphertext", lambda content: content["crypto"].update(ciphertext="00" * 32)),
    ("mac", lambda content: content["crypto"].update(mac="00" * 32)),
    ("salt", lambda content: content["crypto"]["kdfparams"].update(salt="00" * 16)),  # type: ignore[attr-defined] # JSON, not a type
    ("huge work factor", lambda content: content["crypto"]["kdfparams"].update(n=2**30)),  # type: ignore[attr-defined] # JSON, not a type
    ("another witness", lambda content: content["custody"].update(witness="0x" + "00" * 20)),
    ("another name", lambda content: content["custody"].update(name="solana")),
    ("another checksum", lambda content: content["custody"].update(checksum="00" * 32)),
    ("no crypto", lambda content: content.pop("crypto")),
    ("one member more", lambda content: content.update(more={})),
]


@pytest.mark.parametrize(("name", "change"), DAMAGE, ids=[name for name, _ in DAMAGE])
def test_damage_is_not_taken_for_a_wrong_passphrase(
    keystore_directory: Path, name: str, change: Callable[[dict[str, dict[str, object]]], object]
) -> None:
    rewrite(keystore_directory / "evm.json", change)
    assert refusal(lambda: Keystore.open(keystore_directory, PASSPHRASE)) is KeystoreCode.DAMAGED


def test_a_rewritten_work_factor_is_bounded_even_with_its_checksum(keystore_directory: Path) -> None:
    def ask_for_a_terabyte(content: dict[str, dict[str, object]]) -> None:
        content["crypto"]["kdfparams"]["n"] = 2**30  # type: ignore[index] # JSON, not a type
        content["custody"]["checksum"] = hashlib.sha256(canonical(content["crypto"])).hexdigest()

    rewrite(keystore_directory / "evm.json", ask_for_a_terabyte)
    assert refusal(lambda: Keystore.open(keystore_directory, PASSPHRASE)) is KeystoreCode.DAMAGED


def test_a_flipped_bit_in_a_file_never_gives_another_key(keystore_directory: Path) -> None:
    """Each flip is refused, or changes nothing that matters (the file's own random id)."""
    path = keystore_directory / "solana.json"
    pristine, expected = (
        path.read_bytes(),
        Keystore.open(keystore_directory, PASSPHRASE).derive(Family.SOLANA, Tier.HOT, 0),
    )
    for place in range(0, len(pristine), 23):
        flipped = bytearray(pristine)
        flipped[place] ^= 1 << place % 7
        path.write_bytes(flipped)
        try:
            found = Keystore.open(keystore_directory, PASSPHRASE).derive(Family.SOLANA, Tier.HOT, 0)
        except KeystoreError as error:
            found = error.code
        assert found in (expected, KeystoreCode.DAMAGED), f"byte {place}"


@pytest.mark.parametrize("content", [b"", b"{}", b"[", b"\xff", b"[" * 50_000])
def test_other_content_is_damage(keystore_directory: Path, content: bytes) -> None:
    (keystore_directory / "signer.json").write_bytes(content)
    assert refusal(lambda: Keystore.open(keystore_directory, PASSPHRASE)) is KeystoreCode.DAMAGED


def test_swapped_files_are_noticed(keystore_directory: Path) -> None:
    one, other = keystore_directory / "evm.json", keystore_directory / "solana.json"
    one_content, other_content = one.read_bytes(), other.read_bytes()
    one.write_bytes(other_content)
    other.write_bytes(one_content)
    assert refusal(lambda: Keystore.open(keystore_directory, PASSPHRASE)) is KeystoreCode.DAMAGED


def test_a_passphrase_file(tmp_path: Path) -> None:
    path = tmp_path / "passphrase"
    for content, passphrase in ((b"secret", b"secret"), (b"secret\n", b"secret"), (b" two\n\n", b" two\n")):
        path.write_bytes(content)
        path.chmod(0o600)
        assert read_passphrase(path) == passphrase
    path.write_bytes(b"\n")
    assert refusal(lambda: read_passphrase(path)) is KeystoreCode.PASSPHRASE_WRONG
    path.chmod(0o644)
    assert refusal(lambda: read_passphrase(path)) is KeystoreCode.PERMISSIONS
    assert refusal(lambda: read_passphrase(tmp_path / "absent")) is KeystoreCode.MISSING


# --- keys ---------------------------------------------------------------------------------------------------------

TIERS, INDEXES, MESSAGES = st.sampled_from(Tier), st.integers(0, MAX_INDEX), st.binary(max_size=200)


@settings(max_examples=40)
@given(TIERS, INDEXES, MESSAGES)
def test_an_evm_signature_recovers_to_its_address(tier: Tier, index: int, message: bytes) -> None:
    signature = KEYSTORE.sign(Family.EVM, tier, index, message)
    assert len(signature) == 65
    assert signature[64] in (0, 1)
    assert 0 < int.from_bytes(signature[32:64], "big") <= ORDER // 2
    public = EvmSignature(signature).recover_public_key_from_msg_hash(keccak(message))
    assert public.to_checksum_address() == KEYSTORE.derive(Family.EVM, tier, index)
    assert KEYSTORE.sign(Family.EVM, tier, index, message) == signature


@settings(max_examples=40)
@given(TIERS, INDEXES, MESSAGES)
def test_a_solana_signature_verifies_under_its_address(tier: Tier, index: int, message: bytes) -> None:
    signature = KEYSTORE.sign(Family.SOLANA, tier, index, message)
    address = Pubkey.from_string(KEYSTORE.derive(Family.SOLANA, tier, index))
    assert len(signature) == 64
    assert Signature.from_bytes(signature).verify(address, message)
    assert not Signature.from_bytes(signature).verify(address, message + b"x")


def test_an_evm_signature_is_the_one_eth_account_makes() -> None:
    """Over the unsigned bytes of a real transaction: EIP-1559's type byte and its RLP."""
    key = secp256k1_child(
        secp256k1_node(SEEDS["evm"], tier_path(Family.EVM, Tier.HOT)), index_number(Family.EVM, 3)
    ).key
    transaction = {
        "type": 2,
        "chainId": 31337,
        "nonce": 7,
        "maxFeePerGas": 10**10,
        "maxPriorityFeePerGas": 10**9,
        "gas": 21_000,
        "to": "0x" + "11" * 20,
        "value": 10**18,
        "data": b"",
    }
    signed = Account.sign_transaction(transaction, key)
    fields = rlp.decode(bytes(signed.raw_transaction)[1:])
    message = b"\x02" + rlp.encode(fields[:9])
    expected = signed.r.to_bytes(32, "big") + signed.s.to_bytes(32, "big") + bytes([signed.v])
    assert KEYSTORE.sign(Family.EVM, Tier.HOT, 3, message) == expected


def test_places_do_not_share_keys() -> None:
    places = [(family, tier, index) for family in Family for tier in Tier for index in range(4)]
    assert len({KEYSTORE.derive(*place) for place in places}) == len(places)


def test_addresses_of_these_seeds_never_change() -> None:
    assert KEYSTORE.derive(Family.EVM, Tier.DEPOSIT, 0) == "0x919538116b4F25f1CE01429fd9Ed7964556bf565"
    assert KEYSTORE.derive(Family.SOLANA, Tier.DEPOSIT, 0) == "DH1jvxAVm33dp993d4VkA4vJLiKqQmuuUT5xDDyrgrbw"


def test_an_index_out_of_range_is_a_bug() -> None:
    for index in (-1, MAX_INDEX + 1):
        for family in Family:
            with pytest.raises(AssertionError):
                KEYSTORE.derive(family, Tier.HOT, index)
            with pytest.raises(AssertionError):
                KEYSTORE.sign(family, Tier.HOT, index, b"")


def test_the_signers_own_voice() -> None:
    assert KEYSTORE.identity == SigningKey("x", SEEDS["signer"]).public
    assert verify(KEYSTORE.identity, b"hello", KEYSTORE.sign_identity(b"hello"))
    envelope = KEYSTORE.envelope("signer-1", canonical({"type": "address.attested"}))
    assert envelope.key == "signer-1"
    assert is_signed(envelope, KEYSTORE.identity)


def test_a_keystore_shows_no_secret() -> None:
    for seed in SEEDS.values():
        assert seed.hex() not in repr(KEYSTORE)
    assert KEYSTORE.identity.hex() in repr(KEYSTORE)
    assert not hasattr(KEYSTORE, "__dict__")
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copier(KEYSTORE)
