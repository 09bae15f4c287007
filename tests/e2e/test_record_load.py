"""The week of greatest growth: record load meets providers that throttle, then fall silent, then deny existing blocks.

Real processes on a real local chain. The daemon must hold with the right cause, keep the cursor behind what is proven,
resume by itself, catch up, and have every deposit credited once.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from typing import Any

from chains.devnet.faultproxy import BlackHole, FaultProxy, Healthy, TooManyRequests
from chains.devnet.faults.lies import ForgedSkips
from chains.devnet.solana.bank import Commitment
from custody.client.client import CustodyClient
from custody.envelope.keyfile import read_key_file
from custody.ledger.lifecycle import DepositState
from tests.eventually import eventually
from tests.tools import require_node
from tools.demo.outside import Outside
from tools.demo.stage import Stage

USERS = tuple(f"user-{number}" for number in range(12))
EACH = 10**8
"""Lamports a deposit: above what an account must hold to live."""
A_SECOND = 20.0
PATIENCE = 60.0


class Load:
    """Deposits to all users in turn, at a steady rate, until told to stop; what was sent is remembered."""

    def __init__(self, stage: Stage, addresses: dict[str, str]) -> None:
        self.sent: Counter[str] = Counter()
        self._stage = stage
        self._addresses = addresses
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        for user in itertools.cycle(USERS):
            # Each amount is its own, so that no two transactions of a block are the same one.
            await self._stage.solana.airdrop(self._addresses[user], EACH + self.sent.total())
            self.sent[user] += 1
            await asyncio.sleep(1.0 / A_SECOND)

    async def stop(self) -> int:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        return self.sent.total()


async def solana(stage: Stage) -> dict[str, Any]:
    status: Any = await stage.ctl("status")
    return next(row for row in status["chains"] if row["chain"] == "solana")


async def held(stage: Stage) -> dict[str, tuple[str, str]]:
    """(cause, reason) of Solana's automatic holds, by direction."""
    rows: Any = (await stage.ctl("holds"))["holds"]
    return {
        row["direction"]: (row["cause"], row["reason"])
        for row in rows
        if row["chain"] == "solana" and row["origin"] == "auto"
    }


def switch(proxies: list[FaultProxy], fault: TooManyRequests | BlackHole | ForgedSkips | Healthy) -> None:
    for proxy in proxies:
        proxy.switch(fault)


async def test_record_load_meets_providers_that_throttle_fall_silent_and_deny() -> None:
    require_node()
    async with Stage() as stage:
        await stage.build()
        await stage.found()
        await stage.start()
        proxies = stage.proxies["solana"]
        outside = Outside(stage)
        async with CustodyClient(stage.api, read_key_file(stage.keys / "payouts.json")) as client:
            addresses = {user: (await client.request_address(user, "solana")).address for user in USERS}
            load = Load(stage, addresses)

            async def credited() -> int:
                page = await client.deposits(account=USERS[0])
                return sum(item.state == "credited" for item in page.deposits)

            await eventually(credited, PATIENCE, "deposits are credited under load")

            switch(proxies, TooManyRequests(retry_after=1))

            async def both() -> bool:
                return set(await held(stage)) == {"deposits", "withdrawals"}

            await eventually(both, PATIENCE, "throttled: both directions hold themselves")
            seen = await held(stage)
            assert {cause for cause, _ in seen.values()} == {"provider"}
            assert "throttled" in seen["deposits"][1]
            status = await client.status()
            assert {hold.chain for hold in status.holds} == {"solana"}, "Ethereum goes on"

            switch(proxies, BlackHole())
            await asyncio.sleep(6)
            assert await both(), "silent: it stays held"

            # Answers come again, at once, and all of them are lies: no slot has a block.
            switch(proxies, ForgedSkips())
            await asyncio.sleep(2)
            before = (await solana(stage))["position"]
            await asyncio.sleep(8)
            assert await both(), "denied blocks are no recovery"
            assert (await solana(stage))["position"] == before, "the cursor stays behind what is not proven"
            assert stage.solana.bank.at(Commitment.FINALIZED).slot > before + 100, "while the chain went on"

            switch(proxies, Healthy())

            async def free() -> bool:
                return not await held(stage)

            await eventually(free, PATIENCE, "it resumes by itself")

            # The same lie on a good day, without any trouble before it.
            switch(proxies, ForgedSkips())
            await eventually(both, PATIENCE, "denied blocks alone: it holds itself too")
            assert "absent_unproven" in (await held(stage))["deposits"][1]
            switch(proxies, Healthy())
            await eventually(free, PATIENCE, "and resumes again")
            await asyncio.sleep(3)
            total = await load.stop()

            async def all_there() -> bool:
                state = outside.journal()
                return sum(row.state is DepositState.CREDITED for _, row in state.deposits.rows()) == total

            await eventually(all_there, PATIENCE, f"all {total} deposits are credited")
            assert total > 10 * A_SECOND, "the load went on through all of it"
            assert await held(stage) == {}
            state = outside.journal()
            assert len({(row.tx, row.ordinal) for _, row in state.deposits.rows()}) == total, "each of them once"
            by_user = Counter(row.account for _, row in state.deposits.rows())
            assert by_user == load.sent
            sums = {user: (await client.balances(user))["SOL"].available.units for user in USERS}
            chain = await outside.received([("solana", addresses[user], "SOL") for user in USERS])
            owed = sum(int(amount) for amount in sums.values())
            assert owed == sum(row.amount for _, row in state.deposits.rows())
            assert owed >= sum(chain.values()), "what left the addresses was swept, and nothing came from nowhere"
