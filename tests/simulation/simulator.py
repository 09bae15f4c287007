"""The overload experiment's arena: a seeded open-loop load on one provider model, through the real pool or without it.

Arrivals don't wait for answers, as users don't. A read counts when its answer came within the deadline. A broadcast,
or the question what became of one, is an obligation: its flow asks again until it is met or its window is over. The
other side is a client in the usual style: one session of a hundred connections, and tenacity around each request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from random import Random

import msgspec
import tenacity

from chains.errors import ChainError
from chains.pool.calls import Call, Priority
from chains.pool.jsonrpc import Request
from chains.pool.pool import Pool
from chains.pool.settings import ProviderSettings
from chains.pool.transport import Response, TransportFault
from tests.simulation.models import Experiment, Model, World
from tests.virtualtime import run

NUMBER = msgspec.json.Decoder(int)
CONNECTIONS = 100
"""What an HTTP session of the usual library opens at once."""
RESEND_SECONDS = 0.5
"""How soon a flow asks again for what must not be lost."""
METHODS = {
    Priority.BROADCAST: "sendTransaction",
    Priority.HEAD: "getSlot",
    Priority.LIVE: "getBlock",
    Priority.QUORUM: "getBlock",
    Priority.BACKFILL: "getBlock",
}

Ask = Callable[[Priority, int, float], Awaitable[None]]
"""Put one request, by class, number and deadline in seconds; raises `Unanswered` when it got no useful answer."""


class Unanswered(Exception):
    """No useful answer."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One run: a model under a plan of `contract` requests a second, at `load` capacities."""

    model: Model
    experiment: Experiment
    contract: float
    load: float
    seed: int
    fault: tuple[float, float] | None = None


class Outcome(msgspec.Struct, kw_only=True):
    """What came of it. `useful` and `capacity` are by whole seconds since the start; obligations are counted when
    they began after the warm-up and their window ended within the run."""

    useful: list[int]
    capacity: list[float]
    obligations: int = 0
    met: int = 0
    sends: int = 0
    requests: int = 0
    warm_up: int = 0

    @property
    def goodput(self) -> float:
        """Useful answers over the capacity's integral, after the warm-up."""
        return sum(self.useful[self.warm_up :]) / sum(self.capacity[self.warm_up :])

    @property
    def p0_success(self) -> float:
        """The part of the obligations that was met."""
        return self.met / self.obligations if self.obligations else 1.0

    @property
    def attempts(self) -> float:
        """Sends for each request that was let through at all."""
        return self.sends / max(self.requests, 1)


class Arena:
    """The load and the books of one run. `up` tells whether there is any capacity at a second of it. Time is the
    running loop's, virtual or not."""

    def __init__(self, case: Case, up: Callable[[float], bool], ask: Ask) -> None:
        self._case, self._ask = case, ask
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        experiment = case.experiment
        self._seconds = int(experiment.warm_up + experiment.duration)
        tenths = [sum(up(second + tenth / 10.0) for tenth in range(10)) for second in range(self._seconds)]
        self.outcome = Outcome(
            useful=[0] * self._seconds,
            capacity=[experiment.capacity * part / 10.0 for part in tenths],
            warm_up=int(experiment.warm_up),
        )
        self._number = 0

    async def fill(self) -> None:
        """Offer the load from beginning to end and wait for the last to be over."""
        case = self._case
        chance = Random(f"load {case.seed}")
        mix = case.experiment.mix
        classes, weights = tuple(Priority), (mix.broadcast, mix.head, mix.live, mix.quorum, mix.backfill)
        rate = case.load * case.experiment.capacity
        tasks: set[asyncio.Task[None]] = set()
        at = chance.expovariate(rate)
        while at < self._seconds:
            await asyncio.sleep(self._began + at - self._loop.time())
            priority = chance.choices(classes, weights)[0]
            task = asyncio.create_task(self._oblige(at) if priority is Priority.BROADCAST else self._read(priority))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            at += chance.expovariate(rate)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _count(self) -> None:
        second = int(self._loop.time() - self._began)
        if second < self._seconds:
            self.outcome.useful[second] += 1

    async def _put(self, priority: Priority, deadline: float) -> bool:
        self._number += 1
        before = self._loop.time()
        try:
            await self._ask(priority, self._number, deadline)
        except Unanswered:
            return False
        return self._loop.time() - before <= deadline

    async def _read(self, priority: Priority) -> None:
        if await self._put(priority, self._case.experiment.deadline):
            self._count()

    async def _oblige(self, at: float) -> None:
        experiment = self._case.experiment
        end = at + experiment.p0_window
        counts = experiment.warm_up <= at and end <= self._seconds
        self.outcome.obligations += counts
        while (left := self._began + end - self._loop.time()) > 0.0:
            if await self._put(Priority.BROADCAST, min(left, 2.0 * experiment.deadline)):
                self._count()
                self.outcome.met += counts
                return
            await asyncio.sleep(RESEND_SECONDS)


def through_pool(pool: Pool) -> Ask:
    """Asking as our rpc rooms do."""

    async def ask(priority: Priority, number: int, deadline: float) -> None:
        # Every other urgent call asks what became of a transaction, which may be asked again; a send may not.
        broadcast = priority is Priority.BROADCAST and number % 2 == 0
        method = "getSignatureStatuses" if priority is Priority.BROADCAST and not broadcast else METHODS[priority]
        call = Call(method=method, params=(number,), priority=priority, deadline=deadline, broadcast=broadcast)
        try:
            await pool.call(call, NUMBER)
        except ChainError as exc:
            raise Unanswered from exc

    return ask


def through_retries(send: Callable[[Request], Awaitable[Response]]) -> Ask:
    """Asking as a client in the usual style does, over `send`; whatever `send` raises is no answer."""
    connections = asyncio.Semaphore(CONNECTIONS)

    async def once(number: int, seconds: float) -> None:
        with suppress(TimeoutError, OSError, TransportFault):
            async with asyncio.timeout(seconds), connections:
                response = await send(Request(number, "m", (number,)))
                if response.status == 200 and b'"result"' in response.body:
                    return
        raise Unanswered

    async def ask(priority: Priority, number: int, deadline: float) -> None:
        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_after_attempt(5) | tenacity.stop_after_delay(deadline),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=5.0),
            retry=tenacity.retry_if_exception_type(Unanswered),
            reraise=True,
        )
        try:
            async with asyncio.timeout(deadline):
                await retrying(once, number, deadline / 2.0)
        except TimeoutError as exc:
            raise Unanswered from exc

    return ask


def ours(case: Case) -> Outcome:
    """The case through the real pool."""

    async def main() -> Outcome:
        world = World(case.model, case.experiment, case.seed, case.fault)
        settings = ProviderSettings(
            name="a", url="http://a.invalid", requests_per_second=case.contract, vendor=case.model.vendor
        )
        async with Pool("simulated", "evm", [(settings, world)], clock=asyncio.get_running_loop().time) as pool:
            return await _filled(Arena(case, world.up, through_pool(pool)), [world])

    return run(main(), start=0.0)


def ours_of_two(case: Case, other: Model) -> Outcome:
    """The case through the real pool, over two providers of which the second one is as `other` says. What counts as
    the capacity is the first one's."""

    async def main() -> Outcome:
        worlds = [
            World(case.model, case.experiment, case.seed, case.fault),
            World(other, case.experiment, case.seed + 1, None),
        ]
        providers = [
            (ProviderSettings(name=name, url=f"http://{name}.invalid", requests_per_second=case.contract), world)
            for name, world in zip("ab", worlds, strict=True)
        ]
        async with Pool("simulated", "evm", providers, clock=asyncio.get_running_loop().time) as pool:
            return await _filled(Arena(case, worlds[0].up, through_pool(pool)), worlds)

    return run(main(), start=0.0)


def baseline(case: Case) -> Outcome:
    """The case through a plain client with retries."""

    async def main() -> Outcome:
        world = World(case.model, case.experiment, case.seed, case.fault)
        return await _filled(Arena(case, world.up, through_retries(world.send)), [world])

    return run(main(), start=0.0)


async def _filled(arena: Arena, worlds: Sequence[World]) -> Outcome:
    await arena.fill()
    arena.outcome.sends = sum(world.sends for world in worlds)
    arena.outcome.requests = len(set[object]().union(*(world.requests for world in worlds)))
    return arena.outcome


def recovery_seconds(outcome: Outcome, fault: tuple[float, float]) -> float:
    """Seconds from the end of the fault until five seconds together are served at 0.9 of what was usual before it;
    the rest of the run when that never happens."""
    begin, end = int(fault[0]), int(fault[1])

    def served(first: int, last: int) -> float:
        return sum(outcome.useful[first:last]) / max(sum(outcome.capacity[first:last]), 1e-9)

    usual = served(outcome.warm_up, begin)
    for second in range(end, len(outcome.useful) - 5):
        if served(second, second + 5) >= 0.9 * usual:
            return float(second - end)
    return float(len(outcome.useful) - end)
