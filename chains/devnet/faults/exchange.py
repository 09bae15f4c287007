"""One request as a fault sees it, and what a fault may answer: the only words between the faults and the sockets.

`Answer` is data, so that what is said and how slowly it is said are decided apart from the saying. Time is the event
loop's, counted from when the fault was switched on; under a loop with virtual time everything here is virtual too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Protocol, TypeVar

import msgspec
from msgspec.structs import replace

from chains.devnet.faults.wire import Asked, Change, Question, Said, read_question, rewrite
from chains.errors import cap

T = TypeVar("T")


JSON: Mapping[str, str] = {"Content-Type": "application/json"}


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP answer. It leaves `chunk` bytes at a time with `pause` seconds between them (0: all at once), followed by
    `padding` spaces, which JSON allows and nobody has to hold in memory."""

    status: int = 200
    headers: Mapping[str, str] = msgspec.field(default_factory=lambda: JSON)
    body: bytes = b""
    padding: int = 0
    chunk: int = 0
    pause: float = 0.0


class Cut(msgspec.Struct, frozen=True):
    """No answer: the connection is reset."""


Answer = Reply | Cut


class Unanswered(Exception):
    """The node behind didn't tell what a fault has to know before it can lie well."""


class Node(Protocol):
    """What stands behind a fault."""

    async def send(self, body: bytes, *, plain: bool = False) -> Answer:
        """Ask it. `plain`: the answer must come uncompressed. Trouble on the way is a 502, never an exception."""
        ...


class Named(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True, tag_field="fault"
):
    """The form of every fault: frozen data whose name stands under `fault`, without unknown fields. Nothing to do."""


class Fault(Protocol):
    """Anything that answers in a node's place."""

    async def answer(self, exchange: Exchange) -> Answer:
        """The answer to one request. Raises `Unanswered`."""
        ...


class Stage:
    """One fault's turn, from when it was switched on until `over` is set, with what it remembers meanwhile."""

    __slots__ = ("_clock", "_memory", "began", "over")

    def __init__(self, clock: Callable[[], float], *, began: float | None = None, over: asyncio.Event | None = None):
        self._clock = clock
        self._memory: dict[int, object] = {}
        self.began = clock() if began is None else began
        self.over = over or asyncio.Event()

    def now(self) -> float:
        """Seconds since the fault was switched on."""
        return self._clock() - self.began

    def recall(self, fault: Fault, kind: type[T]) -> T:
        """What this fault remembers in this turn: a `kind()` the first time. Faults themselves are frozen."""
        if id(fault) not in self._memory:
            self._memory[id(fault)] = kind()
        found = self._memory[id(fault)]
        assert isinstance(found, kind), "a fault remembers one thing"
        return found

    def turn(self, began: float) -> Stage:
        """A part of this turn that began at `began` (seconds of `now`) and remembers nothing of what was before."""
        return Stage(self._clock, began=self.began + began, over=self.over)


class Exchange:
    """One request on its way to a node, at the place where a fault stands."""

    __slots__ = ("_ends", "_node", "_plain", "body", "question", "stage")

    def __init__(
        self, body: bytes, node: Node, stage: Stage, *, ends: float | None = None, plain: bool = False
    ) -> None:
        self.body = body
        self.question: Question | None = read_question(body)
        self.stage = stage
        self._node = node
        self._ends = ends
        self._plain = plain

    @property
    def calls(self) -> tuple[Asked, ...]:
        """The calls it makes; none where it isn't JSON-RPC."""
        return self.question.calls if self.question is not None else ()

    async def forward(self) -> Answer:
        """What the node says, as it says it."""
        return await self._node.send(self.body, plain=self._plain)

    async def retell(self, change: Change) -> Answer:
        """What the node says, call by call changed. An answer that isn't JSON-RPC stays as it is.

        Raises `Unanswered` where the node's answer has not the shape that the change is about.
        """
        answer = await self._node.send(self.body, plain=True)
        if isinstance(answer, Cut) or self.question is None:
            return answer
        try:
            return replace(answer, body=rewrite(self.question, answer.body, change))
        except (KeyError, TypeError, msgspec.MsgspecError) as exc:
            raise Unanswered(f"an answer of unknown shape: {type(exc).__name__}") from exc

    async def ask(self, kind: type[T], method: str, *params: object) -> T:
        """The result of a call of our own to the node. Raises `Unanswered`."""
        call = Asked(method=method, id=msgspec.Raw(b"0"), params=msgspec.Raw(msgspec.json.encode(params)))
        answer = await self._node.send(msgspec.json.encode(call), plain=True)
        try:
            said = msgspec.json.decode(answer.body if isinstance(answer, Reply) else b"", type=Said)
            return msgspec.json.decode(said.result, type=kind)
        except msgspec.MsgspecError as exc:
            raise Unanswered(f"{method}: {cap(answer)}") from exc

    async def pause(self, seconds: float) -> None:
        """Let time pass, until the fault is over at the latest."""
        await self._wait(seconds)

    async def over(self) -> None:
        """Wait for the end of the fault."""
        await self._wait(None)

    def asking(self, body: bytes, *, plain: bool = False) -> Exchange:
        """The same exchange with another body."""
        return Exchange(body, self._node, self.stage, ends=self._ends, plain=plain or self._plain)

    def behind(self, fault: Fault) -> Exchange:
        """The same exchange, with a fault between here and the node."""
        return Exchange(self.body, _Behind(fault, self), self.stage, ends=self._ends, plain=self._plain)

    def during(self, stage: Stage, ends: float) -> Exchange:
        """The same exchange in a turn of its own, which ends at `ends` (seconds of that turn)."""
        return Exchange(self.body, self._node, stage, ends=ends, plain=self._plain)

    async def _wait(self, seconds: float | None) -> None:
        left = None if self._ends is None else max(0.0, self._ends - self.stage.now())
        limits = [limit for limit in (seconds, left) if limit is not None]
        try:
            async with asyncio.timeout(min(limits) if limits else None):
                await self.stage.over.wait()
        except TimeoutError:
            return


class _Behind:
    """A fault as the node of the fault in front of it."""

    __slots__ = ("_exchange", "_fault")

    def __init__(self, fault: Fault, exchange: Exchange) -> None:
        self._fault, self._exchange = fault, exchange

    async def send(self, body: bytes, *, plain: bool = False) -> Answer:
        return await self._fault.answer(self._exchange.asking(body, plain=plain))
