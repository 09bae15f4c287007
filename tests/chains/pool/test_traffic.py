"""What the pool says of its traffic: questions and useful words, by class, however many providers were asked."""

from __future__ import annotations

import contextlib

import pytest

from chains.errors import ChainError
from chains.pool.calls import Priority
from chains.pool.events import Traffic
from chains.pool.recorded import Play
from chains.pool.settings import Metering, ProviderSettings
from tests.chains.pool.rig import BUSY, NUMBER, ONE, SILENT, THROTTLED, Rig, a_call, rpc_error, settings_of
from tests.virtualtime import run

NOT_YET = rpc_error(-32004)
LACKING = rpc_error(-32601)


@pytest.mark.parametrize(
    ("one", "two", "answered"),
    [
        (ONE, ONE, 1),
        (NOT_YET, ONE, 1),  # two providers spoke, and one question was answered
        (NOT_YET, NOT_YET, 1),
        (BUSY, ONE, 1),
        (BUSY, BUSY, 0),
        (SILENT, SILENT, 0),
        (THROTTLED, THROTTLED, 0),
        (rpc_error(-32602), ONE, 1),
        (LACKING, LACKING, 1),
    ],
)
def test_a_question_is_one_whoever_answers_it(one: Play, two: Play, answered: int) -> None:
    async def story() -> None:
        rig = Rig({"a": one, "b": two})
        for put in (rig.pool.call, rig.pool.call_each):
            before = rig.pool.traffic()[Priority.LIVE]
            with contextlib.suppress(ChainError):
                await put(a_call(deadline=2.0), NUMBER)
            after = rig.pool.traffic()[Priority.LIVE]
            assert after.offered == before.offered + 1
            assert after.answered == before.answered + answered
        assert rig.pool.traffic()[Priority.HEAD] == Traffic()

    run(story())


def test_what_a_hearing_puts_to_one_after_the_other_is_sent_but_no_question_of_its_own() -> None:
    async def story() -> None:
        rig = Rig({"a": ONE, "b": NOT_YET})
        rig.pool.cordon("a", "a test")
        with pytest.raises(ChainError, match="cordoned: a test"):
            await rig.pool.call_from("a", a_call(), NUMBER)
        assert rig.pool.traffic()[Priority.LIVE] == Traffic()
        with pytest.raises(ChainError, match="not_yet"):
            await rig.pool.call_from("b", a_call(), NUMBER)
        assert rig.pool.traffic()[Priority.LIVE] == Traffic(sent=1)
        assert rig.pool.preferred() == ("b",)
        rig.pool.uncordon("a")
        assert await rig.pool.call_from("a", a_call(), NUMBER) == 1
        assert rig.pool.traffic()[Priority.LIVE] == Traffic(sent=2)

    run(story())


def test_each_request_that_is_begun_is_counted_whatever_becomes_of_it() -> None:
    async def story() -> None:
        rig = Rig({"a": BUSY, "b": ONE, "c": SILENT})
        for _ in range(5):
            await rig.pool.call(a_call(deadline=2.0), NUMBER)
            await rig.pool.call_each(a_call(deadline=2.0, priority=Priority.HEAD), NUMBER)
        traffic = rig.pool.traffic()
        assert sum(each.sent for each in traffic.values()) == sum(rig.sent().values())
        assert traffic[Priority.LIVE].sent >= traffic[Priority.LIVE].offered == 5

    run(story())


def test_a_plan_that_counts_units_is_told_in_calls_too() -> None:
    async def story() -> None:
        costs = {"cheap": 10.0, "dear": 70.0}
        dear = ProviderSettings(
            name="a", url="http://a.invalid", requests_per_second=1_000.0, metering=Metering(costs=costs)
        )
        rig = Rig({"a": ONE, "b": ONE}, providers={"a": dear, "b": settings_of("b", rps=100.0)})
        metered, plain = rig.pool.health(rig.loop.time())
        assert (metered.learned_calls, plain.learned_calls) == (metered.learned_rate, plain.learned_rate)
        for method in ("cheap", "cheap", "dear"):
            await rig.pool.call_each(a_call(method), NUMBER)
        metered, plain = rig.pool.health(rig.loop.time())
        assert metered.learned_calls == pytest.approx(metered.learned_rate / 30.0)
        assert plain.learned_calls == plain.learned_rate

    run(story())


def test_what_a_provider_does_not_offer_shows_in_its_health() -> None:
    async def story() -> None:
        rig = Rig({"a": LACKING, "b": ONE})
        assert await rig.pool.call(a_call("sendTransaction"), NUMBER) == 1
        assert [item.unsupported for item in rig.pool.health(rig.loop.time())] == [("sendTransaction",), ()]

    run(story())
