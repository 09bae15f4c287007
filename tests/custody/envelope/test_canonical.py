"""Canonical JSON: our encoder is held to RFC 8785 within the domain, and our reader to refusing everything else."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from custody.envelope.canonical import (
    MAX_DEPTH,
    MAX_INTEGER,
    MAX_PAYLOAD,
    canonical,
    decode_canonical,
    require_canonical,
    require_shallow,
    without_strings,
)
from custody.envelope.errors import EnvelopeCode, EnvelopeError

TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = st.text(st.characters(max_codepoint=0x7F), max_size=6)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-MAX_INTEGER, MAX_INTEGER) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
).filter(lambda value: depth_of(value) <= MAX_DEPTH)

SHORT_ESCAPES = {8: "\\b", 9: "\\t", 10: "\\n", 12: "\\f", 13: "\\r", 34: '\\"', 92: "\\\\"}


def depth_of(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max((depth_of(item) for item in value.values()), default=0)
    if isinstance(value, list):
        return 1 + max((depth_of(item) for item in value), default=0)
    return 0


def written_by_the_rfc(value: object) -> str:
    """RFC 8785, section 3.2, spelled out: an encoder that shares nothing with ours."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"' + "".join(escaped(character) for character in value) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(written_by_the_rfc, value)) + "]"
    assert isinstance(value, dict)
    names = sorted(value, key=lambda name: name.encode("utf-16-be"))
    return "{" + ",".join(f"{written_by_the_rfc(name)}:{written_by_the_rfc(value[name])}" for name in names) + "}"


def escaped(character: str) -> str:
    code = ord(character)
    if code in SHORT_ESCAPES:
        return SHORT_ESCAPES[code]
    return f"\\u{code:04x}" if code < 0x20 else character


@given(VALUES)
@example({"b": "\x00\x1f\x7f\u2028\u2029/\\\"<>&'", "a": "é😀\ue000", "": [], "B": {}})
def test_our_encoding_is_the_rfcs(value: object) -> None:
    assert canonical(value) == written_by_the_rfc(value).encode("utf-8")


@given(VALUES)
def test_what_is_canonical_is_read_back(value: object) -> None:
    assert require_canonical(canonical(value)) == value


@given(VALUES)
def test_any_other_spelling_of_the_same_value_is_refused(value: object) -> None:
    payload = canonical(value)
    for other in (json.dumps(value).encode(), json.dumps(value, indent=1).encode(), payload + b"\n", b" " + payload):
        if other != payload:
            with pytest.raises(EnvelopeError) as refused:
                require_canonical(other)
            assert refused.value.code is EnvelopeCode.NOT_CANONICAL


@pytest.mark.parametrize(
    "payload",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"a":1,"a":1}', id="duplicate name"),
        pytest.param(b'{"b":1,"a":1}', id="unsorted names"),
        pytest.param(b'{"a":1 }', id="white space inside"),
        pytest.param(b'{"a":1}\n', id="white space behind"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
        pytest.param(b'{"a":1.0}', id="float that is whole"),
        pytest.param(b'{"a":1.5}', id="float"),
        pytest.param(b'{"a":1e2}', id="exponent"),
        pytest.param(b'{"a":-0}', id="minus zero"),
        pytest.param(b'{"a":01}', id="leading zero"),
        pytest.param(b'{"a":+1}', id="plus sign"),
        pytest.param(b'{"a":1_0}', id="underscore"),
        pytest.param(b'{"a":0x10}', id="hexadecimal"),
        pytest.param(b'{"a":NaN}', id="NaN"),
        pytest.param(b'{"a":Infinity}', id="Infinity"),
        pytest.param(b'{"a":9007199254740992}', id="2^53"),
        pytest.param(b'{"a":-9007199254740992}', id="-2^53"),
        pytest.param(b'{"a":1' + b"0" * 400 + b"}", id="an integer of 400 digits"),
        pytest.param(b'{"a":1' + b"0" * 5000 + b"}", id="an integer of 5000 digits"),
        pytest.param('{"a":\uff11}'.encode(), id="full-width digit"),
        pytest.param(b'{"a":"\\ud800"}', id="lone high surrogate, escaped"),
        pytest.param(b'{"a":"\\udc00x"}', id="lone low surrogate, escaped"),
        pytest.param(b'{"a":"\xed\xa0\x80"}', id="lone surrogate, encoded"),
        pytest.param(b'{"a":"\\ud83d\\ude00"}', id="escaped pair instead of the character"),
        pytest.param(b'{"a":"\\u0061"}', id="needless escape"),
        pytest.param(b'{"a":"\\/"}', id="escaped slash"),
        pytest.param(b'{"a":"\\u001F"}', id="escape in capitals"),
        pytest.param(b'{"a":"\x01"}', id="raw control character"),
        pytest.param(b'{"a":"\n"}', id="raw line feed"),
        pytest.param(b'{"a":"\xff"}', id="not UTF-8"),
        pytest.param(b'{"a":"\xc0\xaf"}', id="overlong UTF-8"),
        pytest.param(b'{"a":1}{"b":1}', id="two values"),
        pytest.param(b'{"a":1}\x00', id="a zero byte behind"),
        pytest.param('{"é":1}'.encode(), id="a name that is not ASCII"),
        pytest.param(b"{'a':1}", id="single quotes"),
        pytest.param(b'{"a":1,}', id="comma at the end"),
        pytest.param(b'{"a":1}//', id="comment"),
        pytest.param(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), id="too deep"),
        pytest.param(b"[" * 30_000 + b"]" * 30_000, id="very deep"),
        pytest.param(b'{"a":' * 9_000, id="very deep and unfinished"),
    ],
)
def test_refused(payload: bytes) -> None:
    with pytest.raises(EnvelopeError) as refused:
        require_canonical(payload)
    assert refused.value.code is EnvelopeCode.NOT_CANONICAL


def test_brackets_inside_strings_are_not_depth() -> None:
    require_shallow(canonical({"a": "[" * 1000 + '"' + "\\" + "{" * 1000}))
    deepest: object = 1
    for _ in range(MAX_DEPTH):
        deepest = [deepest]
    require_shallow(canonical(deepest))
    with pytest.raises(EnvelopeError):
        require_shallow(canonical(["[[[[[[[[", deepest]))


def test_depth_is_judged_the_same_however_deep_the_caller_stands() -> None:
    def stand_deeper(levels: int) -> EnvelopeCode:
        if levels:
            return stand_deeper(levels - 1)
        with pytest.raises(EnvelopeError) as refused:
            require_canonical(b"[" * 5_000 + b"]" * 5_000)
        return refused.value.code

    assert stand_deeper(0) is stand_deeper(500) is EnvelopeCode.NOT_CANONICAL


def test_a_payload_has_a_limit() -> None:
    fits = canonical("a" * (MAX_PAYLOAD - 2))
    assert require_canonical(fits) == "a" * (MAX_PAYLOAD - 2)
    with pytest.raises(EnvelopeError) as refused:
        require_canonical(canonical("a" * (MAX_PAYLOAD - 1)))
    assert refused.value.code is EnvelopeCode.TOO_LARGE


@given(st.binary(max_size=60) | st.text('"\\[]{},:ab', max_size=60).map(str.encode))
def test_any_bytes_are_either_canonical_or_named(payload: bytes) -> None:
    try:
        value = require_canonical(payload)
    except EnvelopeError:
        return
    assert canonical(value) == payload


@given(VALUES)
def test_what_is_left_without_strings_has_no_quote(value: object) -> None:
    payload = canonical(value)
    left = without_strings(payload)
    assert b'"' not in left
    assert left.count(b"[") + left.count(b"{") == sum(map(payload_brackets, walk(value)))


def walk(value: object) -> list[object]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(found for item in inner for found in walk(item))]


def payload_brackets(value: object) -> int:
    return isinstance(value, list | dict)


def test_scanning_strings_is_linear() -> None:
    # A quadratic scan of these would take minutes, so the suite itself is the clock.
    for hostile in (b'"' + b"\\" * 2_000_000, b'"\\' * 1_000_000, b'"' + b'\\"' * 1_000_000, b'"' * 2_000_001):
        assert b'"' not in without_strings(hostile)


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """A typed payload, as the ledger has them; its members are not in alphabetical order on purpose."""

    type: str
    amount: str
    seq: int


ORDER = msgspec.json.Decoder(Order)


def test_a_typed_payload_is_decoded_and_compared() -> None:
    payload = b'{"amount":"7","seq":1,"type":"x"}'
    assert decode_canonical(payload, ORDER) == Order(type="x", amount="7", seq=1)


@pytest.mark.parametrize(
    "payload",
    [
        b'{"type":"x","amount":"7","seq":1}',
        b'{"amount":"7","seq":1.0,"type":"x"}',
        b'{"amount":7,"seq":1,"type":"x"}',
        b'{"amount":"7","seq":1,"seq":1,"type":"x"}',
        b'{"amount":"7","seq":1,"type":"x","zzz":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"amount":"7","seq":true,"type":"x"}',
        b'{"amount":"7","type":"x"}',
    ],
)
def test_a_typed_payload_is_refused(payload: bytes) -> None:
    with pytest.raises(EnvelopeError) as refused:
        decode_canonical(payload, ORDER)
    assert refused.value.code is EnvelopeCode.NOT_CANONICAL


def test_a_lone_surrogate_has_no_canonical_form() -> None:
    with pytest.raises(EnvelopeError) as refused:
        canonical({"a": "\ud800"})
    assert refused.value.code is EnvelopeCode.NOT_CANONICAL
