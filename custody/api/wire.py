"""Where integers meet people: amounts as units beside their decimal form, and JSON bytes. The decimal point lives here
and nowhere else."""

from __future__ import annotations

import re

import msgspec

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,38})(?:\.([0-9]{1,30}))?", re.ASCII)
_encoder = msgspec.json.Encoder(decimal_format="string", order="deterministic")


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """`units` counts the asset's smallest unit and is what counts; `decimal` is for people."""

    units: str
    decimal: str


def amount(units: int, decimals: int) -> Amount:
    """An amount of an asset with so many decimals, on the wire."""
    return Amount(units=str(units), decimal=to_decimal(units, decimals))


def to_decimal(units: int, decimals: int) -> str:
    """`1500000` with 6 decimals is `1.5`: integer arithmetic, no trailing zeros, exact."""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :].rstrip("0")
    return ("-" if units < 0 else "") + whole + ("." + part if part else "")


def from_decimal(text: str, decimals: int) -> int:
    """The exact units of a decimal text. Raises `ValueError` for any other spelling of a number, and for more places
    than the asset has."""
    found = _DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError("an amount is ASCII digits with at most one point, without sign, exponent or leading zero")
    whole, part = found[1], (found[2] or "").rstrip("0")
    if len(part) > decimals:
        raise ValueError(f"the asset has {decimals} decimals, not {len(part)}")
    return int(whole + part.ljust(decimals, "0"))


def encode(value: object) -> bytes:
    """JSON text of structs and plain values, members in a fixed order."""
    return _encoder.encode(value)
