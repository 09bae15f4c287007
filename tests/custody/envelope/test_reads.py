"""Signed reads: the exact string, its freshness, and that nothing else can be slipped into it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.envelope.canonical import canonical
from custody.envelope.ed25519 import SigningKey, verify
from custody.envelope.envelopes import encode_signature, is_signed, sign
from custody.envelope.errors import EnvelopeCode, EnvelopeError
from custody.envelope.reads import (
    NONCE_MEMORY_SECONDS,
    TOLERANCE_SECONDS,
    SignedRead,
    is_fresh,
    parse_read,
    read_message,
    sign_read,
    verify_read,
)

KEY = SigningKey("desk-1", bytes(32))
NONCE = "0123456789abcdef"
TARGET = "/v1/accounts/a%2F1/balances?asset=USDC&x="


def parse(**changed: str) -> SignedRead:
    read = sign_read(KEY, "GET", TARGET, 1_700_000_000, NONCE)
    values = {
        "method": "GET",
        "target": TARGET,
        "key": read.key,
        "timestamp": str(read.timestamp),
        "nonce": read.nonce,
        "signature": encode_signature(read.signature),
    } | changed
    return parse_read(
        values["method"],
        values["target"],
        key=values["key"],
        timestamp=values["timestamp"],
        nonce=values["nonce"],
        signature=values["signature"],
    )


def test_the_signed_string_is_the_documented_one() -> None:
    assert read_message("GET", TARGET, 1_700_000_000, NONCE) == (
        b"GET\n/v1/accounts/a%2F1/balances?asset=USDC&x=\n1700000000\n0123456789abcdef"
    )
    assert read_message("GET", "/v1/status", 1, NONCE) == b"GET\n/v1/status\n1\n0123456789abcdef"


def test_headers_bring_a_read_across() -> None:
    read = sign_read(KEY, "GET", TARGET, 1_700_000_000, NONCE)
    headers = read.headers()
    arrived = parse_read(
        "GET",
        TARGET,
        key=headers["Custody-Key"],
        timestamp=headers["Custody-Timestamp"],
        nonce=headers["Custody-Nonce"],
        signature=headers["Custody-Signature"],
    )
    assert arrived == read == parse()
    verify_read(arrived, KEY.public)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "HEAD"},
        {"target": TARGET + "1"},
        {"target": TARGET.partition("?")[0]},
        {"target": TARGET.replace("%2F", "%2f")},
        {"timestamp": "1700000001"},
        {"nonce": "0123456789abcdeF"},
    ],
)
def test_every_part_is_signed(changed: dict[str, str]) -> None:
    with pytest.raises(EnvelopeError) as refused:
        verify_read(parse(**changed), KEY.public)
    assert refused.value.code is EnvelopeCode.SIGNATURE_WRONG


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "get"},
        {"method": "GET\n/v1"},
        {"target": "v1/status"},
        {"target": "/v1/status\n1"},
        {"target": "/v1/a b"},
        {"target": "/v1/é"},
        {"target": "/" + "a" * 2048},
        {"timestamp": "-1"},
        {"timestamp": "+1700000000"},
        {"timestamp": "1700000000 "},
        {"timestamp": "1_700_000_000"},
        {"timestamp": "01700000000"},
        {"timestamp": "1700000000.0"},
        {"timestamp": "\uff11\uff17" + "0" * 8},
        {"timestamp": ""},
        {"timestamp": "9" * 13},
        {"nonce": "short"},
        {"nonce": "a" * 65},
        {"nonce": "0123456789abcde\n"},
        {"nonce": "0123456789abcdé0"},
        {"key": ""},
        {"key": "a" * 65},
        {"key": "a\n"},
    ],
)
def test_malformed_parts_are_named(changed: dict[str, str]) -> None:
    with pytest.raises(EnvelopeError) as refused:
        parse(**changed)
    assert refused.value.code is EnvelopeCode.READ_MALFORMED


def test_a_malformed_signature_is_named() -> None:
    with pytest.raises(EnvelopeError) as refused:
        parse(signature="AA==")
    assert refused.value.code is EnvelopeCode.SIGNATURE_MALFORMED


def test_freshness_and_nonce_memory_leave_no_gap() -> None:
    read = parse()
    fresh = [now for now in range(read.timestamp - 100, read.timestamp + 100) if is_fresh(read, now)]
    assert fresh == list(range(read.timestamp - TOLERANCE_SECONDS, read.timestamp + TOLERANCE_SECONDS))
    # Whoever accepts it at the first moment and forgets its nonce NONCE_MEMORY_SECONDS later finds it stale by then.
    assert not is_fresh(read, fresh[0] + NONCE_MEMORY_SECONDS)


@given(st.sampled_from(["GET", "HEAD", "DELETE"]), st.text("abc/?&=%", max_size=20), st.integers(1, 10**11))
def test_a_signed_read_is_never_a_signed_payload(method: str, rest: str, timestamp: int) -> None:
    read = sign_read(KEY, method, "/" + rest, timestamp, NONCE)
    envelope = sign(KEY, canonical({"a": rest}))
    assert not verify(KEY.public, envelope.payload, read.signature)
    assert is_signed(envelope, KEY.public)
    assert read_message(method, "/" + rest, timestamp, NONCE)[:1] != envelope.payload[:1] == b"{"
