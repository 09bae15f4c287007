"""Composing and attaching, against eth-account as the independent implementation of EIP-1559."""

from __future__ import annotations

import coincurve
import msgspec
import pytest
from eth_account import Account
from eth_account.typed_transactions.typed_transaction import TypedTransaction
from hypothesis import given
from hypothesis import strategies as st

from chains.errors import Permanent
from chains.evm import codec, composer
from chains.observations import NATIVE
from chains.ports import Draft, Payment, Token
from tests.evm_keys import EvmKey

KEY, RECIPIENT, CONTRACT = EvmKey(11), EvmKey(12).address, EvmKey(13).address
TOKENS = (Token(address=CONTRACT, decimals=6),)
PARAMETERS = {"gas": "65000", "max_fee": "3000000000", "max_priority_fee": "1000000000"}


def paying(token: str = NATIVE, amount: int = 5) -> Draft:
    return Draft(
        chain="ethereum",
        chain_id="1",
        sender=KEY.address,
        payments=(Payment(source=KEY.address, recipient=RECIPIENT, token=token, amount=amount),),
        nonce=7,
        blockhash=None,
        parameters=PARAMETERS,
        tokens=TOKENS,
    )


@given(
    chain_id=st.integers(1, 2**63),
    nonce=st.integers(0, 2**64 - 2),
    gas=st.integers(21_000, 2**64 - 1),
    max_fee=st.integers(0, 10**20),
    tip=st.integers(0, 10**20),
    amount=st.integers(1, 2**256 - 1),
    what=st.sampled_from(["native", "token", "filler"]),
)
def test_bytes_are_those_of_eth_account(
    chain_id: int, nonce: int, gas: int, max_fee: int, tip: int, amount: int, what: str
) -> None:
    tip = min(tip, max_fee)
    draft = msgspec.structs.replace(
        paying(CONTRACT if what == "token" else NATIVE, amount),
        chain_id=str(chain_id),
        nonce=nonce,
        parameters={"gas": str(gas), "max_fee": str(max_fee), "max_priority_fee": str(tip)},
    )
    if what == "filler":
        draft = msgspec.structs.replace(draft, payments=())
    # EIP-20's selector and the ABI's two words, written out by hand: the oracle for the call data.
    call = "0xa9059cbb" + "00" * 12 + RECIPIENT[2:].lower() + amount.to_bytes(32, "big").hex()
    theirs = {
        "type": 2,
        "chainId": chain_id,
        "nonce": nonce,
        "gas": gas,
        "maxFeePerGas": max_fee,
        "maxPriorityFeePerGas": tip,
        "to": {"native": RECIPIENT, "token": CONTRACT, "filler": KEY.address}[what],
        "value": amount if what == "native" else 0,
        "data": call if what == "token" else "0x",
    }
    message = composer.compose(draft)
    assert composer.digest(message) == bytes(TypedTransaction.from_dict(theirs).hash())
    raw = composer.attach(message, {KEY.address: KEY.sign(message)})
    signed = Account.sign_transaction(theirs, KEY.secret)
    assert raw == bytes(signed.raw_transaction)
    assert composer.transaction_id(raw) == "0x" + signed.hash.hex().removeprefix("0x")
    assert Account.recover_transaction(raw) == KEY.address
    assert composer.fee_cap(draft) == gas * max_fee


@pytest.mark.parametrize(
    "spoiled",
    [
        {"chain_id": "0"},
        {"chain_id": ""},
        {"chain_id": "01"},
        {"chain_id": "-1"},
        {"chain_id": "+1"},
        {"chain_id": "1_0"},
        {"chain_id": "0x1"},
        {"chain_id": " 1"},
        {"chain_id": "1\n"},
        {"chain_id": "\uff11"},
        {"nonce": None},
        {"nonce": -1},
        {"nonce": 2**64 - 1},
        {"blockhash": "abc"},
        {"sender": KEY.address.lower()},
        {"payments": (*paying().payments, *paying().payments)},
        {"payments": (Payment(source=RECIPIENT, recipient=RECIPIENT, token=NATIVE, amount=1),)},
        {"tokens": (), "payments": paying(CONTRACT).payments},
        {"parameters": {**PARAMETERS, "gas": "20999"}},
        {"parameters": {**PARAMETERS, "gas": str(2**64)}},
        {"parameters": {**PARAMETERS, "max_priority_fee": "3000000001"}},
        {"parameters": {**PARAMETERS, "access_list": "1"}},
        {"parameters": {"gas": "21000", "max_fee": "1"}},
    ],
)
def test_no_bytes_for_a_bad_draft(spoiled: dict[str, object]) -> None:
    with pytest.raises(Permanent) as refused:
        composer.compose(msgspec.structs.replace(paying(), **spoiled))
    assert refused.value.code == "draft_invalid"


def test_the_filler_of_a_misspelt_sender_is_refused() -> None:
    with pytest.raises(Permanent, match="draft_invalid"):
        composer.compose(msgspec.structs.replace(paying(), payments=(), sender=KEY.address.lower()))


MESSAGE = composer.compose(paying())


@pytest.mark.parametrize("offset", [0, 27])
def test_v_may_be_parity_or_the_old_form(offset: int) -> None:
    signature = KEY.sign(MESSAGE)
    shifted = signature[:64] + bytes([signature[64] + offset])
    assert composer.attach(MESSAGE, {KEY.address: shifted}) == composer.attach(MESSAGE, {KEY.address: signature})


def test_the_malleated_twin_is_refused() -> None:
    signature = KEY.sign(MESSAGE)
    high = composer.SECP256K1_ORDER - int.from_bytes(signature[32:64], "big")
    twin = signature[:32] + high.to_bytes(32, "big") + bytes([signature[64] ^ 1])
    recovered = coincurve.PublicKey.from_signature_and_message(twin, composer.digest(MESSAGE), hasher=None)
    assert codec.checksummed(composer.address_of(recovered.format(compressed=False))) == KEY.address
    with pytest.raises(Permanent, match="signature_invalid"):
        composer.attach(MESSAGE, {KEY.address: twin})


ZERO, ORDER = bytes(32), composer.SECP256K1_ORDER.to_bytes(32, "big")
R, S, V = KEY.sign(MESSAGE)[:32], KEY.sign(MESSAGE)[32:64], KEY.sign(MESSAGE)[64:]


@pytest.mark.parametrize(
    "signature",
    [
        ZERO + S + V,
        R + ZERO + V,
        ORDER + S + V,
        R + ORDER + V,
        R + S + b"\x02",
        R + S + b"\x1d",
        R + S + bytes([V[0] ^ 1]),
        R + S,
        R + S + V + b"\x00",
        (2**256 - 1).to_bytes(32, "big") + S + V,
        (5).to_bytes(32, "big") + S + V,
    ],
)
def test_a_signature_that_proves_nothing_is_refused(signature: bytes) -> None:
    with pytest.raises(Permanent) as refused:
        composer.attach(MESSAGE, {KEY.address: signature})
    assert refused.value.code == "signature_invalid"


def test_one_signature_and_no_more() -> None:
    other = EvmKey(99)
    for signatures in ({}, {KEY.address: KEY.sign(MESSAGE), other.address: other.sign(MESSAGE)}):
        with pytest.raises(Permanent, match="signature_missing"):
            composer.attach(MESSAGE, signatures)


@given(st.binary(max_size=120))
def test_only_messages_of_ours_get_a_signature(junk: bytes) -> None:
    for message in (junk, b"\x02" + junk, MESSAGE + junk if junk else b"", b"\x01" + MESSAGE[1:], MESSAGE[:-1]):
        with pytest.raises(Permanent) as refused:
            composer.attach(message, {KEY.address: bytes(65)})
        assert refused.value.code == "draft_invalid"
