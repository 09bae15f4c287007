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
    how: str
    gone_after: tuple[int, float] | None


CALLERS = st.builds(
    Plan,
    start=st.sampled_from([0.0, 0.0, 0.0, 0.1, 1.0, 4.0]),
    priority=st.sampled_from(Priority),
    deadline=st.sampled_from([0.2, 1.0, 5.0, 20.0]),
    broadcast=st.booleans(),
    how=st.sampled_from(["call", "call", "each", "from a"]),
    gone_after=st.none() | st.tuples(st.integers(0, 12), st.sampled_from([0.0, 0.0, 0.3, 1.0, 2.5])),
)


PRACTICE_SEND = ("sendTransaction", "practice")


class Scripted:
    """Plays the drawn answers one by one, and good ones from then on when healed."""

    def __init__(self, plays: list[Play]) -> None:
        self.plays = plays
        self.count = 0
        self.healed = False
        self.good = ONE

    def __call__(self, _: Request) -> Play:
        self.count += 1
        return self.good if self.healed or not self.plays else self.plays[self.count % len(self.plays)]


async def practise(rig: Rig, scripts: dict[str, Scripted]) -> None:
    """Until the pool knows what is usual and has saved up questions to ask twice."""
    for script in scripts.values():
        script.healed, script.good = True, Play(result=b"1", after=0.05)
    for number in range(50):
        await rig.pool.call(a_call("practice", number, deadline=60.0), NUMBER)
        await rig.pool.call(a_call(*PRACTICE_SEND, priority=Priority.BROADCAST, deadline=60.0), NUMBER)
    for script in scripts.values():
        script.healed, script.good = False, ONE


async def caller(rig: Rig, number: int, plan: Plan) -> None:
    await asyncio.sleep(plan.start)
    call = a_call(
        "sendTransaction" if plan.broadcast else "read",
        number if plan.broadcast else f"read {number % 7}",  # some ask the same at the same time
        priority=plan.priority,
        deadline=plan.deadline,
        broadcast=plan.broadcast,
    )

    async def ask() -> None:
        if plan.how == "each":
            await rig.pool.call_each(call, NUMBER)
        elif plan.how == "from a":
            await rig.pool.call_from("a", call, NUMBER)
        else:
            await rig.pool.call(call, NUMBER)

    task = asyncio.create_task(ask())
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
    practised=st.booleans(),
)
@settings(derandomize=True, max_examples=250, deadline=None)
def test_nothing_leaks_hangs_or_is_sent_twice(
    callers: list[Plan], a: list[Play], b: list[Play], concurrency: int, rps: float, bound: int, practised: bool
) -> None:
    async def main() -> None:
        scripts = {"a": Scripted(a), "b": Scripted(b)}
        providers = {name: settings_of(name, rps=rps, concurrency=concurrency, seconds=4.0) for name in scripts}
        rig = Rig(dict(scripts), providers=providers, pool=PoolSettings(queue_bound=bound))
        if practised:
            await practise(rig, scripts)
        await asyncio.gather(*(caller(rig, number, plan) for number, plan in enumerate(callers)))
        assert rig.in_flight() == 0, "a permit leaked"
        assert rig.waiting() == 0, "somebody was forgotten in the queue"
        broadcasts = Counter(
            (name, request.params)
            for name, wire in rig.wires.items()
            for request in wire.sent
            if request.method == "sendTransaction" and request.params != PRACTICE_SEND[1:]
        )
        assert all(count == 1 for count in broadcasts.values()), "a broadcast was sent twice to one provider"
        alone = {number for number, plan in enumerate(callers) if plan.broadcast and plan.how != "each"}
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


@dataclass(frozen=True)
class Arrival:
    """One in a line: when it comes, of which class, how long its answer takes, and when it is given up, if it is."""

    at: float
    priority: Priority
    after: float
    gone: float | None


ARRIVALS = st.builds(
    Arrival,
    at=st.integers(0, 8).map(lambda number: number / 17.0),  # when tokens come: 0.85 of twenty a second
    priority=st.sampled_from(Priority),
    after=st.sampled_from([0.0, 0.05, 0.3]),
    gone=st.none() | st.sampled_from([0.0, 0.1, 0.5]),
)


@given(st.lists(ARRIVALS, min_size=2, max_size=40), st.sampled_from([1, 2]))
@settings(derandomize=True, max_examples=100, deadline=None)
def test_the_wire_sees_each_class_in_the_order_of_arrival(arrivals: list[Arrival], providers: int) -> None:
    async def main() -> None:
        came: list[int] = []
        order: list[int] = []

        def noting(request: Request) -> Play:
            number = request.params[0]
            assert isinstance(number, int)
            order.append(number)
            return Play(result=b"1", after=arrivals[number].after)

        names = ["a", "b"][:providers]
        rig = Rig(
            dict.fromkeys(names, noting),
            providers={name: settings_of(name, rps=20.0, concurrency=4) for name in names},
            pool=PoolSettings(shed_delay_seconds=600.0, hedge_fraction=0.0),
        )

        async def one(number: int, arrival: Arrival) -> None:
            await asyncio.sleep(arrival.at)
            call = a_call("read", number, priority=arrival.priority, deadline=600.0)
            came.append(number)
            with suppress(TimeoutError):
                async with asyncio.timeout(arrival.gone):
                    await rig.pool.call(call, NUMBER)

        await asyncio.gather(*(one(number, arrival) for number, arrival in enumerate(arrivals)))
        assert set(order) >= {number for number, arrival in enumerate(arrivals) if arrival.gone is None}
        for priority in Priority:
            mine = [number for number in order if arrivals[number].priority is priority]
            assert mine == sorted(mine, key=came.index)

    run(main())


@given(st.lists(st.tuples(st.sampled_from(Priority), st.integers(0, 2), st.sampled_from([0.0, 0.1])), max_size=30))
@settings(derandomize=True, max_examples=100, deadline=None)
def test_what_is_asked_about_our_own_transactions_is_always_asked_of_a_provider(
    asked: list[tuple[Priority, int, float]],
) -> None:
    """Others share answers that are on their way; the most urgent never do, nor does anybody share theirs."""

    async def main() -> None:
        rig = Rig({"a": Play(result=b"1", after=0.2)})
        sent_for: Counter[int] = Counter()

        async def one(priority: Priority, question: int, wait: float) -> None:
            await asyncio.sleep(wait)
            assert await rig.pool.call(a_call("read", question, priority=priority, deadline=60.0), NUMBER) == 1

        await asyncio.gather(*(one(*each) for each in asked))
        sent_for.update(request.params[0] for request in rig.wires["a"].sent if isinstance(request.params[0], int))
        for question in range(3):
            mine = [priority for priority, number, _ in asked if number == question]
            urgent = sum(priority is Priority.BROADCAST for priority in mine)
            others = len(mine) - urgent
            assert urgent + (others > 0) <= sent_for[question] <= urgent + others

    run(main())


@given(
    callers=st.lists(
        st.tuples(st.sampled_from(Priority), st.booleans(), st.sampled_from([0.3, 2.0])), min_size=1, max_size=8
    ),
    a=st.lists(PLAYS, min_size=1, max_size=4),
    b=st.lists(PLAYS, min_size=1, max_size=4),
)
@settings(derandomize=True, max_examples=150, deadline=None)
def test_a_broadcast_goes_out_once_whatever_comes_back(
    callers: list[tuple[Priority, bool, float]], a: list[Play], b: list[Play]
) -> None:
    """Of whatever class, from a pool that hedges, fails over and shares: the same bytes, asked for at the same time by
    several, reach each provider once for each time they were asked for, and one provider only unless all were meant."""

    async def main() -> None:
        scripts = {"a": Scripted(a), "b": Scripted(b)}
        rig = Rig(dict(scripts), providers={name: settings_of(name, seconds=1.0) for name in scripts})
        await practise(rig, scripts)

        async def one(priority: Priority, each: bool, deadline: float) -> None:
            call = a_call("sendTransaction", "the same", priority=priority, broadcast=True, deadline=deadline)
            with suppress(ChainError):
                await (rig.pool.call_each(call, NUMBER) if each else rig.pool.call(call, NUMBER))

        async def noise(number: int) -> None:
            with suppress(ChainError):
                await rig.pool.call(a_call("read", number % 2, deadline=2.0), NUMBER)

        await asyncio.gather(*(one(*caller) for caller in callers), *(noise(number) for number in range(8)))
        sent = {name: sum(r.params == ("the same",) for r in wire.sent) for name, wire in rig.wires.items()}
        alone, all_of_them = sum(not each for _, each, _ in callers), sum(each for _, each, _ in callers)
        assert sum(sent.values()) <= alone + 2 * all_of_them, "a broadcast was sent again"
        assert all(count <= len(callers) for count in sent.values()), "a broadcast was sent twice to one provider"
        assert rig.in_flight() == 0

    run(main())
