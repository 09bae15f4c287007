"""Stories that every chain must tell the same way, whatever makes its transactions unique. Chains are twins.

Each takes a fresh side and is told in virtual time over the local Solana chain, and in tests/peers over anvil.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from chains.observations import NATIVE
from custody.flows.sweeps import SweepSettings
from custody.flows.withdrawals import PayoutSettings
from tests.custody.flows.fuse import BEFORE_SIGNING, PLACES
from tests.custody.flows.life import Choices
from tests.custody.flows.rig import World, a_bank, a_world
from tests.custody.flows.sides import Side

ONE_USDC = 1_000_000


class Spoiled(Protocol):
    """How a chain is made to refuse what it simulated well: the payment is sent inside `payment`, and final after."""

    async def recipient(self, world: World) -> str:
        """Who is paid."""
        ...

    def payment(self, world: World) -> AbstractAsyncContextManager[None]:
        """Around the round that sends it."""
        ...


def whole(side: Side) -> int:
    """One coin."""
    return 10**18 if side.coin == "ETH" else 10**9


async def pays_coins_and_tokens(side: Side) -> None:
    """Prepared, signed, sent, final, settled: the amounts on chain and in the ledger are exactly right."""
    async with a_bank(side) as world:
        before = world.available("alice", side.coin), world.available("alice", "USDC")
        coin, token = side.stranger(1), side.stranger(2)
        await world.withdraw("w-coin", side.coin, whole(side), to=coin)
        await world.withdraw("w-token", "USDC", 7 * ONE_USDC, to=token)
        assert world.held("alice", side.coin) == whole(side)
        await world.round()
        assert len(world.attempts("signed")) == 2
        assert [world.withdrawal(name).state for name in ("w-coin", "w-token")] == ["in_attempt"] * 2
        await world.settle()
        assert [world.withdrawal(name).state for name in ("w-coin", "w-token")] == ["settled"] * 2
        assert await side.holds(coin, NATIVE) == whole(side)
        assert await side.holds(token, side.token) == 7 * ONE_USDC
        assert world.available("alice", side.coin) == before[0] - whole(side)
        assert world.available("alice", "USDC") == before[1] - 7 * ONE_USDC
        assert world.held("alice", "USDC") == world.held("alice", side.coin) == 0
        await world.check_all()


async def pays_once_whatever_dies(side: Side, place: str) -> None:
    """The power goes at one place of the way; the daemon starts again and pays, once, with the bytes it had."""
    async with a_bank(side) as world:
        recipient = side.stranger(1)
        await world.withdraw("w-1", side.coin, whole(side), to=recipient)
        await world.until_cut(world.round(), place)
        [attempt] = world.attempts()
        assert world.state.attempts.need(attempt).state == ("prepared" if place in PLACES[:2] else "signed"), (
            "recorded before it is an act"
        )
        await world.round()
        await world.round()
        assert world.attempts() == [attempt], "the same attempt goes on, no other is begun"
        await world.settle()
        assert world.withdrawal("w-1").state == "settled"
        assert await side.holds(recipient, NATIVE) == whole(side)
        assert len(set(side.sent)) == 1, "the very same bytes, however often they were sent"
        await world.check_all()


async def settles_once_what_landed_while_it_was_down(side: Side) -> None:
    """Sent, then the power goes; it lands and becomes final without us. The cursor finds it; nothing is sent anew."""
    async with a_bank(side) as world:
        recipient = side.stranger(1)
        await world.withdraw("w-1", "USDC", 3 * ONE_USDC, to=recipient)
        await world.round()
        await world.crash()
        await side.finalize()
        await side.mine(3)
        world.start()
        await world.round()
        await world.scan()
        await world.round()
        assert world.withdrawal("w-1").state == "settled"
        assert len(world.attempts()) == 1
        await world.settle()
        assert await side.holds(recipient, side.token) == 3 * ONE_USDC
        await world.check_all()


async def waits_while_held_and_is_signed_afterwards(side: Side) -> None:
    """A hold between preparing and signing: the signer refuses, whatever the daemon asks; lifted, the payment goes."""
    async with a_bank(side) as world:
        recipient = side.stranger(1)
        await world.withdraw("w-1", side.coin, whole(side), to=recipient)
        await world.until_cut(world.round(), BEFORE_SIGNING)
        await world.hold("h-1", chain=side.chain, direction="withdrawals")
        for _ in range(3):
            await world.round()
        assert len(world.attempts("prepared")) == 1
        assert "the signer refuses: held" in world.chain().condition.waiting["w-1"]
        assert side.sent == []
        await world.lift("h-1")
        await world.round()
        await world.settle()
        assert world.withdrawal("w-1").state == "settled"
        assert await side.holds(recipient, NATIVE) == whole(side)
        await world.check_all()


async def pays_in_order_and_within_its_limits(side: Side) -> None:
    """Requests are paid in their order, so many at a time; what waits says why, and one bad one stops nobody."""
    choices = Choices(payouts=PayoutSettings(in_flight=2))
    async with a_bank(side, choices=choices) as world:
        amount = whole(side) // 10
        for number in range(5):
            await world.withdraw(f"w-{number}", side.coin, amount, to=side.stranger(number))
        await world.round()
        assert [world.withdrawal(f"w-{number}").state for number in range(5)] == ["in_attempt"] * 2 + ["queued"] * 3
        assert world.chain().condition.waiting["w-2"] == "2 payments are in flight"
        await world.settle()
        await world.round()
        assert [world.withdrawal(f"w-{number}").state for number in range(2, 5)] == ["in_attempt"] * 2 + ["queued"]
        await world.settle()
        await world.round()
        await world.settle()
        assert [world.withdrawal(f"w-{number}").state for number in range(5)] == ["settled"] * 5
        orders = [world.state.attempts.need(name).purposes[0].id for name in world.attempts()]
        assert orders == [f"w-{number}" for number in range(5)]
        await world.check_all()


async def waits_for_money_and_says_so(side: Side) -> None:
    """More than the hot wallet holds: it stays queued with the reason in sight, a smaller one passes it, and when the
    wallet is filled it goes."""
    choices = Choices(payouts=PayoutSettings(retry_seconds=0.0))
    async with a_bank(side, choices=choices) as world:
        await world.withdraw("w-large", side.coin, 6 * whole(side), to=side.stranger(1))
        await world.withdraw("w-small", side.coin, whole(side), to=side.stranger(2))
        await world.round()
        assert world.withdrawal("w-large").state == "queued"
        assert world.chain().condition.waiting["w-large"].startswith("the hot wallet holds")
        await world.settle()
        assert world.withdrawal("w-small").state == "settled"
        await world.round()
        assert "w-large" in world.chain().condition.waiting, "still in sight after a round"
        await world.treasury(NATIVE, 5 * whole(side))
        await world.round()
        await world.settle()
        assert world.withdrawal("w-large").state == "settled"
        assert await side.holds(side.stranger(1), NATIVE) == 6 * whole(side)
        await world.check_all()


async def spends_no_money_twice(side: Side) -> None:
    """What is out is spoken for: of two that only together are too much, the second waits for the wallet's next coins
    instead of failing on chain."""
    async with a_bank(side, choices=Choices(payouts=PayoutSettings(retry_seconds=0.0))) as world:
        for number in (1, 2):
            await world.withdraw(f"w-{number}", side.coin, 3 * whole(side), to=side.stranger(number))
        await world.round()
        assert [world.withdrawal(f"w-{number}").state for number in (1, 2)] == ["in_attempt", "queued"]
        assert "of it spoken for" in world.chain().condition.waiting["w-2"]
        await world.settle()
        await world.round()
        assert world.withdrawal("w-2").state == "queued"
        await world.treasury(NATIVE, 5 * whole(side))
        await world.round()
        await world.settle()
        assert [world.withdrawal(f"w-{number}").state for number in (1, 2)] == ["settled"] * 2
        assert world.attempts("failed") == []
        await world.check_all()


async def obeys_every_scope_of_holds(side: Side) -> None:
    """A chain's, an asset's, an account's hold: what it covers waits and names it; the rest goes."""
    async with a_bank(side) as world:
        bob = await world.user("bob")
        await world.receive(bob, NATIVE, whole(side))
        await world.hold("asset", asset="USDC", direction="withdrawals")
        await world.hold("account", account="bob", direction="both")
        await world.withdraw("w-coin", side.coin, whole(side) // 10, to=side.stranger(1))
        await world.withdraw("w-token", "USDC", ONE_USDC, to=side.stranger(2))
        await world.withdraw("w-bob", side.coin, whole(side) // 10, account="bob", to=side.stranger(3))
        await world.round()
        assert world.withdrawal("w-coin").state == "in_attempt"
        assert world.chain().condition.waiting == {"w-token": "held by asset", "w-bob": "held by account"}
        await world.settle()
        await world.hold("chain", chain=side.chain, direction="withdrawals")
        await world.lift("asset")
        await world.lift("account")
        await world.round()
        assert set(world.chain().condition.waiting.values()) == {"held by chain"}
        await world.lift("chain")
        await world.round()
        await world.settle()
        assert [world.withdrawal(name).state for name in ("w-coin", "w-token", "w-bob")] == ["settled"] * 3
        await world.check_all()


async def brakes(side: Side) -> None:
    """With the brake on nothing is prepared, signed or sent, in the daemon and at the signer; released, it goes on."""
    async with a_bank(side) as world:
        await world.withdraw("w-1", side.coin, whole(side), to=side.stranger(1))
        await world.until_cut(world.round(), BEFORE_SIGNING)
        world.life.braked = True
        await world.withdraw("w-2", side.coin, whole(side), to=side.stranger(2))
        await world.round()
        assert (world.attempts("signed"), world.withdrawal("w-2").state, side.sent) == ([], "queued", [])
        assert world.chain().condition.waiting["w-2"] == "the brake is on"
        # The daemon's own latch is not all: the signer's holds alone too.
        world.life.braked = False
        await world.life.link.brake(on=True, reason="a test", actor="uid:0")
        await world.round()
        assert world.attempts("signed") == []
        assert "the signer refuses: brake" in world.chain().condition.waiting["w-1"]
        await world.signer.stop()
        await world.signer.start()
        await world.round()
        assert world.attempts("signed") == [], "the latch outlives the signer's process"
        await world.life.link.brake(on=False, reason="a test", actor="uid:0")
        await world.round()
        await world.settle()
        assert [world.withdrawal(name).state for name in ("w-1", "w-2")] == ["settled"] * 2
        await world.check_all()


async def tells_the_brake_before_sending(side: Side) -> None:
    """Signed and recorded, the brake comes before the first send: the bytes stay here until it is released."""
    async with a_bank(side) as world:
        await world.withdraw("w-1", side.coin, whole(side), to=side.stranger(1))
        await world.until_cut(world.round(), PLACES[2])
        world.life.braked = True
        await world.round()
        await side.finalize()
        assert (side.sent, len(world.attempts("signed"))) == ([], 1)
        world.life.braked = False
        await world.round()
        await world.settle()
        assert world.withdrawal("w-1").state == "settled"
        await world.check_all()


async def sweeps_everything_worth_it(side: Side) -> None:
    """Coins and tokens of a deposit address end in the hot wallet; the user's balance never moves; what pays for it is
    ours; nothing of it is taken for a deposit."""
    minimum = {side.coin: whole(side), "USDC": ONE_USDC}
    async with a_bank(side, choices=Choices(sweeps=SweepSettings(minimum=minimum, at_once=4))) as world:
        alice = world.state.slots.need("alice", side.chain).address
        hot = await world.wallet()
        before = world.available("alice", side.coin), world.available("alice", "USDC"), len(world.state.deposits)
        tokens = await side.holds(hot, side.token)
        for _ in range(4):
            await world.chain().sweeps.step()
            await world.round()
            await world.settle()
        assert await side.holds(alice, side.token) == 0
        assert await side.holds(alice, NATIVE) < whole(side)
        assert await side.holds(hot, side.token) == tokens + 500 * ONE_USDC
        after = world.available("alice", side.coin), world.available("alice", "USDC"), len(world.state.deposits)
        assert after == before
        assert world.holds() == {}
        await world.check_all()


async def sweeps_tokens_of_a_user_without_coins(side: Side) -> None:
    """The house pays for the way, and the way in: a top-up of gas, or the wallet's first account of its kind. The user
    is not credited with it."""
    choices = Choices(sweeps=SweepSettings(minimum={"USDC": ONE_USDC}))
    async with a_world(side, choices=choices) as world:
        await world.treasury(NATIVE, 5 * whole(side))
        bob = await world.user("bob")
        await world.receive(bob, side.token, 40 * ONE_USDC)
        for _ in range(3):
            await world.chain().sweeps.step()
            await world.round()
            await world.settle()
        assert await side.holds(await world.wallet(), side.token) == 40 * ONE_USDC
        assert await side.holds(bob, side.token) == 0
        assert len(world.state.deposits) == 1
        assert (world.available("bob", "USDC"), world.available("bob", side.coin)) == (40 * ONE_USDC, 0)
        assert world.holds() == {}
        await world.check_all()


async def fails_on_chain(side: Side, spoiled: Spoiled, *, again: bool) -> None:
    """The chain's own verdict against a payment costs its fee and moves nothing. Once the policy has had enough, the
    money is the user's again; until then it is tried anew."""
    choices = Choices(parameters=(("attempts", side.chain, "2"),) if again else ())
    async with a_bank(side, choices=choices) as world:
        before = world.available("alice", "USDC")
        recipient = await spoiled.recipient(world)
        await world.withdraw("w-1", "USDC", ONE_USDC, to=recipient, create_account=False)
        async with spoiled.payment(world):
            await world.round()
            assert world.withdrawal("w-1").state == "in_attempt"
        await world.scan()
        assert len(world.attempts("failed")) == 1
        assert world.withdrawal("w-1").failures == 1
        if not again:
            assert world.withdrawal("w-1").state == "failed"
            assert world.available("alice", "USDC") == before
            await world.round()
            assert len(world.attempts()) == 1, "a released withdrawal is never begun again"
        else:
            assert world.withdrawal("w-1").state == "queued"
            await world.round()
            await world.settle()
            assert world.withdrawal("w-1").state == "settled"
            assert world.available("alice", "USDC") == before - ONE_USDC
        await world.settle()
        await world.check_all()


async def does_not_sweep_what_is_held_or_small(side: Side) -> None:
    """Below the minimum, under a hold, or with the brake on: it stays where it is."""
    minimum = {side.coin: 100 * whole(side), "USDC": ONE_USDC}
    async with a_bank(side, choices=Choices(sweeps=SweepSettings(minimum=minimum))) as world:
        await world.hold("h-1", chain=side.chain, direction="withdrawals")
        await world.chain().sweeps.step()
        assert world.attempts() == []
        await world.lift("h-1")
        world.life.braked = True
        await world.chain().sweeps.step()
        assert world.attempts() == []
        world.life.braked = False
        await world.chain().sweeps.step()
        [attempt] = world.attempts()
        assert world.state.attempts.need(attempt).purposes[0].token in (side.token, NATIVE)
        await world.round()
        await world.settle()
        assert await side.holds(world.state.slots.need("alice", side.chain).address, NATIVE) >= 9 * whole(side)


async def becomes_a_transfer_to_one_of_ours(side: Side) -> None:
    """A withdrawal to a deposit address of ours never touches the chain."""
    async with a_bank(side) as world:
        bob = await world.user("bob")
        await world.withdraw("w-1", "USDC", 9 * ONE_USDC, to=bob)
        assert world.withdrawal("w-1").state == "settled"
        assert world.available("bob", "USDC") == 9 * ONE_USDC
        await world.round()
        assert world.attempts() == []
        await world.check_all()


async def reconciles_to_the_unit(side: Side) -> None:
    """Equal with fees and rent in it; a unit that came by no transaction we saw is a surplus and goes to suspense; a
    unit missing holds that asset's withdrawals."""
    async with a_bank(side) as world:
        await world.withdraw("w-1", "USDC", ONE_USDC, to=side.stranger(1))
        await world.round()
        # In flight it is equal too: all three sides speak of the same block.
        assert {line.result for line in await world.reconcile()} == {"equal"}
        await world.settle()
        await world.check_all()
        hot = await world.wallet()
        await side.conjure(hot, 1)
        results = await _results(world)
        assert results == {side.coin: "surplus", "USDC": "equal"}
        assert await _results(world) == {side.coin: "equal", "USDC": "equal"}, "it is booked, in suspense"
        assert world.state.balance(side.coin, f"suspense:{side.chain}") == 1
        await side.conjure(hot, -2)
        assert (await _results(world))[side.coin] == "deficit"
        [(_, hold)] = world.state.holds.rows()
        assert (hold.cause, hold.asset, hold.chain, hold.direction) == (
            "reconciliation",
            side.coin,
            side.chain,
            "withdrawals",
        )
        await world.withdraw("w-2", side.coin, whole(side), to=side.stranger(2))
        await world.round()
        assert world.withdrawal("w-2").state == "queued"


async def _results(world: World) -> dict[str, str]:
    await world.side.finalize()
    return {line.asset: line.result for line in await world.reconcile()}


ALL = (
    pays_coins_and_tokens,
    settles_once_what_landed_while_it_was_down,
    waits_while_held_and_is_signed_afterwards,
    pays_in_order_and_within_its_limits,
    waits_for_money_and_says_so,
    spends_no_money_twice,
    obeys_every_scope_of_holds,
    brakes,
    tells_the_brake_before_sending,
    sweeps_everything_worth_it,
    sweeps_tokens_of_a_user_without_coins,
    does_not_sweep_what_is_held_or_small,
    becomes_a_transfer_to_one_of_ours,
    reconciles_to_the_unit,
)
"""Told on every chain. `pays_once_whatever_dies` and `fails_on_chain` take something of the chain's own too."""
