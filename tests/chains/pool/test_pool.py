"""The real pool over recorded bytes in virtual time: what each kind of answer leads to, and that nothing ever hangs."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable
from typing import TypeVar

import pytest

from chains.errors import Ambiguous, ChainError, NoProvider, Permanent, Retryable, Verdict
from chains.pool.breaker import State
from chains.pool.calls import Priority, Upstream
from chains.pool.classify import Fault
from chains.pool.jsonrpc import Request
from chains.pool.limiter import Accounts
from chains.pool.pool import Pool
from chains.pool.recorded import Play, RecordedTransport, by_method, sequence
from chains.pool.settings import PoolSettings, ProviderSettings
from chains.pool.transport import Response, Transport
from tests.chains.pool.rig import BUSY, NUMBER, ONE, SILENT, THROTTLED, Rig, a_call, rpc_error, settings_of
from tests.virtualtime import run

T = TypeVar("T")

NOT_YET, SKIPPED, PRUNED = rpc_error(-32004), rpc_error(-32007), rpc_error(-32001)
TWO = Play(result=b"2")


async def fails(call: Awaitable[T]) -> ChainError:
    with pytest.raises(ChainError) as caught:
        await call
    return caught.value


def test_the_pool_is_an_upstream_and_answers_typed() -> None:
    async def main() -> None:
        rig = Rig({"a": ONE, "b": ONE})
        upstream: Upstream = rig.pool
        assert await upstream.call(a_call("getSlot", {"commitment": "finalized"}), NUMBER) == 1
        assert upstream.providers() == ("a", "b")
        (sent,) = rig.wires["a"].sent
        assert (sent.method, sent.params) == ("getSlot", ({"commitment": "finalized"},))
        assert rig.events.finished == [("a", "ok")]

    run(main())


def test_equal_providers_take_turns_and_request_ids_are_never_used_twice() -> None:
    async def main() -> None:
        rig = Rig({"a": ONE, "b": ONE})
        for _ in range(10):
            await rig.pool.call(a_call(), NUMBER)
        assert rig.sent() == {"a": 5, "b": 5}
        ids = [request.id for wire in rig.wires.values() for request in wire.sent]
        assert len(set(ids)) == 10

    run(main())


@pytest.mark.parametrize(
    "trouble",
    [
        BUSY,
        THROTTLED,
        rpc_error(-32005, "behind"),
        rpc_error(-39999, "never seen"),
        Play(body=b"<html>welcome</html>"),
        Play(body=b'{"jsonrpc":"2.0","id":999999,"result":1}'),
        Play(body=b'[{"jsonrpc":"2.0","id":1,"result":1}]'),
        Play(result=b'"not a number"'),
        Play(fault=Fault.UNREACHABLE),
        Play(fault=Fault.BROKEN_OFF),
        Play(fault=Fault.TOO_LARGE),
        Play(status=302, headers={"location": "http://elsewhere"}, body=b""),
        NOT_YET,
        SKIPPED,
        PRUNED,
        rpc_error(-32601),
        Play(status=403, body=b"who are you"),
        SILENT,
    ],
)
def test_a_read_fails_over_to_the_other_provider_within_the_deadline(trouble: Play) -> None:
    async def main() -> None:
        rig = Rig({"a": trouble, "b": TWO})
        began = rig.loop.time()
        assert await rig.pool.call(a_call(), NUMBER) == 2
        assert rig.sent() == {"a": 1, "b": 1}
        assert rig.loop.time() - began <= 5.0
        assert rig.in_flight() == 0

    run(main())


@pytest.mark.parametrize(
    ("play", "kind", "code"),
    [
        (rpc_error(-32002, "Transaction simulation failed: custom program error"), Verdict, "simulation_failed"),
        (Play(status=413, body=b""), Retryable, "split"),
    ],
)
def test_what_the_chain_says_or_less_would_do_is_not_asked_twice(play: Play, kind: type[ChainError], code: str) -> None:
    async def main() -> None:
        rig = Rig({"a": play, "b": ONE})
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert (type(error), error.code) == (kind, code)
        assert rig.sent() == {"a": 1, "b": 0}

    run(main())


WRONG, TOO_NEW = rpc_error(-32602, "Invalid params"), rpc_error(-32015, "version")


@pytest.mark.parametrize(
    ("plays", "kind", "code"),
    [
        ((WRONG,), Permanent, "invalid_params"),
        ((WRONG, WRONG), Permanent, "invalid_params"),
        ((TOO_NEW, TOO_NEW), Permanent, "transaction_version_unsupported"),
        ((WRONG, BUSY), Retryable, "overloaded"),
        ((BUSY, WRONG), Retryable, "overloaded"),
        ((NOT_YET, WRONG), Retryable, "not_yet"),
        ((WRONG, NOT_YET), Retryable, "not_yet"),
        ((WRONG, rpc_error(-32601)), NoProvider, "no_provider"),
    ],
)
def test_a_request_is_wrong_when_all_who_were_asked_say_so(
    plays: tuple[Play, ...], kind: type[ChainError], code: str
) -> None:
    async def main() -> None:
        rig = Rig(dict(zip("ab", plays, strict=False)))
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert (type(error), error.code) == (kind, code)
        assert all(count >= 1 for count in rig.sent().values())

    run(main())


@pytest.mark.parametrize("wrong", [WRONG, TOO_NEW, rpc_error(-32600), rpc_error(-32003)])
def test_a_request_that_one_provider_calls_wrong_is_put_to_the_others(wrong: Play) -> None:
    async def main() -> None:
        rig = Rig({"a": wrong, "b": wrong, "c": TWO})
        assert await rig.pool.call(a_call(), NUMBER) == 2
        assert rig.sent() == {"a": 1, "b": 1, "c": 1}

    run(main())


def test_who_is_locked_out_has_no_say_in_whether_a_request_is_wrong() -> None:
    async def main() -> None:
        rig = Rig({"a": WRONG, "b": ONE})
        rig.pool.cordon("b", "a test")
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert (type(error), error.code) == (Permanent, "invalid_params")

    run(main())


def test_a_broadcast_that_is_called_wrong_goes_to_nobody_else() -> None:
    async def main() -> None:
        rig = Rig({"a": WRONG, "b": ONE})
        error = await fails(rig.pool.call(a_call(broadcast=True), NUMBER))
        assert (type(error), rig.sent()) == (Permanent, {"a": 1, "b": 0})

    run(main())


def test_a_verdict_carries_what_the_node_said() -> None:
    async def main() -> None:
        data = b'{"code":3,"message":"execution reverted","data":"0x08c379a0"}'
        rig = Rig({"a": Play(error=data)}, family="evm")
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert isinstance(error, Verdict)
        assert (error.code, error.rpc_code, error.data) == ("reverted", 3, "0x08c379a0")

    run(main())


@pytest.mark.parametrize(
    ("plays", "code"),
    [
        ((NOT_YET, NOT_YET, NOT_YET), "not_yet"),
        ((SKIPPED, SKIPPED, SKIPPED), "absent_unproven"),
        ((PRUNED, PRUNED, PRUNED), "lacks_data"),
        ((PRUNED, NOT_YET, SKIPPED), "not_yet"),
        ((BUSY, SKIPPED, PRUNED), "absent_unproven"),
        ((Play(fault=Fault.TOO_LARGE),) * 3, "split"),
    ],
)
def test_what_nobody_knows_better_is_raised_after_everybody_was_asked_once(
    plays: tuple[Play, Play, Play], code: str
) -> None:
    async def main() -> None:
        rig = Rig(dict(zip("abc", plays, strict=True)))
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert (type(error), error.code) == (Retryable, code)
        assert all(count >= 1 for count in rig.sent().values())
        answered = [name for name, play in zip("abc", plays, strict=True) if play is not BUSY]
        assert [rig.sent()[name] for name in answered] == [1] * len(answered)

    run(main())


def test_an_absence_is_raised_as_such_when_the_others_may_not_be_asked() -> None:
    async def main() -> None:
        rig = Rig({"a": SKIPPED, "b": ONE})
        rig.pool.report_integrity("b", "it lied")
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert error.code == "absent_unproven"

    run(main())


def test_who_is_behind_is_followed_by_the_freshest() -> None:
    async def main() -> None:
        rig = Rig({"a": NOT_YET, "b": NOT_YET, "c": ONE})
        rig.pool.report_heights("b", latest=100)
        rig.pool.report_heights("c", latest=200, finalized=150)
        assert await rig.pool.call(a_call(), NUMBER) == 1
        assert rig.sent() == {"a": 1, "b": 0, "c": 1}
        assert [(h.latest, h.finalized) for h in rig.pool.health(rig.loop.time())] == [
            (None, None),
            (100, None),
            (200, 150),
        ]

    run(main())


def test_a_method_nobody_offers_is_permanent_and_learned_for_a_while() -> None:
    async def main() -> None:
        plays = by_method({"known": ONE})
        rig = Rig({"a": plays, "b": plays})
        for _ in range(3):
            error = await fails(rig.pool.call(a_call("odd"), NUMBER))
            assert (type(error), error.code) == (Permanent, "unsupported")
        assert rig.sent() == {"a": 1, "b": 1}
        assert await rig.pool.call(a_call("known"), NUMBER) == 1
        await asyncio.sleep(601.0)
        await fails(rig.pool.call(a_call("odd"), NUMBER))
        assert sum(rig.sent().values()) == 5

    run(main())


def test_a_refused_key_locks_the_provider_out_until_a_person_has_looked() -> None:
    async def main() -> None:
        rig = Rig({"a": sequence([Play(status=401, body=b"bad key"), ONE])})
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert isinstance(error, NoProvider)
        await asyncio.sleep(3_600.0)
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert isinstance(error, NoProvider)
        assert "a: locked out: auth: bad key" in error.message
        assert rig.sent() == {"a": 1}
        rig.pool.release("a")
        assert await rig.pool.call(a_call(), NUMBER) == 1
        assert rig.events.breakers == [("a", "auth", State.OPEN), ("a", "auth", State.CLOSED)]

    run(main())


def test_a_provider_caught_lying_is_asked_no_more() -> None:
    async def main() -> None:
        rig = Rig({"a": ONE, "b": ONE})
        rig.pool.report_integrity("a", "the finalized hash of block 7 changed")
        for _ in range(5):
            await rig.pool.call(a_call(), NUMBER)
        assert rig.sent() == {"a": 0, "b": 5}
        health, _ = rig.pool.health(rig.loop.time())
        assert not health.may_ask
        assert health.integrity_breaker is State.OPEN
        assert "block 7" in health.reason

    run(main())


def test_throttled_everywhere_ends_within_the_deadline_and_sends_little() -> None:
    async def main() -> None:
        rig = Rig({"a": THROTTLED, "b": THROTTLED})
        began = rig.loop.time()
        error = await fails(rig.pool.call(a_call(deadline=10.0), NUMBER))
        assert (type(error), error.code) == (Retryable, "throttled")
        assert rig.loop.time() - began <= 10.0
        assert sum(rig.sent().values()) == 3
        error = await fails(rig.pool.call(a_call(deadline=0.5), NUMBER))
        assert isinstance(error, NoProvider)
        assert "a: throttled, paused for" in error.message
        assert "b: throttled, paused for" in error.message

    run(main())


def test_retry_after_is_obeyed_by_everybody_who_uses_the_account() -> None:
    async def main() -> None:
        stop = Play(status=429, headers={"retry-after": "30"}, body=b"")
        accounts = Accounts()
        providers = {"a": settings_of("a", account="plan")}
        rig = Rig({"a": sequence([stop, ONE])}, providers=providers, accounts=accounts)
        other = Rig({"a": ONE}, providers=providers, accounts=accounts)
        began = rig.loop.time()
        error = await fails(rig.pool.call(a_call(deadline=5.0), NUMBER))
        assert isinstance(error, NoProvider)
        assert rig.loop.time() == began, "who would wait in vain is told at once"
        assert isinstance(await fails(other.pool.call(a_call(deadline=5.0), NUMBER)), NoProvider)
        assert await other.pool.call(a_call(deadline=60.0), NUMBER) == 1
        assert 30.0 <= rig.loop.time() - began <= 31.6
        assert rig.events.limits == ["a"]

    run(main())


def test_a_black_hole_everywhere_ends_in_time_then_opens_the_breakers_and_heals_by_itself() -> None:
    async def main() -> None:
        there = {"back": False}

        def hole(_: Request) -> Play:
            return ONE if there["back"] else SILENT

        rig = Rig({"a": hole, "b": hole})
        codes = []
        for _ in range(12):
            began = rig.loop.time()
            error = await fails(rig.pool.call(a_call(deadline=4.0), NUMBER))
            assert rig.loop.time() - began <= 4.0
            codes.append(error.code)
            await asyncio.sleep(0.1)
        assert codes[0] == "timeout"
        assert "no_provider" in codes
        assert any(health.failing_for for health in rig.pool.health(rig.loop.time()))
        there["back"] = True
        gone = rig.loop.time()
        while True:
            try:
                await rig.pool.call(a_call(deadline=4.0), NUMBER)
                break
            except Retryable:
                await asyncio.sleep(1.0)
        assert rig.loop.time() - gone <= 30.0
        for _ in range(20):
            await rig.pool.call(a_call(), NUMBER)
        await asyncio.sleep(30.0)
        for _ in range(20):
            await rig.pool.call(a_call(), NUMBER)
        assert [health.error_breaker for health in rig.pool.health(rig.loop.time())] == [State.CLOSED] * 2
        assert all(health.failing_for is None for health in rig.pool.health(rig.loop.time()))

    run(main())


def test_half_open_sends_one_probe_however_many_wait() -> None:
    async def main() -> None:
        phase = {"play": BUSY}
        rig = Rig({"a": lambda _: phase["play"]}, pool=PoolSettings(max_attempts=1))
        for _ in range(20):
            await fails(rig.pool.call(a_call(), NUMBER))
        before = rig.sent()["a"]
        assert rig.pool.health(rig.loop.time())[0].error_breaker is State.OPEN
        phase["play"] = Play(result=b"1", after=3.0)
        crowd = [asyncio.create_task(rig.pool.call(a_call(deadline=30.0), NUMBER)) for _ in range(10)]
        await asyncio.sleep(2.5)
        assert rig.sent()["a"] == before + 1
        assert await asyncio.gather(*crowd) == [1] * 10
        assert rig.pool.health(rig.loop.time())[0].error_breaker is State.CLOSED

    run(main())


def test_retries_are_paid_from_success_so_an_outage_is_not_amplified() -> None:
    async def main() -> None:
        # An error that opens no breaker, so that nothing but the budget stands between us and three times the load.
        odd = rpc_error(-39999, "never seen")
        rig = Rig({"a": odd, "b": odd}, pool=PoolSettings(retry_burst=4.0, retry_floor_per_second=0.0))
        for _ in range(100):
            await fails(rig.pool.call(a_call(), NUMBER))
        assert sum(rig.sent().values()) == 104

    run(main())


def test_after_trouble_another_provider_is_asked_even_if_it_is_the_busier_one() -> None:
    async def main() -> None:
        rig = Rig({"a": BUSY, "b": by_method({"slow": Play(result=b"1", after=5.0), "m": TWO})})
        busy = [asyncio.create_task(rig.pool.call(a_call("slow", deadline=60.0), NUMBER)) for _ in range(6)]
        await asyncio.sleep(1.0)
        before = rig.sent()
        assert await rig.pool.call(a_call(), NUMBER) == 2
        assert (rig.sent()["a"] - before["a"], rig.sent()["b"] - before["b"]) == (1, 1)
        await asyncio.gather(*busy)

    run(main())


def test_one_call_is_sent_at_most_three_times() -> None:
    async def main() -> None:
        rig = Rig({"a": BUSY})
        began = rig.loop.time()
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert error.code == "overloaded"
        assert rig.sent() == {"a": 3}
        assert rig.loop.time() - began < 1.0

    run(main())


def test_the_queue_is_bounded_and_sheds_the_lowest_first() -> None:
    async def main() -> None:
        providers = {"a": settings_of("a", concurrency=3)}
        rig = Rig({"a": Play(result=b"1", after=1.0)}, providers=providers, pool=PoolSettings(queue_bound=2))
        working = asyncio.create_task(rig.pool.call(a_call(priority=Priority.BACKFILL), NUMBER))
        await asyncio.sleep(0)
        waiting = [asyncio.create_task(rig.pool.call(a_call(priority=Priority.BACKFILL), NUMBER)) for _ in range(2)]
        await asyncio.sleep(0)
        error = await fails(rig.pool.call(a_call(priority=Priority.BACKFILL), NUMBER))
        assert (type(error), error.code) == (Retryable, "queue_full")
        live = asyncio.create_task(rig.pool.call(a_call(priority=Priority.LIVE), NUMBER))
        await asyncio.sleep(0)
        assert rig.pool.queue_depths()[Priority.BACKFILL] == 1
        error = await fails(waiting[1])
        assert error.code == "queue_full"
        assert rig.events.shedding == [(Priority.BACKFILL, "queue_full")] * 2
        assert list(await asyncio.gather(working, waiting[0], live)) == [1, 1, 1]

    run(main())


def test_a_newcomer_does_not_pass_those_who_wait() -> None:
    """A token is there, and the timer for the first in line has not rung yet."""

    async def main() -> None:
        rig = Rig({"a": ONE}, providers={"a": settings_of("a", rps=20.0)})
        order: list[int] = []

        async def one(number: int, wait: float) -> None:
            await asyncio.sleep(wait)
            await rig.pool.call(a_call(deadline=60.0), NUMBER)
            order.append(number)

        await asyncio.gather(*(one(number, 0.0) for number in range(4)), one(4, 0.06), one(5, 0.12))
        assert order == [0, 1, 2, 3, 4, 5]

    run(main())


def test_who_would_come_too_late_is_refused_at_the_door() -> None:
    async def main() -> None:
        rig = Rig({"a": ONE}, providers={"a": settings_of("a", rps=10.0)})
        crowd = [asyncio.create_task(rig.pool.call(a_call(deadline=60.0), NUMBER)) for _ in range(100)]
        await asyncio.sleep(0)
        began = rig.loop.time()
        error = await fails(rig.pool.call(a_call(deadline=2.0), NUMBER))
        assert (type(error), error.code, rig.loop.time()) == (Retryable, "too_late", began)
        urgent = await rig.pool.call(a_call(deadline=2.0, priority=Priority.BROADCAST), NUMBER)
        assert urgent == 1
        assert await asyncio.gather(*crowd) == [1] * 100

    run(main())


def test_under_three_times_the_load_what_is_sent_is_answered_in_time() -> None:
    """The way a queue collapses: everyone is served, just too late. Here who can't be served in time isn't sent."""

    async def main() -> None:
        providers = {name: settings_of(name, rps=20.0) for name in "ab"}
        rig = Rig(dict.fromkeys("ab", Play(result=b"1", after=0.2)), providers=providers)
        codes: Counter[str] = Counter()

        async def one() -> None:
            try:
                await rig.pool.call(a_call(deadline=2.0), NUMBER)
                codes["answered"] += 1
            except Retryable as error:
                codes[error.code] += 1

        tasks = []
        for _ in range(120 * 20):
            tasks.append(asyncio.create_task(one()))
            await asyncio.sleep(1.0 / 120.0)
        await asyncio.gather(*tasks)
        assert set(codes) == {"answered", "too_late"}
        assert codes["answered"] >= 0.95 * 2 * 0.85 * 20.0 * 20.0
        assert sum(rig.sent().values()) <= 1.02 * codes["answered"]

    run(main())


def test_a_call_in_a_hurry_is_not_held_against_the_provider() -> None:
    async def main() -> None:
        rig = Rig({"a": Play(result=b"1", after=1.0)})
        for _ in range(10):
            await rig.pool.call(a_call(), NUMBER)
        for number in range(50):
            error = await fails(rig.pool.call(a_call(deadline=0.5), NUMBER))
            assert (type(error), error.code) == (Retryable, "hurried")
            if number % 10 == 9:
                await rig.pool.call(a_call(), NUMBER)
        (health,) = rig.pool.health(rig.loop.time())
        assert (health.error_breaker, health.failing_for) == (State.CLOSED, None)
        assert await rig.pool.call(a_call(), NUMBER) == 1

    run(main())


def test_haste_is_no_excuse_for_a_provider_that_has_fallen_silent() -> None:
    async def main() -> None:
        phase = {"play": Play(result=b"1", after=1.0)}
        rig = Rig({"a": lambda _: phase["play"]})
        for _ in range(10):
            await rig.pool.call(a_call(), NUMBER)
        phase["play"] = SILENT
        for _ in range(60):
            await fails(rig.pool.call(a_call(deadline=0.5), NUMBER))
        (health,) = rig.pool.health(rig.loop.time())
        assert health.error_breaker is not State.CLOSED
        assert health.failing_for is not None

    run(main())


def test_broadcasts_pass_a_crowd_of_backfill() -> None:
    async def main() -> None:
        rig = Rig({"a": Play(result=b"1", after=0.2)}, providers={"a": settings_of("a", rps=20.0, concurrency=8)})
        backfill = a_call(priority=Priority.BACKFILL, deadline=600.0)
        crowd = [asyncio.create_task(rig.pool.call(backfill, NUMBER)) for _ in range(500)]
        await asyncio.sleep(5.0)
        for _ in range(20):
            began = rig.loop.time()
            await rig.pool.call(a_call("sendTransaction", priority=Priority.BROADCAST, broadcast=True), NUMBER)
            assert rig.loop.time() - began <= 0.2001, "it waited behind backfill"
            await asyncio.sleep(0.5)
        await asyncio.gather(*crowd)

    run(main())


@pytest.mark.parametrize(
    ("play", "kind", "code"),
    [
        (SILENT, Ambiguous, "timeout"),
        (BUSY, Ambiguous, "overloaded"),
        (Play(fault=Fault.BROKEN_OFF), Ambiguous, "broken_off"),
        (Play(fault=Fault.GARBLED), Ambiguous, "garbled"),
        (Play(fault=Fault.UNREACHABLE), Retryable, "unreachable"),
        (Play(body=b"<html>"), Ambiguous, "provider_broken"),
        (Play(body=b'{"id":999999,"result":1}'), Ambiguous, "provider_broken"),
        (Play(result=b'"undecodable"'), Ambiguous, "provider_broken"),
        (rpc_error(-39999, "never seen"), Ambiguous, "unknown"),
        (rpc_error(-32603, "internal"), Ambiguous, "unhealthy"),
        (THROTTLED, Retryable, "throttled"),
        (Play(status=403, body=b""), Retryable, "auth"),
        (rpc_error(-32016), Retryable, "not_yet"),
        (rpc_error(-32002, "Blockhash not found"), Verdict, "blockhash_not_found"),
        (rpc_error(-32003), Permanent, "signature_invalid"),
    ],
)
def test_a_broadcast_is_sent_once_and_its_trouble_is_ambiguous(play: Play, kind: type[ChainError], code: str) -> None:
    async def main() -> None:
        rig = Rig({"a": play, "b": ONE})
        error = await fails(rig.pool.call(a_call("sendTransaction", broadcast=True), NUMBER))
        assert (type(error), error.code) == (kind, code)
        assert rig.sent() == {"a": 1, "b": 0}
        assert rig.in_flight() == 0

    run(main())


def test_call_each_asks_everybody_once_and_tells_who_said_what() -> None:
    async def main() -> None:
        rig = Rig({"a": ONE, "b": BUSY, "c": NOT_YET, "d": SILENT, "e": ONE, "f": rpc_error(-32002, "no")})
        rig.pool.report_integrity("e", "it lied")
        began = rig.loop.time()
        answers = await rig.pool.call_each(a_call(deadline=3.0), NUMBER)
        told = [(answer.provider, answer.value, type(answer.error).__name__, answer.error) for answer in answers]
        assert [(name, value, kind) for name, value, kind, _ in told] == [
            ("a", 1, "NoneType"),
            ("b", None, "Retryable"),
            ("c", None, "Retryable"),
            ("d", None, "Retryable"),
            ("f", None, "Verdict"),
        ]
        codes = [error.code for _, _, _, error in told if error is not None]
        assert codes == ["overloaded", "not_yet", "timeout", "simulation_failed"]
        assert rig.sent() == {"a": 1, "b": 1, "c": 1, "d": 1, "e": 0, "f": 1}
        assert rig.loop.time() - began <= 3.0

    run(main())


def test_call_each_leaves_each_provider_the_whole_time() -> None:
    async def main() -> None:
        rig = Rig({"a": Play(result=b"1", after=2.5), "b": Play(result=b"2", after=2.5)})
        answers = await rig.pool.call_each(a_call(deadline=3.0), NUMBER)
        assert [answer.value for answer in answers] == [1, 2]

    run(main())


def test_call_each_of_a_broadcast_sends_it_once_to_each() -> None:
    async def main() -> None:
        rig = Rig({"a": ONE, "b": BUSY, "c": SILENT})
        call = a_call("sendTransaction", priority=Priority.BROADCAST, broadcast=True)
        answers = await rig.pool.call_each(call, NUMBER)
        assert [type(answer.error) for answer in answers] == [type(None), Ambiguous, Ambiguous]
        assert rig.sent() == {"a": 1, "b": 1, "c": 1}

    run(main())


def test_call_each_is_empty_when_nobody_may_be_asked() -> None:
    async def main() -> None:
        rig = Rig({"a": ONE})
        rig.pool.report_integrity("a", "it lied")
        assert await rig.pool.call_each(a_call(), NUMBER) == ()

    run(main())


def test_an_error_shows_where_it_came_from_and_no_secret() -> None:
    async def main() -> None:
        rig = Rig({"a": Play(fault=Fault.BROKEN_OFF)}, pool=PoolSettings(max_attempts=1))
        error = await fails(rig.pool.call(a_call(), NUMBER))
        assert error.__cause__ is not None
        assert "secret-key" not in str(error)
        assert "secret-key" not in repr(rig.pool.health(rig.loop.time()))

    run(main())


def test_settings_hide_their_secrets_and_refuse_nonsense() -> None:
    settings = ProviderSettings(
        name="a", url="https://x.infura.io/v3/secret-key", requests_per_second=5.0, headers={"X-Key": "hush"}
    )
    assert "secret" not in repr(settings)
    assert "hush" not in repr(settings)
    assert (settings.host, settings.known_vendor, settings.metered_as) == ("x.infura.io", "infura", "a@x.infura.io")
    for url, rate in (("ftp://x", 1.0), ("http://", 1.0), ("http://x", 0.0), ("http://x", float("nan"))):
        with pytest.raises(ValueError, match="provider 'a'"):
            ProviderSettings(name="a", url=url, requests_per_second=rate)


def test_a_pool_needs_providers_with_names_of_their_own() -> None:
    async def main() -> None:
        wire = RecordedTransport(sequence([ONE]))
        for providers in ([], [(settings_of("a"), wire), (settings_of("a"), wire)]):
            with pytest.raises(ValueError, match="name of its own"):
                Pool("testnet", "evm", providers, clock=asyncio.get_running_loop().time)

    run(main())


def test_closing_refuses_what_waits_and_closes_the_wires() -> None:
    async def main() -> None:
        rig = Rig({"a": Play(result=b"1", after=1.0)}, providers={"a": settings_of("a", concurrency=1)})
        working = asyncio.create_task(rig.pool.call(a_call(), NUMBER))
        await asyncio.sleep(0)
        waiting = asyncio.create_task(rig.pool.call(a_call(), NUMBER))
        await asyncio.sleep(0.1)
        async with rig.pool:
            pass
        assert isinstance(await fails(waiting), NoProvider)
        assert isinstance(await fails(rig.pool.call(a_call(), NUMBER)), NoProvider)
        assert await working == 1
        assert rig.wires["a"].closed

    run(main())


class _Strange(RecordedTransport):
    """A wire under which something breaks that nobody thought of."""

    async def send(self, request: Request) -> Response:
        self.sent.append(request)
        await asyncio.sleep(0.01)
        raise ZeroDivisionError("nobody thought of it")


def test_an_error_that_nobody_thought_of_is_that_providers_and_stops_nobody_else() -> None:
    async def main() -> None:
        slow = RecordedTransport(sequence([Play(result=b"2", after=0.05)]))
        wires: list[tuple[ProviderSettings, Transport]] = [
            (settings_of("a"), _Strange(sequence([ONE]))),
            (settings_of("b"), slow),
        ]
        pool = Pool("testnet", "evm", wires, clock=asyncio.get_running_loop().time)
        assert await pool.call(a_call(), NUMBER) == 2
        send = a_call("eth_sendRawTransaction", "0x1", priority=Priority.BROADCAST, broadcast=True)
        first, second = await pool.call_each(send, NUMBER)
        assert isinstance(first.error, Ambiguous)
        assert (first.error.code, second.value) == ("garbled", 2)

    run(main())


@pytest.mark.parametrize("known", [False, True])
@pytest.mark.parametrize(("slots", "answer", "deadline"), [(3, 1.3, 2.0), (8, 6.0, 10.0), (8, 9.0, 10.0)])
def test_where_an_answer_takes_most_of_the_time_a_line_is_no_collapse(
    slots: int, answer: float, deadline: float, known: bool
) -> None:
    """Whoever stands in line until there is less time left than an answer takes is asked for in vain, and where all
    do, nothing is ever answered, and nothing learned."""

    async def main() -> None:
        play = Play(result=b"1", after=answer)
        rig = Rig({"a": play}, providers={"a": settings_of("a", concurrency=slots)})
        if known:
            for _ in range(12):
                await rig.pool.call(a_call(deadline=30.0), NUMBER)
        answered = Counter[str]()

        async def ask() -> None:
            try:
                await rig.pool.call(a_call(deadline=deadline), NUMBER)
                answered["ok"] += 1
            except ChainError as error:
                answered[error.code] += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(500):
                group.create_task(ask())
                await asyncio.sleep(0.2)
        assert answered["ok"] >= 0.5 * 100.0 * (slots - 2) / answer

    run(main())


def test_a_provider_whose_answers_nobody_knows_is_left_alone_while_another_answers() -> None:
    async def main() -> None:
        rig = Rig({"a": rpc_error(-39999, "weird"), "b": Play(result=b"1", after=0.05)}, family="evm")
        failed = 0

        async def ask() -> None:
            nonlocal failed
            try:
                await rig.pool.call(a_call(), NUMBER)
            except ChainError:
                failed += 1

        async with asyncio.TaskGroup() as group:
            for _ in range(1_000):
                group.create_task(ask())
                await asyncio.sleep(0.05)
        assert failed <= 10
        assert rig.pool.health(rig.loop.time())[0].error_breaker is not State.CLOSED

    run(main())


@pytest.mark.parametrize("hiccup", [rpc_error(-32601, "not found"), Play(status=405, body=b""), rpc_error(-32001)])
def test_a_method_that_has_worked_is_not_gone_because_of_one_hiccup(hiccup: Play) -> None:
    async def main() -> None:
        rig = Rig({name: sequence([ONE, hiccup, ONE]) for name in "abc"}, family="evm")
        assert len(await rig.pool.call_each(a_call("eth_getBlockByNumber"), NUMBER)) == 3
        assert isinstance(await fails(rig.pool.call(a_call("eth_getBlockByNumber"), NUMBER)), Retryable)
        assert all(health.unsupported == () for health in rig.pool.health(rig.loop.time()))
        assert await rig.pool.call(a_call("eth_getBlockByNumber"), NUMBER) == 1

    run(main())


def test_a_method_that_a_provider_takes_away_is_gone_after_as_long_as_it_would_be_believed() -> None:
    async def main() -> None:
        rig = Rig(
            {"a": sequence([ONE, rpc_error(-32601)])}, family="evm", pool=PoolSettings(unsupported_ttl_seconds=60.0)
        )
        assert await rig.pool.call(a_call("m"), NUMBER) == 1
        for seconds in (0.0, 30.0, 29.0):
            await asyncio.sleep(seconds)
            assert isinstance(await fails(rig.pool.call_from("a", a_call("m"), NUMBER)), Retryable)
        await asyncio.sleep(2.0)
        assert isinstance(await fails(rig.pool.call_from("a", a_call("m"), NUMBER)), Permanent)

    run(main())


def test_what_was_learned_of_methods_is_forgotten_when_a_person_has_looked() -> None:
    async def main() -> None:
        rig = Rig({"a": sequence([rpc_error(-32601), ONE])}, family="evm")
        assert (await fails(rig.pool.call(a_call("m"), NUMBER))).code == "unsupported"
        assert (await fails(rig.pool.call(a_call("m"), NUMBER))).code == "unsupported"
        rig.pool.release("a")
        assert await rig.pool.call(a_call("m"), NUMBER) == 1

    run(main())


def test_reads_that_hang_at_a_provider_on_its_way_back_keep_no_broadcast_out() -> None:
    async def main() -> None:
        rig = Rig({"a": BUSY})
        for _ in range(20):
            await fails(rig.pool.call_from("a", a_call(), NUMBER))
        await asyncio.sleep(1.0)
        rig.wires["a"].script = lambda request: SILENT if request.method == "getBlock" else ONE
        reads = [asyncio.create_task(rig.pool.call(a_call("getBlock", deadline=30.0), NUMBER)) for _ in range(8)]
        await asyncio.sleep(0.1)
        began = rig.loop.time()
        for _ in range(3):
            call = a_call("sendTransaction", priority=Priority.BROADCAST, deadline=5.0, broadcast=True)
            assert await rig.pool.call(call, NUMBER) == 1
        assert rig.loop.time() == began
        await asyncio.gather(*reads, return_exceptions=True)

    run(main())
