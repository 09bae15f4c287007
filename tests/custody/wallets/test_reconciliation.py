"""The arithmetic between chain, wallet book and −external."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.wallets.reconciliation import Agreement, Statement, compare


@pytest.mark.parametrize(
    ("booked", "observed", "agreement"),
    [
        (0, 0, Agreement.EQUAL),
        (5, 5, Agreement.EQUAL),
        (5, 6, Agreement.SURPLUS),
        (5, 4, Agreement.DEFICIT),
        (-1, 0, Agreement.SURPLUS),
        ((1 << 126) + 1, 1 << 126, Agreement.DEFICIT),
    ],
)
def test_one_unit_is_a_difference(booked: int, observed: int, agreement: Agreement) -> None:
    assert compare(booked, observed) is agreement


@given(st.integers(), st.integers())
def test_a_difference_has_a_side(owed: int, held: int) -> None:
    statement = Statement(asset="ETH", owed=owed, held=held)
    assert (statement.difference > 0) == (compare(owed, held) is Agreement.SURPLUS)
    assert (statement.difference == 0) == (compare(owed, held) is Agreement.EQUAL)
