"""How a server says that it is asked too much, or fails to say it. Vendors' behaviour as their documents state it."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated

import msgspec

from chains.devnet.faults.exchange import JSON, Answer, Exchange, Named, Reply
from chains.devnet.faults.wire import Question, refused, write_all

Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=86_400.0)]
"""A day at most: longer than any rehearsal."""

Rate = Annotated[float, msgspec.Meta(ge=0.01, le=100_000.0)]
"""Calls a second; the loopback carries some thousands."""


class Healthy(Named, frozen=True, kw_only=True, tag="none"):
    """No fault: what the node says is passed on, byte for byte."""

    async def answer(self, exchange: Exchange) -> Answer:
        """Pass it on."""
        return await exchange.forward()


class TooManyRequests(Named, frozen=True, kw_only=True, tag="http_429"):
    """HTTP 429 to everything. `retry_after` (seconds) is the `Retry-After` header; `limit` and `reset` (seconds from
    now) are `X-Ratelimit-Limit`, `-Remaining` (0) and `-Reset`; None leaves a header out.

    Seen: everywhere. Alchemy sends Retry-After, public Solana endpoints X-Ratelimit headers, plain gateways neither.
    """

    retry_after: Annotated[int, msgspec.Meta(ge=0)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=0)] | None = None
    reset: Annotated[int, msgspec.Meta(ge=0)] | None = None

    async def answer(self, _: Exchange) -> Answer:
        """Refuse; the node behind never hears of it."""
        return self.refusal()

    def refusal(self) -> Reply:
        """The answer itself."""
        said = {
            "Retry-After": self.retry_after,
            "X-Ratelimit-Limit": self.limit,
            "X-Ratelimit-Remaining": None if self.limit is None and self.reset is None else 0,
            "X-Ratelimit-Reset": self.reset,
        }
        headers = {**JSON, **{name: str(value) for name, value in said.items() if value is not None}}
        error = {"jsonrpc": "2.0", "id": None, "error": {"code": 429, "message": "Too many requests"}}
        return Reply(status=429, headers=headers, body=msgspec.json.encode(error))


class Dialect(StrEnum):
    """Whose way of saying "throttled" inside a JSON-RPC error."""

    PLAIN = "plain"  # the HTTP code as JSON-RPC code: both families
    SOLANA = "solana"  # the server-error code and a sentence
    INFURA = "infura"
    QUICKNODE = "quicknode"
    BASE = "base"
    GATEWAY = "gateway"  # -32029, nginx-like front ends of EVM nodes
    CLOUDFLARE = "cloudflare"


DIALECTS: Mapping[Dialect, tuple[int, str]] = {
    Dialect.PLAIN: (429, "Too many requests"),
    Dialect.SOLANA: (-32000, "Rate limit exceeded for this endpoint"),
    Dialect.INFURA: (-32005, "project ID request rate exceeded"),
    Dialect.QUICKNODE: (-32007, "50/second request limit reached"),
    Dialect.BASE: (-32016, "over rate limit"),
    Dialect.GATEWAY: (-32029, "Limit exceeded"),
    Dialect.CLOUDFLARE: (-32000, "error code: 1015"),
}
"""Code and message. On Solana the codes of the EVM dialects mean other things: -32007 is an absent slot there."""


class _Second:
    __slots__ = ("number", "used")

    def __init__(self) -> None:
        self.number = -1
        self.used = 0


class Quota(Named, frozen=True, kw_only=True, tag="quota"):
    """`requests` in each whole second pass; the rest of that second is HTTP 429, with `Retry-After` where `retry_after`
    (seconds) is given.

    Seen: at most plans that are sold by requests a second, whatever they call it. A client that asks again at once
    lives on what is left of the next second.
    """

    requests: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 25
    retry_after: Annotated[int, msgspec.Meta(ge=0)] | None = None

    async def answer(self, exchange: Exchange) -> Answer:
        """Count, and pass it on or refuse."""
        second, number = exchange.stage.recall(self, _Second), int(exchange.stage.now())
        if number != second.number:
            second.number, second.used = number, 0
        second.used += 1
        if second.used > self.requests:
            return TooManyRequests(retry_after=self.retry_after).refusal()
        return await exchange.forward()


class ThrottledInside(Named, frozen=True, kw_only=True, tag="throttled_200"):
    """HTTP 200 with a throttle as JSON-RPC error to every call. `backoff_seconds` goes into Infura's `data.rate`.

    Seen: Infura (-32005 with `data.rate`), QuickNode (-32007), Base's public endpoint (-32016), Cloudflare in front of
    many (1015), and JSON code 429 on Solana, which clients that look at the HTTP status take for a result.
    """

    says: Dialect = Dialect.PLAIN
    backoff_seconds: Seconds = 0.0

    async def answer(self, exchange: Exchange) -> Answer:
        """Refuse each call; what isn't JSON-RPC gets HTTP 429."""
        if exchange.question is None:
            return TooManyRequests().refusal()
        code, message = DIALECTS[self.says]
        data = {"rate": {"backoff_seconds": self.backoff_seconds}} if self.says is Dialect.INFURA else None
        return Reply(body=refuse_all(exchange.question, code, message, data))


class _Line:
    __slots__ = ("free_at",)

    def __init__(self) -> None:
        self.free_at = 0.0


class SilentQueue(Named, frozen=True, kw_only=True, tag="silent_queue"):
    """A server of fixed capacity that refuses nothing: it answers `capacity` calls a second in the order in which they
    came, the rest waits, and who has hung up is served all the same. So under overload every answer comes too late.

    Seen: nodes behind a proxy with a long backlog; a retrying client takes the goodput of this one to nothing.
    """

    capacity: Rate = 10.0

    async def answer(self, exchange: Exchange) -> Answer:
        """Wait in line, then pass it on."""
        line, now = exchange.stage.recall(self, _Line), exchange.stage.now()
        line.free_at = max(line.free_at, now) + max(1, len(exchange.calls)) / self.capacity
        await exchange.pause(line.free_at - now)
        return await exchange.forward()


class _Box:
    __slots__ = ("arrivals", "refused_until")

    def __init__(self) -> None:
        self.arrivals: deque[float] = deque()
        self.refused_until = 0.0


class PenaltyBox(Named, frozen=True, kw_only=True, tag="penalty_box"):
    """`requests` in any `window` seconds pass; one more, and everything is refused (HTTP 429) for `penalty` seconds.
    With `renews`, asking during the penalty begins it anew.

    Seen: Triton (1,200 in 10 s by address, then a pause of 10 s for every request).
    """

    requests: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1_200
    window: Seconds = 10.0
    penalty: Seconds = 10.0
    renews: bool = False

    async def answer(self, exchange: Exchange) -> Answer:
        """Count, and pass it on or refuse."""
        box, now = exchange.stage.recall(self, _Box), exchange.stage.now()
        if now < box.refused_until:
            if self.renews:
                box.refused_until = now + self.penalty
            return TooManyRequests().refusal()
        while box.arrivals and box.arrivals[0] <= now - self.window:
            box.arrivals.popleft()
        if len(box.arrivals) >= self.requests:
            box.arrivals.clear()
            box.refused_until = now + self.penalty
            return TooManyRequests().refusal()
        box.arrivals.append(now)
        return await exchange.forward()


def refuse_all(question: Question, code: int, message: str, data: object = None) -> bytes:
    """The same error to every call."""
    return write_all(question, [refused(call, code, message, data) for call in question.calls])
