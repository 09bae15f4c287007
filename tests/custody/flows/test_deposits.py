"""The cursor and what comes in: gapless, recorded whatever is on hold, credited once, and never spinning."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import cast

import msgspec

from chains.errors import Integrity
from chains.observations import NATIVE, Block, Deposit, Range
from chains.ports import Adapter, Tier, WatchList
from custody import intake
from custody.flows.deposits import ChainWatch, WatchSettings
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.signing.derivation import Family
from tests.custody.flows.life import Choices
from tests.custody.flows.rig import World, a_world
from tests.custody.flows.sides import SolanaSide
from tests.virtualtime import run

SOL = 10**9


def test_the_cursor_knows_every_block_though_slots_are_skipped() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=Choices(watch=WatchSettings(range_limit=4))) as world:
            first = world.state.cursors.need("solana")
            await side.mine(30)
            await world.scan()
            last = world.state.cursors.need("solana")
            # Blocks' heights have no gaps, slots do: every fifth was skipped.
            heights = [height for (_, height), _ in world.state.heights.rows()]
            assert heights == list(range(first.height, last.height + 1))
            assert last.position - first.position > last.height - first.height
            assert last.height == side.bank.tip.height - side.bank.settings.finalized_depth

    run(story())


def test_addresses_are_handed_out_in_the_ledgers_order_several_at_once() -> None:
    async def story() -> None:
        async with a_world(SolanaSide()) as world:
            names = ["carol", "alice", "bob"]
            for name in names:
                await world.ok("payouts", tx.AddressRequested, account=name, chain="solana")
            assert await world.life.addresses.step()
            for name in names:
                address = world.state.slots.need(name, "solana").address
                row = world.state.addresses.need("solana", address)
                assert row.order > world.state.chains.need("solana").watched, "attested is not yet handed out"
            await world.scan()
            assert world.state.chains.need("solana").watched == 3
            orders = [
                world.state.addresses.need("solana", world.state.slots.need(name, "solana").address).order
                for name in names
            ]
            assert orders == [1, 2, 3]

    run(story())


def test_an_address_waits_for_the_signer_and_comes_when_it_is_back() -> None:
    async def story() -> None:
        async with a_world(SolanaSide()) as world, world.running():
            await world.signer.stop()
            await world.ok("payouts", tx.AddressRequested, account="alice", chain="solana")
            await asyncio.sleep(60)
            assert world.state.slots.need("alice", "solana").address == ""
            assert not world.life.link.reachable
            await world.signer.start()
            await asyncio.sleep(10)
            address = world.state.slots.need("alice", "solana").address
            assert world.state.addresses.need("solana", address).order == 1
            assert world.state.chains.need("solana").watched == 1
            assert world.life.link.reachable

    run(story())


def test_one_refused_attestation_keeps_nobody_else_waiting() -> None:
    async def story() -> None:
        async with a_world(SolanaSide()) as world:
            # Somebody with the signer's voice claims bob's future address for the house: the signer refuses bob's.
            address = world.signer.keystore.derive(Family.SOLANA, Tier.DEPOSIT, 0)
            sequencer = world.life.sequencer
            said = tx.AddressAttested(
                ledger=sequencer.ledger,
                seq=sequencer.next_sequence("signer"),
                chain="solana",
                tier="gas",
                account="",
                index=0,
                address=address,
            )

            await sequencer.submit(world.signer.keystore.envelope("signer", encoding.encode(said)))
            for name in ("bob", "carol"):
                await world.ok("payouts", tx.AddressRequested, account=name, chain="solana")
            assert not await world.life.addresses.step()
            assert world.state.slots.need("bob", "solana").address == ""
            assert world.state.slots.need("carol", "solana").address != ""

    run(story())


def test_a_scan_made_stale_by_a_new_address_is_made_again_and_sees_its_deposit() -> None:
    """The address is handed out while a range is on its way: the ledger refuses that range, and the next one, made
    with the new watched set, shows the deposit that stood in it."""

    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            await world.ok("payouts", tx.AddressRequested, account="alice", chain="solana")
            assert await world.life.addresses.step()
            address = world.state.slots.need("alice", "solana").address
            await side.give(address, NATIVE, SOL)
            await side.finalize()
            # The range is scanned with the old watched set …
            row = world.state.cursors.need("solana")
            cursor = Block(
                position=row.position, height=row.height, hash=row.hash, parent_position=0, parent_hash="", time=0
            )
            empty = WatchList()
            tokens = world.state.chains.need("solana").tokens
            empty.list_tokens((), tokens)
            old = await world.chain().adapter.scan(cursor, empty, 64)
            assert old is not None
            # … then the address is acknowledged, and the old range is refused.
            watched = {"chain": "solana", "address": address, "watched": 1}
            await world.ok("watcher", tx.AddressAssigned, **watched)

            answer = await world.life.watcher.say(lambda ledger, seq: intake.scanned(old, ledger=ledger, seq=seq))
            assert answer.code == "scan_stale"
            await world.scan()
            assert world.available("alice", "SOL") == SOL

    run(story())


def test_a_deposit_during_a_hold_is_recorded_and_credited_once_when_it_is_lifted() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            address = await world.user("alice")
            await world.hold("h-1", chain="solana", direction="deposits")
            before = world.state.cursors.need("solana").height
            for _ in range(3):
                await world.receive(address, NATIVE, SOL)
            await world.receive(address, side.token, 5_000_000)
            assert world.state.cursors.need("solana").height > before, "pauses never stop the cursor"
            assert world.available("alice", "SOL") == 0
            assert len(world.state.pending) == 4
            await world.restart()
            await world.lift("h-1")
            assert world.available("alice", "SOL") == 3 * SOL
            assert world.available("alice", "USDC") == 5_000_000
            assert len(world.state.pending) == 0
            await world.restart()
            await world.scan()
            assert world.available("alice", "SOL") == 3 * SOL
            await world.check_all()

    run(story())


def test_below_the_minimum_is_recorded_and_never_credited() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=Choices(minimums={"SOL": "10000000"})) as world:
            address = await world.user("alice")
            await world.receive(address, NATIVE, 9_999_999)
            await world.receive(address, NATIVE, 10_000_000)
            states = sorted(row.state for _, row in world.state.deposits.rows())
            assert states == ["below_minimum", "credited"]
            assert world.available("alice", "SOL") == 10_000_000
            await world.check_all()

    run(story())


def test_nothing_is_lost_or_doubled_when_the_daemon_dies_at_every_step_of_a_deposit() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=Choices(watch=WatchSettings(range_limit=2))) as world:
            address = await world.user("alice")
            await side.give(address, NATIVE, SOL)
            for _ in range(6):
                await side.mine()
                await world.chain().watch.step()
                await world.restart()
            await world.scan()
            assert world.available("alice", "SOL") == SOL
            assert len(world.state.deposits) == 1

    run(story())


class Crowded:
    """The scanning half of an adapter over a chain on which every block pays `crowd` deposits to one address of ours:
    more facts than a test can afford to make for real. Everything else about its ranges is the real chain's."""

    def __init__(self, adapter: Adapter, address: str, crowd: int) -> None:
        self.chain = adapter.chain
        self.crowd = crowd
        self.asked: list[int] = []
        self._adapter = adapter
        self._address = address

    async def identify(self) -> None:
        await self._adapter.identify()

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        self.asked.append(limit)
        found = await self._adapter.scan(cursor, watch, limit)
        if found is None:
            return None
        deposits = tuple(
            Deposit(
                tx=f"crowd-{block.position}-{number}",
                ordinal=f"{self._address}/native",
                position=block.position,
                address=self._address,
                token=NATIVE,
                amount=1,
            )
            for block in found.blocks
            for number in range(self.crowd)
        )
        return msgspec.structs.replace(found, deposits=deposits)


def crowded(world: World, address: str, crowd: int) -> tuple[Crowded, ChainWatch]:
    """A scanner like the world's own over a crowded chain."""
    life, chain = world.life, world.chain()
    chain_of_many = Crowded(chain.adapter, address, crowd)
    watch = ChainWatch(
        cast("Adapter", chain_of_many),
        life.watcher,
        life.views.books,
        life.views.roster,
        chain.condition,
        world.choices.watch,
    )
    return chain_of_many, watch


def test_a_range_too_large_for_one_transaction_is_halved_until_it_fits() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side, choices=Choices(watch=WatchSettings(range_limit=8))) as world:
            address = await world.user("alice")
            chain, watch = crowded(world, address, 3_500)
            await side.mine(6)
            start = world.state.cursors.need("solana").height
            while await watch.step():
                pass
            moved = world.state.cursors.need("solana").height - start
            assert moved == 6
            assert len(world.state.deposits) == 3_500 * moved
            assert 8 in chain.asked
            assert min(chain.asked) < 8
            assert chain.asked[-1] == 8, "and back to where it was once it fits"
            assert world.chain().condition.failing_since is None
            # Credits come in portions, and all of them come.
            while len(world.state.pending):
                await side.mine()
                await world.scan()
            assert world.available("alice", "SOL") == 3_500 * moved
            # The numbers of what was refused without a trace did not run away from the ledger's window.
            sequencer = world.life.sequencer
            await world.life.watcher.say(partial(_nothing, "solana"))
            assert sequencer.next_sequence("watcher") < 100

    run(story())


def test_a_block_that_fits_no_transaction_stops_the_chain_loudly_and_never_spins() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            address = await world.user("alice")
            chain, watch = crowded(world, address, 17_000)
            await side.mine(2)
            tasks = [asyncio.create_task(work) for work in (watch.run(), world.chain().pause.run())]
            await asyncio.sleep(120)
            condition = world.chain().condition
            assert condition.error_code == "scan_refused"
            assert "field_out_of_bounds" in condition.error
            assert condition.failing_for() > 115
            assert len(chain.asked) < 20, "two minutes of waiting, not of spinning"
            [(name, cause)] = world.holds().items()
            assert (cause, name.startswith("auto:integrity:solana")) == ("integrity", True)
            # When it is over, the scanner goes on by itself; the hold is a person's to lift.
            chain.crowd = 10
            await asyncio.sleep(60)
            assert world.available("alice", "SOL") == 0
            assert len(world.state.pending) > 0
            assert list(world.holds().values()) == ["integrity"]
            await world.lift(name)
            assert world.available("alice", "SOL") == len(world.state.deposits)
            for task in tasks:
                task.cancel()

    run(story())


class Moved:
    """An adapter whose providers serve another chain from the second look at it on."""

    def __init__(self, adapter: Adapter) -> None:
        self.chain = adapter.chain
        self.looks: list[float] = []
        self._adapter = adapter

    async def identify(self) -> None:
        self.looks.append(asyncio.get_running_loop().time())
        if len(self.looks) > 1:
            raise Integrity("wrong_chain", "all of them serve another chain")

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        return await self._adapter.scan(cursor, watch, limit)


def test_the_chain_is_identified_at_the_start_and_from_time_to_time() -> None:
    """And once it is another one, nothing more is scanned."""

    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            await world.wallet()
            life, chain = world.life, world.chain()
            moved = Moved(chain.adapter)
            watch = ChainWatch(
                cast("Adapter", moved),
                life.watcher,
                life.views.books,
                life.views.roster,
                chain.condition,
                WatchSettings(identify_seconds=600.0),
            )
            began = asyncio.get_running_loop().time()
            task = asyncio.create_task(watch.run())
            await asyncio.sleep(599)
            assert moved.looks == [began]
            await side.mine(3)
            await asyncio.sleep(2)
            assert moved.looks[1] == began + 600, "and again with each look, while it is another one"
            assert chain.condition.error_code == "wrong_chain"
            assert chain.condition.person_since is not None
            reached = world.state.cursors.need("solana").position
            await side.mine(3)
            await asyncio.sleep(60)
            task.cancel()
            assert world.state.cursors.need("solana").position == reached

    run(story())


class Disordered:
    """A scanner's adapter with a bug: it forgets a block in the middle of its ranges."""

    def __init__(self, adapter: Adapter) -> None:
        self.chain = adapter.chain
        self.asked = 0
        self._adapter = adapter

    async def identify(self) -> None:
        await self._adapter.identify()

    async def scan(self, cursor: Block, watch: WatchList, limit: int) -> Range | None:
        self.asked += 1
        found = await self._adapter.scan(cursor, watch, limit)
        assert found is not None
        return msgspec.structs.replace(found, blocks=(found.blocks[0], *found.blocks[2:]))


def test_a_scan_refused_for_good_backs_off_and_shows() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            await world.wallet()
            await side.mine(10)
            life, chain = world.life, world.chain()
            broken = Disordered(chain.adapter)
            watch = ChainWatch(
                cast("Adapter", broken),
                life.watcher,
                life.views.books,
                life.views.roster,
                chain.condition,
                WatchSettings(),
            )
            task = asyncio.create_task(watch.run())
            before = life.replica.height
            await asyncio.sleep(300)
            task.cancel()
            assert chain.condition.error_code == "scan_refused"
            assert chain.condition.for_a_person() > 0.0
            assert "scan_disordered" in chain.condition.error
            assert broken.asked < 40
            assert life.replica.height - before == broken.asked, "each refusal is in the journal"

    run(story())


def test_a_scan_that_stays_stale_shows_too() -> None:
    """An adapter of a newer decoder than the ledger knows: transient in name, and still a person's matter."""

    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            await world.wallet()
            row = world.state.chains.need("solana")
            start = await side.row()
            for admin in ("admin-1", "admin-2"):
                fields = {name: getattr(start, name) for name in ("chain", "family", "identity")}
                await world.ok(
                    admin, tx.ChainSet, decoder=row.decoder + 1, **fields, position=0, height=0, hash=start.hash
                )
            await side.mine(3)
            async with world.running():
                await asyncio.sleep(120)
                assert world.chain().condition.error_code == "scan_stale"
                assert list(world.holds().values()) == ["provider"] * 2

    run(story())


def _nothing(chain: str, ledger: str, seq: int) -> tx.BalancesObserved:
    return tx.BalancesObserved(ledger=ledger, seq=seq, chain=chain, position=0, balances=())
