"""An exchange backend's side of the API: typed answers, sequence numbers kept, and retries that can't do harm.

A write is sent again only as the very same envelope: the ledger answers a repeat with the first answer, so losing one
costs nothing. A new envelope is made only after the ledger has said that the old one was not admitted. Business ids
(withdrawals, batches) are the caller's, and make even a new envelope for the same thing harmless.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self, TypeVar
from urllib.parse import quote, urlencode

import aiohttp
import msgspec
from yarl import URL

from custody.api import answers
from custody.client.errors import ApiError, Unreachable
from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.reads import sign_read
from custody.ledger import encoding
from custody.ledger import transactions as tx

T = TypeVar("T", bound=msgspec.Struct)

ATTEMPTS = 5
"""Sends of the same bytes, waits between them included in the deadline."""
BACKOFF_SECONDS = 0.1
"""The first wait; each further one is twice as long, up to 2 s."""
DEADLINE_SECONDS = 30.0
POLL_SECONDS = 25
MAX_ANSWER = 16 * 1024 * 1024
_RESIGN = ("sequence_conflict", "sequence_too_old", "sequence_too_far")
"""Refusals before admission that say only that the number was not ours to use."""


class CustodyClient:
    """Use as a context manager. One client for each key: it counts the key's sequence numbers, and may send many
    requests at a time, as long as fewer than 1,024 are out."""

    def __init__(
        self,
        base_url: str,
        key: SigningKey,
        ledger: str | None = None,
        *,
        deadline_seconds: float = DEADLINE_SECONDS,
        clock: Callable[[], float] = time.time,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`ledger` is the genesis hash that payloads name; None takes the server's word for it. Pin it in production:
        then nobody can make you sign for another ledger. `clock` gives unix seconds."""
        self._base = base_url.rstrip("/")
        self._key = key
        self._pinned = ledger
        self._ledger = ledger
        self._deadline = deadline_seconds
        self._clock = clock
        self._pause = pause
        self._next: int | None = None
        self._counting = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=self._deadline, sock_connect=5.0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._session is not None, "entered before"
        await self._session.close()

    # What a client says.

    async def request_address(self, account: str, chain: str, *, seconds: float = 30.0) -> answers.Address:
        """The account's deposit address on a chain; the first one opens the account. The same envelope is said again
        until the address is assigned or `seconds` are over, so its state may still be `pending`."""
        deadline = self._clock() + seconds
        path = f"/v1/accounts/{quote(account, safe='')}/addresses"
        body = await self._sign(tx.AddressRequested, account=account, chain=chain)
        answer = await self._say(path, body, answers.Address)
        while answer.state == "pending" and self._clock() < deadline:
            await self._pause(BACKOFF_SECONDS)
            answer = await self._say(path, body, answers.Address)
        return answer

    async def withdraw(
        self, name: str, account: str, asset: str, chain: str, to: str, units: int, *, create_account: bool = False
    ) -> answers.Withdrawal:
        """Ask for a withdrawal of `units` of the asset under an id of your own; the same id again is the same one."""
        fields: dict[str, object] = {
            "id": name,
            "account": account,
            "asset": asset,
            "chain": chain,
            "to": to,
            "amount": str(units),
            "create_account": create_account,
        }
        return await self._write("/v1/withdrawals", tx.WithdrawalRequested, answers.Withdrawal, **fields)

    async def cancel_withdrawal(self, name: str, reason: str) -> answers.Withdrawal:
        """Call a withdrawal off before its payment is prepared."""
        path = f"/v1/withdrawals/{quote(name, safe='')}/cancel"
        return await self._write(path, tx.WithdrawalCancelled, answers.Withdrawal, id=name, reason=reason)

    async def transfer(self, name: str, legs: Iterable[tuple[str, str, str, int]]) -> answers.Transfer:
        """Book an atomic batch of (source, target, asset, units)."""
        rows = tuple(
            tx.TransferLeg(source=source, target=target, asset=asset, amount=str(units))
            for source, target, asset, units in legs
        )
        return await self._write("/v1/transfers", tx.TransferBatch, answers.Transfer, id=name, legs=rows)

    # What a client asks.

    async def addresses(self, account: str) -> answers.Addresses:
        """An account's deposit addresses."""
        return await self._read(f"/v1/accounts/{quote(account, safe='')}/addresses", answers.Addresses)

    async def balances(self, account: str) -> dict[str, answers.Balance]:
        """An account's balances by asset."""
        found = await self._read(f"/v1/accounts/{quote(account, safe='')}/balances", answers.Balances)
        return {row.asset: row for row in found.balances}

    async def deposits(
        self, *, account: str = "", chain: str = "", state: str = "", after: int = 0, limit: int = 100
    ) -> answers.Deposits:
        """A page of deposits, oldest first."""
        target = _target("/v1/deposits", account=account, chain=chain, state=state, after=after, limit=limit)
        return await self._read(target, answers.Deposits)

    async def deposit(self, name: str) -> answers.Deposit:
        """One deposit."""
        return await self._read(f"/v1/deposits/{quote(name, safe='')}", answers.Deposit)

    async def withdrawals(
        self, *, account: str = "", chain: str = "", state: str = "", after: int = 0, limit: int = 100
    ) -> answers.Withdrawals:
        """A page of withdrawals, oldest first."""
        target = _target("/v1/withdrawals", account=account, chain=chain, state=state, after=after, limit=limit)
        return await self._read(target, answers.Withdrawals)

    async def withdrawal(self, name: str) -> answers.Withdrawal:
        """One withdrawal."""
        return await self._read(f"/v1/withdrawals/{quote(name, safe='')}", answers.Withdrawal)

    async def booked_transfer(self, name: str) -> answers.Transfer:
        """One transfer batch."""
        return await self._read(f"/v1/transfers/{quote(name, safe='')}", answers.Transfer)

    async def events(self, after: int = 0, *, limit: int = 100, wait: int = 0) -> answers.Events:
        """Events after a number; with `wait` (seconds), not before there is one or the time is over."""
        return await self._read(_target("/v1/events", after=after, limit=limit, wait=wait), answers.Events)

    async def follow(self, after: int = 0) -> AsyncIterator[answers.AnyEvent]:
        """Every event after a number, for ever, without a gap. Remember the last `sequence` you worked off."""
        while True:
            page = await self.events(after, limit=500, wait=POLL_SECONDS)
            for event in page.events:
                if event.sequence != after + 1:
                    raise ApiError("feed_gap", f"{event.sequence} after {after}", transient=False, status=200)
                after = event.sequence
                yield event

    async def status(self) -> answers.Status:
        """What is paused and why; unsigned."""
        return await self._repeat("GET", "/v1/status", None, {}, answers.Status)

    # How it is said.

    async def _write(self, path: str, kind: type[tx.Transaction], shape: type[T], **fields: object) -> T:
        body = await self._sign(kind, **fields)
        try:
            return await self._say(path, body, shape)
        except ApiError as exc:
            if exc.code not in _RESIGN:
                raise
        self._next = None  # Somebody else uses this key too. Nothing was admitted: ask, and sign once more.
        return await self._say(path, await self._sign(kind, **fields), shape)

    async def _sign(self, kind: type[tx.Transaction], **fields: object) -> bytes:
        async with self._counting:
            if self._next is None or self._ledger is None:
                known = await self._read("/v1/sequence", answers.SequenceAnswer)
                if self._pinned not in (None, known.ledger):
                    message = f"the server keeps {known.ledger}"
                    raise ApiError("other_ledger", message, transient=False, status=200)
                self._next, self._ledger = known.next, known.ledger
            number, self._next = self._next, self._next + 1
        payload = encoding.encode(msgspec.convert({"ledger": self._ledger, "seq": number, **fields}, kind))
        return envelopes.encode(envelopes.sign(self._key, payload))

    async def _say(self, path: str, body: bytes, shape: type[T]) -> T:
        return await self._repeat("POST", path, body, {"Content-Type": "application/json"}, shape)

    async def _read(self, target: str, shape: type[T]) -> T:
        return await self._repeat("GET", target, None, None, shape)

    async def _repeat(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str] | None, shape: type[T]
    ) -> T:
        """Send until there is an answer that another try can't better; a read (`headers` None) is signed anew each
        time. Raises `ApiError`, `Unreachable`."""
        try:
            async with asyncio.timeout(self._deadline):
                for attempt in range(ATTEMPTS):
                    if attempt:
                        await self._pause(min(BACKOFF_SECONDS * 2 ** (attempt - 1), 2.0))
                    last = attempt == ATTEMPTS - 1
                    try:
                        sent = self._signed(method, target) if headers is None else headers
                        return await self._once(method, target, body, sent, shape)
                    except aiohttp.ClientError as exc:
                        if last:
                            raise Unreachable(f"{self._base} did not answer: {type(exc).__name__}") from exc
                    except ApiError as exc:
                        if last or exc.status != 503:
                            raise
        except TimeoutError as exc:
            raise Unreachable(f"{self._base} did not answer within {self._deadline:g} s") from exc
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, method: str, target: str, body: bytes | None, headers: dict[str, str], shape: type[T]) -> T:
        assert self._session is not None, "use the client as a context manager"
        url = URL(self._base + target, encoded=True)
        async with self._session.request(method, url, data=body, headers=headers, allow_redirects=False) as response:
            raw = await _body(response)
            if response.status < 300:
                return _decode(raw, shape, response.status)
            error = _decode(raw, answers.Error, response.status).error
            raise ApiError(error.code, error.message, transient=error.transient, status=response.status)

    def _signed(self, method: str, target: str) -> dict[str, str]:
        path = URL(self._base + target, encoded=True).raw_path_qs
        return sign_read(self._key, method, path, int(self._clock()), secrets.token_urlsafe(18)).headers()


async def _body(response: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in response.content.iter_any():
        raw += chunk
        if len(raw) > MAX_ANSWER:
            raise ApiError("answer_malformed", f"more than {MAX_ANSWER} bytes", transient=True, status=502)
    return bytes(raw)


def _decode(raw: bytes, shape: type[T], status: int) -> T:
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ApiError("answer_malformed", f"HTTP {status}, not {shape.__name__}", transient=True, status=502) from exc


def _target(path: str, **query: object) -> str:
    given = {name: str(value) for name, value in query.items() if value not in ("", 0)}
    return path + ("?" + urlencode(given) if given else "")
