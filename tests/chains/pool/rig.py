"""The pool's own rig: real pools over recorded transports, an observer that remembers, short ways to say a call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from itertools import count

import msgspec

from chains.pool.breaker import State
from chains.pool.calls import Call, Priority
from chains.pool.limiter import Accounts, Limiter
from chains.pool.methods import MethodClass
from chains.pool.pool import Pool
from chains.pool.provider import Provider
from chains.pool.recorded import Play, RecordedTransport, Script, sequence
from chains.pool.settings import LimiterSettings, PoolSettings, ProviderSettings

_QUESTIONS = count()
NUMBER = msgspec.json.Decoder(int)

ONE = Play(result=b"1")
SILENT = Play(silent=True)
THROTTLED = Play(status=429, body=b"slow down")
BUSY = Play(status=503, body=b"<html>busy</html>")


def rpc_error(code: int, message: str = "") -> Play:
    return Play(error=msgspec.json.encode({"code": code, "message": message}))


def settings_of(
    name: str, *, rps: float = 1_000.0, concurrency: int = 32, account: str = "", seconds: float = 10.0
) -> ProviderSettings:
    return ProviderSettings(
        name=name,
        url=f"http://{name}.invalid/secret-key",
        requests_per_second=rps,
        concurrency=concurrency,
        account=account,
        timeout_seconds=seconds,
    )


def a_call(
    method: str = "m",
    *params: object,
    priority: Priority = Priority.LIVE,
    deadline: float = 10.0,
    broadcast: bool = False,
) -> Call:
    """Without parameters each call is a question of its own, so that none is answered by another's answer."""
    params = params or (next(_QUESTIONS),)
    return Call(method=method, params=params, priority=priority, deadline=deadline, broadcast=broadcast)


def a_provider(name: str, order: int = 0, *, rps: float = 1_000.0, concurrency: int = 32, now: float = 0.0) -> Provider:
    limiter = Limiter(name, rps, LimiterSettings(), now)
    return Provider(order, settings_of(name, rps=rps, concurrency=concurrency), PoolSettings(), limiter)


class Remembered:
    """An observer that keeps what it was told."""

    def __init__(self) -> None:
        self.finished: list[tuple[str, str]] = []
        self.breakers: list[tuple[str, str, State]] = []
        self.shedding: list[tuple[Priority, str]] = []
        self.limits: list[str] = []

    def request_finished(
        self, chain: str, provider: str, method_class: MethodClass, result: str, seconds: float
    ) -> None:
        assert seconds >= 0.0
        self.finished.append((provider, result))

    def breaker_changed(self, chain: str, provider: str, breaker: str, state: State) -> None:
        self.breakers.append((provider, breaker, state))

    def shed(self, chain: str, priority: Priority, reason: str) -> None:
        self.shedding.append((priority, reason))

    def limiter_changed(self, chain: str, provider: str, tokens: float, rate: float) -> None:
        self.limits.append(provider)


class Rig:
    """A pool whose providers play scripts. Make it inside a running loop; by default on family `solana`."""

    def __init__(
        self,
        scripts: Mapping[str, Script | Play],
        *,
        family: str = "solana",
        pool: PoolSettings | None = None,
        providers: Mapping[str, ProviderSettings] | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.events = Remembered()
        self.wires = {
            name: RecordedTransport(sequence([script]) if isinstance(script, Play) else script)
            for name, script in scripts.items()
        }
        settings = providers or {name: settings_of(name) for name in scripts}
        self.pool = Pool(
            "testnet",
            family,
            [(settings[name], wire) for name, wire in self.wires.items()],
            clock=self.loop.time,
            settings=pool,
            accounts=accounts,
            events=self.events,
        )

    def sent(self) -> dict[str, int]:
        return {name: len(wire.sent) for name, wire in self.wires.items()}

    def in_flight(self) -> int:
        return sum(health.in_flight for health in self.pool.health(self.loop.time()))

    def waiting(self) -> int:
        return sum(self.pool.queue_depths().values())
