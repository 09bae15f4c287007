"""The overload experiment once more in real time: real sockets, a real node, the fault proxy in front of it.

Small, because it takes as long as it takes: it is there to show that what virtual time promises holds on a wire. Node
and proxy are processes of their own; the load is the simulator's, through the pool as the daemon opens it, and through
aiohttp with tenacity. A figure is the lowest of the loads.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping

import aiohttp
import msgspec

from chains.devnet.faults.catalogue import AnyFault
from chains.devnet.faults.overload import Healthy, Quota, SilentQueue
from chains.pool.jsonrpc import Request, encode
from chains.pool.pool import open_pool
from chains.pool.settings import ProviderSettings
from chains.pool.transport import Response
from tests.simulation.models import Experiment, Model, load_plan
from tests.simulation.simulator import Arena, Case, Outcome, through_pool, through_retries

CAPACITY = 50
"""Requests a second: the offered three times as much leave both cores with time to spare."""
CONTRACT = 100.0
"""What the plan states: twice what is true."""
LOADS = (1.0, 3.0)
OURS_SECONDS: Mapping[str, tuple[float, float]] = {"plain_429": (30.0, 28.0), "silent_queue": (10.0, 14.0)}
BASELINE_SECONDS = (3.0, 12.0)
"""Warm-up and duration. The pool must find out what the plan conceals, which is three refusals where refusals are all
there is to learn from; the other has nothing to learn."""
P0_WINDOW = 5.0
"""Seconds in which a broadcast must have been taken: shorter than in virtual time, as the runs are."""
FAULTS: Mapping[str, AnyFault] = {
    "plain_429": Quota(requests=CAPACITY),
    "silent_queue": SilentQueue(capacity=CAPACITY),
}

NODE = """
import asyncio
from aiohttp import web

async def answer(request):
    asked = await request.json()
    await asyncio.sleep(0.05)
    return web.json_response({"jsonrpc": "2.0", "id": asked["id"], "result": 1})

async def main():
    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print("http://127.0.0.1:%d/" % runner.addresses[0][1], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@contextlib.contextmanager
def _process(*arguments: str) -> Iterator[str]:
    """A Python process of ours, by the first line it prints."""
    with subprocess.Popen([sys.executable, *arguments], stdout=subprocess.PIPE, text=True) as process:  # noqa: S603 this very interpreter
        assert process.stdout is not None
        try:
            yield process.stdout.readline()
        finally:
            process.terminate()


async def _switch(control: str, fault: AnyFault) -> int:
    """Put a fault on, afresh. Returns how many requests the proxy has seen so far."""
    async with aiohttp.ClientSession() as session, session.post(control, data=msgspec.json.encode(fault)) as answer:
        assert answer.status == 200, await answer.text()
        return int((await answer.json())["requests"])


def _case(load: float, seconds: tuple[float, float]) -> Case:
    plan = load_plan()
    experiment: Experiment = msgspec.structs.replace(
        plan.experiment, capacity=float(CAPACITY), warm_up=seconds[0], duration=seconds[1], p0_window=P0_WINDOW
    )
    return Case(model=Model(kind="quota"), experiment=experiment, contract=CONTRACT, load=load, seed=1)


def _always(_: float) -> bool:
    return True


async def _ours(url: str, name: str, load: float) -> Outcome:
    settings = ProviderSettings(name="proxied", url=url, requests_per_second=CONTRACT)
    async with open_pool("bench", "evm", [settings]) as pool:
        arena = Arena(_case(load, OURS_SECONDS[name]), _always, through_pool(pool))
        await arena.fill()
    return arena.outcome


async def _baseline(url: str, _: str, load: float) -> Outcome:
    async with aiohttp.ClientSession() as session:

        async def send(request: Request) -> Response:
            try:
                async with session.post(url, data=encode(request)) as response:
                    return Response(response.status, {}, await response.read())
            except aiohttp.ClientError as exc:
                raise OSError from exc

        arena = Arena(_case(load, BASELINE_SECONDS), _always, through_retries(send))
        await arena.fill()
    return arena.outcome


def measure() -> dict[str, float]:
    """Goodput, the success of urgent calls, and requests for each useful answer; ours and the usual way."""
    figures: dict[str, float] = {}
    sides: Mapping[str, Callable[[str, str, float], Coroutine[object, object, Outcome]]] = {
        "": _ours,
        "baseline_": _baseline,
    }
    with (
        _process("-c", NODE) as node,
        _process("-m", "chains.devnet.faults", "--upstream", node.strip()) as line,
    ):
        proxy = json.loads(line)
        for name, fault in FAULTS.items():
            for prefix, side in sides.items():
                outcomes: list[Outcome] = []
                for load in LOADS:
                    before = asyncio.run(_switch(proxy["control"], fault))
                    outcome = asyncio.run(side(proxy["url"], name, load))
                    outcome.sends = asyncio.run(_switch(proxy["control"], Healthy())) - before
                    outcomes.append(outcome)
                figures[f"{prefix}realtime_goodput_{name}"] = round(min(one.goodput for one in outcomes), 4)
                figures[f"{prefix}realtime_p0_success_{name}"] = round(min(one.p0_success for one in outcomes), 5)
                dearest = max(one.sends / max(sum(one.useful), 1) for one in outcomes)
                figures[f"{prefix}realtime_requests_per_answer_{name}"] = round(dearest, 2)
    return figures
