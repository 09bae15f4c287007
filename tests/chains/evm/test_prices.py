"""What a payment may cost: caps that no provider talks us out of, and bumps that replace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import Permanent, Retryable
from chains.evm.adapter import EvmAdapter, EvmSettings, Fees, bumped, price
from chains.observations import NATIVE
from chains.pool.calls import Call
from chains.pool.classify import EVM
from chains.ports import Draft, Payment, Token
from tests.chains.evm.blocks import HOT, OTHER
from tests.chains.lyingproviders import LyingProviders, Reply, Temper, failing, honest, silent

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


def says(call: Call) -> Reply:
    fees = {"baseFeePerGas": ["0x63", "0x64"]}
    return {"id": 1, "result": {"eth_feeHistory": fees, "eth_maxPriorityFeePerGas": "0xa"}.get(call.method, "0x")}


def claiming(fee: int) -> Temper:
    def temper(call: Call, reply: Reply) -> Reply:
        said = {"eth_feeHistory": {"baseFeePerGas": [hex(fee)]}, "eth_maxPriorityFeePerGas": hex(fee)}
        return {"id": 1, "result": said[call.method]} if call.method in said else reply

    return temper


async def drafted(*tempers: Temper) -> tuple[int, int]:
    upstream = LyingProviders("ethereum", EVM, says, {f"p{n}": temper for n, temper in enumerate(tempers)})
    paying = (Payment(source=HOT, recipient=OTHER, token=NATIVE, amount=5),)
    coin = (Token(address=NATIVE, decimals=18),)
    adapter = EvmAdapter(SETTINGS, upstream)
    found: Draft = await adapter.draft(HOT, paying, nonce=0, blockhash=None, tokens=coin)
    return int(found.parameters["max_fee"]), int(found.parameters["max_priority_fee"])


@pytest.mark.parametrize("fee", [0, 10**30])
@pytest.mark.parametrize("at", [0, 1, 2])
async def test_no_single_provider_names_the_price(at: int, fee: int) -> None:
    tempers: list[Temper] = [honest, honest]
    tempers.insert(at, claiming(fee))
    assert await drafted(*tempers) == (210, 10)


async def test_a_price_is_had_from_whoever_tells_one() -> None:
    nothing: Temper = lambda call, reply: (  # noqa: E731  a temper like the others
        {"id": 1, "result": {"baseFeePerGas": []}} if call.method == "eth_feeHistory" else reply
    )
    for others in ((silent, silent), (failing(-32601, "no such method"), silent), (nothing, nothing), ()):
        assert await drafted(honest, *others) == (210, 10)
    assert await drafted(claiming(0), honest) == (210, 10), "one against one: too low gets stuck"
    with pytest.raises(Retryable):
        await drafted(silent, silent)
