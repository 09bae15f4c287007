"""Amounts are ASCII digits of one spelling, and scaling between units is exact or refused."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from custody.ledger.amounts import LIMIT, MAX_DECIMALS, check_amount, check_integer, to_raw, to_units
from custody.ledger.rejections import Rejection

MALFORMED = [
    "", " ", " 1", "1 ", "1\n", "\t1", "+1", "++1", "1.0", "1.", ".1", "1e3", "1E3", "1_0", "01", "00", "0x1", "0b1",
    "1,000", "\uff11\uff12", "٣", "²", "१", "1\u00a0", "\u200b1", "Infinity", "NaN", "-", "--1", "- 1", "-1.0", "1-",
    "½", "1\x00", "9" * 40,
]  # fmt: skip


@pytest.mark.parametrize("text", MALFORMED)
def test_no_other_spelling_is_an_amount(text: str) -> None:
    assert check_amount(text) is Rejection.AMOUNT_MALFORMED
    assert check_integer(text, signed=False) is Rejection.AMOUNT_MALFORMED
    assert check_integer(text, signed=True) is Rejection.AMOUNT_MALFORMED


@pytest.mark.parametrize(
    ("text", "amount", "natural", "signed"),
    [
        ("1", None, None, None),
        ("0", Rejection.AMOUNT_ZERO, None, None),
        ("-1", Rejection.AMOUNT_NEGATIVE, Rejection.AMOUNT_MALFORMED, None),
        ("-0", Rejection.AMOUNT_NEGATIVE, Rejection.AMOUNT_MALFORMED, Rejection.AMOUNT_MALFORMED),
        ("-01", Rejection.AMOUNT_NEGATIVE, Rejection.AMOUNT_MALFORMED, Rejection.AMOUNT_MALFORMED),
        (str(LIMIT - 1), None, None, None),
        (str(LIMIT), Rejection.AMOUNT_TOO_LARGE, Rejection.AMOUNT_TOO_LARGE, Rejection.AMOUNT_TOO_LARGE),
        ("9" * 39, Rejection.AMOUNT_TOO_LARGE, Rejection.AMOUNT_TOO_LARGE, Rejection.AMOUNT_TOO_LARGE),
        (str(1 - LIMIT), Rejection.AMOUNT_NEGATIVE, Rejection.AMOUNT_MALFORMED, None),
        (str(-LIMIT), Rejection.AMOUNT_NEGATIVE, Rejection.AMOUNT_MALFORMED, Rejection.AMOUNT_TOO_LARGE),
    ],
)
def test_where_the_bounds_are(
    text: str, amount: Rejection | None, natural: Rejection | None, signed: Rejection | None
) -> None:
    assert check_amount(text) is amount
    assert check_integer(text, signed=False) is natural
    assert check_integer(text, signed=True) is signed


@given(st.text(max_size=8))
def test_what_is_taken_is_what_python_writes(text: str) -> None:
    if check_amount(text) is None:
        assert str(int(text)) == text
        assert text.isascii()
    if check_integer(text, signed=True) is None:
        assert str(int(text)) == text


@given(st.integers(-LIMIT * 2, LIMIT * 2))
def test_every_integer_within_the_bounds_is_taken(value: int) -> None:
    assert (check_amount(str(value)) is None) == (0 < value < LIMIT)
    assert (check_integer(str(value), signed=True) is None) == (-LIMIT < value < LIMIT)


decimals = st.integers(0, MAX_DECIMALS)


@given(st.integers(0, LIMIT), decimals, decimals)
def test_scaling_up_and_down_again_loses_nothing(raw: int, one: int, other: int) -> None:
    coarse, fine = sorted((one, other))
    units = to_units(raw, decimals=coarse, unit_decimals=fine)
    assert units * 10**coarse == raw * 10**fine
    assert to_raw(units, decimals=coarse, unit_decimals=fine) == raw


@given(st.integers(0, LIMIT), decimals, decimals)
def test_scaling_down_is_exact_or_refused(units: int, one: int, other: int) -> None:
    coarse, fine = sorted((one, other))
    raw = to_raw(units, decimals=coarse, unit_decimals=fine)
    if raw is None:
        assert units % 10 ** (fine - coarse) != 0
    else:
        assert to_units(raw, decimals=coarse, unit_decimals=fine) == units


@given(decimals, decimals)
def test_no_representation_is_finer_than_the_unit(one: int, other: int) -> None:
    assume(one > other)
    for scaled in (to_units, to_raw):
        with pytest.raises(AssertionError):
            scaled(1, decimals=one, unit_decimals=other)
