"""Automatic holds: after a grace, with their cause, lifted after calm, and never anybody else's."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from typing import cast

import msgspec
import pytest

from chains.errors import Integrity, Permanent, Retryable
from chains.observations import NATIVE, Block, Range
from chains.pool.calls import Call
from chains.ports import Adapter, WatchList
from custody.flows.deposits import WatchSettings
from custody.flows.sweeps import SweepSettings
from custody.flows.withdrawals import PayoutSettings
from custody.pausing.machine import PauseState
from custody.pausing.settings import PauseSettings
from tests.chains.lyingproviders import Reply, honest
from tests.custody.flows.life import START_MS, Choices, clock, provider
from tests.custody.flows.rig import World, a_bank, a_world
from tests.custody.flows.sides import SolanaSide
from tests.virtualtime import run

SOL = 10**9
SETTINGS = PauseSettings(
    hold_seconds=20.0, window_seconds=5.0, windows=2, ramp_seconds=1.0, flap_seconds=5.0, stagger_seconds=1.0
)
CHOICES = Choices(pause=SETTINGS)


def silence(world: World) -> None:
    """Every provider is a black hole from now on."""
    assert isinstance(world.side, SolanaSide)
    world.side.upstream.unavailable = {"one", "two"}
    world.chain().health[:] = [
        provider(name, failing_for=60.0, last_error="timeout", last_success_ago=60.0) for name in ("one", "two")
    ]


def voices(world: World) -> None:
    """They answer again."""
    assert isinstance(world.side, SolanaSide)
    world.side.upstream.unavailable = set()
    world.chain().health[:] = [provider("one"), provider("two")]


def test_the_chain_is_held_after_the_grace_and_released_after_the_calm() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=CHOICES) as world, world.running():
            await asyncio.sleep(5)
            assert world.holds() == {}
            silence(world)
            await asyncio.sleep(9)
            assert world.holds() == {}, "not within the grace"
            await asyncio.sleep(3)
            rows = sorted(world.state.holds.rows(), key=lambda row: row[1].direction)
            assert [hold.direction for _, hold in rows] == ["deposits", "withdrawals"]
            for _, hold in rows:
                assert (hold.cause, hold.origin, hold.chain) == ("provider", "auto", "solana")
                assert "one: timeout" in hold.reason
                assert hold.since > START_MS
            assert "no trustworthy provider" in rows[0][1].reason
            assert "0 of 1 ways to send" in rows[1][1].reason
            name = rows[1][0]
            # Nothing is lost meanwhile: a withdrawal is accepted and waits with its reason, a deposit comes later.
            await world.withdraw("w-1", "SOL", SOL, to=side.stranger(1))
            alice = world.state.slots.need("alice", "solana").address
            await side.give(alice, NATIVE, SOL)
            await asyncio.sleep(120)
            assert world.withdrawal("w-1").state == "queued"
            assert world.chain().condition.waiting["w-1"] == f"held by {name[0]}"
            assert len(world.holds()) == 2, "one hold a direction, however long it lasts"
            ages = {one.direction: one.queue_age for one in world.chain().pause.standings()}
            assert ages["withdrawals"] == pytest.approx(120.0, abs=5.0)
            balance = world.available("alice", "SOL")
            voices(world)
            await asyncio.sleep(8)
            assert len(world.holds()) == 2, "not before the windows are clean"
            assert world.available("alice", "SOL") == balance
            assert len(world.state.pending) == 1, "recorded as soon as it can be trusted"
            await asyncio.sleep(40)
            assert world.holds() == {}
            assert world.available("alice", "SOL") == balance + SOL
            assert world.withdrawal("w-1").state == "settled"

    run(story())


def test_flapping_neither_holds_for_a_blink_nor_releases_for_one() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world, world.running():
            for _ in range(10):
                silence(world)
                await asyncio.sleep(3)
                voices(world)
                await asyncio.sleep(8)
            assert world.holds() == {}
            silence(world)
            await asyncio.sleep(12)
            assert list(world.holds().values()) == ["provider"] * 2
            for _ in range(10):
                voices(world)
                await asyncio.sleep(9)
                silence(world)
                await asyncio.sleep(3)
            assert list(world.holds().values()) == ["provider"] * 2
            voices(world)
            await asyncio.sleep(40)
            assert world.holds() == {}

    run(story())


def test_an_automatic_lift_never_lifts_what_a_person_set() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world, world.running():
            await world.hold("mine", chain="solana", direction="both")
            silence(world)
            await asyncio.sleep(20)
            assert sorted(world.holds().values()) == ["pause", "provider", "provider"]
            voices(world)
            await asyncio.sleep(60)
            assert world.holds() == {"mine": "pause"}

    run(story())


def test_one_provider_that_answers_is_enough() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world, world.running():
            world.chain().health[0] = provider("one", may_ask=False, reason="open breaker")
            await asyncio.sleep(60)
            assert world.holds() == {}
            world.chain().health[1] = provider("two", may_ask=False, reason="cordoned by an operator")
            await asyncio.sleep(12)
            assert len(world.holds()) == 2
            assert all("cordoned by an operator" in hold.reason for _, hold in world.state.holds.rows())

    run(story())


def test_a_chain_that_cannot_be_read_is_held_though_its_providers_look_well() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world, world.running():
            side.upstream.unavailable = {"one", "two"}
            await asyncio.sleep(30)
            assert len(world.holds()) == 2
            for _, hold in world.state.holds.rows():
                assert (hold.cause, hold.reason.split(" (")[0]) == ("provider", "the chain can't be read")

    run(story())


def test_a_contradiction_is_held_until_a_person_lifts_it() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world:
            chain = world.chain()
            chain.condition.failed(Integrity("parent_mismatch", "another history"))
            await chain.pause.step()
            assert world.holds() == {}, "not for a blink"
            await asyncio.sleep(6)
            await chain.pause.step()
            await chain.pause.step()
            [(name, hold)] = world.state.holds.rows()
            assert (hold.cause, hold.direction) == ("integrity", "all")
            assert "parent_mismatch" in hold.reason
            chain.condition.scanned()
            for _ in range(200):
                await asyncio.sleep(0.5)
                await chain.pause.step()
            assert world.holds() == {str(name[0]): "integrity"}
            await world.lift(str(name[0]))
            await chain.pause.step()
            assert world.holds() == {}

    run(story())


def test_the_hold_outlives_the_daemon_and_the_next_one_lifts_it() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world:
            async with world.running():
                silence(world)
                await asyncio.sleep(20)
            await world.restart()
            assert list(world.holds().values()) == ["provider"] * 2
            voices(world)
            async with world.running():
                await asyncio.sleep(8)
                assert list(world.holds().values()) == ["provider"] * 2
                assert "no trustworthy provider" in world.chain().pause.standings()[0].reason
                await asyncio.sleep(30)
                assert world.holds() == {}

    run(story())


@pytest.mark.parametrize("seconds", [60, 3600])
def test_a_hold_ends_when_its_time_has_run_out(seconds: int) -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            alice = await world.user("alice")
            await world.hold("h-1", chain="solana", direction="deposits", until=clock()() + 1000 * seconds)
            await world.hold("h-2", chain="solana", direction="withdrawals")
            await world.receive(alice, NATIVE, SOL)
            task = asyncio.create_task(world.life.expiry.run())
            await asyncio.sleep(seconds - 2)
            assert (world.available("alice", "SOL"), len(world.holds())) == (0, 2)
            await asyncio.sleep(4)
            assert world.holds() == {"h-2": "pause"}
            assert world.available("alice", "SOL") == SOL
            task.cancel()

    run(story())


def test_after_a_pause_payouts_begin_with_a_few_and_ramp_up() -> None:
    slow = msgspec.structs.replace(SETTINGS, ramp_step=0.25, ramp_seconds=60.0)
    choices = Choices(pause=slow, payouts=PayoutSettings(in_flight=8))

    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=choices) as world, world.running():
            silence(world)
            await asyncio.sleep(12)
            for number in range(20):
                await world.withdraw(f"w-{number}", "SOL", SOL // 100, to=side.stranger(number + 1))
            voices(world)
            most: list[int] = []
            states: list[PauseState] = []
            for _ in range(2_500):
                await asyncio.sleep(0.1)
                most.append(len(world.chain().desk.open()))
                states.append(world.chain().pause.standings()[1].state)
            assert PauseState.CATCHING_UP in states
            assert states[-1] is PauseState.RUNNING
            first = states.index(PauseState.CATCHING_UP)
            assert max(most[:first]) == 0, "nothing while it is held"
            assert 1 <= max(most[first : first + 500]) <= 2, "a quarter of eight, for the first minute"
            assert all(world.withdrawal(f"w-{number}").state == "settled" for number in range(20))

    run(story())


@pytest.mark.parametrize(("limit", "cap"), [(8, 10.0), (64, 1.0)])
def test_catching_up_takes_its_pace_and_misses_nothing(limit: int, cap: float) -> None:
    choices = Choices(pause=SETTINGS, watch=WatchSettings(range_limit=limit, pace_cap_seconds=cap))

    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=choices) as world, world.running():
            alice = world.state.slots.need("alice", "solana").address
            pool = world.chain().pool
            adapter = world.chain().adapter
            scans: list[tuple[float, int]] = []

            async def counted(cursor: Block, watch: WatchList, limit: int) -> Range | None:
                scans.append((asyncio.get_running_loop().time(), 2 * limit))
                pool.reads += 2 * limit  # two providers are asked for each slot
                await asyncio.sleep(0.3)
                return await scan(cursor, watch, limit)

            scan = adapter.scan
            world.chain().watch._adapter = cast("Adapter", _Counting(adapter, counted))
            silence(world)
            before = world.available("alice", "SOL")
            for _ in range(10):
                await side.give(alice, NATIVE, SOL)
                await asyncio.sleep(30)
            voices(world)
            for _ in range(1_000):
                await asyncio.sleep(0.1)
                if world.chain().pause.standings()[0].state is PauseState.CATCHING_UP:
                    break
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(10)
            # Two providers bear ten requests a second each; half of that it may take, and a tenth more in the end.
            assert 50 <= sum(cost for at, cost in scans if began <= at) <= 150
            await asyncio.sleep(120)
            assert world.available("alice", "SOL") == before + 10 * SOL
            assert world.chain().pause.standings()[0].state is PauseState.RUNNING

    run(story())


class _Counting:
    """An adapter whose scans are counted."""

    def __init__(self, adapter: Adapter, scan: Callable[[Block, WatchList, int], Awaitable[Range | None]]) -> None:
        self.chain = adapter.chain
        self.scan = scan
        self.identify = adapter.identify


def test_a_chain_waits_for_another_on_the_same_account_to_have_resumed() -> None:
    apart = msgspec.structs.replace(SETTINGS, stagger_seconds=60.0)

    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=Choices(pause=apart)) as world, world.running():
            silence(world)
            await asyncio.sleep(20)
            voices(world)
            await asyncio.sleep(15)
            world.life.stagger.resumed("another", ["two"], asyncio.get_running_loop().time())
            await asyncio.sleep(50)
            assert len(world.holds()) == 2
            assert {one.state for one in world.chain().pause.standings()} == {PauseState.PROBING}
            await asyncio.sleep(15)
            assert world.holds() == {}

    run(story())


def test_what_another_look_may_cure_is_no_matter_for_a_person() -> None:
    """All providers answered 405 for a moment: a maintenance page, and no contradiction."""

    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world:
            chain = world.chain()
            for second in range(40):
                trouble = Permanent("unsupported", "HTTP 405") if second >= 20 else Retryable("timeout", "no answer")
                chain.condition.failed(trouble)
                await chain.pause.step()
                await asyncio.sleep(1.0)
            assert set(world.holds().values()) == {"provider"}
            # One contradiction after long trouble of another kind is not a lasting one either.
            chain.condition.failed(Integrity("providers_disagree", "two versions"))
            await chain.pause.step()
            assert set(world.holds().values()) == {"provider"}

    run(story())


def test_a_contradiction_that_a_person_lifted_is_held_again_only_if_it_is_seen_again() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world:
            chain = world.chain()
            chain.condition.failed(Integrity("providers_disagree", "two versions"))
            await asyncio.sleep(6)
            await chain.pause.step()
            [name] = world.holds()
            assert {one.state for one in chain.pause.standings()} == {PauseState.PAUSED}
            assert {one.cause for one in chain.pause.standings()} == {"integrity"}
            await world.lift(name)
            for _ in range(30):
                await chain.pause.step()
                await asyncio.sleep(0.5)
            assert "integrity" not in world.holds().values(), "nobody has looked since"
            chain.condition.failed(Integrity("providers_disagree", "two versions"))
            await chain.pause.step()
            assert list(world.holds().values()).count("integrity") == 1

    run(story())


def test_without_a_quorum_at_our_own_block_nothing_resumes() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=Choices(pause=SETTINGS, quorum=2)) as world, world.running():
            await asyncio.sleep(5)
            silence(world)
            await asyncio.sleep(20)
            assert len(world.holds()) == 2
            # Both answer again, but one of them has nothing to say of the block we built on.
            voices(world)
            side.upstream.tempers["two"] = without_blocks
            await asyncio.sleep(120)
            assert len(world.holds()) == 2
            side.upstream.tempers["two"] = honest
            await asyncio.sleep(60)
            assert world.holds() == {}

    run(story())


def without_blocks(call: Call, reply: Reply) -> Reply:
    if call.method == "getBlock":
        return {"id": 1, "error": {"code": -32004, "message": "Block not available for slot"}}
    return reply


def test_a_lost_answer_now_and_then_does_not_keep_a_chain_paused() -> None:
    """A survey in twelve loses an answer; asked once more it comes."""
    asked = itertools.count()

    def lossy(call: Call, reply: Reply) -> Reply | None:
        return None if call.method == "getSlot" and next(asked) % 12 == 0 else reply

    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=Choices(pause=SETTINGS, quorum=2)) as world, world.running():
            silence(world)
            await asyncio.sleep(20)
            side.upstream.tempers["one"] = lossy
            voices(world)
            await asyncio.sleep(90)
            assert world.holds() == {}

    run(story())


def test_sweeps_in_flight_keep_no_payment_waiting() -> None:
    choices = Choices(payouts=PayoutSettings(in_flight=1), sweeps=SweepSettings(minimum={"SOL": 1}))

    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=choices) as world:
            await world.chain().sweeps.step()
            assert len(world.chain().desk.open()) == 1
            await world.withdraw("w-1", "SOL", SOL // 100, to=side.stranger(1))
            await world.withdraw("w-2", "SOL", SOL // 100, to=side.stranger(2))
            await world.round()
            assert world.withdrawal("w-1").state == "in_attempt"
            assert world.chain().condition.waiting["w-2"] == "1 payments are in flight"
            await world.settle()

    run(story())
