"""The beat of slots, in virtual time: no drift, no burst."""

from __future__ import annotations

import asyncio

import pytest

from chains.devnet.solana.beat import beat, following
from tests.virtualtime import run


def test_a_slot_passes_every_beat_without_drift() -> None:
    async def main() -> list[float]:
        loop = asyncio.get_running_loop()
        called: list[float] = []
        task = asyncio.create_task(beat(0.1, lambda: called.append(round(loop.time(), 6))))
        await asyncio.sleep(100.05)
        task.cancel()
        return called

    assert run(main(), start=0.0) == [round(0.1 * number, 6) for number in range(1, 1_001)]


@pytest.mark.parametrize(
    ("now", "expected"),
    [(5.0, 6.0), (5.9, 6.0), (6.0, 6.0), (7.5, 7.5), (60.0, 60.0)],
    ids=["on time", "slow", "just made it", "one beat lost", "many lost, one made"],
)
def test_a_machine_that_fell_behind_loses_beats(now: float, expected: float) -> None:
    assert following(5.0, now, 1.0) == expected
    assert following(expected, expected, 1.0) == expected + 1.0, "and then goes on at its pace"
