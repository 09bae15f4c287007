"""Who is away: a question put to it alone, or to each, doesn't stand in line for it, and those who do crowd nobody."""

from __future__ import annotations

import asyncio

import pytest

from chains.errors import ChainError, NoProvider, Retryable
from chains.pool.breaker import State
from chains.pool.calls import Call, Priority
from chains.pool.recorded import Play, sequence
from tests.chains.pool.rig import BUSY, NUMBER, ONE, SILENT, Rig, a_call, settings_of
from tests.virtualtime import run


def frozen_for(seconds: int) -> Play:
    return Play(status=429, headers={"retry-after": str(seconds)}, body=b"slow down")


async def frozen(seconds: int, *others: str) -> Rig:
    """A pool whose first provider has just asked to be left alone, and would answer."""
    rig = Rig({"a": sequence([frozen_for(seconds), ONE]), **dict.fromkeys(others, ONE)})
    with pytest.raises(Retryable):
        await rig.pool.call_from("a", a_call(), NUMBER)
    return rig


def test_a_question_to_each_does_not_wait_for_one_that_is_away() -> None:
    async def main() -> None:
        rig = await frozen(5, "b", "c")
        began = rig.loop.time()
        answers = await rig.pool.call_each(a_call(), NUMBER)
        assert [(answer.provider, answer.value) for answer in answers] == [("b", 1), ("c", 1)]
        with pytest.raises(NoProvider, match="paused for 5"):
            await rig.pool.call_from("a", a_call(), NUMBER)
        assert rig.loop.time() == began

    run(main())


@pytest.mark.parametrize(
    ("seconds", "others", "call"),
    [
        (1, ("b",), a_call()),
        (5, (), a_call()),
        (5, ("b",), a_call(priority=Priority.BROADCAST)),
        (5, ("b",), a_call("sendTransaction", broadcast=True)),
    ],
    ids=["for a moment only", "nobody else is there", "most urgent", "a broadcast"],
)
def test_but_these_wait_for_it(seconds: int, others: tuple[str, ...], call: Call) -> None:
    async def main() -> None:
        rig = await frozen(seconds, *others)
        assert await rig.pool.call_from("a", call, NUMBER) == 1

    run(main())


def test_nobody_goes_without_when_all_are_away() -> None:
    """As when they share an account: then there is nothing better to do than wait."""

    async def main() -> None:
        plans = {name: settings_of(name, account="shared") for name in "ab"}
        rig = Rig({"a": sequence([frozen_for(5), ONE]), "b": ONE}, providers=plans)
        with pytest.raises(Retryable):
            await rig.pool.call_from("a", a_call(), NUMBER)
        assert len(await rig.pool.call_each(a_call(), NUMBER)) == 2

    run(main())


def test_nor_for_the_one_probe_of_somebody_else() -> None:
    async def main() -> None:
        rig = Rig({"a": BUSY, "b": ONE})
        for _ in range(20):
            await rig.pool.call_each(a_call(), NUMBER)
        assert rig.pool.health(rig.loop.time())[0].error_breaker is State.OPEN
        await asyncio.sleep(1.0)
        rig.wires["a"].script = sequence([SILENT])
        probe = asyncio.create_task(rig.pool.call_from("a", a_call(), NUMBER))
        await asyncio.sleep(0.0)
        began = rig.loop.time()
        (answer,) = await rig.pool.call_each(a_call(), NUMBER)
        assert (answer.provider, rig.loop.time()) == ("b", began)
        with pytest.raises(ChainError):
            await probe

    run(main())


def test_who_waits_for_one_that_is_away_crowds_nobody_at_the_others() -> None:
    async def main() -> None:
        plans = {"a": settings_of("a"), "b": settings_of("b", rps=10.0)}
        rig = Rig({"a": sequence([frozen_for(8), ONE]), "b": ONE}, providers=plans)
        with pytest.raises(Retryable):
            await rig.pool.call_from("a", a_call(), NUMBER)
        urgent = asyncio.create_task(
            rig.pool.call_from("a", a_call(priority=Priority.BROADCAST, deadline=20.0), NUMBER)
        )
        asked = [a_call(priority=Priority.BACKFILL, deadline=10.0) for _ in range(20)]
        assert await asyncio.gather(*(rig.pool.call_from("b", each, NUMBER) for each in asked)) == [1] * 20
        assert rig.events.shedding == []
        assert await urgent == 1

    run(main())
