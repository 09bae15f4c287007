"""Where wallet keys live: encrypted on disk, and in memory behind an object that signs and never gives a key away.

A keystore is a directory of three Web3 Secret Storage files (version 3, scrypt), each with a seed of 32 bytes of its
own: `evm.json` (BIP-32), `solana.json` (SLIP-10), `signer.json` (the key with which the signer signs envelopes and
attestations). One passphrase opens all. Beside the standard's members each has `custody`: the family, a checksum of the
encrypted part, so that decay is not taken for a wrong passphrase, and the public key or first hot address that must
come out, so that swapped files are noticed. The standard's `address` member is left out: it would be the address of the
seed taken for a private key, to which nobody may ever send anything.

Python can't wipe memory: a seed stays in it until the process ends. That is why the signer is a process of its own,
hardened by `custody.signing.process`. Opening needs about 256 MB for scrypt, a second or two for each file.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn

import coincurve
import msgspec
from eth_hash.auto import keccak
from eth_keyfile import keyfile
from solders.keypair import Keypair

from chains.ports import Tier
from custody.envelope.canonical import canonical
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.envelope.envelopes import sign as sign_envelope
from custody.envelope.privatefile import (
    PrivateFileCode,
    PrivateFileError,
    create_private,
    read_private,
    sync_directory,
)
from custody.signing.derivation import (
    SEED_BYTES,
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
)

DEFAULT_WORK_FACTOR = 2**18
"""Scrypt's N with r = 8, p = 1: 256 MB and a second or two for every guess at the passphrase."""
MIN_WORK_FACTOR, MAX_WORK_FACTOR = 2**14, 2**20
MAX_PASSPHRASE = 1024
SIGNER = "signer"
NAMES = (Family.EVM.value, Family.SOLANA.value, SIGNER)


class KeystoreCode(StrEnum):
    """Stable names of what can be wrong."""

    EXISTS = "keystore_exists"
    MISSING = "keystore_missing"
    PASSPHRASE_WRONG = "keystore_passphrase_wrong"  # noqa: S105 the name of an error, not a passphrase
    PERMISSIONS = "keystore_permissions"
    DAMAGED = "keystore_damaged"
    UNREADABLE = "keystore_unreadable"
    UNWRITABLE = "keystore_unwritable"


_CODES = {
    PrivateFileCode.MISSING: KeystoreCode.MISSING,
    PrivateFileCode.EXISTS: KeystoreCode.EXISTS,
    PrivateFileCode.PERMISSIONS: KeystoreCode.PERMISSIONS,
    PrivateFileCode.UNREADABLE: KeystoreCode.UNREADABLE,
    PrivateFileCode.UNWRITABLE: KeystoreCode.UNWRITABLE,
}


class KeystoreError(Exception):
    """A keystore that can't be made or opened. The message names the path and never a secret."""

    def __init__(self, code: KeystoreCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class _Parameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dklen: int
    n: int
    p: int
    r: int
    salt: str


class _CipherParameters(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    iv: str


class _Crypto(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    cipher: str
    cipherparams: _CipherParameters
    ciphertext: str
    kdf: str
    kdfparams: _Parameters
    mac: str


class _Custody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    checksum: str
    name: str
    witness: str


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    crypto: _Crypto
    custody: _Custody
    id: str
    version: int


_decoder = msgspec.json.Decoder(_File)


class Keystore:
    """An opened keystore. `derive` and `sign` name a key by family, tier and index; no method returns a key."""

    __slots__ = ("_identity", "_nodes")

    def __init__(self, seeds: dict[str, bytes]) -> None:
        """Use `create` or `open`."""
        evm, solana = seeds[Family.EVM.value], seeds[Family.SOLANA.value]
        self._nodes = {
            **{(Family.EVM, tier): secp256k1_node(evm, tier_path(Family.EVM, tier)) for tier in Tier},
            **{(Family.SOLANA, tier): ed25519_node(solana, tier_path(Family.SOLANA, tier)) for tier in Tier},
        }
        self._identity = SigningKey(SIGNER, seeds[SIGNER])

    @classmethod
    def create(cls, directory: Path, passphrase: bytes, *, work_factor: int = DEFAULT_WORK_FACTOR) -> Keystore:
        """Make a keystore with fresh seeds in a directory that is absent or empty; it appears whole or not at all.

        Raises `KeystoreError`: `keystore_exists`, `keystore_unwritable`, `keystore_passphrase_wrong` (empty, too long).
        """
        _require_passphrase(passphrase)
        if not MIN_WORK_FACTOR <= work_factor <= MAX_WORK_FACTOR or work_factor & (work_factor - 1):
            raise AssertionError("scrypt's work factor is a power of two between 2^14 and 2^20")
        seeds = {name: secrets.token_bytes(SEED_BYTES) for name in NAMES}
        draft = directory.with_name(f".{directory.name}.{secrets.token_hex(8)}")
        try:
            if directory.is_symlink() or (directory.exists() and any(directory.iterdir())):
                raise KeystoreError(KeystoreCode.EXISTS, f"{directory} is not empty; a keystore is made only once")
            draft.mkdir(mode=0o700)
            try:
                for name in NAMES:
                    content = _encrypted(name, seeds[name], passphrase, work_factor)
                    create_private(draft / f"{name}.json", content)
                # On to an empty directory, a rename succeeds; on to one that got content meanwhile, it fails.
                draft.rename(directory)
            except BaseException:
                shutil.rmtree(draft, ignore_errors=True)
                raise
            sync_directory(directory.parent)
        except PrivateFileError as exc:
            raise KeystoreError(_CODES[exc.code], exc.message) from exc
        except OSError as exc:
            raise KeystoreError(KeystoreCode.UNWRITABLE, f"{directory}: {exc.strerror}") from exc
        return cls(seeds)

    @classmethod
    def open(cls, directory: Path, passphrase: bytes) -> Keystore:
        """Open a keystore: as long as three scrypts take. The passphrase is exactly these bytes (`read_passphrase`).

        Raises `KeystoreError`: `keystore_missing`, `keystore_permissions`, `keystore_passphrase_wrong`,
        `keystore_damaged`, `keystore_unreadable`.
        """
        _require_passphrase(passphrase)
        _require_private_directory(directory)
        files = {name: _read(directory / f"{name}.json", name) for name in NAMES}
        return cls({name: _decrypted(directory, name, files[name], passphrase) for name in NAMES})

    @property
    def identity(self) -> bytes:
        """The public key (32 bytes) of the signer's own voice."""
        return self._identity.public

    def derive(self, family: Family, tier: Tier, index: int) -> str:
        """The address at a place: EIP-55 for EVM, base58 for Solana. `index` is 0 … 2^31 - 1."""
        key = self._key(family, tier, index)
        return evm_address(key) if family is Family.EVM else solana_address(key)

    def sign(self, family: Family, tier: Tier, index: int, message: bytes) -> bytes:
        """Sign the exact unsigned bytes of a transaction with the key at a place.

        Solana: Ed25519 over the message, 64 bytes. EVM: r ‖ s ‖ v over keccak-256 of the message, 65 bytes, s in the
        lower half (EIP-2), v = 0 or 1, deterministic (RFC 6979).
        """
        key = self._key(family, tier, index)
        if family is Family.EVM:
            return coincurve.PrivateKey(key).sign_recoverable(keccak(message), hasher=None)
        return bytes(Keypair.from_seed(key).sign_message(message))

    def sign_identity(self, message: bytes) -> bytes:
        """Ed25519 by the signer's own key, for its protocol and attestations."""
        return self._identity.sign(message)

    def envelope(self, key_id: str, payload: bytes) -> Envelope:
        """Canonical bytes in an envelope signed by the signer's own key, which the ledger knows as `key_id`."""
        return msgspec.structs.replace(sign_envelope(self._identity, payload), key=key_id)

    def __repr__(self) -> str:
        return f"Keystore(identity={self.identity.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a keystore can't be pickled")

    def _key(self, family: Family, tier: Tier, index: int) -> bytes:
        node = self._nodes[family, tier]
        number = index_number(family, index)
        return (secp256k1_child(node, number) if family is Family.EVM else ed25519_child(node, number)).key


def read_passphrase(path: Path) -> bytes:
    """The passphrase in a private file or systemd credential, without the line feed an editor leaves at its end.

    Raises `KeystoreError`: `keystore_missing`, `keystore_permissions`, `keystore_unreadable`,
    `keystore_passphrase_wrong`.
    """
    try:
        content = read_private(path)
    except PrivateFileError as exc:
        raise KeystoreError(_CODES[exc.code], exc.message) from exc
    passphrase = content.removesuffix(b"\n").removesuffix(b"\r")
    _require_passphrase(passphrase)
    return passphrase


def _require_passphrase(passphrase: bytes) -> None:
    if not 0 < len(passphrase) <= MAX_PASSPHRASE:
        raise KeystoreError(KeystoreCode.PASSPHRASE_WRONG, f"a passphrase has 1 to {MAX_PASSPHRASE} bytes")


def _require_private_directory(directory: Path) -> None:
    try:
        facts = directory.stat()
    except FileNotFoundError as exc:
        raise KeystoreError(KeystoreCode.MISSING, f"there is no keystore at {directory}") from exc
    except OSError as exc:
        raise KeystoreError(KeystoreCode.UNREADABLE, f"{directory}: {exc.strerror}") from exc
    if not stat.S_ISDIR(facts.st_mode):
        raise KeystoreError(KeystoreCode.MISSING, f"{directory} is not a directory")
    # Others who may write here could put their own files in the place of ours.
    if facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH) or facts.st_uid not in (os.geteuid(), 0):
        raise KeystoreError(
            KeystoreCode.PERMISSIONS, f"others can write in {directory}; make it yours: chmod 700 {directory}"
        )


def _witness(name: str, seed: bytes) -> str:
    """What anybody may know of a seed, and what must come out of it again."""
    if name == SIGNER:
        return SigningKey(SIGNER, seed).public.hex()
    if name == Family.EVM.value:
        return evm_address(_first_hot(secp256k1_node(seed, tier_path(Family.EVM, Tier.HOT)), Family.EVM))
    return solana_address(_first_hot(ed25519_node(seed, tier_path(Family.SOLANA, Tier.HOT)), Family.SOLANA))


def _first_hot(node: Node, family: Family) -> bytes:
    number = index_number(family, 0)
    return (secp256k1_child(node, number) if family is Family.EVM else ed25519_child(node, number)).key


def _encrypted(name: str, seed: bytes, passphrase: bytes, work_factor: int) -> bytes:
    made: dict[str, Any] = keyfile.create_keyfile_json(seed, passphrase, kdf="scrypt", iterations=work_factor)
    crypto = msgspec.convert(made["crypto"], _Crypto)
    custody = _Custody(checksum=_checksum(crypto), name=name, witness=_witness(name, seed))
    file = _File(crypto=crypto, custody=custody, id=made["id"], version=3)
    return msgspec.json.format(canonical(file), indent=2) + b"\n"


def _checksum(crypto: _Crypto) -> str:
    return hashlib.sha256(canonical(crypto)).hexdigest()


def _read(path: Path, name: str) -> _File:
    try:
        file = _decoder.decode(read_private(path))
    except PrivateFileError as exc:
        raise KeystoreError(_CODES[exc.code], exc.message) from exc
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise KeystoreError(KeystoreCode.DAMAGED, f"{path} is not a keystore file: {exc}") from exc
    parameters = file.crypto.kdfparams
    if file.custody.checksum != _checksum(file.crypto):
        raise KeystoreError(KeystoreCode.DAMAGED, f"{path} does not match its own checksum; restore it from a backup")
    if file.custody.name != name:
        raise KeystoreError(KeystoreCode.DAMAGED, f"{path} is the file {file.custody.name!r} under another name")
    if (file.version, file.crypto.cipher, file.crypto.kdf) != (3, "aes-128-ctr", "scrypt") or (
        parameters.dklen,
        parameters.r,
        parameters.p,
    ) != (32, 8, 1):
        raise KeystoreError(KeystoreCode.DAMAGED, f"{path} is encrypted in another way than ours")
    if not MIN_WORK_FACTOR <= parameters.n <= MAX_WORK_FACTOR:
        raise KeystoreError(KeystoreCode.DAMAGED, f"{path} asks for a work factor out of bounds")
    return file


def _decrypted(directory: Path, name: str, file: _File, passphrase: bytes) -> bytes:
    plain = {"crypto": msgspec.to_builtins(file.crypto), "version": 3}
    try:
        seed = bytes(keyfile.decode_keyfile_json(plain, passphrase))
    except ValueError as exc:
        # The checksum over the encrypted part was right, so what is wrong is the key.
        raise KeystoreError(KeystoreCode.PASSPHRASE_WRONG, f"the passphrase does not open {directory}") from exc
    if len(seed) != SEED_BYTES or _witness(name, seed) != file.custody.witness:
        raise KeystoreError(KeystoreCode.DAMAGED, f"{directory}/{name}.json does not hold the seed it says it holds")
    return seed
