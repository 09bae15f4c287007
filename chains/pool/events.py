"""What the pool lets others see: a hook for metrics and logs, and a snapshot for status, holds and scrapes.

The core never imports a metrics or logging library. An observer is called synchronously after the pool's own state is
settled and after permits are back; it must be quick and must not raise.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from chains.pool.breaker import State
from chains.pool.calls import Priority
from chains.pool.methods import MethodClass


class PoolEvents(Protocol):
    """An observer of one or more pools."""

    def request_finished(
        self, chain: str, provider: str, method_class: MethodClass, result: str, seconds: float
    ) -> None:
        """One request is over. `result` is a `classify.Kind`, or `cancelled`; `seconds` from permit to answer."""
        ...

    def breaker_changed(self, chain: str, provider: str, breaker: str, state: State) -> None:
        """`breaker` is `error`, `auth` or `integrity`."""
        ...

    def shed(self, chain: str, priority: Priority, reason: str) -> None:
        """A call was refused or thrown out to keep the queue bounded. `reason`: `queue_full`, `too_late`, `crowded`."""
        ...

    def limiter_changed(self, chain: str, provider: str, tokens: float, rate: float) -> None:
        """An account was throttled: what is left, and the rate (requests a second) to begin again with."""
        ...


class Unobserved:
    """The observer of a pool that nobody watches."""

    __slots__ = ()

    def request_finished(
        self, chain: str, provider: str, method_class: MethodClass, result: str, seconds: float
    ) -> None:
        """Nobody asked."""

    def breaker_changed(self, chain: str, provider: str, breaker: str, state: State) -> None:
        """Nobody asked."""

    def shed(self, chain: str, priority: Priority, reason: str) -> None:
        """Nobody asked."""

    def limiter_changed(self, chain: str, provider: str, tokens: float, rate: float) -> None:
        """Nobody asked."""


class ProviderHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One provider at one moment. Times are seconds before that moment (`…_ago`) or after it (`…_for`); None: never.

    `may_ask` is whether a call could be sent now or as soon as a token or slot is free; `reason` says why not.
    `failing_for` counts from the first throttle or failure since the last good answer: it is how a black hole shows
    before a breaker has seen enough of it.
    """

    name: str
    host: str
    account: str
    may_ask: bool
    reason: str
    error_breaker: State
    auth_breaker: State
    integrity_breaker: State
    last_error: str
    last_error_message: str
    last_error_ago: float | None
    last_success_ago: float | None
    failing_for: float | None
    frozen_for: float
    in_flight: int
    concurrency: int
    learned_rate: float
    """Units a second, as the plan counts them."""
    contract_rate: float
    tokens: float
    latest: int | None
    finalized: int | None
    learned_calls: float = 0.0
    """Calls a second that `learned_rate` is, by what those made so far cost on the average."""
    learned_concurrency: dict[str, int] = {}
    """Requests in flight that its slowness allows now, by kind of work."""
    cordoned: str = ""
    """Why a person, or the proof of a lie, keeps it out; empty when nobody does."""
    unsupported: tuple[str, ...] = ()
    """Methods that it doesn't offer, as far as it was asked of late."""
    unknown_errors: int = 0
    """Answers that no row of the classification knows: each deserves a row, and a person's look."""


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """One class's questions since the pool began; one put to several providers at once is one, and what a hearing puts
    to the next of them (`call_from`) is none. `answered`: a provider's useful word came in time, be it the value, the
    chain's verdict or "not here". `sent`: requests begun, of every kind, second questions included."""

    offered: int = 0
    answered: int = 0
    sent: int = 0
