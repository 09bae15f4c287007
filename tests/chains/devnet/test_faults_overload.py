"""Overload as faults play it: counts and seconds exactly, because time is virtual; and the real pool behind them."""

from __future__ import annotations

import asyncio
from collections import Counter

import msgspec
import pytest

from chains.devnet.faults.exchange import Fault, Reply
from chains.devnet.faults.overload import (
    DIALECTS,
    Dialect,
    PenaltyBox,
    Quota,
    SilentQueue,
    ThrottledInside,
    TooManyRequests,
)
from chains.errors import ChainError
from chains.pool.calls import Call, Priority
from chains.pool.classify import EVM, SOLANA, Kind, classify
from chains.pool.jsonrpc import read
from chains.pool.pool import Pool
from chains.pool.settings import ProviderSettings
from tests.chains.devnet.faultrig import Echo, FaultyTransport, Rig, batch_of, body_of
from tests.virtualtime import run

START = 1_000.0


def loop_time() -> float:
    return asyncio.get_running_loop().time() - START


@pytest.mark.parametrize(
    ("fault", "headers"),
    [
        (TooManyRequests(), {}),
        (TooManyRequests(retry_after=7), {"Retry-After": "7"}),
        (
            TooManyRequests(limit=40, reset=3),
            {"X-Ratelimit-Limit": "40", "X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "3"},
        ),
        (
            TooManyRequests(retry_after=0, reset=9),
            {"Retry-After": "0", "X-Ratelimit-Remaining": "0", "X-Ratelimit-Reset": "9"},
        ),
    ],
)
def test_a_429_has_the_headers_it_was_given(fault: TooManyRequests, headers: dict[str, str]) -> None:
    async def main() -> None:
        node = Echo()
        answer = await Rig(fault, node).send(body_of("m"))
        assert isinstance(answer, Reply)
        assert answer.status == 429
        assert {name: value for name, value in answer.headers.items() if name != "Content-Type"} == headers
        assert not node.seen

    run(main())


@pytest.mark.parametrize(("retry_after", "headers"), [(None, {}), (3, {"Retry-After": "3"})])
def test_a_quota_is_for_each_second_and_says_so_to_the_rest(retry_after: int | None, headers: dict[str, str]) -> None:
    async def main() -> None:
        node = Echo()
        rig = Rig(Quota(requests=3, retry_after=retry_after), node)
        statuses: list[int] = []
        for _ in range(2):
            for _ in range(5):
                answer = await rig.send(body_of("m"))
                assert isinstance(answer, Reply)
                statuses.append(answer.status)
                if answer.status == 429:
                    assert {name: said for name, said in answer.headers.items() if name != "Content-Type"} == headers
            await asyncio.sleep(1.0)
        assert statuses == [200, 200, 200, 429, 429] * 2
        assert len(node.seen) == 6

    run(main())


@pytest.mark.parametrize(
    ("says", "family", "vendor"),
    [
        (Dialect.PLAIN, SOLANA, ""),
        (Dialect.PLAIN, EVM, ""),
        (Dialect.SOLANA, SOLANA, ""),
        (Dialect.INFURA, EVM, "infura"),
        (Dialect.QUICKNODE, EVM, "quicknode"),
        (Dialect.BASE, EVM, "base"),
        (Dialect.GATEWAY, EVM, ""),
        (Dialect.CLOUDFLARE, EVM, ""),
    ],
)
def test_every_dialect_of_a_throttle_is_understood(says: Dialect, family: str, vendor: str) -> None:
    async def main() -> None:
        answer = await Rig(ThrottledInside(says=says, backoff_seconds=4.0), Echo()).send(body_of("m", id_=5))
        assert isinstance(answer, Reply)
        assert answer.status == 200
        evidence = read(5, answer.status, {}, answer.body)
        assert not isinstance(evidence, msgspec.Raw)
        meaning = classify(family, vendor, evidence)
        assert (meaning.kind, meaning.pause) == (Kind.THROTTLED, 4.0 if says is Dialect.INFURA else 0.0)

    run(main())


def test_no_dialect_is_left_out() -> None:
    assert set(DIALECTS) == set(Dialect)


def test_a_batch_is_refused_call_by_call() -> None:
    async def main() -> None:
        answer = await Rig(ThrottledInside(), Echo()).send(batch_of(("a", 1), ("b", 2)))
        assert isinstance(answer, Reply)
        assert [(one["id"], one["error"]["code"]) for one in msgspec.json.decode(answer.body)] == [(1, 429), (2, 429)]
        nonsense = await Rig(ThrottledInside(), Echo()).send(b"not json")
        assert isinstance(nonsense, Reply)
        assert nonsense.status == 429

    run(main())


def test_a_silent_queue_answers_everything_at_its_own_pace() -> None:
    async def main() -> None:
        node = Echo()
        rig = Rig(SilentQueue(capacity=4.0), node)
        done: list[float] = []

        async def one(number: int) -> None:
            assert await rig.ask("m", number) == [number]
            done.append(loop_time())

        await asyncio.gather(*(one(number) for number in range(8)))
        assert done == [0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0]
        await rig.send(batch_of(("a", 1), ("b", 2)))
        assert loop_time() == 2.5

    run(main())


def test_who_hangs_up_keeps_the_place_in_a_silent_queue() -> None:
    async def main() -> None:
        node = Echo()
        rig = Rig(SilentQueue(capacity=1.0), node)
        leaving = [asyncio.create_task(rig.ask("m", number)) for number in range(5)]
        await asyncio.sleep(0.5)
        for task in leaving:
            task.cancel()
        await rig.ask("last")
        assert loop_time() == 6.0

    run(main())


def test_what_a_silent_queue_holds_is_let_go_when_it_ends() -> None:
    async def main() -> None:
        rig = Rig(SilentQueue(capacity=0.1), Echo())
        waiting = [asyncio.create_task(rig.ask("m", number)) for number in range(3)]
        await asyncio.sleep(2.0)
        rig.stage.over.set()
        assert await asyncio.gather(*waiting) == [[0], [1], [2]]
        assert loop_time() == 2.0

    run(main())


@pytest.mark.parametrize(("renews", "good"), [(False, [0, 1, 2, 13, 14, 15]), (True, [0, 1, 2])])
def test_a_penalty_box_shuts_for_everybody(renews: bool, good: list[int]) -> None:
    async def main() -> None:
        node = Echo()
        rig = Rig(PenaltyBox(requests=3, window=10.0, penalty=10.0, renews=renews), node)
        statuses = []
        for _ in range(17):
            answer = await rig.send(body_of("m"))
            assert isinstance(answer, Reply)
            statuses.append(answer.status)
            await asyncio.sleep(1.0)
        assert [second for second, status in enumerate(statuses) if status == 200] == good
        assert set(statuses) == {200, 429}
        assert len(node.seen) == len(good)

    run(main())


def test_a_penalty_box_forgets_what_is_older_than_its_window() -> None:
    async def main() -> None:
        rig = Rig(PenaltyBox(requests=3, window=3.0, penalty=10.0), Echo())
        for _ in range(50):
            answer = await rig.send(body_of("m"))
            assert isinstance(answer, Reply)
            assert answer.status == 200
            await asyncio.sleep(1.0)

    run(main())


async def offered(fault: Fault, *, per_second: int, seconds: int, contract: float) -> tuple[Counter[str], int]:
    """What became of an open loop of reads through the real pool, and how many requests it sent."""
    transport = FaultyTransport(fault, Echo())
    settings = ProviderSettings(name="p", url="http://p.invalid/", requests_per_second=contract)
    ends: Counter[str] = Counter()
    decoder = msgspec.json.Decoder(list[int])

    async def one(pool: Pool, number: int) -> None:
        call = Call(method="m", params=(number,), priority=Priority.LIVE, deadline=2.0, broadcast=False)
        try:
            assert await pool.call(call, decoder) == [number]
            ends["good"] += 1
        except ChainError as error:
            ends[error.code] += 1

    async with Pool("c", EVM, [(settings, transport)], clock=asyncio.get_running_loop().time) as pool:
        tasks: list[asyncio.Task[None]] = []
        for number in range(per_second * seconds):
            tasks.append(asyncio.create_task(one(pool, number)))
            await asyncio.sleep(1.0 / per_second)
        await asyncio.gather(*tasks)
    return ends, transport.sent


def test_the_pool_under_its_contract_never_meets_the_penalty_box() -> None:
    ends, sent = run(offered(PenaltyBox(requests=200, window=10.0), per_second=40, seconds=60, contract=20.0))
    assert ends["good"] >= 900
    assert sent == ends["good"], "every request that was sent was useful"


def test_the_pool_leaves_a_provider_that_throttles_inside_200_alone() -> None:
    fault = ThrottledInside(says=Dialect.INFURA, backoff_seconds=20.0)
    ends, sent = run(offered(fault, per_second=20, seconds=60, contract=100.0))
    assert ends["good"] == 0
    assert sent <= 5
