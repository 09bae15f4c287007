"""The way to the signer: it believes only what it has executed, and says no to a history that is not its own."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from chains.observations import NATIVE
from custody.ledger import transactions as tx
from custody.signing.client import SignerRefused, SignerUnreachable
from custody.signing.signer import JOURNAL
from tests.custody.flows.rig import World, a_bank, a_world
from tests.custody.flows.sides import SolanaSide
from tests.virtualtime import run

SOL = 10**9


async def heights(world: World) -> tuple[int, int]:
    """The daemon's and the signer's."""
    link = world.life.views.books.link
    assert link is not None
    return link.height, (await world.life.link.standing()).height


def test_a_fresh_signer_catches_up_from_block_0() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            for number in range(300):
                await world.ok("payouts", tx.AddressRequested, account=f"user-{number}", chain="solana")
            ours, its = await heights(world)
            assert (ours, its) == (300, -1)
            assert await world.wallet()
            ours, its = await heights(world)
            assert its >= 300
            assert ours - its <= 2, "all but what its own answers brought"

    run(story())


def test_the_signers_copy_is_kept_fresh_though_nobody_asks_it_anything() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world, world.running():
            await asyncio.sleep(30)
            ours, its = await heights(world)
            assert its > 0
            assert ours - its <= 5

    run(story())


def test_a_signer_that_went_away_and_came_back_goes_on() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            await world.withdraw("w-1", "SOL", SOL, to=side.stranger(1))
            await world.signer.stop()
            await world.round()
            assert "can't be reached" in world.chain().condition.waiting["w-1"]
            with pytest.raises(SignerUnreachable):
                await world.life.link.standing()
            await world.signer.start()
            await world.round()
            await world.settle()
            assert world.withdrawal("w-1").state == "settled"
            await world.check_all()

    run(story())


def test_a_signer_put_back_to_an_older_copy_is_brought_up_again() -> None:
    """Its tip is behind what this daemon remembers having sent: where it stands is asked anew."""

    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            await world.wallet()
            await world.signer.stop()
            kept = world.signer.folder.with_name("kept")
            shutil.copytree(world.signer.folder, kept, ignore=shutil.ignore_patterns("s"))
            await world.signer.start()
            for number in range(20):
                await world.user(f"user-{number}")
            await world.signer.stop()
            shutil.rmtree(world.signer.folder)
            shutil.copytree(kept, world.signer.folder)
            await world.signer.start()
            with pytest.raises(SignerRefused, match="blocks_missing"):
                await world.life.link.attest("solana", "hot", "", 0)
            assert await world.user("late")
            assert world.holds() == {}

    run(story())


def test_a_journal_behind_the_signer_holds_everything_and_nothing_is_signed() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            await world.crash()
            backup = world.journal.parent.with_name("backup")
            shutil.copytree(world.journal.parent, backup)
            world.start()
            await world.withdraw("w-1", "SOL", SOL, to=side.stranger(1))
            await world.round()
            await world.settle()
            signed = (await world.life.link.standing()).signed
            await world.crash()
            shutil.rmtree(world.journal.parent)
            shutil.copytree(backup, world.journal.parent)
            world.start()
            async with world.running():
                await asyncio.sleep(20)
                holds = {hold.cause: (str(name[0]), hold) for name, hold in world.state.holds.rows()}
                assert sorted(holds) == ["divergence", "integrity"], "and a payment that this journal never prepared"
                name, hold = holds["divergence"]
                assert (hold.direction, hold.chain) == ("all", "")
                assert "not in this journal" in hold.reason
                await world.withdraw("w-1", "SOL", SOL, to=side.stranger(1))
                await asyncio.sleep(5)
                assert world.withdrawal("w-1").state == "queued"
                assert name in world.chain().condition.waiting["w-1"]
                # A person who lifts them without joining the histories does not get far.
                for lifted in list(world.holds()):
                    await world.lift(lifted)
                await asyncio.sleep(20)
                assert list(world.holds().values()) == ["divergence"]
                assert (await world.life.link.standing()).signed == signed
            assert await side.holds(side.stranger(1), NATIVE) == SOL, "paid before, once"

    run(story())


def test_a_signer_of_another_ledger_is_refused() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            await world.wallet()
            await world.crash()
            for file in world.journal.parent.iterdir():
                file.unlink()
            # Later, so another block 0: another ledger under the same keys.
            await asyncio.sleep(1)
            await world.found()
            world.start()
            with pytest.raises(SignerRefused):
                await world.life.link.attest("solana", "hot", "", 0)
            assert list(world.holds().values()) == ["divergence"]
            assert (world.signer.folder / JOURNAL).exists()

    run(story())
