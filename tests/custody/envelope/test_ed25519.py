"""Keys that verifiers could disagree on, computed here by plain affine arithmetic that shares nothing with the room."""

from __future__ import annotations

import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.pubkey import Pubkey
from solders.signature import Signature

from custody.envelope.ed25519 import SigningKey, check_public_key, verify
from custody.envelope.errors import EnvelopeCode, EnvelopeError

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = (-121665 * pow(121666, -1, P)) % P

Point = tuple[int, int]
ZERO: Point = (0, 1)


def add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    product = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, P) % P
    return x, y


def times(scalar: int, point: Point) -> Point:
    total = ZERO
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def encode(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def points_with(y: int) -> list[Point]:
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    roots = {root for guess in (pow(square, (P + 3) // 8, P),) for root in (guess, guess * pow(2, (P - 1) // 4, P) % P)}
    return sorted({(sign * x % P, y) for x in roots if (x * x - square) % P == 0 for sign in (1, -1)})


def torsion() -> list[Point]:
    """The eight points whose order divides 8: multiples of one that has order 8, found by clearing the large prime."""
    for y in range(2, 200):
        for point in points_with(y):
            candidate = times(L, point)
            if times(4, candidate) != ZERO:
                return [times(scalar, candidate) for scalar in range(8)]
    raise AssertionError("no point of order 8 found")


TORSION = torsion()
HONEST = SigningKey("k", bytes(range(32)))


def decode(encoded: bytes) -> Point:
    number = int.from_bytes(encoded, "little")
    y, sign = number & ((1 << 255) - 1), number >> 255
    return next(point for point in points_with(y) if point[0] & 1 == sign)


def refusal(public: bytes) -> EnvelopeCode | None:
    try:
        check_public_key(public)
    except EnvelopeError as refused:
        return refused.code
    return None


def test_there_are_eight_small_order_points_and_all_are_refused() -> None:
    encodings = {encode(point) for point in TORSION}
    assert len(encodings) == 8
    # The two that everybody knows: the identity and the point of order two.
    assert {(1).to_bytes(32, "little"), (P - 1).to_bytes(32, "little")} < encodings
    assert {refusal(encoding) for encoding in encodings} == {EnvelopeCode.KEY_WEAK}


def test_every_encoding_that_is_not_reduced_is_refused() -> None:
    # y in p … 2^255 - 1 with either sign bit: all 38 of them, whether a point has that y or not.
    for y in range(P, 2**255):
        for sign in (0, 1):
            assert refusal((y | sign << 255).to_bytes(32, "little")) is EnvelopeCode.KEY_WEAK


def test_a_signed_zero_is_refused() -> None:
    for y in (1, P - 1):
        assert refusal((y | 1 << 255).to_bytes(32, "little")) is EnvelopeCode.KEY_WEAK


def test_a_mixed_order_point_is_refused() -> None:
    honest = decode(HONEST.public)
    mixed = [encode(add(honest, small)) for small in TORSION[1:]]
    assert [refusal(public) for public in mixed] == [EnvelopeCode.KEY_WEAK] * 7
    assert refusal(encode(add(honest, TORSION[0]))) is None


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    assert refusal(HONEST.public[:1] * length) is EnvelopeCode.KEY_WEAK


@given(st.binary(min_size=32, max_size=32))
def test_the_check_knows_the_curve_as_the_verifier_does(public: bytes) -> None:
    if not Pubkey(public).is_on_curve():
        assert refusal(public) is EnvelopeCode.KEY_WEAK


@given(st.binary(min_size=32, max_size=32))
def test_every_key_made_from_a_seed_is_accepted(seed: bytes) -> None:
    check_public_key(SigningKey("k", seed).public)


def test_the_pinned_verifier_is_strict_about_small_order() -> None:
    # With A small and R = A·0 + 0·B the cofactored equation holds for every message; a strict verifier says no.
    for point in TORSION:
        forged = encode(ZERO) + bytes(32)
        assert not verify(encode(point), b"anything", forged)


def test_a_scalar_that_is_not_reduced_is_refused() -> None:
    signature = HONEST.sign(b"message")
    scalar = int.from_bytes(signature[32:], "little")
    assert verify(HONEST.public, b"message", signature)
    assert not verify(HONEST.public, b"message", signature[:32] + (scalar + L).to_bytes(32, "little"))


def test_rfc_8032_vector_2() -> None:
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    key = SigningKey("k", seed)
    assert key.public.hex() == "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = bytes.fromhex(
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert key.sign(b"\x72") == signature
    assert verify(key.public, b"\x72", signature)
    assert Signature.from_bytes(signature).verify(Pubkey(key.public), b"\x72")


@given(st.binary(max_size=40), st.integers(0, 64 * 8 - 1))
def test_a_flipped_bit_breaks_a_signature(message: bytes, bit: int) -> None:
    signature = bytearray(HONEST.sign(message))
    assert verify(HONEST.public, message, bytes(signature))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify(HONEST.public, message, bytes(signature))


@pytest.mark.parametrize(("public", "signature"), [(31, 64), (33, 64), (32, 63), (32, 65), (0, 0)])
def test_wrong_lengths_are_not_verified(public: int, signature: int) -> None:
    assert not verify(bytes(public), b"", bytes(signature))


def test_a_seed_has_32_bytes() -> None:
    with pytest.raises(EnvelopeError):
        SigningKey("k", bytes(31))


def test_a_key_shows_no_secret() -> None:
    key = SigningKey.generate("alice")
    secret = key.export_seed()
    assert secret.hex() not in repr(key)
    assert str(list(secret)) not in f"{key!s}{key!r}"
    assert key.public.hex() in repr(key)
    for copier in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            copier(key)
    assert SigningKey.generate("alice").public != key.public
