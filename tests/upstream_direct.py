"""A provider pool in its smallest honest form: plain JSON-RPC over aiohttp, no limits, no retries, no breakers.

Adapter tests want a real node behind a real `Upstream` and nothing clever in between; the pool has tests of its own.
Every method of the protocol means here what it means there: `call` fails over in the order of the URLs, `call_each`
asks all at once, a transport failure of a broadcast is `Ambiguous`, an answer from the node that is an error is a
`Verdict` whose code is guessed from its text by the few words that tests meet.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from types import TracebackType
from typing import TypeVar

import aiohttp
import msgspec

from chains.errors import Ambiguous, ChainError, NoProvider, Retryable, Verdict, cap
from chains.pool.calls import Answer, Call

T = TypeVar("T")

BODY_LIMIT = 256 * 1024 * 1024
"""Bytes of one answer: far above any block, far below the machine's memory."""


class _Error(msgspec.Struct):
    code: int
    message: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Reply(msgspec.Struct):
    id: int
    jsonrpc: str = ""
    result: msgspec.Raw = msgspec.Raw(b"null")
    error: _Error | None = None


_REPLY = msgspec.json.Decoder(_Reply)

_RETRYABLE_CODES: Mapping[int, str] = {
    -32001: "lacks_data",
    -32004: "not_yet",
    -32005: "unhealthy",
    -32007: "absent_unproven",
    -32008: "lacks_data",
    -32009: "absent_unproven",
    -32014: "not_yet",
    -32016: "not_yet",
}
"""What these codes mean on the local Solana chain; anvil uses none of them for retryable trouble."""

_RETRYABLE_WORDS: tuple[tuple[str, str], ...] = (
    ("unknown block", "not_yet"),
    ("header not found", "not_yet"),
    ("missing trie node", "lacks_data"),
)

_VERDICTS: tuple[tuple[str, str], ...] = (
    ("already known", "already_known"),
    ("already imported", "already_known"),
    ("already been processed", "already_processed"),
    ("nonce too low", "nonce_too_low"),
    ("underpriced", "underpriced"),
    ("less than block base fee", "underpriced"),
    ("fee too low", "underpriced"),
    ("insufficient funds", "insufficient_funds"),
    ("insufficient lamports", "insufficient_funds"),
    ("blockhash not found", "blockhash_not_found"),
    ("revert", "reverted"),
    ("simulation failed", "simulation_failed"),
    ("method not found", "unsupported"),
)


class DirectUpstream:
    """`Upstream` over a fixed set of named URLs. Use as an async context manager; it owns its session."""

    def __init__(self, chain: str, urls: Mapping[str, str]) -> None:
        self.chain = chain
        self.urls = dict(urls)
        self.strikes: list[tuple[str, str]] = []
        self.calls: list[tuple[str, str]] = []
        self._ids = itertools.count(1)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> DirectUpstream:
        self._session = aiohttp.ClientSession()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    def providers(self) -> tuple[str, ...]:
        """All names, in the order given."""
        return tuple(self.urls)

    def report_integrity(self, provider: str, reason: str) -> None:
        """Remember the strike, so that a test can look at it."""
        self.strikes.append((provider, reason))

    async def call(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """The first provider's answer; the next one's after retryable trouble."""
        last: Retryable | None = None
        for provider in self.urls:
            try:
                return await self._ask(provider, call, decoder)
            except Retryable as exc:
                last = exc
        if last is not None:
            raise last
        raise NoProvider("no_provider", f"no provider is configured for {self.chain}")

    async def call_from(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """That provider's answer."""
        return await self._ask(provider, call, decoder)

    def preferred(self) -> tuple[str, ...]:
        """All names, in the order given."""
        return tuple(self.urls)

    def report_heights(self, provider: str, *, latest: int | None = None, finalized: int | None = None) -> None:
        """Nothing is chosen by height here."""

    async def call_each(self, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[Answer[T], ...]:
        """All providers' answers, in the order of the URLs."""

        async def one(provider: str) -> Answer[T]:
            try:
                value = await self._ask(provider, call, decoder)
            except ChainError as exc:
                return Answer[T](provider, None, exc)
            return Answer[T](provider, value, None)

        return tuple(await asyncio.gather(*(one(provider) for provider in self.urls)))

    async def _ask(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        assert self._session is not None, "enter the context first"
        self.calls.append((provider, call.method))
        request_id = next(self._ids)
        body = msgspec.json.encode(
            {"jsonrpc": "2.0", "id": request_id, "method": call.method, "params": list(call.params)}
        )
        trouble = Ambiguous if call.broadcast else Retryable
        try:
            async with self._session.post(
                self.urls[provider],
                data=body,
                headers={"Content-Type": "application/json"},
                timeout=aiohttp.ClientTimeout(total=call.deadline),
            ) as response:
                raw = await response.content.read(BODY_LIMIT)
                while chunk := await response.content.read(BODY_LIMIT - len(raw)):
                    raw += chunk
                status = response.status
        except (aiohttp.ClientError, TimeoutError, OSError) as exc:
            raise trouble("overloaded", f"{provider}: {cap(exc)}") from exc
        try:
            reply = _REPLY.decode(raw)
        except msgspec.MsgspecError as exc:
            raise trouble("provider_broken", f"{provider}: HTTP {status}, {cap(exc)}") from exc
        if reply.id != request_id:
            raise trouble("provider_broken", f"{provider}: answered request {reply.id} instead of {request_id}")
        if reply.error is not None:
            raise _mapped(provider, reply.error)
        try:
            return decoder.decode(reply.result)
        except msgspec.MsgspecError as exc:
            raise trouble("provider_broken", f"{provider}: {call.method}: {cap(exc)}") from exc


def _mapped(provider: str, error: _Error) -> ChainError:
    code = _RETRYABLE_CODES.get(error.code)
    sentence = f"{provider}: {error.code} {cap(error.message)}"
    if code is not None:
        return Retryable(code, sentence)
    lowered = error.message.lower()
    for words, name in _RETRYABLE_WORDS:
        if words in lowered:
            return Retryable(name, sentence)
    for words, name in _VERDICTS:
        if words in lowered:
            return Verdict(name, sentence, rpc_code=error.code, data=msgspec.json.decode(error.data))
    return Verdict("rejected", sentence, rpc_code=error.code, data=msgspec.json.decode(error.data))
