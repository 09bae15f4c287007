"""A person's or a daemon's own Ed25519 key, in a file: {"key": id, "public": hex, "secret": hex}, mode 0600.

Not encrypted: it is protected by the file system or handed over as a systemd credential, and it speaks for one narrow
role. Wallet keys never live in one of these; they are in the signer's keystore.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import msgspec

from custody.envelope.ed25519 import SEED_BYTES, SigningKey
from custody.envelope.envelopes import KeyId
from custody.envelope.privatefile import PrivateFileCode, PrivateFileError, create_private, read_private


class KeyFileCode(StrEnum):
    """Stable names of what can be wrong with a key file."""

    MISSING = "key_file_missing"
    EXISTS = "key_file_exists"
    PERMISSIONS = "key_file_permissions"
    UNREADABLE = "key_file_unreadable"
    UNWRITABLE = "key_file_unwritable"
    MALFORMED = "key_file_malformed"


_CODES = {
    PrivateFileCode.MISSING: KeyFileCode.MISSING,
    PrivateFileCode.EXISTS: KeyFileCode.EXISTS,
    PrivateFileCode.PERMISSIONS: KeyFileCode.PERMISSIONS,
    PrivateFileCode.UNREADABLE: KeyFileCode.UNREADABLE,
    PrivateFileCode.UNWRITABLE: KeyFileCode.UNWRITABLE,
}


class KeyFileError(Exception):
    """A key file that can't be used or made. The message names the path and never the content."""

    def __init__(self, code: KeyFileCode, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: KeyId
    public: str
    secret: str


_decoder = msgspec.json.Decoder(_File)


def read_key_file(path: Path) -> SigningKey:
    """The key in a file. Raises `KeyFileError`; the public half must be the secret's own."""
    try:
        content = read_private(path)
    except PrivateFileError as exc:
        raise KeyFileError(_CODES[exc.code], exc.message) from exc
    # `from None`: the decoder's errors and their frames could quote the secret.
    try:
        file = _decoder.decode(content)
        seed = bytes.fromhex(file.secret)
    except (msgspec.DecodeError, ValueError):
        raise KeyFileError(KeyFileCode.MALFORMED, f"{path} is not a key file") from None
    if len(seed) != SEED_BYTES or file.secret != seed.hex():
        raise KeyFileError(KeyFileCode.MALFORMED, f"{path}: the secret is 64 lower-case hex digits")
    key = SigningKey(file.key, seed)
    if key.public.hex() != file.public:
        raise KeyFileError(KeyFileCode.MALFORMED, f"{path}: the public key does not belong to the secret")
    return key


def create_key_file(path: Path, key: SigningKey) -> None:
    """Write a key to a new file, mode 0600, durably. Raises `KeyFileError` (`key_file_exists`, `key_file_unwritable`,
    `key_file_malformed` for an id that could not be read back)."""
    content = msgspec.json.encode(_File(key.id, key.public.hex(), key.export_seed().hex()))
    try:
        _decoder.decode(content)
    except msgspec.ValidationError:
        raise KeyFileError(KeyFileCode.MALFORMED, "a key id is 1 to 64 visible ASCII characters") from None
    try:
        create_private(path, content + b"\n")
    except PrivateFileError as exc:
        raise KeyFileError(_CODES[exc.code], exc.message) from exc
