"""Properties of the whole pool under hypothesis: any mix of calls, answers and cancellations, at any turn of the loop.

Whatever happens: every call ends by its deadline, every permit comes back, nobody is left in the queue, no broadcast
reaches a provider twice, and when the providers are well again the pool is, too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from chains.errors import ChainError
from chains.pool.calls import Priority
from chains.pool.classify import Fault
from chains.pool.jsonrpc import Request
from chains.pool.recorded import Play
from chains.pool.settings import PoolSettings
from tests.chains.pool.rig import BUSY, NUMBER, ONE, SILENT, THROTTLED, Rig, a_call, rpc_error, settings_of
from tests.virtualtime import run

PLAYS = st.sampled_from(
    [
        ONE,
        ONE,
        ONE,
        Play(result=b"1", after=0.3),
        Play(result=b"1", after=3.0),
        BUSY,
        Play(status=503, body=b"", after=0.5),
        THROTTLED,
        Play(status=429, body=b"", headers={"retry-after": "2"}),
        SILENT,
        rpc_error(-32004),
        rpc_error(-32007),
        rpc_error(-32002, "verdict"),
        rpc_error(-39999),
        Play(body=b"<html>"),
        Play(fault=Fault.BROKEN_OFF, after=0.1),
        Play(fault=Fault.UNREACHABLE),
    ]
)


@dataclass(frozen=True)
class Plan:
    """One caller: when it comes, what it wants, and when it loses interest (turns of the loop, then seconds)."""

    start: float
    priority: Priority
    deadline: float
    broadcast: bool
    each: bool
    gone_after: tuple[int, float] | None


CALLERS = st.builds(
    Plan,
    start=st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 4.0]),
    priority=st.sampled_from(Priority),
    deadline=st.sampled_from([0.2, 1.0, 5.0, 20.0]),
    broadcast=st.booleans(),
    each=st.booleans(),
    gone_after=st.none() | st.tuples(st.integers(0, 12), st.sampled_from([0.0, 0.0, 0.3, 1.0, 2.5])),
)


class Scripted:
    """Plays the drawn answers one by one, and good ones from then on when healed."""

    def __init__(self, plays: list[Play]) -> None:
        self.plays = plays
        self.count = 0
        self.healed = False

    def __call__(self, _: Request) -> Play:
        self.count += 1
        return ONE if self.healed or not self.plays else self.plays[self.count % len(self.plays)]


async def caller(rig: Rig, number: int, plan: Plan) -> None:
    await asyncio.sleep(plan.start)
    call = a_call(
        "sendTransaction" if plan.broadcast else "read",
        number if plan.broadcast else number % 7,  # some ask the same at the same time
        priority=plan.priority,
        deadline=plan.deadline,
        broadcast=plan.broadcast,
    )
    asked = rig.pool.call_each(call, NUMBER) if plan.each else rig.pool.call(call, NUMBER)
    task: asyncio.Task[object] = asyncio.ensure_future(asked)
    began, ended = rig.loop.time(), []
    task.add_done_callback(lambda _: ended.append(rig.loop.time()))
    if plan.gone_after is not None:
        turns, seconds = plan.gone_after
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.sleep(seconds)
        task.cancel()
    with suppress(ChainError, asyncio.CancelledError):
        await task
    await asyncio.sleep(0)  # a task that was over before it was awaited tells so one turn later
    assert ended[0] - began <= plan.deadline + 1e-6


@given(
    callers=st.lists(CALLERS, min_size=1, max_size=25),
    a=st.lists(PLAYS, max_size=12),
    b=st.lists(PLAYS, max_size=12),
    concurrency=st.sampled_from([1, 3, 8]),
    rps=st.sampled_from([2.0, 10.0, 1_000.0]),
    bound=st.sampled_from([2, 1_000]),
)
@settings(derandomize=True, max_examples=250, deadline=None)
def test_nothing_leaks_hangs_or_is_sent_twice(
    callers: list[Plan], a: list[Play], b: list[Play], concurrency: int, rps: float, bound: int
) -> None:
    async def main() -> None:
        scripts = {"a": Scripted(a), "b": Scripted(b)}
        providers = {name: settings_of(name, rps=rps, concurrency=concurrency, seconds=4.0) for name in scripts}
        rig = Rig(dict(scripts), providers=providers, pool=PoolSettings(queue_bound=bound))
        await asyncio.gather(*(caller(rig, number, plan) for number, plan in enumerate(callers)))
        assert rig.in_flight() == 0, "a permit leaked"
        assert rig.waiting() == 0, "somebody was forgotten in the queue"
        broadcasts = Counter(
            (name, request.params)
            for name, wire in rig.wires.items()
            for request in wire.sent
            if request.method == "sendTransaction"
        )
        assert all(count == 1 for count in broadcasts.values()), "a broadcast was sent twice to one provider"
        alone = {number for number, plan in enumerate(callers) if plan.broadcast and not plan.each}
        for number in alone:
            assert sum(1 for _, params in broadcasts if params == (number,)) <= 1, "a broadcast failed over"
        for script in scripts.values():
            script.healed = True
        await asyncio.sleep(360.0)
        for _ in range(8):
            assert await rig.pool.call(a_call(deadline=60.0), NUMBER) == 1
        answers = await rig.pool.call_each(a_call(deadline=60.0), NUMBER)
        assert [answer.value for answer in answers] == [1, 1]

    run(main())


@given(st.data())
@settings(derandomize=True, max_examples=60, deadline=None)
def test_a_call_cancelled_at_any_turn_gives_its_permit_to_the_next_in_line(data: st.DataObject) -> None:
    turns = data.draw(st.integers(0, 30), label="turns before the cancellation")
    crowd = data.draw(st.integers(1, 6), label="callers behind")
    delay = data.draw(st.sampled_from([0.0, 0.001]), label="answer's delay")

    async def main() -> None:
        providers = {"a": settings_of("a", concurrency=1)}
        rig = Rig({"a": Play(result=b"1", after=delay)}, providers=providers)
        doomed = [asyncio.create_task(rig.pool.call(a_call(), NUMBER)) for _ in range(3)]
        behind = [asyncio.create_task(rig.pool.call(a_call(), NUMBER)) for _ in range(crowd)]
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in doomed:
            task.cancel()
        await asyncio.wait(doomed)
        assert await asyncio.gather(*behind) == [1] * crowd
        assert (rig.in_flight(), rig.waiting()) == (0, 0)

    run(main())


@given(st.lists(st.sampled_from(Priority), min_size=2, max_size=40), st.sampled_from([1, 2]))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_the_wire_sees_each_class_in_the_order_of_arrival(arrivals: list[Priority], providers: int) -> None:
    async def main() -> None:
        names = ["a", "b"][:providers]
        rig = Rig(
            dict.fromkeys(names, Play(result=b"1", after=0.05)),
            providers={name: settings_of(name, rps=20.0, concurrency=2) for name in names},
        )
        order: list[int] = []

        async def one(number: int, priority: Priority) -> None:
            await rig.pool.call(a_call("read", number, priority=priority, deadline=600.0), NUMBER)

        for wire in rig.wires.values():
            script = wire.script

            def noting(request: Request, script: object = script) -> Play:
                number = request.params[0]
                assert isinstance(number, int)
                order.append(number)
                return Play(result=b"1", after=0.05)

            wire.script = noting
        await asyncio.gather(*(one(number, priority) for number, priority in enumerate(arrivals)))
        for priority in Priority:
            mine = [number for number in order if arrivals[number] is priority]
            assert mine == sorted(mine)

    run(main())
