"""A proven lie outlives the process, a cordon is obeyed, and only a person's word lets anybody in again."""

from __future__ import annotations

import asyncio

from chains.pool.breaker import State
from custody.pausing.settings import PauseSettings
from tests.custody.flows.life import Choices, provider
from tests.custody.flows.rig import a_world
from tests.custody.flows.sides import SolanaSide
from tests.virtualtime import run

CHOICES = Choices(
    pause=PauseSettings(hold_seconds=20.0, window_seconds=5.0, windows=2, head_seconds=1e6, finality_seconds=1e6)
)


def test_a_lie_is_recorded_and_survives_a_restart() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world:
            pool = world.chain().pool
            pool.shown[1] = provider(
                "two", may_ask=False, reason="quarantined: slot 7: another block", integrity_breaker=State.OPEN
            )
            for _ in range(5):
                await world.chain().cordons.step()
            [(key, hold)] = world.state.holds.rows()
            assert (hold.provider, hold.cause, hold.origin, hold.chain) == ("two", "integrity", "auto", "solana")
            assert hold.reason == "slot 7: another block"
            assert "another block" in pool.cordoned["two"]
            # The pool of the next life knows nothing, and is told before anybody is asked.
            await world.restart()
            assert "another block" in world.chain().pool.cordoned["two"]
            await world.chain().cordons.step()
            assert len(world.holds()) == 1
            # A person has looked.
            await world.lift(str(key[0]))
            await world.chain().cordons.step()
            assert world.chain().pool.cordoned == {}
            assert world.chain().pool.released == ["two"]
            # A second lie of the same provider is a second hold.
            world.chain().pool.shown[1] = pool.shown[1]
            await world.chain().cordons.step()
            assert len(world.holds()) == 1

    run(story())


def test_a_lie_pauses_deposits_until_the_others_have_been_looked_at() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world, world.running():
            await asyncio.sleep(3)
            world.chain().pool.shown[1] = provider(
                "two", may_ask=False, reason="quarantined: it lied", integrity_breaker=State.OPEN
            )
            await asyncio.sleep(3)
            rows = [(hold.provider, hold.cause, hold.direction) for _, hold in world.state.holds.rows()]
            assert sorted(rows) == [("", "provider", "deposits"), ("two", "integrity", "all")]
            await asyncio.sleep(60)
            assert list(world.holds().values()) == ["integrity"], "the deposits go on, without the liar"

    run(story())


def test_the_pool_follows_an_operators_cordon() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=CHOICES) as world:
            await world.hold("c-1", chain="solana", provider="one", cause="cordon", reason="a bill is due")
            await world.hold("c-2", chain="solana", provider="nobody", cause="cordon")
            world.chain().cordons.follow()
            assert list(world.chain().pool.cordoned) == ["one"]
            assert "a bill is due" in world.chain().pool.cordoned["one"]
            await world.hold("c-3", chain="solana", provider="one", cause="cordon", reason="really")
            await world.lift("c-1")
            world.chain().cordons.follow()
            assert "really" in world.chain().pool.cordoned["one"], "one of two is lifted: it stays out"
            assert world.chain().pool.released == []
            await world.lift("c-3")
            world.chain().cordons.follow()
            assert (world.chain().pool.cordoned, world.chain().pool.released) == ({}, ["one"])

    run(story())
