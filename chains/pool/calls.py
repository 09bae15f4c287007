"""What a chain's rpc room says to the pool, and what it gets back: the one seam between the two.

The rpc rooms know methods and result shapes and nothing of providers; the pool knows providers and nothing of
results beyond the decoder it is handed. Everything a caller must decide about a call is in `Call`.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Generic, Protocol, TypeVar

import msgspec

from chains.errors import ChainError

T = TypeVar("T")


class Priority(IntEnum):
    """Who goes first when capacity is short; lower is more urgent. Each class has its reservation in the queue."""

    BROADCAST = 0  # sending, and the status of our own transactions
    HEAD = 1  # where is the chain, what is final
    LIVE = 2  # deposits at the head
    QUORUM = 3  # asking a second provider about a money fact
    BACKFILL = 4  # catching up, rotation of balance checks


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One JSON-RPC request. `deadline` is seconds from now until the answer is worthless, queueing included.

    `broadcast` marks the only kind of call that can be ambiguous: the pool sends it at most once to each provider and
    raises `Ambiguous` for any transport trouble after the first byte left.
    """

    method: str
    params: tuple[object, ...]
    priority: Priority
    deadline: float
    broadcast: bool = False


class Answer(Generic[T]):
    """What one provider said to a call put to all of them: exactly one of `value` and `error` is set."""

    __slots__ = ("error", "provider", "value")

    def __init__(self, provider: str, value: T | None, error: ChainError | None) -> None:
        self.provider, self.value, self.error = provider, value, error


class Upstream(Protocol):
    """The pool, as an rpc room sees it. `decoder` decodes the JSON-RPC `result` alone, typed, from its raw bytes."""

    chain: str

    async def call(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """Ask one provider, fail over to the next on retryable trouble. Raises `Retryable` (its code is the
        classification: `not_yet`, `absent_unproven`, `lacks_data`, `split`, …), `NoProvider`, `Verdict`, `Permanent`,
        `Integrity`, and for a broadcast `Ambiguous`."""
        ...

    async def call_each(self, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[Answer[T], ...]:
        """Put the call once to every provider that may be asked, concurrently, without failover. Never raises for a
        provider's failure: that is the answer's `error`. Who may not be asked, or, where others may, not for a while,
        says nothing; only what is most urgent waits for such. Empty when no provider may be asked."""
        ...

    async def call_from(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """Put the call once to that provider and nobody else: a quorum's members are asked one by one. Raises as
        `call` does, `NoProvider` when it may not be asked now (or, where others may, not for a while)."""
        ...

    def providers(self) -> tuple[str, ...]:
        """Names of all configured providers, whether they may be asked now or not."""
        ...

    def preferred(self) -> tuple[str, ...]:
        """Names of those that may be asked now, the one to ask first first."""
        ...

    def report_heights(self, provider: str, *, latest: int | None = None, finalized: int | None = None) -> None:
        """Remember how far a provider says the chain is; None leaves a value as it was."""
        ...

    def report_integrity(self, provider: str, reason: str) -> None:
        """Quarantine a provider whose answer the chain's rules prove false."""
        ...
