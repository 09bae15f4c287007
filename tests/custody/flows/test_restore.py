"""The restore drill: the journal is put back by ten minutes while payments are out.

Held, nothing signed, nothing paid twice; then joined to the signer's history again, as two admins say, and everything
that had been acknowledged in the signer's sight is there.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
from msgspec import structs

from chains.observations import NATIVE
from custody.daemon.rejoining import Hands, NeedsAdmins, RejoinError, Report, agreed, judge, rejoin
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.journal.chain import Link
from custody.journal.errors import JournalError
from custody.journal.tip import tip_path
from custody.ledger import transactions as tx
from custody.ledger.roles import Role
from custody.signing.client import SignerClient, SignerUnreachable
from tests.custody.flows.life import KEYS, clock
from tests.custody.flows.rig import World, a_bank
from tests.custody.flows.sides import SolanaSide
from tests.custody.ledgers import Ledger
from tests.virtualtime import run

SOL = 10**9
TEN_MINUTES = 600.0


def back_up(world: World) -> Path:
    """A copy of the journal's folder, as a backup would have it. The daemon is down."""
    copy = world.journal.parent.with_name("backup")
    shutil.copytree(world.journal.parent, copy)
    return copy


def put_back(world: World, copy: Path) -> None:
    shutil.rmtree(world.journal.parent)
    shutil.copytree(copy, world.journal.parent)


async def join(world: World, statements: Sequence[Envelope] = ()) -> Report | None:
    """The command, by its function."""
    client = SignerClient(world.signer.socket)
    hands = Hands(sequencer=KEYS["sequencer"], relay=KEYS["relay"], now=clock()())
    try:
        return await rejoin(world.journal, client, statements, hands)
    finally:
        await client.close()


async def needed(world: World) -> bytes:
    """What the admins are asked to sign."""
    with pytest.raises(NeedsAdmins) as caught:
        await join(world)
    return caught.value.statement


async def live_on(world: World, seconds: float) -> None:
    """A time that a restore will forget: users, deposits, transfers, and payments at every stage."""
    side = world.side
    async with world.running(slot_seconds=5.0):
        await world.withdraw("w-settled", "SOL", SOL, to=side.stranger(1))
        await world.ok("payouts", tx.AddressRequested, account="carol", chain="solana")
        await asyncio.sleep(60)
        assert world.withdrawal("w-settled").state == "settled"
        await side.give(world.state.slots.need("carol", "solana").address, NATIVE, 3 * SOL)
        await asyncio.sleep(seconds)
        leg = tx.TransferLeg(source="carol", target="alice", asset="SOL", amount=str(SOL))
        await world.ok("engine", tx.TransferBatch, id="trade-1", legs=(leg,))
        await world.hold("careful", account="carol", direction="withdrawals")
    await world.withdraw("w-out", "SOL", SOL, to=side.stranger(2))
    await world.round()
    assert world.withdrawal("w-out").state == "in_attempt"
    await world.life.link.attest("solana", "hot", "", 0)


def test_the_drill() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            await world.crash()
            copy = back_up(world)
            world.start()
            await live_on(world, TEN_MINUTES)
            carol = world.state.slots.need("carol", "solana").address
            signed = (await world.life.link.standing()).signed
            await world.crash()
            put_back(world, copy)

            # Up on the old journal: held, and nothing is signed whatever is asked.
            world.start()
            async with world.running():
                await asyncio.sleep(30)
                assert "divergence" in world.holds().values()
                await world.withdraw("w-out", "SOL", SOL, to=side.stranger(2))
                await world.withdraw("w-new", "SOL", SOL, to=side.stranger(3))
                await world.hold("worried", chain="solana", direction="withdrawals", reason="what is going on?")
                await asyncio.sleep(60)
                assert {world.withdrawal(name).state for name in ("w-out", "w-new")} == {"queued"}
                assert (await world.life.link.standing()).signed == signed
            fork = world.life.replica.height
            await world.crash()

            # Two admins, over the same words.
            statement = await needed(world)
            one, two = (agreed(KEYS[name], statement) for name in ("admin-1", "admin-2"))
            with pytest.raises(NeedsAdmins, match="1 of 2 admins"):
                await join(world, (one, one))
            report = await join(world, (one, two))
            assert report is not None
            assert (report.left > 0, report.taken > 0, report.aside.exists()) == (True, True, True)
            assert fork == report.fork + report.left
            codes = {(item.type, item.key): item.code for item in report.again}
            assert (
                codes
                == {
                    ("withdrawal.requested", "payouts"): "ok",
                    ("hold.set", "relay"): "ok",
                }
                or codes[("hold.set", "relay")] == "ok"
            )
            assert await join(world) is None, "once is enough"

            # Everything is there again, and held until a person lifts it.
            world.start()
            world.check()
            assert world.withdrawal("w-settled").state == "settled"
            assert world.state.slots.need("carol", "solana").address == carol
            assert world.state.batches.get("trade-1") is not None
            assert world.withdrawal("w-out").state == "in_attempt"
            assert {"careful", "worried"} < set(world.holds())
            [divergence] = [name for name, cause in world.holds().items() if cause == "divergence"]
            reason = world.state.holds.need(divergence).reason
            assert f"{report.taken} blocks were taken from the signer" in reason
            async with world.running():
                await asyncio.sleep(30)
                assert world.life.link.reachable
                assert set(world.holds().values()) == {"pause", "divergence"}, "no second divergence, no integrity"
                assert world.withdrawal("w-out").state == "settled"
                assert (await world.life.link.standing()).signed == signed, "nothing new while it is held"
                await world.lift(divergence)
                await world.lift("worried")
                for name, number in (("w-out", 2), ("w-new", 3)):
                    await world.withdraw(name, "SOL", SOL, to=side.stranger(number))
                await asyncio.sleep(30)
                assert world.withdrawal("w-new").state == "settled"
            for number in (1, 2, 3):
                assert await side.holds(side.stranger(number), NATIVE) == SOL, "paid once each"
            await world.check_all()

    run(story())


def test_a_journal_that_is_only_behind_needs_no_admins() -> None:
    """Joined before the daemon ever ran on the old copy: nothing leaves the history, so nobody has to agree."""

    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            await world.crash()
            copy = back_up(world)
            world.start()
            await live_on(world, 60.0)
            await world.crash()
            put_back(world, copy)
            # Even the tip file may be the newer one: whoever restores a database alone restores just that.
            tip_path(world.journal).unlink()
            with pytest.raises(JournalError):
                world.start()
            report = await join(world)
            assert report is not None
            assert (report.left, report.again) == (0, ())
            world.start()
            assert list(world.holds().values()).count("divergence") == 1
            async with world.running():
                await asyncio.sleep(20)
                assert world.withdrawal("w-out").state == "settled"
            assert await side.holds(side.stranger(2), NATIVE) == SOL
            world.check()

    run(story())


def test_whose_word_counts() -> None:
    """As many admins of the history that stays as its ledger asks for, each over the very same words."""
    ledger = Ledger()
    state = ledger.state
    ours = Link(height=9, hash="aa" * 32, ledger=state.ledger, epoch=0, time=1)
    theirs = Link(height=7, hash="bb" * 32, ledger=state.ledger, epoch=0, time=1)
    with pytest.raises(NeedsAdmins, match="0 of 2 admins") as caught:
        judge(state, ours, theirs, ())
    due = caught.value.statement
    one, two = (agreed(ledger.keys[name], due) for name in ("admin-1", "admin-2"))
    judge(state, ours, theirs, (one, two))
    judge(state, ours, theirs, (two, one, two))
    for wrong, why in (
        ((one,), "1 of 2 admins"),
        ((one, one), "1 of 2 admins"),
        ((one, agreed(ledger.keys["operator"], due)), "is no admin"),
        ((one, agreed(ledger.keys["admin-2"], due.replace(b'"to_height":7', b'"to_height":8'))), "something else"),
        ((one, Envelope("admin-2", due, one.signature)), "not signed by the key"),
        ((one, Envelope("nobody", due, two.signature)), "is no admin"),
    ):
        with pytest.raises(NeedsAdmins, match=why):
            judge(state, ours, theirs, wrong)
    # Agreement on one pair of ends is none on another.
    for link in (structs.replace(ours, hash="cc" * 32), structs.replace(ours, height=10)):
        with pytest.raises(NeedsAdmins, match="something else"):
            judge(state, link, theirs, (one, two))
    third = SigningKey("admin-3", b"\x33" * 32).public.hex()
    ledger.say("admin-1", tx.KeyRegistered, id="admin-3", public=third, roles=(Role.ADMIN,))
    ledger.say("admin-2", tx.KeyRegistered, id="admin-3", public=third, roles=(Role.ADMIN,))
    for admin in ("admin-1", "admin-2"):
        ledger.say(admin, tx.KeyRevoked, id="admin-2")
    with pytest.raises(NeedsAdmins, match="is no admin"):
        judge(ledger.state, ours, theirs, (one, two))


def test_it_needs_the_signer_and_a_daemon_that_is_down() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            with pytest.raises(JournalError, match="open for writing"):
                await join(world)
            await world.crash()
            assert await join(world) is None, "nothing to join"
            await world.signer.stop()
            before = sorted(path.name for path in world.journal.parent.iterdir())
            with pytest.raises(SignerUnreachable):
                await join(world)
            await world.signer.start()
            assert sorted(path.name for path in world.journal.parent.iterdir()) == before
            world.start()

    run(story())


def test_a_signer_of_another_ledger_joins_nothing() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            await world.crash()
            for file in world.journal.parent.iterdir():
                file.unlink()
            await asyncio.sleep(1)
            await world.found()
            with pytest.raises(RejoinError, match="another ledger"):
                await join(world)
            world.start()

    run(story())


@pytest.mark.parametrize("moved", range(5))
def test_a_crash_while_the_files_change_places_is_finished_by_the_next_call(moved: int) -> None:
    """The old parts leave and the new ones come, one rename after the other; the power may go between any two."""

    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            await world.crash()
            copy = back_up(world)
            world.start()
            await live_on(world, 60.0)
            await world.crash()
            put_back(world, copy)
            report = await join(world)
            assert report is not None
            # Put the pieces where a crash would have left them.
            journal, staged = world.journal, world.journal.with_name(world.journal.name + ".rejoined")
            steps = [
                (journal.with_name(journal.name + ".tip"), report.aside.with_name(report.aside.name + ".tip")),
                (journal, report.aside),
                (staged.with_name(staged.name + ".tip"), journal.with_name(journal.name + ".tip")),
                (staged, journal),
            ]
            for old, new in reversed(steps[moved:]):
                new.rename(old)
            await join(world)
            world.start()
            assert world.withdrawal("w-out").state == "in_attempt"
            assert list(world.holds().values()).count("divergence") == 1

    run(story())
