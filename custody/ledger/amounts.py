"""Money as integers with bounds, and the exact scaling between an asset's unit and a chain's.

An asset's unit is its finest representation's, so scaling up never rounds, and scaling down either is exact or is
refused. Text is parsed by hand because `int()` takes signs, blanks, underscores and any script's digits.
"""

from __future__ import annotations

import re

from custody.ledger.rejections import Rejection

LIMIT = 1 << 127
"""Every amount and every balance stays strictly inside ±2^127: room for any token, and for any store's 128 bits."""

MAX_DECIMALS = 30

_CANONICAL = re.compile(r"[1-9][0-9]{0,38}", re.ASCII)
_NEGATIVE = re.compile(r"-[0-9]+", re.ASCII)
_CANONICAL_SIGNED = re.compile(r"0|-?[1-9][0-9]{0,38}", re.ASCII)


def check_amount(text: str) -> Rejection | None:
    """Why `text` is not a positive amount in canonical decimal digits, or None when it is one."""
    if _CANONICAL.fullmatch(text):
        return None if int(text) < LIMIT else Rejection.AMOUNT_TOO_LARGE
    if text == "0":
        return Rejection.AMOUNT_ZERO
    if _NEGATIVE.fullmatch(text):
        return Rejection.AMOUNT_NEGATIVE
    return Rejection.AMOUNT_MALFORMED


def check_integer(text: str, *, signed: bool) -> Rejection | None:
    """The same for facts from a chain, where zero is possible and, with `signed`, less than zero."""
    if not _CANONICAL_SIGNED.fullmatch(text) or (not signed and text.startswith("-")):
        return Rejection.AMOUNT_MALFORMED
    return None if -LIMIT < int(text) < LIMIT else Rejection.AMOUNT_TOO_LARGE


def to_units(raw: int, *, decimals: int, unit_decimals: int) -> int:
    """A chain's integer as the asset's: exact, because no representation is finer than the unit."""
    assert 0 <= decimals <= unit_decimals, "an asset's unit is its finest representation's"
    scale: int = 10 ** (unit_decimals - decimals)
    return raw * scale


def to_raw(units: int, *, decimals: int, unit_decimals: int) -> int | None:
    """The asset's integer as a chain's, or None when the chain can't represent it exactly."""
    assert 0 <= decimals <= unit_decimals, "an asset's unit is its finest representation's"
    scale: int = 10 ** (unit_decimals - decimals)
    raw, rest = divmod(units, scale)
    return raw if rest == 0 else None
