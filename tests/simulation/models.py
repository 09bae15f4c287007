"""The provider models of the overload experiment, and the numbers of `models.toml` that fix them.

Each model is a pool's `Transport` in virtual time: it takes requests and answers, refuses, delays or forgets them as
its kind does. Chance comes from the seed alone.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from typing import Literal

import msgspec

from chains.pool.jsonrpc import Request
from chains.pool.transport import Response

Kind = Literal["quota", "queue", "box", "flapping", "hole", "drip"]

THROTTLED_BODY = b'{"code":-32005,"message":"too many requests"}'
TOO_LATE = 60.0
"""Seconds after which nobody is listening any more."""


class Mix(msgspec.Struct, frozen=True):
    """Parts of the offered load by class; together 1."""

    broadcast: float
    head: float
    live: float
    quorum: float
    backfill: float


class Experiment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What all models share. Times in seconds, rates in requests a second, loads and contracts in capacities."""

    loads: tuple[float, ...]
    seeds: tuple[int, ...]
    capacity: float
    contracts: tuple[float, ...]
    deadline: float
    p0_window: float
    latency: float
    warm_up: float
    duration: float
    fault: float
    mix: Mix


class Model(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row: how a provider behaves at, and beyond, its capacity."""

    kind: Kind
    vendor: str = ""
    period: float = 0.0
    down: float = 0.0
    retry_after: int = 0
    as_error: bool = False


class Plan(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    experiment: Experiment
    models: dict[str, Model]


def load_plan() -> Plan:
    """`models.toml`, which lies beside this module."""
    return msgspec.toml.decode((Path(__file__).parent / "models.toml").read_bytes(), type=Plan)


class World:
    """One provider. `fault` is a stretch of time, in seconds since the start, in which it does its worst all along:
    it throttles everything, stands still, or stays down, by its kind."""

    def __init__(self, model: Model, experiment: Experiment, seed: int, fault: tuple[float, float] | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._model, self._experiment, self._fault = model, experiment, fault
        self._random = Random(f"world {seed}")
        self._window, self._used = -1, 0
        self._boxed_until = 0.0
        self._free_at = 0.0
        self.sends = 0
        self.requests: set[object] = set()

    def _now(self) -> float:
        return self._loop.time() - self._began

    def up(self, now: float) -> bool:
        """Whether it has any capacity at that moment, in seconds since the start."""
        if self._fault is not None and self._fault[0] <= now < self._fault[1]:
            return False
        model = self._model
        return not model.down or now % model.period < model.period - model.down

    async def send(self, request: Request) -> Response:
        """See `chains.pool.transport.Transport`."""
        self.sends += 1
        self.requests.add(request.params[0])
        now = self._now()
        kind = self._model.kind
        if kind == "queue":
            return await self._in_turn(request, now)
        if not self.up(now):
            return await self._down(request)
        window = self._model.period if kind == "box" else 1.0
        if now < self._boxed_until or not self._within_quota(now, window):
            if kind == "box":
                self._boxed_until = now + self._model.period
            return await self._refuse(request)
        await _later(self._service())
        return _answer(request)

    def _service(self) -> float:
        latency = self._experiment.latency
        return latency * (0.5 + 0.5 * self._random.expovariate(1.0))

    def _within_quota(self, now: float, window: float) -> bool:
        if int(now / window) != self._window:
            self._window, self._used = int(now / window), 0
        self._used += 1
        return self._used <= self._experiment.capacity * window

    async def _in_turn(self, request: Request, now: float) -> Response:
        start = max(now, self._free_at)
        if self._fault is not None and self._fault[0] <= start < self._fault[1]:
            start = self._fault[1]
        self._free_at = start + 1.0 / self._experiment.capacity
        await _later(min(self._free_at - now, TOO_LATE) + self._service())
        return _answer(request)

    async def _down(self, request: Request) -> Response:
        kind = self._model.kind
        if kind in {"hole", "drip"}:
            await _later(TOO_LATE)
            return _answer(request)
        if kind == "box":
            self._boxed_until = self._now() + self._model.period
        return await self._refuse(request)

    async def _refuse(self, request: Request) -> Response:
        await _later(0.2 * self._experiment.latency)
        if self._model.kind == "flapping":
            return Response(503, {"content-type": "text/html"}, b"<html>busy</html>")
        if self._model.as_error:
            return Response(200, {}, b'{"jsonrpc":"2.0","id":%d,"error":%s}' % (request.id, THROTTLED_BODY))
        headers = {"retry-after": str(self._model.retry_after)} if self._model.retry_after else {}
        return Response(429, headers, b"slow down")

    async def close(self) -> None:
        """See `chains.pool.transport.Transport`."""


async def _later(seconds: float) -> None:
    await asyncio.sleep(seconds)  # virtual: the simulator's loop


def _answer(request: Request) -> Response:
    return Response(200, {}, b'{"jsonrpc":"2.0","id":%d,"result":1}' % request.id)
