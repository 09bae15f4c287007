"""The decimal point: exact both ways, one spelling, no float."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.api.wire import amount, from_decimal, to_decimal


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (0, 18, "0"),
        (1, 18, "0.000000000000000001"),
        (1_500_000, 6, "1.5"),
        (10**24, 6, "1000000000000000000"),
        (100, 0, "100"),
        (-1_500_000, 6, "-1.5"),
        (-1, 2, "-0.01"),
        (2**127 - 1, 30, "170141183.460469231731687303715884105727"),
    ],
)
def test_units_as_people_write_them(units: int, decimals: int, text: str) -> None:
    assert to_decimal(units, decimals) == text
    shown = amount(units, decimals)
    assert (shown.units, shown.decimal) == (str(units), text)


@given(units=st.integers(0, 2**127 - 1), decimals=st.integers(0, 30))
def test_there_and_back_is_the_same(units: int, decimals: int) -> None:
    assert from_decimal(to_decimal(units, decimals), decimals) == units


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "1.",
        ".5",
        "+1",
        "-1",
        "1e3",
        "1_0",
        "01",
        "1,5",
        " 1",
        "1\n",
        "\uff11",
        "1.٣",
        "NaN",
        "0x1",
        "1.2.3",
        "1" * 60,
    ],
)
def test_other_spellings_of_numbers_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="ASCII digits"):
        from_decimal(text, 18)


def test_more_places_than_the_asset_has_are_refused_and_zeros_are_not() -> None:
    with pytest.raises(ValueError, match="6 decimals, not 7"):
        from_decimal("1.0000001", 6)
    assert from_decimal("1.50000000", 6) == 1_500_000
