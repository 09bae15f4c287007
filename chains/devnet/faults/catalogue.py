"""All faults by name, and the three that are made of others: by turns, for some requests, one in front of another.

A fault in JSON or TOML is a table with its name under `fault`; unknown names and unknown fields are errors, because a
rehearsal of something else than was meant is worse than none.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from typing import Annotated, get_args

import msgspec

from chains.devnet.faults.exchange import Answer, Exchange, Named, Stage
from chains.devnet.faults.lies import EmptyLogs, EmptyReceipts, ForgedSkips, HeadFreeze, StaleNode, WrongChain
from chains.devnet.faults.line import (
    BlackHole,
    GzipBomb,
    Html,
    IdMismatch,
    Oversized,
    ResetAfterBroadcast,
    SlowDrip,
    WrongShape,
)
from chains.devnet.faults.overload import Healthy, PenaltyBox, Quota, SilentQueue, ThrottledInside, TooManyRequests

DEPTH = 4
"""Faults within faults: flapping between layers of filtered ones, and no stack of answers to run out of."""

Period = Annotated[float, msgspec.Meta(ge=0.01, le=86_400.0)]
"""Seconds."""


class _Turns:
    __slots__ = ("number", "stage")

    def __init__(self) -> None:
        self.number = -1
        self.stage: Stage | None = None


class Flapping(Named, frozen=True, kw_only=True, tag="flapping"):
    """Healthy for `up` seconds, then faulty as `down` says for `down_for` seconds, and so on. What `down` remembers
    (a queue, a frozen head) it forgets with each turn.

    Seen: a node that falls over whenever its load balancer sends it traffic again. It punishes clients that trust the
    first good answer.
    """

    down: AnyFault
    up: Period = 20.0
    down_for: Period = 10.0

    async def answer(self, exchange: Exchange) -> Answer:
        """Answer as the present turn does."""
        now = exchange.stage.now()
        number = math.floor(now / (self.up + self.down_for))
        began = number * (self.up + self.down_for) + self.up
        if now < began:
            return await exchange.forward()
        turns = exchange.stage.recall(self, _Turns)
        if turns.stage is None or turns.number != number:
            turns.number, turns.stage = number, exchange.stage.turn(began)
        return await self.down.answer(exchange.during(turns.stage, self.down_for))


class _Chance:
    __slots__ = ("_random",)

    def __init__(self) -> None:
        self._random: random.Random | None = None

    def strikes(self, share: float, seed: int) -> bool:
        """Drawn in the order in which requests come."""
        if self._random is None:
            self._random = random.Random(seed)  # noqa: S311 a rehearsal that can be repeated, no secret
        return self._random.random() < share


class Some(Named, frozen=True, kw_only=True, tag="some"):
    """`then` for requests that call one of `methods` (none named: any), and of these for a `share` drawn by a chance
    that `seed` fixes; everything else passes. A batch is one request.

    Seen: as a rule. Limits are by method, and one sick node of five answers a fifth of the requests.
    """

    then: AnyFault
    methods: Annotated[tuple[Annotated[str, msgspec.Meta(max_length=64)], ...], msgspec.Meta(max_length=64)] = ()
    share: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 1.0
    seed: int = 0

    async def answer(self, exchange: Exchange) -> Answer:
        """Answer as `then`, or pass it on."""
        meant = not self.methods or any(call.method in self.methods for call in exchange.calls)
        if meant and exchange.stage.recall(self, _Chance).strikes(self.share, self.seed):
            return await self.then.answer(exchange)
        return await exchange.forward()


class Layers(Named, frozen=True, kw_only=True, tag="layers"):
    """Several faults at once, the first of `faults` nearest to the client: what one passes on, the next one meets."""

    faults: Annotated[tuple[AnyFault, ...], msgspec.Meta(min_length=1, max_length=8)]

    async def answer(self, exchange: Exchange) -> Answer:
        """Answer through all of them."""
        for fault in reversed(self.faults[1:]):
            exchange = exchange.behind(fault)
        return await self.faults[0].answer(exchange)


AnyFault = (
    Healthy
    | TooManyRequests
    | Quota
    | ThrottledInside
    | SilentQueue
    | PenaltyBox
    | BlackHole
    | SlowDrip
    | ResetAfterBroadcast
    | GzipBomb
    | Oversized
    | Html
    | IdMismatch
    | WrongShape
    | ForgedSkips
    | EmptyReceipts
    | EmptyLogs
    | HeadFreeze
    | StaleNode
    | WrongChain
    | Flapping
    | Some
    | Layers
)
"""Every fault there is. A new one is one more struct here."""

_FAULT: msgspec.json.Decoder[AnyFault] = msgspec.json.Decoder(AnyFault)


class FaultInvalid(ValueError):
    """Not a fault, or not a script. The message says what is wrong and where."""


def read_fault(text: bytes) -> AnyFault:
    """A fault from JSON. Raises `FaultInvalid`."""
    try:
        fault = _FAULT.decode(text)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise FaultInvalid(str(exc)) from exc
    return _shallow(fault)


def convert_fault(table: object) -> AnyFault:
    """A fault from a decoded table. Raises `FaultInvalid`."""
    try:
        fault: AnyFault = msgspec.convert(table, AnyFault)
    except (msgspec.MsgspecError, RecursionError) as exc:
        raise FaultInvalid(str(exc)) from exc
    return _shallow(fault)


def described() -> Iterator[tuple[str, str, dict[str, object]]]:
    """Name, first sentence and defaults of each fault; a field that must be given is "required"."""
    for kind in get_args(AnyFault):
        sentence = " ".join((kind.__doc__ or "").split("\n\n")[0].split())
        fields: dict[str, object] = {
            field.name: "required" if field.required else msgspec.to_builtins(field.default)
            for field in msgspec.structs.fields(kind)
        }
        yield kind.__struct_config__.tag, sentence, fields


def _shallow(fault: AnyFault) -> AnyFault:
    if _depth(fault) > DEPTH:
        raise FaultInvalid(f"more than {DEPTH} faults within each other")
    return fault


def _depth(fault: AnyFault) -> int:
    match fault:
        case Flapping(down=inner) | Some(then=inner):
            return 1 + _depth(inner)
        case Layers(faults=inner):
            return 1 + max(_depth(one) for one in inner)
        case _:
            return 1
