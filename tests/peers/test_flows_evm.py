"""The stories of every chain over a real EVM node, and those that only an account's nonces can tell."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from chains.observations import NATIVE
from custody.flows.attempts import AttemptSettings
from tests.custody.flows import stories
from tests.custody.flows.fuse import BEFORE_SIGNING, PLACES
from tests.custody.flows.life import Choices
from tests.custody.flows.rig import World, a_bank
from tests.custody.flows.sides import Side
from tests.peers.evmside import EvmSide, an_evm_side

ETHER = 10**18
AT_ONCE = AttemptSettings(resend_seconds=0.0, bump_seconds=0.0, filler_seconds=0.0)

Story = Callable[[Side], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("story", stories.ALL, ids=lambda story: story.__name__)
async def test_story(story: Story) -> None:
    async with an_evm_side() as side:
        await story(side)


@pytest.mark.parametrize("place", PLACES)
async def test_pays_once_whatever_dies(place: str) -> None:
    async with an_evm_side() as side:
        await stories.pays_once_whatever_dies(side, place)


REVERT = "0x60006000fd"
"""PUSH1 0, PUSH1 0, REVERT."""


class BrokenToken:
    """The token's contract reverts while the payment is mined, and is itself again afterwards."""

    async def recipient(self, world: World) -> str:
        return world.side.stranger(1)

    @asynccontextmanager
    async def payment(self, world: World) -> AsyncIterator[None]:
        side = world.side
        assert isinstance(side, EvmSide)
        code = await side.anvil.rpc("eth_getCode", side.token, "latest")
        yield
        await side.anvil.rpc("anvil_setCode", side.token, REVERT)
        await side.finalize()
        await side.anvil.rpc("anvil_setCode", side.token, code)


@pytest.mark.parametrize("again", [False, True])
async def test_fails_on_chain(again: bool) -> None:
    async with an_evm_side() as side:
        await stories.fails_on_chain(side, BrokenToken(), again=again)


async def test_a_nonce_the_signer_refuses_is_closed_by_a_filler_and_the_withdrawal_paid_once() -> None:
    async with an_evm_side() as side, a_bank(side, choices=Choices(attempts=AT_ONCE)) as world:
        hot, recipient = await world.wallet(), side.stranger(1)
        await world.withdraw("w-1", "ETH", ETHER, to=recipient)
        await world.until_cut(world.round(), BEFORE_SIGNING)
        await world.hold("h-1", account="alice", direction="withdrawals")
        await world.round()
        [payment, filler] = world.attempts()
        assert world.state.attempts.need(filler).purposes == ()
        assert world.state.attempts.need(filler).excludes == (payment,)
        await world.round()
        height = world.life.replica.height
        await world.round()
        await world.round()
        assert world.attempts() == [payment, filler], "one filler closes the nonce"
        assert world.life.replica.height == height, "and nobody asks the ledger for a second one"
        await world.settle()
        assert world.state.attempts.need(filler).state == "landed"
        assert world.state.attempts.need(payment).state == "excluded"
        assert world.withdrawal("w-1").state == "queued"
        assert world.chain().desk.lane(hot).done == 1
        await world.lift("h-1")
        await world.round()
        await world.settle()
        assert world.withdrawal("w-1").state == "settled"
        assert await side.holds(recipient, NATIVE) == ETHER
        await world.check_all()


async def test_filler_and_payment_both_out_land_once() -> None:
    """The hold is lifted while the filler is on its way: the payment is signed too, at the same nonce. Whichever
    lands, the user is paid once."""
    async with an_evm_side() as side, a_bank(side, choices=Choices(attempts=AT_ONCE)) as world:
        recipient = side.stranger(1)
        await world.withdraw("w-1", "ETH", ETHER, to=recipient)
        await world.until_cut(world.round(), BEFORE_SIGNING)
        await world.hold("h-1", account="alice", direction="withdrawals")
        await world.round()
        await world.lift("h-1")
        await world.round()
        assert len(world.attempts("signed")) == 2
        for _ in range(3):
            await world.settle()
            await world.round()
        await world.settle()
        assert world.withdrawal("w-1").state == "settled"
        assert await side.holds(recipient, NATIVE) == ETHER
        await world.check_all()


async def test_a_payment_that_does_not_land_is_bumped_once_at_its_nonce_and_lands_once() -> None:
    async with an_evm_side() as side, a_bank(side, choices=Choices(attempts=AT_ONCE)) as world:
        hot, recipient = await world.wallet(), side.stranger(1)
        await world.withdraw("w-1", "ETH", ETHER, to=recipient)
        for _ in range(5):
            await world.round()
        [first, second] = [world.state.attempts.need(name) for name in world.attempts()]
        assert (first.nonce, second.nonce) == (0, 0)
        assert second.purposes == first.purposes
        for fee in ("max_fee", "max_priority_fee"):
            assert int(second.parameters[fee]) * 8 >= int(first.parameters[fee]) * 9
        assert len(world.attempts("signed")) == 2
        await world.restart()
        await world.round()
        assert len(world.attempts()) == 2, "a restart does not bump again"
        await world.settle()
        assert sorted(row.state for _, row in world.state.attempts.rows()) == ["excluded", "landed"]
        assert world.chain().desk.lane(hot).next_nonce == 1
        assert await side.holds(recipient, NATIVE) == ETHER
        await world.check_all()


async def test_only_the_lowest_open_nonce_is_bumped() -> None:
    async with an_evm_side() as side, a_bank(side, choices=Choices(attempts=AT_ONCE)) as world:
        for number in range(3):
            await world.withdraw(f"w-{number}", "ETH", ETHER // 10, to=side.stranger(number))
        for _ in range(4):
            await world.round()
        nonces = sorted(row.nonce or 0 for _, row in world.state.attempts.rows())
        assert nonces == [0, 0, 1, 2]
        await world.settle()
        assert [world.withdrawal(f"w-{number}").state for number in range(3)] == ["settled"] * 3
        await world.check_all()


async def test_bytes_that_a_node_dropped_are_sent_again() -> None:
    choices = Choices(attempts=AttemptSettings(resend_seconds=0.0))
    async with an_evm_side() as side, a_bank(side, choices=choices) as world:
        await world.withdraw("w-1", "ETH", ETHER, to=side.stranger(1))
        await world.round()
        [name] = world.attempts()
        await side.anvil.rpc("anvil_dropTransaction", world.state.attempts.need(name).tx)
        await side.finalize()
        await world.scan()
        assert world.withdrawal("w-1").state == "in_attempt"
        await world.round()
        await world.settle()
        assert world.withdrawal("w-1").state == "settled"
        assert len(set(side.sent)) == 1
        await world.check_all()


async def test_a_reorganisation_that_loses_a_payment_costs_nothing() -> None:
    """Mined, not final, reorganised away: it was never settled; the same bytes land again."""
    choices = Choices(attempts=AttemptSettings(resend_seconds=0.0))
    async with an_evm_side() as side, a_bank(side, choices=choices) as world:
        await world.withdraw("w-1", "ETH", ETHER, to=side.stranger(1))
        await world.round()
        await side.mine()
        await world.scan()
        await side.anvil.reorganise(1)
        await world.scan()
        assert world.withdrawal("w-1").state == "in_attempt"
        await world.round()
        await world.settle()
        assert world.withdrawal("w-1").state == "settled"
        assert await side.holds(side.stranger(1), NATIVE) == ETHER
        await world.check_all()


async def test_a_reorganisation_below_the_cursor_halts_the_chain_for_a_person() -> None:
    async with an_evm_side() as side, a_bank(side) as world:
        await side.finalize()
        await world.scan()
        cursor = world.state.cursors.need("ethereum").position
        await side.anvil.reorganise(5)
        await side.mine(4)
        task_error = ""
        try:
            await world.chain().watch.step()
        except Exception as exc:
            task_error = str(exc)
        assert "parent_mismatch" in task_error
        assert world.state.cursors.need("ethereum").position == cursor
