"""The wire form: what goes out comes back, and every malformed body has its name."""

from __future__ import annotations

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.envelope.canonical import canonical
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import (
    MAX_BODY,
    Envelope,
    decode,
    decode_signature,
    encode,
    encode_signature,
    is_signed,
    sign,
    verify,
)
from custody.envelope.errors import EnvelopeCode, EnvelopeError

KEY = SigningKey("desk-1", bytes(32))
OTHER = SigningKey("desk-2", bytes([1]) * 32)
PAYLOAD = canonical({"type": "withdrawal.requested", "note": 'é"\\\n'})
GOOD = sign(KEY, PAYLOAD)
SIGNATURE = encode_signature(GOOD.signature)
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def body(**members: object) -> bytes:
    return json.dumps({"key": KEY.id, "payload": PAYLOAD.decode(), "signature": SIGNATURE} | members).encode()


def refusal(text: bytes) -> EnvelopeCode:
    with pytest.raises(EnvelopeError) as refused:
        decode(text)
    assert str(refused.value).startswith(refused.value.code)
    return refused.value.code


@given(st.dictionaries(st.text(st.characters(max_codepoint=127)), st.text(st.characters(codec="utf-8"))))
def test_an_envelope_survives_the_wire(content: dict[str, str]) -> None:
    envelope = sign(KEY, canonical(content))
    assert decode(encode(envelope)) == envelope
    assert is_signed(decode(encode(envelope)), KEY.public)


def test_the_wire_form_is_the_documented_one() -> None:
    assert json.loads(encode(GOOD)) == {
        "key": "desk-1",
        "payload": PAYLOAD.decode(),
        "signature": base64.b64encode(KEY.sign(PAYLOAD)).decode(),
    }
    # Order and white space of the outer object are the sender's own business.
    assert decode(json.dumps(json.loads(encode(GOOD)), indent=2, sort_keys=True).encode()) == GOOD
    assert decode(body()) == GOOD


def test_another_key_or_another_payload_is_not_signed() -> None:
    verify(GOOD, KEY.public)
    with pytest.raises(EnvelopeError) as refused:
        verify(GOOD, OTHER.public)
    assert refused.value.code is EnvelopeCode.SIGNATURE_WRONG
    assert not is_signed(msgspec.structs.replace(GOOD, payload=PAYLOAD + b" "), KEY.public)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"null", id="null"),
        pytest.param(b"[]", id="array"),
        pytest.param(b"{}", id="no members"),
        pytest.param(b'{"key":"a","payload":"{}"}', id="unsigned"),
        pytest.param(body(extra="x"), id="one member more"),
        pytest.param(body()[:-1] + b',"key":"desk-2"}', id="a repeated member"),
        pytest.param(body(key=7), id="key is a number"),
        pytest.param(body(payload={"a": 1}), id="payload is an object"),
        pytest.param(body(payload=["{", "}"]), id="payload is an array"),
        pytest.param(body(payload=""), id="empty payload"),
        pytest.param(body(payload="[]"), id="payload is an array's text"),
        pytest.param(body(payload=' {"a":1}'), id="payload starts with a blank"),
        pytest.param(body(payload='{"a":1}\n'), id="payload ends with a line feed"),
        pytest.param(body(key=""), id="empty key"),
        pytest.param(body(key="a" * 65), id="long key"),
        pytest.param(body(key="a b"), id="blank in key"),
        pytest.param(body(key="desk-1\n"), id="line feed behind the key"),
        pytest.param(body(key="désk"), id="key not ASCII"),
        pytest.param(body(key=None), id="key null"),
        pytest.param(body()[:-1], id="unfinished"),
        pytest.param(body() + b"x", id="something behind"),
        pytest.param(b"\xef\xbb\xbf" + body(), id="byte order mark"),
        pytest.param(body().replace(b"desk-1", b"desk\xff1"), id="not UTF-8"),
        pytest.param(body().replace(b'"desk-1"', b'"\\ud800"'), id="lone surrogate in the key"),
        pytest.param(body().replace(b'"{', b'"{\\ud800'), id="lone surrogate in the payload"),
        pytest.param(b'{"key":' * 9_000, id="very deep"),
        pytest.param(b"[" * 60_000, id="deeper"),
        pytest.param(b"{:,:,:}", id="the skeleton alone"),
    ],
)
def test_malformed(text: bytes) -> None:
    assert refusal(text) is EnvelopeCode.MALFORMED


def test_a_body_has_a_limit() -> None:
    room = MAX_BODY - len(encode(sign(KEY, canonical({"a": ""}))))
    largest = encode(sign(KEY, canonical({"a": "x" * room})))
    assert len(largest) == MAX_BODY
    assert is_signed(decode(largest), KEY.public)
    assert refusal(encode(sign(KEY, canonical({"a": "x" * (room + 1)})))) is EnvelopeCode.TOO_LARGE


def stray_bits(text: str) -> str:
    # 64 bytes leave four unused bits in the last character before the padding.
    last = ALPHABET.index(text[-3])
    return text[:-3] + ALPHABET[last ^ 1] + "=="


@pytest.mark.parametrize(
    "signature",
    [
        pytest.param("", id="empty"),
        pytest.param(SIGNATURE[:-2], id="no padding"),
        pytest.param(SIGNATURE + "=", id="more padding"),
        pytest.param(SIGNATURE + "\n", id="line feed behind"),
        pytest.param(" " + SIGNATURE, id="blank in front"),
        pytest.param(SIGNATURE[:40] + "\n" + SIGNATURE[40:], id="wrapped"),
        pytest.param(stray_bits(SIGNATURE), id="stray bits behind the last byte"),
        pytest.param(base64.b64encode(GOOD.signature[:63]).decode(), id="63 bytes"),
        pytest.param(base64.b64encode(GOOD.signature + b"x").decode(), id="65 bytes"),
        pytest.param(base64.urlsafe_b64encode(b"\xff" * 64).decode(), id="the URL-safe alphabet"),
        pytest.param(GOOD.signature.hex(), id="hexadecimal"),
        pytest.param("é" + SIGNATURE[1:], id="not ASCII"),
        pytest.param("=" * 88, id="padding only"),
    ],
)
def test_a_signature_has_one_spelling(signature: str) -> None:
    assert refusal(body(signature=signature)) is EnvelopeCode.SIGNATURE_MALFORMED


@given(st.binary(min_size=64, max_size=64))
def test_signature_text_round_trip(signature: bytes) -> None:
    assert len(encode_signature(signature)) == 88
    assert decode_signature(encode_signature(signature)) == signature


@given(st.binary(max_size=80) | st.text('{}[]:,"\\ akeypld', max_size=80).map(str.encode))
def test_any_bytes_have_a_name(text: bytes) -> None:
    assert refusal(text) is EnvelopeCode.MALFORMED


def test_an_envelope_whose_payload_is_not_text_has_no_wire_form() -> None:
    with pytest.raises(EnvelopeError) as refused:
        encode(Envelope("k", b"{\xff}", bytes(64)))
    assert refused.value.code is EnvelopeCode.MALFORMED
