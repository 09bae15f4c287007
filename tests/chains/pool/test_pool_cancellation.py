"""A call that is given up may be given up at any moment: each story is told once for every step of the loop.

For each scenario and each of its calls the whole runs again and again, and each time the call is cancelled (or all of
them are, or the pool is closed) one step of the loop later, until the story is over before that. Whatever the moment:
no permit stays out, nobody is forgotten in the queue or at somebody else's answer, no breaker is wedged, the account
was charged for exactly what went over the wire, and no broadcast reached a provider twice.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from chains.errors import ChainError
from chains.pool.breaker import State
from chains.pool.calls import Priority
from chains.pool.limiter import Accounts, Limiter
from chains.pool.recorded import Play, sequence
from chains.pool.settings import LimiterSettings, Metering, PoolSettings, ProviderSettings
from tests.chains.pool.rig import BUSY, NUMBER, ONE, SILENT, THROTTLED, Rig, a_call
from tests.virtualtime import VirtualTimeLoop

DAY, QUOTA, RATE = 86_400.0, 150.0, 1_000.0
END = 5_000.0
"""Every story is over long before this time, and what it took is still in the day's window."""
PLAN = Metering(windows=((DAY, QUOTA),))
NO_SHARES = LimiterSettings(urgent_share=0.0, head_share=0.0, backfill_share=1.0)
"""So that what is left of the quota can be counted out by anybody."""


Caller = Callable[[Rig], Coroutine[Any, Any, None]]


class SteppedLoop(VirtualTimeLoop):
    """Does one thing more, between two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0
        self.at_step = -1
        self.act: Callable[[], None] = lambda: None

    def _run_once(self) -> None:
        if self.steps == self.at_step:
            self.act()
        self.steps += 1
        super()._run_once()  # type: ignore[misc]  # asyncio's own step


@dataclass(frozen=True)
class Story:
    """`prepare` makes the rig ready; `calls` are then made all at once."""

    scripts: dict[str, Play | list[Play]]
    calls: tuple[Caller, ...]
    prepare: Caller | None = None
    concurrency: int = 8
    pool: PoolSettings | None = None


def ask(number: int = 0, priority: Priority = Priority.LIVE, deadline: float = 5.0) -> Caller:
    """Number 0 is a question of its own."""

    async def caller(rig: Rig) -> None:
        await rig.pool.call(a_call("m", *([number] if number else []), priority=priority, deadline=deadline), NUMBER)

    return caller


def send(number: int, *, each: bool = False) -> Caller:
    call = a_call("sendTransaction", number, priority=Priority.BROADCAST, broadcast=True, deadline=5.0)

    async def caller(rig: Rig) -> None:
        await (rig.pool.call_each(call, NUMBER) if each else rig.pool.call(call, NUMBER))

    return caller


async def ask_everybody(rig: Rig) -> None:
    await rig.pool.call_each(a_call(deadline=1.0), NUMBER)


async def ask_b(rig: Rig) -> None:
    await rig.pool.call_from("b", a_call(deadline=1.0), NUMBER)


async def practise(rig: Rig) -> None:
    """Until the pool knows what is usual, and has saved up a second question; then everything is slow."""
    for wire in rig.wires.values():
        wire.script = sequence([Play(result=b"1", after=0.05)])
    for _ in range(60):
        await rig.pool.call(a_call(), NUMBER)
    for wire in rig.wires.values():
        wire.script = sequence([Play(result=b"1", after=0.8)])


async def break_it(rig: Rig) -> None:
    """Until the breaker of `a` is open; then wait for it to be half open, when answers come, but slowly."""
    rig.wires["a"].script = sequence([BUSY])
    for _ in range(40):
        await asyncio.gather(rig.pool.call_from("a", a_call(), NUMBER), return_exceptions=True)
    assert rig.pool.health(rig.loop.time())[0].error_breaker is State.OPEN
    await asyncio.sleep(1.3)
    rig.wires["a"].script = sequence([Play(result=b"1", after=0.5)])


SLOW, LATER = Play(result=b"1", after=0.3), Play(status=503, body=b"", after=0.3)
STORIES: dict[str, Story] = {
    "standing in line for one place": Story({"a": SLOW}, (ask(), ask(), ask()), concurrency=1),
    "failing over, backing off, trying again": Story({"a": [LATER, ONE], "b": [BUSY, LATER, ONE]}, (ask(), ask())),
    "silence until the time is up": Story({"a": SILENT, "b": SLOW}, (ask(deadline=2.0), ask(deadline=0.2))),
    "a throttled account": Story({"a": [THROTTLED, ONE]}, (ask(), ask())),
    "one question of three": Story({"a": [LATER, SLOW]}, (ask(5), ask(5), ask(5)), pool=PoolSettings(max_attempts=1)),
    "a question to everybody, and one to one": Story({"a": SLOW, "b": LATER}, (ask_everybody, ask_b)),
    "broadcasts": Story({"a": SLOW, "b": [LATER, SILENT]}, (send(1), send(2, each=True), send(3)), concurrency=3),
    "asked twice": Story({"a": ONE, "b": ONE}, (ask(), ask(priority=Priority.HEAD)), practise),
    "asked twice, and both fail": Story(
        {"a": ONE, "b": ONE}, (ask(deadline=0.4), ask(priority=Priority.HEAD, deadline=0.6)), practise
    ),
    "knocking at a half-open breaker": Story({"a": ONE}, (ask(), ask(), send(1)), break_it),
}


def run_until(story: Story, victim: int | str, step: int) -> bool:
    """Tell the story, acting at a step counted from when the calls begin; False: it was over before."""

    async def main(loop: SteppedLoop) -> bool:
        accounts = Accounts(NO_SHARES)
        providers = {
            name: ProviderSettings(
                name=name,
                url=f"http://{name}.invalid/",
                requests_per_second=RATE,
                metering=PLAN,
                concurrency=story.concurrency,
                timeout_seconds=1.5,
            )
            for name in story.scripts
        }
        scripts = {name: sequence([s] if isinstance(s, Play) else s) for name, s in story.scripts.items()}
        rig = Rig(dict(scripts), providers=providers, accounts=accounts, pool=story.pool)
        if story.prepare is not None:
            await story.prepare(rig)
        tasks = [asyncio.ensure_future(call(rig)) for call in story.calls]
        closing: list[asyncio.Task[None]] = []
        given_up: set[int] = set()

        def act() -> None:
            if victim == "the pool":
                closing.append(loop.create_task(rig.pool.close()))
            for number, task in enumerate(tasks):
                if victim in {number, "all"} and task.cancel():
                    given_up.add(number)

        loop.act, loop.at_step = act, loop.steps + step
        results = await asyncio.gather(*tasks, return_exceptions=True)
        acted, loop.at_step = loop.steps > loop.at_step, -1
        await asyncio.gather(*closing)
        for number, result in enumerate(results):
            assert isinstance(result, asyncio.CancelledError) is (number in given_up), "a cancellation is obeyed"
            if isinstance(result, BaseException) and not isinstance(result, (ChainError, asyncio.CancelledError)):
                raise result
        await asyncio.sleep(0)
        await judge(rig, accounts, providers)
        return acted

    with asyncio.Runner(loop_factory=SteppedLoop) as runner:
        lost: list[dict[str, Any]] = []
        loop = runner.get_loop()
        assert isinstance(loop, SteppedLoop)
        loop.set_exception_handler(lambda _, context: lost.append(context))
        acted = runner.run(main(loop))
    assert not lost, lost
    return acted


async def judge(rig: Rig, accounts: Accounts, providers: dict[str, ProviderSettings]) -> None:
    assert rig.in_flight() == 0, "a permit leaked"
    assert rig.waiting() == 0, "somebody was forgotten in the queue"
    for name, wire in rig.wires.items():
        told = Counter(request.params for request in wire.sent if request.method == "sendTransaction")
        assert all(count == 1 for count in told.values()), "a broadcast was sent twice to one provider"
        now = rig.loop.time()
        limiter = accounts.limiter(providers[name].metered_as, RATE, now, PLAN)
        charged = QUOTA - left_of(limiter, now)
        assert charged == len(wire.sent), "the account was charged for something else than what was sent"
    if rig.wires["a"].closed:
        return
    for wire in rig.wires.values():
        wire.script = sequence([ONE])
    await asyncio.sleep(1.1 * DAY)
    for name in rig.wires:
        for _ in range(4):
            assert await rig.pool.call_from(name, a_call("m", 5), NUMBER) == 1
    assert await asyncio.gather(*(rig.pool.call(a_call("m", 5), NUMBER) for _ in range(3))) == [1, 1, 1]
    assert {health.error_breaker for health in rig.pool.health(rig.loop.time())} == {State.CLOSED}


def left_of(limiter: Limiter, now: float) -> int:
    """What is left of the day's quota, by taking it."""
    count = 0
    while (at := limiter.ready_at(now, Priority.BROADCAST)) < END:
        if at > now:
            now = at
            continue
        limiter.take(now, Priority.BROADCAST)
        count += 1
        assert count <= QUOTA
    return count


@pytest.mark.parametrize("name", STORIES)
def test_it_may_be_given_up_at_every_step(name: str) -> None:
    story = STORIES[name]
    victims: list[int | str] = [*range(len(story.calls)), "all", "the pool"]
    for victim in victims:
        step = 0
        while run_until(story, victim, step):
            step += 1
            assert step < 500, "the story has an end"
        assert step > 3, "there were steps to be given up at"
