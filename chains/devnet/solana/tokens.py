"""Token accounts and mints as bytes: both token programs, extensions included as far as a balance needs them.

Layouts: spl-token `state.rs` (`Account` 165 bytes, `Mint` 82 bytes) and spl-token-2022, which puts a kind byte at
offset 165 before any extensions.
"""

from __future__ import annotations

import msgspec
from solders.account import Account
from solders.pubkey import Pubkey

TOKEN = Pubkey.from_string("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
TOKEN_2022 = Pubkey.from_string("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
TOKEN_PROGRAMS = (TOKEN, TOKEN_2022)
NATIVE_MINT = Pubkey.from_string("So11111111111111111111111111111111111111112")

ACCOUNT_BYTES = 165
MINT_BYTES = 82
_MULTISIG_BYTES = 355
_KIND_MINT = 1
_KIND_ACCOUNT = 2
_STATES = ("uninitialized", "initialized", "frozen")


class TokenAccount(msgspec.Struct, frozen=True):
    """A token account's fields; `native_reserve` is set on wrapped SOL only. Amounts in the mint's base units."""

    mint: Pubkey
    owner: Pubkey
    amount: int
    delegate: Pubkey | None
    state: str
    native_reserve: int | None
    delegated_amount: int
    close_authority: Pubkey | None


class Mint(msgspec.Struct, frozen=True):
    """A mint's fields; `supply` in base units."""

    authority: Pubkey | None
    supply: int
    decimals: int
    freeze_authority: Pubkey | None


def token_account(account: Account | None) -> TokenAccount | None:
    """The account as a token account, None when it is none (or not initialised)."""
    if account is None or account.owner not in TOKEN_PROGRAMS:
        return None
    data = account.data
    if not _is_kind(data, ACCOUNT_BYTES, _KIND_ACCOUNT) or data[108] not in (1, 2):
        return None
    return TokenAccount(
        mint=Pubkey(data[0:32]),
        owner=Pubkey(data[32:64]),
        amount=_u64(data, 64),
        delegate=_optional_key(data, 72),
        state=_STATES[data[108]],
        native_reserve=_u64(data, 113) if data[109] else None,
        delegated_amount=_u64(data, 121),
        close_authority=_optional_key(data, 129),
    )


def mint(account: Account | None) -> Mint | None:
    """The account as a mint, None when it is none (or not initialised)."""
    if account is None or account.owner not in TOKEN_PROGRAMS:
        return None
    data = account.data
    if not _is_kind(data, MINT_BYTES, _KIND_MINT) or data[45] != 1:
        return None
    return Mint(
        authority=_optional_key(data, 0),
        supply=_u64(data, 36),
        decimals=data[44],
        freeze_authority=_optional_key(data, 46),
    )


def native_mint_data() -> bytes:
    """The bytes of wrapped SOL's mint: no authority, nine decimals, initialised."""
    return bytes(44) + bytes((9, 1)) + bytes(36)


def amount(value: int, decimals: int) -> dict[str, object]:
    """`UiTokenAmount`: the integer, and what people read (a float that nobody must count with)."""
    return {
        "amount": str(value),
        "decimals": decimals,
        "uiAmount": value / 10**decimals,
        "uiAmountString": _decimal(value, decimals),
    }


def _decimal(value: int, decimals: int) -> str:
    if decimals == 0:
        return str(value)
    digits = str(value).rjust(decimals + 1, "0")
    return f"{digits[:-decimals]}.{digits[-decimals:]}".rstrip("0").rstrip(".")


def _is_kind(data: bytes, base: int, kind: int) -> bool:
    if len(data) == base:
        return True
    return len(data) > ACCOUNT_BYTES and len(data) != _MULTISIG_BYTES and data[ACCOUNT_BYTES] == kind


def _u64(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 8], "little")


def _optional_key(data: bytes, at: int) -> Pubkey | None:
    return Pubkey(data[at + 4 : at + 36]) if data[at] else None
