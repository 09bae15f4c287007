"""One verifier, and only keys about which all verifiers agree.

Ed25519 libraries differ on small-order and mixed-order keys and on encodings that are not reduced, so two honest
nodes could disagree on a signature. We close that from both sides: signatures are checked by solders and nothing else
(ed25519-dalek's `verify_strict`: cofactorless, canonical scalar), and a public key is registered only if it is the
canonical encoding of a point of prime order. Such a key leaves no room for the libraries to differ.
"""

from __future__ import annotations

from typing import NoReturn

from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from custody.envelope.errors import EnvelopeCode, EnvelopeError

KEY_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64

# The curve of RFC 8032, section 5.1: field, order of the base point, and d of -x² + y² = 1 + d·x²·y².
_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT_OF_MINUS_ONE = pow(2, (_P - 1) // 4, _P)

_Point = tuple[int, int, int, int]  # extended coordinates X, Y, Z, T with x = X/Z, y = Y/Z, x·y = T/Z
_IDENTITY: _Point = (0, 1, 1, 0)


def verify(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether `signature` (64 bytes) over `message` was made with `public` (32 bytes); False for wrong lengths."""
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    return bool(Signature.from_bytes(signature).verify(Pubkey(public), message))


def check_public_key(public: bytes) -> None:
    """Refuse a key that must not be registered; about 2 ms of plain integer arithmetic.

    Raises `EnvelopeError` (`key_weak`): wrong length, an encoding with y ≥ p or a signed zero, no point of the curve,
    the identity, a small-order point, or one with a small-order component (RFC 8032, section 5.1.3; ZIP 215 lists
    how verifiers differ).
    """
    if len(public) != KEY_BYTES:
        raise EnvelopeError(EnvelopeCode.KEY_WEAK, f"an Ed25519 public key has {KEY_BYTES} bytes")
    point = _decompress(public)
    if point is None:
        raise EnvelopeError(EnvelopeCode.KEY_WEAK, "not the canonical encoding of a point on the curve")
    if _is_identity(point) or not _is_identity(_multiply(_L, point)):
        raise EnvelopeError(EnvelopeCode.KEY_WEAK, "the point is not of prime order")


class SigningKey:
    """A named Ed25519 key that signs and never shows its secret: not in `repr`, not by pickling."""

    __slots__ = ("_keypair", "id", "public")

    def __init__(self, key_id: str, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise EnvelopeError(EnvelopeCode.KEY_WEAK, f"an Ed25519 seed has {SEED_BYTES} bytes")
        self._keypair = Keypair.from_seed(seed)
        self.id = key_id
        self.public = bytes(self._keypair.pubkey())

    @classmethod
    def generate(cls, key_id: str) -> SigningKey:
        """A fresh key from the system's randomness."""
        return cls(key_id, Keypair().secret())

    def sign(self, message: bytes) -> bytes:
        """64 bytes over exactly these bytes (RFC 8032: deterministic)."""
        return bytes(self._keypair.sign_message(message))

    def export_seed(self) -> bytes:
        """The secret itself, for writing a key file. There is no other reason to call this."""
        return self._keypair.secret()

    def __repr__(self) -> str:
        return f"SigningKey({self.id!r}, public={self.public.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a signing key can't be pickled")


def _decompress(encoded: bytes) -> _Point | None:
    """RFC 8032, section 5.1.3."""
    number = int.from_bytes(encoded, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _add(one: _Point, other: _Point) -> _Point:
    """RFC 8032, section 5.1.4: complete, so it doubles as well."""
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    # Public data only: the time it takes may depend on the bits.
    product = _IDENTITY
    while scalar:
        if scalar & 1:
            product = _add(product, point)
        point = _add(point, point)
        scalar >>= 1
    return product


def _is_identity(point: _Point) -> bool:
    return point[0] % _P == 0 and (point[1] - point[2]) % _P == 0
