"""A transport that plays answers from a script, byte for byte: the pool's wire for tests, rehearsals and replays.

It takes the place of `HttpTransport` and nothing above it knows: the same envelope is decoded, the same limits apply.
A script is a function from a request to a `Play`; `sequence` and `by_method` make the usual ones. Delays are
`asyncio.sleep`, so a virtual-time loop plays an hour at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

import msgspec

from chains.pool.classify import Fault
from chains.pool.jsonrpc import Request
from chains.pool.transport import Response, TransportFault


class Play(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. With `result` or `error` (raw JSON) the envelope is made around it, with the request's own id;
    with `body` those bytes are the answer as they are. `fault` is no answer at all; `silent` is one that never comes.
    `after` is in seconds. `headers` have lower-case names."""

    result: bytes | None = None
    error: bytes | None = None
    body: bytes | None = None
    status: int = 200
    headers: Mapping[str, str] = {}
    after: float = 0.0
    fault: Fault | None = None
    silent: bool = False

    def bytes_for(self, request: Request) -> bytes:
        """The answer's body."""
        if self.body is not None:
            return self.body
        member = b'"error":%s' % self.error if self.error is not None else b'"result":%s' % (self.result or b"null")
        return b'{"jsonrpc":"2.0","id":%d,%s}' % (request.id, member)


Script = Callable[[Request], Play]
"""What is answered to a request. It may keep count; it is called once for each send, in order."""


class RecordedTransport:
    """`Transport` over a script. `sent` is every request in the order in which it left, answered or not."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.sent: list[Request] = []
        self.closed = False

    async def send(self, request: Request) -> Response:
        """See `Transport`."""
        self.sent.append(request)
        play = self.script(request)
        if play.after > 0.0:
            await asyncio.sleep(play.after)
        if play.silent:
            await asyncio.get_running_loop().create_future()
        if play.fault is not None:
            raise TransportFault(play.fault, "as recorded", may_have_left=play.fault is not Fault.UNREACHABLE)
        return Response(play.status, play.headers, play.bytes_for(request))

    async def close(self) -> None:
        """See `Transport`."""
        self.closed = True


def sequence(plays: Iterable[Play]) -> Script:
    """One play after the other; the last one stays."""
    rest = list(plays)
    assert rest, "a script has at least one play"

    def script(_: Request) -> Play:
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return script


def by_method(plays: Mapping[str, Play | Script]) -> Script:
    """A play, or a script, for each method; other methods are refused as any node would (-32601)."""

    def script(request: Request) -> Play:
        found = plays.get(request.method)
        if found is None:
            return Play(error=b'{"code":-32601,"message":"Method not found"}')
        return found if isinstance(found, Play) else found(request)

    return script
