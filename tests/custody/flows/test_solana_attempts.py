"""What only Solana's attempts do: they age, they die, and they must never be called dead too early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from solders.hash import Hash
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from spl.token.constants import TOKEN_PROGRAM_ID
from spl.token.instructions import close_account, get_associated_token_address, transfer_checked
from spl.token.models import CloseAccountParams, TransferCheckedParams

from chains.observations import NATIVE
from chains.pool.calls import Call
from custody.flows.attempts import AttemptSettings
from custody.flows.deposits import WatchSettings
from custody.ledger.attempts import BLOCKHASH_LIFE, DEATH_MARGIN
from tests.custody.flows import stories
from tests.custody.flows.fuse import BEFORE_SIGNING
from tests.custody.flows.life import Choices
from tests.custody.flows.rig import World, a_bank
from tests.custody.flows.sides import SolanaSide
from tests.virtualtime import run

SOL = 10**9
QUORUM = (("death_quorum", "solana", "2"),)
PATIENT = Choices(parameters=QUORUM)
BLOCK_BY_BLOCK = Choices(parameters=QUORUM, watch=WatchSettings(range_limit=1))


def bank_of(world: World) -> SolanaSide:
    assert isinstance(world.side, SolanaSide)
    return world.side


async def lose_the_payment(world: World) -> str:
    """A withdrawal whose bytes were sent and never arrived; the attempt."""
    bank = bank_of(world).bank
    bank.sends_to_lose = 2
    await world.withdraw("w-1", "SOL", SOL, to=world.side.stranger(1))
    await world.round()
    [attempt] = world.attempts("signed")
    assert (bank.sends_to_lose, len(bank.pending)) == (0, 0)
    return attempt


def test_lost_bytes_are_sent_again_and_land() -> None:
    async def story() -> None:
        async with a_bank(SolanaSide(), choices=PATIENT) as world:
            attempt = await lose_the_payment(world)
            async with world.running():
                await asyncio.sleep(6)
                assert world.withdrawal("w-1").state == "settled"
            assert world.attempts() == [attempt]
            assert len(set(bank_of(world).sent)) == 1
            await world.check_all()

    run(story())


def test_an_attempt_that_never_lands_is_proven_dead_and_paid_by_another_once() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=BLOCK_BY_BLOCK) as world:
            first = await lose_the_payment(world)
            side.bank.sends_held = True
            mark = world.state.attempts.need(first).height + BLOCKHASH_LIFE + DEATH_MARGIN
            while world.state.cursors.need("solana").height < mark - 1:
                await side.mine(20)
                side.bank.pending.clear()
                limit = mark - 1 - world.state.cursors.need("solana").height
                await _scan_at_most(world, limit)
                await world.round()
                assert world.state.attempts.need(first).state == "signed", "never before its time"
                assert world.withdrawal("w-1").state == "in_attempt"
            side.bank.sends_held = False
            await world.settle()
            await world.round()
            assert world.state.attempts.need(first).state == "dead"
            [second] = world.attempts("signed")
            assert second != first
            await world.settle()
            assert world.withdrawal("w-1").state == "settled"
            assert await side.holds(side.stranger(1), NATIVE) == SOL
            await world.check_all()

    run(story())


async def _scan_at_most(world: World, blocks: int) -> None:
    """Move the cursor by no more than so many blocks, one at a time."""
    cursor = world.state.cursors.need("solana").height
    while world.state.cursors.need("solana").height < cursor + blocks and await world.chain().watch.step():
        pass


def test_death_needs_as_many_providers_as_the_ledger_asks_for() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=PATIENT) as world:
            first = await lose_the_payment(world)
            await side.mine(BLOCKHASH_LIFE + DEATH_MARGIN + 10)
            await world.scan()
            side.upstream.unavailable = {"two"}
            await world.round()
            assert world.state.attempts.need(first).state == "signed"
            # A provider that claims to have it stops the burial as well.
            side.upstream.unavailable = set()
            side.upstream.tempers["two"] = _claims_to_know
            await world.round()
            assert world.state.attempts.need(first).state == "signed"
            side.upstream.tempers["two"] = lambda call, reply: reply
            await world.round()
            assert world.state.attempts.need(first).state == "dead"
            await world.settle()
            assert world.withdrawal("w-1").state == "settled"
            await world.check_all()

    run(story())


def _claims_to_know(call: Call, reply: dict[str, Any]) -> dict[str, Any]:
    if call.method != "getSignatureStatuses":
        return reply
    result = dict(reply["result"])
    status = {"slot": 1, "confirmations": None, "err": None, "confirmationStatus": "finalized", "status": {"Ok": None}}
    result["value"] = [status for _ in result["value"]]
    return {**reply, "result": result}


def _denies_everything(call: Call, reply: dict[str, Any]) -> dict[str, Any]:
    if call.method != "getSignatureStatuses":
        return reply
    result = dict(reply["result"])
    result["value"] = [None for _ in result["value"]]
    return {**reply, "result": result}


def test_what_landed_at_the_last_moment_is_not_paid_again_though_all_providers_deny_it() -> None:
    """The bytes wait in a leader's queue until their blockhash is at its last block. Every provider swears that it
    knows nothing of them; only our own cursor is believed."""

    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=BLOCK_BY_BLOCK) as world:
            for name in ("one", "two"):
                side.upstream.tempers[name] = _denies_everything
            side.bank.sends_held = True
            await world.withdraw("w-1", "SOL", SOL, to=side.stranger(1))
            await world.round()
            [attempt] = world.attempts()
            last = world.state.attempts.need(attempt).height + BLOCKHASH_LIFE
            while side.bank.tip.height < last:
                await side.mine()
            side.bank.sends_held = False
            await side.mine()
            assert side.bank.tip.height == last + 1
            assert world.state.attempts.need(attempt).tx in side.landed()
            await side.mine(DEATH_MARGIN + 20)
            # Asked before the cursor has come, after every step of it, and at the end.
            while await world.chain().watch.step():
                await world.round()
                assert world.state.attempts.need(attempt).state in ("signed", "landed")
            assert world.withdrawal("w-1").state == "settled"
            assert world.attempts() == [attempt]
            assert await side.holds(side.stranger(1), NATIVE) == SOL
            await world.check_all()

    run(story())


def test_an_attempt_held_past_its_blockhash_dies_and_its_withdrawal_is_paid_afterwards() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=PATIENT) as world:
            await world.withdraw("w-1", "SOL", SOL, to=side.stranger(1))
            await world.until_cut(world.round(), BEFORE_SIGNING)
            await world.hold("h-1", chain="solana", direction="withdrawals")
            for _ in range(12):
                await side.mine(20)
                await world.scan()
                await world.round()
            # Nobody signed it, so nothing can be out: it dies under the hold, and its withdrawal waits in the queue.
            assert (len(world.attempts("dead")), side.sent) == (1, [])
            assert world.withdrawal("w-1").state == "queued"
            await world.lift("h-1")
            for _ in range(3):
                await world.round()
                await world.settle()
            assert world.withdrawal("w-1").state == "settled"
            assert await side.holds(side.stranger(1), NATIVE) == SOL
            assert len(world.attempts("dead")) == 1
            await world.check_all()

    run(story())


class ClosedAccount:
    """The recipient closes the token account between the simulation and the block."""

    def __init__(self) -> None:
        self.owner = Keypair.from_seed(b"\x31" * 32)
        self._sent = False

    async def recipient(self, world: World) -> str:
        side = bank_of(world)
        await side.give(str(self.owner.pubkey()), NATIVE, SOL)
        await side.give(str(self.owner.pubkey()), side.token, 5)
        await side.finalize()
        await world.scan()
        return str(self.owner.pubkey())

    @asynccontextmanager
    async def payment(self, world: World) -> AsyncIterator[None]:
        side = bank_of(world)
        mint = Pubkey.from_string(side.token)
        account = get_associated_token_address(self.owner.pubkey(), mint)
        sink = side.bank.genesis.minter.pubkey()
        elsewhere = get_associated_token_address(Keypair.from_seed(b"\x32" * 32).pubkey(), mint)
        await side.give(str(Keypair.from_seed(b"\x32" * 32).pubkey()), side.token, 1)
        await side.mine()
        empty = transfer_checked(
            TransferCheckedParams(
                program_id=TOKEN_PROGRAM_ID,
                source=account,
                mint=mint,
                dest=elsewhere,
                owner=self.owner.pubkey(),
                amount=5,
                decimals=6,
                signers=[],
            )
        )
        closed = close_account(
            CloseAccountParams(program_id=TOKEN_PROGRAM_ID, account=account, dest=sink, owner=self.owner.pubkey())
        )
        message = Message.new_with_blockhash(
            [empty, closed], self.owner.pubkey(), Hash.from_string(side.bank.tip.blockhash)
        )
        side.bank.submit(VersionedTransaction(message, [self.owner]))
        yield
        await side.finalize()
        # Open again, so that a second try would succeed.
        await side.give(str(self.owner.pubkey()), side.token, 5)
        await side.finalize()


@pytest.mark.parametrize("again", [False, True])
def test_fails_on_chain(again: bool) -> None:
    run(stories.fails_on_chain(SolanaSide(), ClosedAccount(), again=again))


def test_a_recipient_the_chain_would_refuse_waits_with_its_reason_and_stops_nobody() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=PATIENT) as world:
            # Less than an account's rent to an address that does not exist: the chain would refuse it.
            await world.withdraw("w-bad", "SOL", 1000, to=side.stranger(1))
            await world.withdraw("w-good", "SOL", SOL, to=side.stranger(2))
            async with world.running():
                await asyncio.sleep(30)
                assert world.withdrawal("w-good").state == "settled"
                assert world.withdrawal("w-bad").state == "queued"
                assert "below_rent_minimum" in world.chain().condition.waiting["w-bad"]
                # Somebody opens the account: then the payment goes by itself.
                await side.give(side.stranger(1), NATIVE, SOL)
                await asyncio.sleep(90)
                assert world.withdrawal("w-bad").state == "settled"
            await world.check_all()

    run(story())


def test_two_alike_on_one_blockhash_are_two_payments() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side, choices=PATIENT) as world:
            for name in ("w-1", "w-2"):
                await world.withdraw(name, "SOL", SOL, to=side.stranger(1))
            await world.round()
            assert len(world.attempts("signed")) == 2
            await world.settle()
            assert await side.holds(side.stranger(1), NATIVE) == 2 * SOL
            await world.check_all()

    run(story())


def test_silent_providers_at_the_first_send_cost_only_time() -> None:
    """Signed, and nobody can be asked to send: the worker lives on, says what is wrong, and sends later."""

    async def story() -> None:
        side = SolanaSide()
        choices = Choices(parameters=QUORUM, attempts=AttemptSettings(resend_seconds=0.0, rent_cap=3_000_000))
        async with a_bank(side, choices=choices) as world:
            await world.withdraw("w-1", "SOL", SOL, to=side.stranger(1))
            await world.until_cut(world.round(), BEFORE_SIGNING)
            side.upstream.unavailable = {"one", "two"}
            [name] = world.attempts()
            await world.chain().desk.hasten(name)
            await world.round()
            assert world.state.attempts.need(name).state == "signed"
            assert "no_provider" in world.chain().condition.waiting["w-1"]
            side.upstream.unavailable = set()
            await world.round()
            await world.settle()
            assert world.withdrawal("w-1").state == "settled"
            await world.check_all()

    run(story())
