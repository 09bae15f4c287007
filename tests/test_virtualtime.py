"""The virtual clock itself: it jumps, it keeps order, it finds deadlocks, it waits for threads."""

from __future__ import annotations

import asyncio

import pytest

from tests.virtualtime import Deadlock, run


def test_time_jumps_to_each_timer_in_order() -> None:
    async def main() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        seen: list[tuple[str, float]] = []

        async def note(name: str, delay: float) -> None:
            await asyncio.sleep(delay)
            seen.append((name, loop.time()))

        await asyncio.gather(note("late", 3_600.0), note("early", 0.5), note("middle", 60.0))
        return seen

    assert run(main(), start=10.0) == [("early", 10.5), ("middle", 70.0), ("late", 3_610.0)]


def test_a_timeout_fires_at_its_virtual_time() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(300.0):
                await asyncio.Event().wait()
        return loop.time()

    assert run(main(), start=0.0) == 300.0


def test_waiting_for_nothing_is_a_deadlock_and_not_a_hang() -> None:
    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(Deadlock):
        run(main())


def test_time_stands_still_while_a_thread_works() -> None:
    async def main() -> tuple[int, float]:
        loop = asyncio.get_running_loop()
        ticking = asyncio.create_task(asyncio.sleep(1.0))
        answer = await asyncio.to_thread(lambda: sum(range(100_000)))
        at = loop.time()
        await ticking
        return answer, at

    assert run(main(), start=5.0) == (4_999_950_000, 5.0)


def test_an_error_nobody_retrieved_fails_the_test() -> None:
    async def main() -> None:
        asyncio.get_running_loop().call_soon(lambda: 1 // 0)
        await asyncio.sleep(1.0)

    with pytest.raises(AssertionError, match="nobody retrieved"):
        run(main())


def test_hours_cost_nothing() -> None:
    async def main() -> float:
        for _ in range(1_000):
            await asyncio.sleep(3_600.0)
        return asyncio.get_running_loop().time()

    assert run(main(), start=0.0) == 3_600_000.0
