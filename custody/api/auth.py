"""Signed reads: who may ask. Nothing is remembered of a request until its signature has been verified."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from multidict import MultiMapping

from custody.api.errors import ApiCode, ApiProblem, problem
from custody.envelope.errors import EnvelopeError
from custody.envelope.reads import NONCE_MEMORY_SECONDS, SignedRead, is_fresh, parse_read, verify_read
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.views.books import Books

READERS = (Role.PAYOUTS, Role.ENGINE, Role.SECURITY, Role.OPERATOR, Role.ADMIN)
"""Whose business the books are."""


class Nonces:
    """The nonces of the last minute, at most so many. Pure: `now` is unix seconds."""

    __slots__ = ("_known", "_limit", "_queue")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._known: dict[tuple[str, str], None] = {}
        self._queue: deque[tuple[int, tuple[str, str]]] = deque()

    def take(self, key: str, nonce: str, now: int) -> ApiCode | None:
        """Remember a nonce; `read_replayed` when it is remembered already, `busy` when there is no room for it."""
        while self._queue and self._queue[0][0] <= now - NONCE_MEMORY_SECONDS:
            del self._known[self._queue.popleft()[1]]
        if (key, nonce) in self._known:
            return ApiCode.READ_REPLAYED
        if len(self._known) >= self._limit:
            return ApiCode.BUSY
        self._known[key, nonce] = None
        self._queue.append((now, (key, nonce)))
        return None


class ReadGate:
    """Checks signed reads against the keys of the ledger."""

    __slots__ = ("_books", "_clock", "_nonces")

    def __init__(self, books: Books, clock: Callable[[], int], nonces: int) -> None:
        """`clock` gives unix milliseconds."""
        self._books = books
        self._clock = clock
        self._nonces = Nonces(nonces)

    def admit(self, method: str, target: str, headers: MultiMapping[str]) -> str:
        """The id of the key that asks. `target` is the request line's, as sent.

        Raises `ApiProblem`, in this order: read_unsigned, read_malformed, signature_malformed, read_stale,
        unknown_key, key_revoked, signature_wrong, role_may_not, read_replayed, busy.
        """
        read = _parse(method, target, headers)
        now = self._clock() // 1000
        if not is_fresh(read, now):
            raise problem(ApiCode.READ_STALE)
        row = self._books.state.keys.get(read.key)
        if row is None:
            raise problem(Rejection.UNKNOWN_KEY)
        if row.revoked:
            raise problem(Rejection.KEY_REVOKED)
        try:
            verify_read(read, bytes.fromhex(row.public))
        except EnvelopeError as exc:
            raise ApiProblem(
                exc.code, "The signature does not verify over METHOD, PATH?QUERY, TIMESTAMP, NONCE."
            ) from exc
        if not any(role in READERS for role in row.roles):
            raise problem(Rejection.ROLE_MAY_NOT)
        refused = self._nonces.take(read.key, read.nonce, now)
        if refused is not None:
            raise problem(refused)
        return read.key


def _parse(method: str, target: str, headers: MultiMapping[str]) -> SignedRead:
    values = [headers.getall(f"Custody-{name}", []) for name in ("Key", "Timestamp", "Nonce", "Signature")]
    if any(len(found) != 1 for found in values):
        raise problem(ApiCode.READ_UNSIGNED)
    key, timestamp, nonce, signature = (found[0] for found in values)
    try:
        return parse_read(method, target, key=key, timestamp=timestamp, nonce=nonce, signature=signature)
    except EnvelopeError as exc:
        raise ApiProblem(exc.code, exc.message) from exc
