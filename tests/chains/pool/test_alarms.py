"""One timer for many: everyone is called at their own time, whoever comes and goes meanwhile."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from chains.pool.alarms import Alarms
from chains.pool.provider import NEVER
from tests.virtualtime import run


class Sleeper:
    """Wants to be called at each of its times."""

    def __init__(self, times: list[float]) -> None:
        self.times = sorted(times)
        self.called: list[float] = []
        self.at = self.times[0]

    def next(self) -> None:
        self.at = self.times[len(self.called)] if len(self.called) < len(self.times) else NEVER


@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 0.3, 1.0, 2.0]),  # when it comes
            st.lists(st.sampled_from([0.1, 0.2, 1.0, 1.0001, 2.5]), min_size=1, max_size=3, unique=True),
            st.none() | st.sampled_from([0.05, 0.5, 1.5]),  # how long it stays
        ),
        max_size=12,
    )
)
@settings(derandomize=True, deadline=None)
def test_everyone_who_stays_is_called_at_their_times_and_nobody_else(
    plans: list[tuple[float, list[float], float | None]],
) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()

        def ring(sleeper: Sleeper, now: float) -> None:
            sleeper.called.append(now)
            sleeper.next()

        alarms: Alarms[Sleeper] = Alarms(loop.time, ring)

        async def one(comes: float, after: list[float], stays: float | None) -> None:
            await asyncio.sleep(comes)
            began = loop.time()
            sleeper = Sleeper([began + each for each in after])
            alarms.add(sleeper)
            await asyncio.sleep(10.0 if stays is None else stays)
            alarms.drop(sleeper)
            due = [at for at in sleeper.times if at <= began + (10.0 if stays is None else stays)]
            assert len(sleeper.called) == len(due)
            assert all(abs(called - at) <= 1e-5 for called, at in zip(sleeper.called, due, strict=True))

        await asyncio.gather(*(one(*plan) for plan in plans))
        assert len(alarms) == 0

    run(main())


def test_who_has_left_is_not_called_though_the_timer_rings() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        called: list[Sleeper] = []

        def ring(sleeper: Sleeper, now: float) -> None:
            called.append(sleeper)
            sleeper.at = NEVER

        alarms: Alarms[Sleeper] = Alarms(loop.time, ring)
        early, late = Sleeper([loop.time() + 1.0]), Sleeper([loop.time() + 3.0])
        alarms.add(early)
        alarms.add(late)
        alarms.drop(early)
        alarms.drop(early)
        await asyncio.sleep(2.0)
        assert called == []
        await asyncio.sleep(0.999)
        assert called == []
        await asyncio.sleep(0.01)
        assert called == [late]

    run(main())
