"""Asking once for two, and twice for one: shared reads, hedged reads, and who is sent away from a stubborn queue."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.errors import ChainError, Retryable
from chains.pool.calls import Priority
from chains.pool.jsonrpc import Request
from chains.pool.recorded import Play, sequence
from chains.pool.settings import PoolSettings
from chains.pool.shedding import Shedding
from tests.chains.pool.rig import BUSY, NUMBER, ONE, THROTTLED, Rig, a_call, settings_of
from tests.virtualtime import run

SLOW = Play(result=b"1", after=1.0)


def test_the_same_question_at_the_same_time_is_sent_once() -> None:
    async def main() -> None:
        rig = Rig({"a": SLOW})
        calls = [a_call("getSlot", {"commitment": "finalized"}) for _ in range(20)]
        assert await asyncio.gather(*(rig.pool.call(call, NUMBER) for call in calls)) == [1] * 20
        assert rig.sent() == {"a": 1}
        await rig.pool.call(calls[0], NUMBER)
        assert rig.sent() == {"a": 2}, "an answer is not kept"

    run(main())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (a_call("m", 1), a_call("m", 2)),
        (a_call("m", 1), a_call("n", 1)),
        (a_call("m", 1, priority=Priority.BACKFILL), a_call("m", 1, priority=Priority.LIVE)),
        (a_call("m", 1, priority=Priority.BROADCAST), a_call("m", 1, priority=Priority.BROADCAST)),
        (a_call("m", 1, broadcast=True), a_call("m", 1, broadcast=True)),
    ],
)
def test_another_question_a_more_urgent_one_and_our_own_transactions_are_asked_alone(
    first: object, second: object
) -> None:
    async def main() -> None:
        rig = Rig({"a": SLOW})
        await asyncio.gather(*(rig.pool.call(call, NUMBER) for call in (first, second)))  # type: ignore[arg-type]  # parametrized
        assert rig.sent() == {"a": 2}

    run(main())


def test_a_failure_is_nobody_else_s_and_a_leader_that_leaves_takes_nobody_along() -> None:
    async def main() -> None:
        rig = Rig({"a": sequence([Play(status=503, body=b"", after=0.5), ONE])}, pool=PoolSettings(max_attempts=1))
        leader = asyncio.create_task(rig.pool.call(a_call("m", 1), NUMBER))
        await asyncio.sleep(0.1)
        follower = asyncio.create_task(rig.pool.call(a_call("m", 1), NUMBER))
        with pytest.raises(Retryable, match="a: m"):
            await leader
        assert await follower == 1
        rig = Rig({"a": SLOW})
        leader = asyncio.create_task(rig.pool.call(a_call("m", 1), NUMBER))
        await asyncio.sleep(0.1)
        follower = asyncio.create_task(rig.pool.call(a_call("m", 1), NUMBER))
        await asyncio.sleep(0.1)
        leader.cancel()
        assert await follower == 1
        assert rig.in_flight() == 0

    run(main())


def test_who_overhears_keeps_its_own_deadline() -> None:
    async def main() -> None:
        rig = Rig({"a": Play(result=b"1", after=3.0)})
        leader = asyncio.create_task(rig.pool.call(a_call("m", 1), NUMBER))
        await asyncio.sleep(0)
        with pytest.raises(Retryable, match="still open"):
            await rig.pool.call(a_call("m", 1, deadline=1.0), NUMBER)
        assert await leader == 1

    run(main())


class Moody:
    """Answers quickly, until it is told not to."""

    def __init__(self) -> None:
        self.play = Play(result=b"1", after=0.1)

    def __call__(self, _: Request) -> Play:
        return self.play


async def practised(**changes: object) -> tuple[Rig, Moody, Moody]:
    a, b = Moody(), Moody()
    rig = Rig({"a": a, "b": b}, pool=PoolSettings(**changes))  # type: ignore[arg-type]  # named settings
    for _ in range(100):
        await rig.pool.call(a_call(), NUMBER)
    return rig, a, b


def test_a_read_that_takes_unusually_long_is_asked_again_elsewhere_and_the_first_answer_counts() -> None:
    async def main() -> None:
        rig, a, b = await practised()
        before = rig.sent()
        a.play = b.play = Play(result=b"1", after=5.0)
        first = asyncio.create_task(rig.pool.call(a_call(), NUMBER))
        await asyncio.sleep(0.05)
        a.play = b.play = Play(result=b"2", after=0.1)
        began = rig.loop.time()
        assert await first == 2
        assert rig.loop.time() - began < 0.5
        assert sum(rig.sent().values()) - sum(before.values()) == 2
        assert rig.in_flight() == 0

    run(main())


@pytest.mark.parametrize("priority", [Priority.BROADCAST, Priority.QUORUM, Priority.BACKFILL])
def test_only_reads_at_the_head_are_asked_twice(priority: Priority) -> None:
    async def main() -> None:
        rig, a, b = await practised()
        before = sum(rig.sent().values())
        a.play = b.play = Play(result=b"1", after=1.0)
        await rig.pool.call(a_call(priority=priority), NUMBER)
        assert sum(rig.sent().values()) - before == 1

    run(main())


def test_no_more_than_a_twentieth_is_asked_twice_and_none_while_somebody_throttles() -> None:
    async def main() -> None:
        rig, a, b = await practised()
        before = sum(rig.sent().values())
        a.play = b.play = Play(result=b"1", after=0.4)
        for number in range(200):
            a.play = b.play = Play(result=b"1", after=0.05 if number % 2 else 1.2)
            await rig.pool.call(a_call(deadline=30.0), NUMBER)
        assert 0 < sum(rig.sent().values()) - before - 200 <= 0.05 * 200 + 5
        rig, a, b = await practised()
        a.play = b.play = THROTTLED
        with pytest.raises(ChainError):
            await rig.pool.call(a_call(deadline=0.5), NUMBER)
        a.play = b.play = Play(result=b"1", after=1.0)
        before = sum(rig.sent().values())
        await rig.pool.call(a_call(deadline=30.0), NUMBER)
        assert sum(rig.sent().values()) - before == 1

    run(main())


@given(st.integers(0, 40), st.sampled_from([0.05, 0.12, 0.2, 0.3, 0.45]), st.booleans())
@settings(derandomize=True, max_examples=60, deadline=None)
def test_a_hedged_call_that_is_cancelled_anywhere_leaks_neither_permit(turns: int, seconds: float, fails: bool) -> None:
    async def main() -> None:
        rig, a, b = await practised()
        a.play = b.play = Play(result=b"1", after=0.4) if not fails else Play(status=503, body=b"", after=0.4)
        doomed = asyncio.create_task(rig.pool.call(a_call(), NUMBER))
        await asyncio.sleep(seconds)
        for _ in range(turns):
            await asyncio.sleep(0)
        doomed.cancel()
        await asyncio.wait([doomed])
        await asyncio.sleep(0)
        assert (rig.in_flight(), rig.waiting()) == (0, 0)
        a.play = b.play = ONE
        assert await rig.pool.call(a_call(), NUMBER) == 1

    run(main())


def test_a_second_question_that_never_began_leaks_nothing() -> None:
    """The answer comes in the very step of the loop in which somebody else is to be asked too."""

    async def main() -> None:
        rig, a, b = await practised(hedge_floor_seconds=0.3)
        before = sum(rig.sent().values())
        a.play = b.play = Play(result=b"1", after=0.3 - 2e-10)
        assert await rig.pool.call(a_call(), NUMBER) == 1
        await asyncio.sleep(0)
        assert sum(rig.sent().values()) - before == 1
        assert (rig.in_flight(), rig.waiting()) == (0, 0)
        assert [result for _, result in rig.events.finished[-2:]] == ["ok", "ok"]

    run(main())


def test_backfill_is_sent_away_first_then_quorum_and_both_are_back_at_once() -> None:
    shedding = Shedding(PoolSettings())
    waiting = {Priority.LIVE: 0.0, Priority.QUORUM: 0.0, Priority.BACKFILL: 0.0}
    assert shedding.judge(0.4, waiting) == ()
    assert shedding.judge(0.6, waiting) == ()
    assert shedding.judge(1.5, waiting) == ()
    assert shedding.judge(1.7, waiting) == (Priority.BACKFILL,)
    assert shedding.judge(2.7, waiting) == (Priority.BACKFILL, Priority.QUORUM)
    assert shedding.judge(2.8, waiting | {Priority.LIVE: 2.7, Priority.QUORUM: 2.7}) == ()
    assert shedding.judge(60.0, {Priority.BACKFILL: 0.0}) == (), "nobody more urgent waits"


def test_who_is_sent_away_is_told_so_and_the_urgent_are_served() -> None:
    async def main() -> None:
        rig = Rig({"a": Play(result=b"1", after=0.2)}, providers={"a": settings_of("a", rps=10.0)})
        backfill = [
            asyncio.create_task(rig.pool.call(a_call(priority=Priority.BACKFILL, deadline=60.0), NUMBER))
            for _ in range(20)
        ]
        live = [asyncio.create_task(rig.pool.call(a_call(deadline=60.0), NUMBER)) for _ in range(60)]
        assert await asyncio.gather(*live) == [1] * 60
        told = [error for error in await asyncio.gather(*backfill, return_exceptions=True) if error != 1]
        assert told
        assert all(isinstance(error, Retryable) and error.code == "crowded" for error in told)
        assert (Priority.BACKFILL, "crowded") in rig.events.shedding
        assert await rig.pool.call(a_call(priority=Priority.BACKFILL), NUMBER) == 1

    run(main())


def test_an_error_that_no_row_knows_is_counted() -> None:
    async def main() -> None:
        odd = Play(error=b'{"code":-39999,"message":"never seen"}')
        rig = Rig({"a": sequence([odd, ONE]), "b": BUSY})
        await rig.pool.call(a_call(), NUMBER)
        health, _ = rig.pool.health(rig.loop.time())
        assert health.unknown_errors == 1
        assert ("a", "unknown") in rig.events.finished

    run(main())
