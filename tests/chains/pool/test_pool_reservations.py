"""Reservations in the real pool, at the wire: whatever the lower classes do, the urgent are sent when they ask.

Everyone else pushes with three times what the account and the slots bear. A call of the class in question comes now and
then, within its share; it must be on the wire at once (a broadcast), or as soon as somebody's answer comes (a head
read, for which no slot is kept).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.errors import ChainError
from chains.pool.breaker import State
from chains.pool.calls import Call, Priority
from chains.pool.jsonrpc import Request
from chains.pool.methods import MethodClass
from chains.pool.recorded import Play, by_method, sequence
from chains.pool.settings import Metering, PoolSettings, ProviderSettings
from tests.chains.pool.rig import BUSY, NUMBER, ONE, Rig, a_call, settings_of
from tests.virtualtime import run

AT_ONCE = 0.001
"""Seconds: the time for a step or two of the loop, and for the timer's shortest wait."""


class Wire:
    """Answers everything, and remembers when what was first sent."""

    def __init__(self, light: float, heavy: float) -> None:
        self.after = {MethodClass.LIGHT: light, MethodClass.HEAVY: heavy}
        self.sent_at: dict[object, float] = {}

    def __call__(self, request: Request) -> Play:
        self.sent_at.setdefault(request.params[0], asyncio.get_running_loop().time())
        return Play(result=b"1", after=self.after.get(MethodClass(str(request.params[1])), 0.0))


def a_question(name: str, kind: MethodClass, priority: Priority, deadline: float) -> Call:
    method = "getBlock" if kind is MethodClass.HEAVY else "getBalance"
    return a_call(method, name, str(kind), priority=priority, deadline=deadline)


async def flood(rig: Rig, mix: list[tuple[Priority, MethodClass]], rate: float, until: float) -> None:
    tasks: set[asyncio.Task[None]] = set()

    async def one(number: int) -> None:
        priority, kind = mix[number % len(mix)]
        with suppress(ChainError):
            await rig.pool.call(a_question(f"flood {number}", kind, priority, 6.0), NUMBER)

    number = 0
    while rig.loop.time() < until:
        task = asyncio.create_task(one(number))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
        await asyncio.sleep(1.0 / rate)
    await asyncio.gather(*tasks)


LOWER = st.lists(
    st.tuples(
        st.sampled_from([Priority.LIVE, Priority.QUORUM, Priority.BACKFILL]),
        st.sampled_from([MethodClass.LIGHT, MethodClass.HEAVY]),
    ),
    min_size=1,
    max_size=5,
)
PLANS = st.sampled_from(
    [
        Metering(),
        Metering(windows=((10.0, 150.0),)),
        Metering(windows=((1.0, 15.0), (60.0, 600.0)), costs={"getBlock": 3.0}),
        Metering(method_rates={"getBalance": 12.0}),
    ]
)


@given(
    mix=LOWER,
    plan=PLANS,
    priority=st.sampled_from([Priority.BROADCAST, Priority.BROADCAST, Priority.HEAD]),
    light=st.sampled_from([0.01, 0.4]),
    heavy=st.sampled_from([0.2, 1.5]),
    concurrency=st.sampled_from([3, 8, 32]),
)
@settings(derandomize=True, max_examples=50, deadline=None)
def test_the_urgent_are_sent_when_they_ask_however_hard_the_others_push(
    mix: list[tuple[Priority, MethodClass]],
    plan: Metering,
    priority: Priority,
    light: float,
    heavy: float,
    concurrency: int,
) -> None:
    share = 0.2 if priority is Priority.BROADCAST else 0.1
    rate = 20.0
    gaps = [1.0 / (share * 0.85 * rate), *(seconds / int(share * units) for seconds, units in plan.windows)]
    gaps += [1.0 / int(share * per_second) for per_second in plan.method_rates.values()]
    gap = 1.06 * max(gaps)
    # A broadcast has slots of its own. A head read stands first in line for whichever is free next.
    patience = AT_ONCE if priority is Priority.BROADCAST else max(light, heavy) + AT_ONCE

    async def main() -> None:
        wire = Wire(light, heavy)
        provider = ProviderSettings(
            name="a", url="http://a.invalid/", requests_per_second=rate, metering=plan, concurrency=concurrency
        )
        rig = Rig({"a": wire}, providers={"a": provider})
        for number in range(12):  # so that the pool knows how long each kind takes
            for kind in (MethodClass.LIGHT, MethodClass.HEAVY):
                await rig.pool.call(a_question(f"{kind} {number}", kind, Priority.LIVE, 60.0), NUMBER)
        flooding = asyncio.create_task(flood(rig, mix, 3.0 * rate, rig.loop.time() + 6.0 + 12.0 * max(gap, patience)))
        await asyncio.sleep(6.0)
        for number in range(12):
            name = f"urgent {number}"
            began = rig.loop.time()
            asking = asyncio.create_task(rig.pool.call(a_question(name, MethodClass.LIGHT, priority, 10.0), NUMBER))
            await asyncio.sleep(max(gap, patience))
            assert wire.sent_at[name] - began <= patience, f"{priority.name} waited behind others"
            assert await asking == 1
        await flooding
        assert rig.in_flight() == 0

    run(main())


@pytest.mark.parametrize("crowd", [Priority.HEAD, Priority.LIVE, Priority.BACKFILL])
def test_the_few_permits_of_a_half_open_breaker_go_to_the_most_urgent_first(crowd: Priority) -> None:
    async def main() -> None:
        rig = Rig({"a": BUSY}, pool=PoolSettings(max_attempts=1))
        for _ in range(40):
            await asyncio.gather(rig.pool.call(a_call(), NUMBER), return_exceptions=True)
        assert rig.pool.health(rig.loop.time())[0].error_breaker is State.OPEN
        before = len(rig.wires["a"].sent)
        rig.wires["a"].script = sequence([Play(result=b"1", after=0.2)])
        waiting = [
            asyncio.create_task(rig.pool.call(a_call("read", priority=crowd, deadline=30.0), NUMBER)) for _ in range(5)
        ]
        await asyncio.sleep(0.01)
        send = a_call("sendTransaction", priority=Priority.BROADCAST, broadcast=True, deadline=30.0)
        assert await rig.pool.call(send, NUMBER) == 1
        assert [request.method for request in rig.wires["a"].sent[before : before + 1]] == ["sendTransaction"]
        assert await asyncio.gather(*waiting) == [1] * 5

    run(main())


def test_two_slots_are_the_broadcasts_whatever_kinds_of_work_fill_the_rest() -> None:
    async def main() -> None:
        slow = Play(result=b"1", after=1.0)
        rig = Rig({"a": slow}, providers={"a": settings_of("a", concurrency=4)})
        kinds = ["getBlock", "getBalance", "sendTransaction"] * 3
        others = [asyncio.create_task(rig.pool.call(a_call(kind, deadline=60.0), NUMBER)) for kind in kinds]
        await asyncio.sleep(0.1)
        assert rig.in_flight() == 2
        send = [
            asyncio.create_task(rig.pool.call(a_call("sendTransaction", priority=Priority.BROADCAST), NUMBER))
            for _ in range(3)
        ]
        await asyncio.sleep(0.1)
        assert rig.in_flight() == 4
        assert await asyncio.gather(*others, *send) == [1] * 12

    run(main())


def test_a_broadcast_s_slots_are_there_when_slowness_has_taught_the_others_to_be_few() -> None:
    async def main() -> None:
        silent, slow = Play(silent=True), Play(result=b"1", after=5.0)
        rig = Rig({"a": by_method({"getBlock": silent, "getBalance": ONE})}, pool=PoolSettings(max_attempts=1))
        for _ in range(10):
            await asyncio.gather(rig.pool.call(a_call("getBlock", deadline=0.5), NUMBER), return_exceptions=True)
            await rig.pool.call(a_call("getBalance"), NUMBER)  # it is slow, it is not gone
            await asyncio.sleep(30.0)
        rig.wires["a"].script = sequence([slow])
        assert rig.pool.health(rig.loop.time())[0].learned_concurrency["heavy"] == 2
        reads = [asyncio.create_task(rig.pool.call(a_call("getBlock", deadline=60.0), NUMBER)) for _ in range(6)]
        await asyncio.sleep(0.1)
        assert rig.in_flight() == 2
        urgent = [
            asyncio.create_task(rig.pool.call(a_call("getBlock", priority=Priority.BROADCAST, deadline=60.0), NUMBER))
            for _ in range(3)
        ]
        await asyncio.sleep(0.1)
        assert rig.in_flight() == 4, "two more, and these are the broadcasts'"
        assert await asyncio.gather(*reads, *urgent) == [1] * 9

    run(main())
