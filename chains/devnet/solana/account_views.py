"""Accounts as agave's `UiAccount` spells them: encoded bytes, or parsed where they are a token account or a mint."""

from __future__ import annotations

import base64
from collections.abc import Callable

from solders.account import Account
from solders.pubkey import Pubkey

from chains.devnet.solana import base58, errors, tokens
from chains.devnet.solana.params import Config

Json = dict[str, object]
MintReader = Callable[[Pubkey], Account | None]

ENCODINGS = ("binary", "base58", "base64", "jsonParsed")
_BASE58_LIMIT = 128
"""Data bytes above which base58 is refused: it costs the square of the length."""

_TOO_LARGE = "error: data too large for bs58 encoding"

_PROGRAM_NAMES = {tokens.TOKEN: "spl-token", tokens.TOKEN_2022: "spl-token-2022"}


def view(account: Account, config: Config, read: MintReader, default: str = "binary") -> Json:
    """One account in the caller's `encoding` and `dataSlice`; `read` finds the mint of a token account.

    Raises -32600 for base58 of more than 128 bytes.
    """
    shape = told(account, config, read, default)
    if shape["data"] in (_TOO_LARGE, [_TOO_LARGE, "base58"]):
        raise errors.invalid_request(
            f"Encoded binary (base 58) data should be less than {_BASE58_LIMIT} bytes, please use Base64 encoding."
        )
    return shape


def told(account: Account, config: Config, read: MintReader, default: str = "binary") -> Json:
    """The same for a notification, where nobody can be refused: a sentence stands in for what base58 can't carry."""
    encoding = config.choice("encoding", default, ENCODINGS)
    data = parsed(account, read) if encoding == "jsonParsed" else None
    return {
        "lamports": account.lamports,
        "owner": str(account.owner),
        "data": _encoded(_sliced(account.data, config), encoding) if data is None else data,
        "executable": account.executable,
        "rentEpoch": account.rent_epoch,
        "space": len(account.data),
    }


def parsed(account: Account, read: MintReader) -> Json | None:
    """`ParsedAccount` of a token account or a mint, None for anything else. Extensions are named by no field here."""
    program = _PROGRAM_NAMES.get(account.owner)
    if program is None:
        return None
    space = len(account.data)
    holding = tokens.token_account(account)
    if holding is not None:
        mint = tokens.mint(read(holding.mint))
        if mint is None:
            return None
        return {"program": program, "space": space, "parsed": {"type": "account", "info": _holding(holding, mint)}}
    mint = tokens.mint(account)
    if mint is None:
        return None
    info = {
        "mintAuthority": _key(mint.authority),
        "supply": str(mint.supply),
        "decimals": mint.decimals,
        "isInitialized": True,
        "freezeAuthority": _key(mint.freeze_authority),
    }
    return {"program": program, "space": space, "parsed": {"type": "mint", "info": info}}


def _holding(holding: tokens.TokenAccount, mint: tokens.Mint) -> Json:
    info: Json = {
        "mint": str(holding.mint),
        "owner": str(holding.owner),
        "tokenAmount": tokens.amount(holding.amount, mint.decimals),
        "state": holding.state,
        "isNative": holding.native_reserve is not None,
    }
    if holding.native_reserve is not None:
        info["rentExemptReserve"] = tokens.amount(holding.native_reserve, mint.decimals)
    if holding.delegate is not None:
        info["delegate"] = str(holding.delegate)
        info["delegatedAmount"] = tokens.amount(holding.delegated_amount, mint.decimals)
    if holding.close_authority is not None:
        info["closeAuthority"] = str(holding.close_authority)
    return info


def _sliced(data: bytes, config: Config) -> bytes:
    part = config.section("dataSlice")
    if part is None:
        return data
    offset, length = part.integer("offset"), part.integer("length")
    if offset is None or length is None:
        raise errors.invalid_params("Invalid params: `dataSlice` needs `offset` and `length`.")
    return data[offset : offset + length]


def _encoded(data: bytes, encoding: str) -> object:
    if encoding in {"binary", "base58"}:
        text = base58.encode(data) if len(data) <= _BASE58_LIMIT else _TOO_LARGE
        return text if encoding == "binary" else [text, "base58"]
    return [base64.b64encode(data).decode(), "base64"]


def _key(key: Pubkey | None) -> str | None:
    return None if key is None else str(key)
