"""The JSON-RPC envelope, and that nothing a client can send breaks a method or the chain."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chains.devnet.solana import rpc
from tests.chains.devnet.solanarig import (
    FEE,
    PROCESSED,
    SOL,
    Rig,
    name,
    pay,
    refused,
    wallet,
)


@pytest.fixture
def rig() -> Rig:
    rig = Rig()
    rig.fund(rig.alice)
    return rig


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", -32700),
        (b"{", -32700),
        (b"\xff\xfe", -32700),
        (b"[]", -32600),
        (b"1", -32600),
        (b"{}", -32600),
        (b'{"jsonrpc":"1.0","id":1,"method":"getSlot"}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":5}', -32600),
        (b'{"jsonrpc":"2.0","id":1,"method":"getSlot","params":{"a":1}}', -32602),
        (b'{"jsonrpc":"2.0","id":1,"method":"getMoon"}', -32601),
        (b"[" + b",".join([b"1"] * 201) + b"]", -32600),
    ],
)
def test_bad_envelopes(rig: Rig, body: bytes, code: int) -> None:
    assert json.loads(rpc.respond(rig.bank, body))["error"]["code"] == code


def test_a_batch_is_answered_in_order_each_by_itself(rig: Rig) -> None:
    batch = [{"jsonrpc": "2.0", "id": n, "method": method} for n, method in enumerate(["getSlot", "nope", "getHealth"])]
    answers = json.loads(rpc.respond(rig.bank, json.dumps([*batch, 5]).encode()))
    assert [answer["id"] for answer in answers] == [0, 1, 2, None]
    assert [answer.get("error", {}).get("code") for answer in answers] == [None, -32601, None, -32600]


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**65), 2**65)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["base58", "base64", "jsonParsed", "finalized", "processed", name(wallet(1)), name(wallet(9)), "1" * 64]
    )
    | st.binary(max_size=300).map(lambda raw: base64.b64encode(raw).decode()),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["encoding", "commitment", "limit", "mint", "programId", "dataSlice", "offset", "length", "accounts"]
            )
            | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)
SHARED = Rig()
SHARED.fund(SHARED.alice)


@hypothesis_settings(max_examples=600)
@given(method=st.sampled_from(sorted(set(rpc.METHODS) - {"devnet_tick"})), params=st.lists(ANYTHING, max_size=4))
def test_no_parameter_whatever_breaks_a_method(method: str, params: list[object]) -> None:
    answer = SHARED.ask(method, *params)
    assert ("result" in answer) != ("error" in answer)
    if "error" in answer:
        assert answer["error"]["code"] in {-32600, -32602, -32603, -32001, -32004, -32007, -32016}


@st.composite
def _damaged(draw: st.DrawFn) -> bytes:
    """A sound transaction of any version with a few bytes changed, cut off or added."""
    version = draw(st.sampled_from([None, 0, 1]))
    raw = bytearray(bytes(SHARED.signed(SHARED.alice, pay(SHARED.alice, SHARED.bob, SOL), version=version)))
    for _ in range(draw(st.integers(1, 4))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    return bytes(raw[: draw(st.integers(1, len(raw)))]) if draw(st.booleans()) else bytes(raw)


@hypothesis_settings(max_examples=600)
@given(raw=_damaged())
def test_no_transaction_whatever_breaks_the_chain(raw: bytes) -> None:
    text = base64.b64encode(raw).decode()
    before = SHARED.lamports(SHARED.alice)
    options = {"encoding": "base64", **PROCESSED}
    SHARED.ask("simulateTransaction", text, options)
    SHARED.ask("getFeeForMessage", base64.b64encode(raw[65:]).decode(), PROCESSED)
    assert "result" in SHARED.ask("sendTransaction", text, {**options, "skipPreflight": True}) or (
        refused(SHARED, "sendTransaction", text, {**options, "skipPreflight": True}).code == -32602
    )
    SHARED.tick()
    spent = before - SHARED.lamports(SHARED.alice)
    assert spent in {0, SOL + FEE}, "only the undamaged may have paid"
