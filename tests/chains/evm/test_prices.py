"""What a payment may cost: caps that no provider talks us out of, and bumps that replace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import Permanent
from chains.evm.adapter import EvmSettings, Fees, bumped, price

SETTINGS = EvmSettings(chain="ethereum", chain_id=1, max_fee=1000, max_tip=50)


@pytest.mark.parametrize(
    ("base", "tip", "fees"),
    [
        (100, 10, Fees(max_fee=210, tip=10)),
        (0, 0, Fees(max_fee=0, tip=0)),
        (100, 10**18, Fees(max_fee=250, tip=50)),
        (600, 10, Fees(max_fee=1000, tip=10)),
        (990, 10, Fees(max_fee=1000, tip=10)),
    ],
)
def test_prices(base: int, tip: int, fees: Fees) -> None:
    assert price(base, tip, SETTINGS) == fees


def test_a_chain_above_the_cap_is_not_paid_on() -> None:
    with pytest.raises(Permanent) as refused:
        price(991, 10, SETTINGS)
    assert refused.value.code == "fee_above_cap"


@pytest.mark.parametrize(
    ("old", "fresh", "fees"),
    [
        (Fees(80, 8), Fees(1, 1), Fees(90, 9)),
        (Fees(81, 9), Fees(1, 1), Fees(92, 11)),
        (Fees(1, 1), Fees(1, 1), Fees(2, 2)),
        (Fees(0, 0), Fees(0, 0), Fees(1, 1)),
        (Fees(8, 0), Fees(0, 0), Fees(9, 1)),
        (Fees(80, 8), Fees(500, 40), Fees(500, 40)),
        (Fees(888, 8), Fees(1, 1), Fees(999, 9)),
    ],
)
def test_bumps(old: Fees, fresh: Fees, fees: Fees) -> None:
    assert bumped({"max_fee": str(old.max_fee), "max_priority_fee": str(old.tip)}, fresh, SETTINGS) == fees


def test_a_bump_above_the_cap_is_refused() -> None:
    with pytest.raises(Permanent) as refused:
        bumped({"max_fee": "889", "max_priority_fee": "1"}, Fees(1, 1), SETTINGS)
    assert refused.value.code == "fee_above_cap"


@given(st.integers(1, 800), st.integers(0, 800), st.integers(0, 1000), st.integers(0, 50))
def test_a_bump_always_replaces(max_fee: int, tip: int, fresh: int, fresh_tip: int) -> None:
    tip = min(tip, max_fee)
    fees = bumped({"max_fee": str(max_fee), "max_priority_fee": str(tip)}, Fees(fresh, fresh_tip), SETTINGS)
    assert fees.max_fee * 1000 >= max_fee * 1125
    assert fees.tip * 1000 >= tip * 1125
    assert fees.tip <= fees.max_fee <= SETTINGS.max_fee
