"""The block format: what goes in comes out, one flipped bit never passes, and today's bytes stay today's bytes."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.envelope.canonical import MAX_INTEGER, MAX_PAYLOAD, canonical
from custody.envelope.ed25519 import SigningKey, verify
from custody.envelope.envelopes import Envelope, sign
from custody.journal.block import (
    MAX_BLOB,
    MAX_SEALS,
    Block,
    Header,
    Seal,
    block_hash,
    body_digest,
    check_seals,
    decode,
    encode,
    results_digest,
    seal,
)
from custody.journal.errors import JournalCode, JournalError
from tests.custody.journal.blockmaking import CLIENT, SEALER, envelopes, make_block

HASHES = st.binary(min_size=32, max_size=32).map(bytes.hex)
IDS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=64)
NATURALS = st.integers(0, MAX_INTEGER)
SIGNATURES = st.binary(min_size=64, max_size=64)
ENVELOPES = st.builds(Envelope, IDS, st.binary(min_size=2, max_size=300), SIGNATURES)
RESULTS = st.text("abcdefghijklmnopqrstuvwxyz0123456789_", min_size=1, max_size=64)


@st.composite
def whole_blocks(draw: st.DrawFn) -> Block:
    pairs = draw(st.lists(st.tuples(ENVELOPES, RESULTS), max_size=20))
    transactions = tuple(envelope for envelope, _ in pairs)
    results = tuple(result for _, result in pairs)
    header = Header(
        body=body_digest(transactions),
        epoch=draw(NATURALS),
        height=draw(NATURALS),
        ledger=draw(st.just("") | HASHES),
        previous=draw(HASHES),
        results=results_digest(results),
        root=draw(HASHES),
        ruleset=draw(IDS),
        time=draw(NATURALS),
    )
    seals = tuple(draw(st.lists(st.builds(Seal, IDS, SIGNATURES), max_size=4)))
    return Block(header=header, seals=seals, transactions=transactions, results=results)


@given(whole_blocks())
def test_a_block_survives_its_encoding(block: Block) -> None:
    assert decode(encode(block)) == block
    assert encode(decode(encode(block))) == encode(block)


def test_the_format_is_final() -> None:
    """If this fails, journals that exist can no longer be read. Add a version instead."""
    block = make_block(None, (sign(CLIENT, b'{"type":"genesis"}'),), ("ok",))
    header = (
        b'{"body":"bec07b3d","epoch":0,"height":0,"ledger":"","previous":"'
        + b"0" * 64
        + b'","results":"4d4f46ad","root":"'
        + b"ab" * 32
        + b'","ruleset":"1","time":1700000000000}'
    )
    body = b"\x91\x93\xa6client\xc4\x12" + b'{"type":"genesis"}' + b"\xc4\x40" + CLIENT.sign(b'{"type":"genesis"}')
    results = b"\x91\xa2ok"
    header = header.replace(b"bec07b3d", hashlib.sha256(b"custody/body/1\0" + body).hexdigest().encode())
    header = header.replace(b"4d4f46ad", hashlib.sha256(b"custody/results/1\0" + results).hexdigest().encode())
    digest = hashlib.sha256(b"custody/block/1\0" + header)
    signature = SEALER.sign(b"custody/seal/1\0" + digest.digest())
    assert block_hash(block.header) == digest.hexdigest()
    assert block_hash(block.header) == "a8911770957b47eb70ad1f6854b2917a2fa57a99c4e5608e60acfcad8e3d4598"
    assert hashlib.sha256(encode(block)).hexdigest() == (
        "26ca676984899000eca94281327961343fa8433aca1e4664451c90a76d3d8dad"
    )
    assert encode(block) == (
        b"\x95\x01\xc5"
        + len(header).to_bytes(2, "big")
        + header
        + b"\x91\x92\xa9sequencer\xc4\x40"
        + signature
        + b"\xc4"
        + bytes([len(body)])
        + body
        + b"\xc4"
        + bytes([len(results)])
        + results
    )


def test_a_flipped_bit_anywhere_is_seen() -> None:
    block = make_block(None, envelopes(2))
    blob = encode(block)
    good = block_hash(block.header)
    for bit in range(len(blob) * 8):
        flipped = bytearray(blob)
        flipped[bit // 8] ^= 1 << bit % 8
        assert is_noticed(bytes(flipped), good), f"bit {bit} of {len(blob) * 8}"


def is_noticed(blob: bytes, expected_hash: str) -> bool:
    """By the decoder, by the hash chain, or by the seal: whichever covers that byte."""
    try:
        block = decode(blob)
        check_seals(block, {SEALER.id: SEALER.public}.get)
    except JournalError as refused:
        return refused.code in (JournalCode.DAMAGED, JournalCode.SEAL_WRONG)
    return block_hash(block.header) != expected_hash


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_name(blob: bytes) -> None:
    with pytest.raises(JournalError) as refused:
        decode(blob)
    assert refused.value.code is JournalCode.DAMAGED


@settings(max_examples=50)
@given(whole_blocks(), st.integers(0, 10**6), st.binary(max_size=3))
def test_cut_or_lengthened_blobs_are_refused(block: Block, cut: int, more: bytes) -> None:
    blob = encode(block)
    for other in (blob[: cut % len(blob)], blob + b"\0" + more):
        with pytest.raises(JournalError) as refused:
            decode(other)
        assert refused.value.code is JournalCode.DAMAGED


def repacked(**changed: Any) -> bytes:
    """A blob whose parts are chosen one by one, its digests made right again unless a header is given."""
    block = make_block(None, envelopes(2))
    body = changed.get("body", msgspec.msgpack.encode(block.transactions))
    results = changed.get("results", msgspec.msgpack.encode(block.results))
    header = msgspec.to_builtins(block.header) | {
        "body": hashlib.sha256(b"custody/body/1\0" + body).hexdigest(),
        "results": hashlib.sha256(b"custody/results/1\0" + results).hexdigest(),
    }
    header |= changed.get("members", {})
    parts = [
        changed.get("version", 1),
        changed.get("header", canonical(header)),
        changed.get("seals", block.seals),
        body,
        results,
        *changed.get("more", ()),
    ]
    return msgspec.msgpack.encode(parts)


def test_repacked_is_sound_when_nothing_is_changed() -> None:
    assert repacked() == encode(make_block(None, envelopes(2)))


LONG_FORM = b"\xdc\x00\x02" + msgspec.msgpack.encode(envelopes(2))[1:]


@pytest.mark.parametrize(
    "blob",
    [
        pytest.param(repacked(version=2), id="another version"),
        pytest.param(repacked(version=True), id="a version of another type"),
        pytest.param(repacked(more=("x",)), id="one part more"),
        pytest.param(msgspec.msgpack.encode([1, b""]), id="parts missing"),
        pytest.param(repacked(members={"more": 1}), id="one header member more"),
        pytest.param(repacked(header=b"{}"), id="an empty header"),
        pytest.param(repacked(header=b"[" * 50_000), id="a very deep header"),
        pytest.param(
            repacked(header=canonical(msgspec.to_builtins(make_block(None).header)) + b" "), id="header blank"
        ),
        pytest.param(repacked(members={"height": -1}), id="negative height"),
        pytest.param(repacked(members={"height": 0.0}), id="float height"),
        pytest.param(repacked(members={"height": MAX_INTEGER + 1}), id="height of 2^53"),
        pytest.param(repacked(members={"time": "1"}), id="time as text"),
        pytest.param(repacked(members={"root": "AB" * 32}), id="hash in capitals"),
        pytest.param(repacked(members={"root": "ab" * 32 + "\n"}), id="hash with a line feed"),
        pytest.param(repacked(members={"previous": ""}), id="no previous"),
        pytest.param(repacked(members={"ledger": "ab"}), id="half a ledger"),
        pytest.param(repacked(members={"ruleset": ""}), id="no ruleset"),
        pytest.param(repacked(members={"body": "00" * 32}), id="another body's digest"),
        pytest.param(repacked(members={"results": "00" * 32}), id="other results' digest"),
        pytest.param(repacked(results=msgspec.msgpack.encode(["ok"])), id="fewer results than transactions"),
        pytest.param(repacked(results=msgspec.msgpack.encode(["ok"] * 3)), id="more results than transactions"),
        pytest.param(repacked(results=msgspec.msgpack.encode(["ok", "No!"])), id="not a result code"),
        pytest.param(repacked(results=msgspec.msgpack.encode(["ok", 7])), id="a number as result"),
        pytest.param(repacked(body=LONG_FORM), id="the body's long form"),
        pytest.param(repacked(body=msgspec.msgpack.encode([["k", b"{}", bytes(63)]] * 2)), id="short signature"),
        pytest.param(repacked(body=msgspec.msgpack.encode([["k", b"{}", bytes(64), 1]] * 2)), id="long envelope"),
        pytest.param(repacked(body=msgspec.msgpack.encode([["", b"{}", bytes(64)]] * 2)), id="no key id"),
        pytest.param(
            repacked(body=msgspec.msgpack.encode([["k", b"x" * (MAX_PAYLOAD + 1), bytes(64)]] * 2)), id="large payload"
        ),
        pytest.param(repacked(seals=[["k", bytes(63)]]), id="short seal"),
        pytest.param(repacked(seals=[["k", bytes(64)]] * (MAX_SEALS + 1)), id="too many seals"),
        pytest.param(bytes(MAX_BLOB + 1), id="too large"),
    ],
)
def test_refused(blob: bytes) -> None:
    with pytest.raises(JournalError) as refused:
        decode(blob)
    assert refused.value.code is JournalCode.DAMAGED


def test_nothing_is_encoded_that_could_not_be_read() -> None:
    block = make_block(None, envelopes(2))
    for wrong in (
        msgspec.structs.replace(block, results=("ok",)),
        msgspec.structs.replace(block, transactions=envelopes(3)),
        msgspec.structs.replace(block, seals=(Seal("k", b""),)),
        msgspec.structs.replace(block, header=msgspec.structs.replace(block.header, time=-1)),
    ):
        with pytest.raises(JournalError) as refused:
            encode(wrong)
        assert refused.value.code is JournalCode.BLOCK_INVALID


def test_seals() -> None:
    one, two, stranger = (SigningKey(name, bytes([number]) * 32) for number, name in enumerate(("a", "b", "c")))
    known = {"a": one.public, "b": two.public}.get
    block = make_block(None, envelopes(1))
    hash_ = block_hash(block.header)
    assert verify(one.public, b"custody/seal/1\0" + bytes.fromhex(hash_), seal(one, hash_).signature)

    def sealed(*seals: Seal) -> Block:
        return msgspec.structs.replace(block, seals=seals)

    check_seals(sealed(seal(one, hash_)), known)
    check_seals(sealed(seal(one, hash_), seal(two, hash_)), known, quorum=2)
    for wrong, quorum in (
        (sealed(), 1),
        (sealed(seal(one, hash_)), 2),
        (sealed(seal(one, hash_), seal(one, hash_)), 1),
        (sealed(seal(one, hash_), seal(stranger, hash_)), 1),
        (sealed(seal(one, "00" * 32)), 1),
        (sealed(Seal("b", seal(one, hash_).signature)), 1),
    ):
        with pytest.raises(JournalError) as refused:
            check_seals(wrong, known, quorum)
        assert refused.value.code is JournalCode.SEAL_WRONG
