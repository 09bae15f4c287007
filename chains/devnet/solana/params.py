"""Parameters of a request, checked where they are read: a wrong one is -32602 with its name, never an exception."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence

from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import SanitizeError, VersionedTransaction

from chains.devnet.solana import base58, errors
from chains.devnet.solana.bank import Commitment

U64 = 2**64

LEGACY_BYTES = 1_232
"""The most a legacy or v0 transaction may measure (`PACKET_DATA_SIZE`)."""

V1_BYTES = 4_096
"""The most a v1 transaction may measure (SIMD-0296)."""

V1_PREFIX = 0x81


class Config:
    """The options object that most methods take last. Unknown options are ignored, as agave ignores them."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, object]) -> None:
        self._fields = fields

    def flag(self, name: str, default: bool) -> bool:
        """A boolean."""
        value = self._fields.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise _wrong(name, "a boolean")
        return value

    def integer(self, name: str) -> int | None:
        """An unsigned integer, None when absent."""
        value = self._fields.get(name)
        return None if value is None else _integer(value, name)

    def choice(self, name: str, default: str, choices: Sequence[str]) -> str:
        """One of `choices`."""
        value = self._fields.get(name)
        if value is None:
            return default
        if not isinstance(value, str) or value not in choices:
            raise _wrong(name, f"one of {', '.join(choices)}")
        return value

    def text(self, name: str) -> str | None:
        """A string, None when absent."""
        value = self._fields.get(name)
        if value is None or isinstance(value, str):
            return value
        raise _wrong(name, "a string")

    def section(self, name: str) -> Config | None:
        """A nested object, None when absent."""
        value = self._fields.get(name)
        return None if value is None else Config(_object(value, name))

    def texts(self, name: str) -> list[str] | None:
        """A list of strings, None when absent."""
        value = self._fields.get(name)
        return None if value is None else _texts(value, name)

    def commitment(self, name: str = "commitment", default: Commitment = Commitment.FINALIZED) -> Commitment:
        """A commitment; the old names of other days map as agave maps them."""
        value = self._fields.get(name)
        if value is None:
            return default
        if isinstance(value, str) and value in _COMMITMENTS:
            return _COMMITMENTS[value]
        raise _wrong(name, "a commitment")


_COMMITMENTS = {
    "processed": Commitment.PROCESSED,
    "recent": Commitment.PROCESSED,
    "confirmed": Commitment.CONFIRMED,
    "single": Commitment.CONFIRMED,
    "singleGossip": Commitment.CONFIRMED,
    "finalized": Commitment.FINALIZED,
    "max": Commitment.FINALIZED,
    "root": Commitment.FINALIZED,
}


class Params:
    """The positional parameters."""

    __slots__ = ("_values",)

    def __init__(self, values: Sequence[object]) -> None:
        self._values = values

    def value(self, place: int) -> object:
        """Whatever stands at a place, None beyond the end."""
        return self._values[place] if place < len(self._values) else None

    def text(self, place: int, name: str) -> str:
        """A required string."""
        value = self.value(place)
        if not isinstance(value, str):
            raise _wrong(name, "a string")
        return value

    def texts(self, place: int, name: str, limit: int) -> list[str]:
        """A required list of at most `limit` strings."""
        found = _texts(self.value(place), name)
        if len(found) > limit:
            raise errors.invalid_params(f"Too many inputs provided; max {limit}")
        return found

    def integer(self, place: int, name: str) -> int:
        """A required unsigned integer."""
        return _integer(self.value(place), name)

    def optional_integer(self, place: int, name: str) -> int | None:
        """An unsigned integer, None when absent."""
        value = self.value(place)
        return None if value is None else _integer(value, name)

    def section(self, place: int, name: str) -> Config:
        """A required object."""
        return Config(_object(self.value(place), name))

    def config(self, place: int) -> Config:
        """The options, all defaults when absent."""
        value = self.value(place)
        return Config({} if value is None else _object(value, "config"))

    def pubkey(self, place: int) -> Pubkey:
        """A required address."""
        return pubkey(self.text(place, "pubkey"))


def pubkey(text: str) -> Pubkey:
    """An address from base58."""
    try:
        return Pubkey.from_string(text)
    except ValueError as exc:
        raise errors.invalid_params(f"Invalid param: {_reason(text)}") from exc


def signature(text: str) -> str:
    """A signature's canonical spelling."""
    try:
        return str(Signature.from_string(text))
    except ValueError as exc:
        raise errors.invalid_params(f"Invalid param: {_reason(text)}") from exc


def decode(text: str, encoding: str) -> bytes:
    """Bytes from `base58` or `base64`."""
    try:
        return base64.b64decode(text, validate=True) if encoding == "base64" else base58.decode(text)
    except (ValueError, binascii.Error) as exc:
        raise errors.invalid_params(f"invalid {encoding} encoding: {exc}") from exc


def transaction(text: str, encoding: str) -> VersionedTransaction:
    """A transaction from the wire, its size and offsets checked (agave `decode_and_deserialize`, `sanitize`)."""
    if len(text) > 2 * V1_BYTES:
        raise errors.invalid_params(f"{encoding} encoded transaction too large: {len(text)} bytes")
    raw = decode(text, encoding)
    limit = V1_BYTES if raw[:1] == bytes((V1_PREFIX,)) else LEGACY_BYTES
    if len(raw) > limit:
        raise errors.invalid_params(f"decoded transaction too large: {len(raw)} bytes (max: {limit} bytes)")
    try:
        parsed = VersionedTransaction.from_bytes(raw)
    except ValueError as exc:
        raise errors.invalid_params(f"failed to deserialize transaction: {exc}") from exc
    try:
        parsed.sanitize()
    except SanitizeError as exc:
        raise errors.invalid_params(f"invalid transaction: {exc}") from exc
    return parsed


def _reason(text: str) -> str:
    return "WrongSize" if all(character in base58.ALPHABET for character in text) else "Invalid"


def _texts(value: object, name: str) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise _wrong(name, "a list of strings")
    return value


def _integer(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < U64:
        raise _wrong(name, "an unsigned integer")
    return value


def _object(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _wrong(name, "an object")
    return value


def _wrong(name: str, kind: str) -> errors.RpcError:
    return errors.invalid_params(f"Invalid params: `{name}` must be {kind}.")
