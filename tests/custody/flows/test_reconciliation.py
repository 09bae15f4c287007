"""Three sides of one finalized position, while finality moves and providers come and go."""

from __future__ import annotations

import asyncio
from typing import Any

from chains.observations import NATIVE
from chains.pool.calls import Call
from tests.custody.flows.rig import a_bank, a_world
from tests.custody.flows.sides import SolanaSide
from tests.virtualtime import run

SOL = 10**9


def test_samples_are_taken_again_until_all_are_of_one_position() -> None:
    """Finality moves on between two balances, three times over; then it rests for a moment."""

    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            moves = 3

            def moving(call: Call, reply: dict[str, Any]) -> dict[str, Any]:
                nonlocal moves
                if call.method == "getBalance" and moves:
                    moves -= 1
                    while side.bank.tick(side.bank.manual_time()) is None:
                        pass
                return reply

            side.upstream.tempers["one"] = moving
            lines = await world.reconcile()
            assert moves == 0
            assert {line.result for line in lines} == {"equal"}
            assert len({line.position for line in lines}) == 1

    run(story())


def test_while_everything_moves_it_is_equal_still() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world, world.running():
            for number in range(4):
                await world.withdraw(f"w-{number}", "SOL", SOL // 10, to=side.stranger(number))
                lines = await world.life.reconciliation.run()
                assert {line.result for line in lines} == {"equal"}, lines
                await asyncio.sleep(1.3)
            assert world.holds() == {}

    run(story())


def test_a_chain_that_never_rests_or_never_answers_is_unknown_and_never_wrong() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:

            def restless(call: Call, reply: dict[str, Any]) -> dict[str, Any]:
                if call.method == "getBalance":
                    while side.bank.tick(side.bank.manual_time()) is None:
                        pass
                return reply

            side.upstream.tempers["one"] = side.upstream.tempers["two"] = restless
            lines = await world.reconcile()
            assert {(line.result, line.detail) for line in lines} == {
                ("unknown", "no two balances were of the same position")
            }
            side.upstream.unavailable = {"one", "two"}
            lines = await world.life.reconciliation.run()
            assert {line.result for line in lines} == {"unknown"}
            assert all("no_provider" in line.detail for line in lines)
            assert world.holds() == {}

    run(story())


def test_a_cursor_that_does_not_get_there_in_time_is_unknown() -> None:
    async def story() -> None:
        side = SolanaSide()
        async with a_bank(side) as world:
            await side.finalize()
            began = asyncio.get_running_loop().time()
            lines = await world.life.reconciliation.run()
            assert asyncio.get_running_loop().time() - began == 60.0
            assert {line.detail for line in lines} == {"the cursor did not get there within 60 s"}
            # The next one is not in its way.
            assert {line.result for line in await world.reconcile()} == {"equal"}

    run(story())


def test_what_came_by_no_transaction_can_be_the_owners() -> None:
    """A surplus is kept by name, so that two admins can say what it was."""

    async def story() -> None:
        side = SolanaSide()
        async with a_world(side) as world:
            await world.treasury(NATIVE, SOL)
            await side.conjure(await world.wallet(), 777)
            await side.finalize()
            await world.reconcile()
            [(key, surplus)] = world.state.surplus.rows()
            assert (surplus.asset, surplus.amount) == ("SOL", 777)
            await world.treasury(NATIVE, 1)
            assert world.state.balance("SOL", "house:capital") == SOL + 777 + 1
            assert key
            await world.check_all()

    run(story())
