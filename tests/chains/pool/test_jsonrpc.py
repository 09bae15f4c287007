"""What counts as an answer, and what every other pile of bytes is called."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chains.pool.classify import Evidence, Shape
from chains.pool.jsonrpc import DATA_CAP, TEXT_CAP, Request, encode, read


def test_a_request_on_the_wire() -> None:
    assert encode(Request(7, "getSlot", ({"commitment": "finalized"},))) == (
        b'{"id":7,"method":"getSlot","params":[{"commitment":"finalized"}],"jsonrpc":"2.0"}'
    )


@pytest.mark.parametrize(
    ("body", "result"),
    [
        (b'{"jsonrpc":"2.0","id":7,"result":[1, 2]}', b"[1, 2]"),
        (b'{"id":7,"result":null}', b"null"),
        (b' {"result":"0x0","id":7,"error":null,"more":1}\n', b'"0x0"'),
    ],
)
def test_a_good_answer_is_the_raw_result(body: bytes, result: bytes) -> None:
    answer = read(7, 200, {}, body)
    assert isinstance(answer, msgspec.Raw)
    assert bytes(answer) == result


@pytest.mark.parametrize(
    ("status", "body", "shape"),
    [
        (200, b"<html>hello</html>", Shape.NOT_JSON),
        (200, b"", Shape.NOT_JSON),
        (200, b'{"id":7,"result":' + b"[" * 5_000, Shape.NOT_RPC),
        (200, b"[" * 5_000, Shape.BATCH),
        (200, b'{"id":7,"result":', Shape.NOT_RPC),
        (200, b"{}", Shape.NOT_RPC),
        (200, b'{"id":7}', Shape.NOT_RPC),
        (200, b'{"message":"no code here"}', Shape.NOT_RPC),
        (200, b'[{"id":7,"result":1}]', Shape.BATCH),
        (200, b'"text"', Shape.NOT_JSON),
        (200, b'{"id":8,"result":1}', Shape.WRONG_ID),
        (200, b'{"id":"7","result":1}', Shape.WRONG_ID),
        (200, b'{"id":null,"result":1}', Shape.WRONG_ID),
        (200, b'{"result":1}', Shape.WRONG_ID),
        (200, b'{"id":8,"error":{"code":3,"message":"reverted"}}', Shape.WRONG_ID),
        (500, b'{"id":7,"result":1}', Shape.RESULT),
        (302, b'{"id":7,"result":1}', Shape.RESULT),
    ],
)
def test_a_bad_answer_is_named_by_its_shape(status: int, body: bytes, shape: Shape) -> None:
    answer = read(7, status, {}, body)
    assert isinstance(answer, Evidence)
    assert (answer.shape, answer.status) == (shape, status)


@pytest.mark.parametrize(
    ("body", "code", "message"),
    [
        (b'{"id":7,"error":{"code":-32005,"message":"behind","data":{"numSlotsBehind":4}}}', -32005, "behind"),
        (b'{"id":null,"error":{"code":-32700,"message":"parse error"}}', -32700, "parse error"),
        (b'{"error":{"code":429,"message":"slow down"}}', 429, "slow down"),
        (b'{"id":7,"error":{"code":"-32005","message":"quoted"}}', -32005, "quoted"),
        (b'{"id":7,"error":{"code":"E1","message":{"deep":1}}}', None, "{'deep': 1}"),
        (b'{"id":7,"error":"just words"}', None, '"just words"'),
        (b'{"code":-32000,"message":"a bare error"}', -32000, "a bare error"),
        (b'{"id":7,"result":1,"error":{"code":1,"message":"both"}}', 1, "both"),
    ],
)
def test_errors_as_vendors_write_them(body: bytes, code: int | None, message: str) -> None:
    answer = read(7, 200, {}, body)
    assert isinstance(answer, Evidence)
    assert (answer.shape, answer.code, answer.message) == (Shape.ERROR, code, message)


def test_an_errors_data_is_kept_up_to_its_cap() -> None:
    answer = read(7, 200, {}, b'{"id":7,"error":{"code":1,"message":"m","data":{"logs":["a"]}}}')
    assert isinstance(answer, Evidence)
    assert answer.data == b'{"logs":["a"]}'
    flood = b'{"id":7,"error":{"code":1,"message":"%s","data":"%s"}}' % (b"m" * 10_000, b"d" * DATA_CAP)
    answer = read(7, 200, {}, flood)
    assert isinstance(answer, Evidence)
    assert answer.data == b""
    assert len(answer.message) == TEXT_CAP


@given(st.binary(max_size=200), st.integers(100, 599))
def test_no_bytes_raise_and_none_pass_for_an_answer_by_accident(body: bytes, status: int) -> None:
    answer = read(7, status, {}, body)
    assert isinstance(answer, Evidence)


@pytest.mark.parametrize(
    ("code", "read_as"),
    [
        ('"-32005"', -32005),
        ('"3"', 3),
        ('"--5"', None),
        ('"-"', None),
        ('""', None),
        ('"5\\n"', None),
        ('"\u0665"', None),
        ('"999999999999999999999"', None),
        ("1.5", None),
    ],
)
def test_a_code_in_quotes_is_a_number_or_none(code: str, read_as: int | None) -> None:
    body = f'{{"jsonrpc":"2.0","id":7,"error":{{"code":{code},"message":"x"}}}}'.encode()
    answer = read(7, 200, {}, body)
    assert isinstance(answer, Evidence)
    assert answer.code == read_as


@pytest.mark.parametrize("depth", [10, 1_000, 5_000, 200_000])
def test_brackets_within_brackets_break_nothing(depth: int) -> None:
    """How deep is too deep is the interpreter's to say; either way it is a bad answer, and nothing worse."""
    data = b"[" * depth + b"]" * depth
    error = read(7, 200, {}, b'{"id":7,"error":{"code":1,"message":"m","data":' + data + b"}}")
    assert isinstance(error, Evidence)
    assert error.shape in (Shape.ERROR, Shape.NOT_RPC)
    good = read(7, 200, {}, b'{"id":7,"result":' + data + b"}")
    assert isinstance(good, msgspec.Raw) or good.shape is Shape.NOT_RPC
