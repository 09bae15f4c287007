"""`make soak`: hundreds of kills at moments of chance while money moves, and every unit accounted for at the end.

Deposits and withdrawals go on on both chains; daemon, signer or both get SIGKILL, again and again, at whatever they are
doing. Afterwards every withdrawal must be paid once, every deposit credited once, both books agree with the chains, and
the journal verify from genesis. The seed is printed, and `--seed` tells the same story of actions again; what the
processes are doing at a kill is the machine's own.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time

import click

from custody.client.client import CustodyClient
from custody.client.errors import ApiError, Unreachable
from custody.envelope.keyfile import read_key_file
from tools.demo.outside import Outside
from tools.demo.paper import Paper, units
from tools.demo.people import Admins, outside_ethereum, outside_solana
from tools.demo.stage import Program, Stage
from tools.demo.waiting import eventually

USERS = ("alice", "bob", "carol")
CHAINS = {"ethereum": ("ETH", "USDC"), "solana": ("SOL", "USDC")}
SETTLE_SECONDS = 180.0
RETRY_SECONDS = 60.0
LONGEST_PAUSE = 2.5


class Soak:
    """One run. `chance` decides what happens and when; nothing else does."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.stage = stage
        self.chance = chance
        self.paper = Paper()
        self.outside = Outside(stage)
        self.addresses: dict[tuple[str, str], str] = {}
        self.names: list[str] = []

    async def run(self, kills: int) -> None:
        """So many kills. Raises when anything is not as it must be."""
        await self.stage.build()
        await self.stage.found()
        await self.stage.start()
        await self._prepare()
        for number in range(1, kills + 1):
            await self._act()
            await asyncio.sleep(self.chance.uniform(0, LONGEST_PAUSE))
            victims = self.chance.choice(((self.stage.daemon,), (self.stage.signer,), self._both()))
            for victim in victims:
                await victim.kill()
            for victim in victims:
                await victim.start()
            if number % 10 == 0:
                await self.stage.start()
                click.echo(f"{number} kills, {len(self.names)} withdrawals")
        await self.stage.start()
        await self._reckon()

    def _both(self) -> tuple[Program, ...]:
        return (self.stage.daemon, self.stage.signer)

    def _client(self) -> CustodyClient:
        return CustodyClient(self.stage.api, read_key_file(self.stage.keys / "payouts.json"))

    async def _prepare(self) -> None:
        """Addresses, and enough money everywhere that every withdrawal can be paid."""
        hot = await self.outside.hot_wallets()
        admins = Admins(self.stage.keys, self.stage.folder / "admin.sock", self.stage.ledger)
        for chain, transaction, ordinal in await self.outside.fund(hot):

            async def attributed(chain: str = chain, transaction: str = transaction, ordinal: str = ordinal) -> bool:
                return "unknown_receipt" not in await admins.fund(chain, transaction, ordinal)

            await eventually(attributed, SETTLE_SECONDS, "the hot wallets are funded")
        async with self._client() as client:
            for user in USERS:
                for chain, assets in CHAINS.items():
                    self.addresses[user, chain] = (await client.request_address(user, chain)).address
                    for asset in assets:
                        await self._deposit(user, chain, asset, "100")

            async def credited() -> bool:
                return await self._balances(client) == self.paper.expected

            await eventually(credited, SETTLE_SECONDS, "the first deposits are credited")

    async def _deposit(self, user: str, chain: str, asset: str, amount: str) -> None:
        await self.outside.deposit(chain, asset, self.addresses[user, chain], amount)
        self.paper.owe(user, asset, units(amount, asset))

    async def _act(self) -> None:
        """A deposit or a withdrawal of a little."""
        user = self.chance.choice(USERS)
        chain = self.chance.choice(sorted(CHAINS))
        asset = self.chance.choice(CHAINS[chain])
        amount = f"0.{self.chance.randrange(100_000, 999_999)}"
        if self.chance.random() < 0.4:
            await self._deposit(user, chain, asset, f"1{amount[1:]}")
            return
        name = f"soak-{len(self.names)}"
        to = outside_ethereum() if chain == "ethereum" else outside_solana()
        await self._until_said(name, user, asset, chain, to, units(amount, asset))
        self.names.append(name)
        self.paper.owe(user, asset, -units(amount, asset))
        self.paper.pay(chain, to, asset, units(amount, asset))

    async def _until_said(self, name: str, user: str, asset: str, chain: str, to: str, amount: int) -> None:
        """The same request again until it is answered: the id makes it one withdrawal however often it arrives."""
        end = time.monotonic() + RETRY_SECONDS
        while True:
            try:
                async with self._client() as client:
                    await client.withdraw(name, user, asset, chain, to, amount, create_account=chain == "solana")
            except Unreachable:
                pass
            except ApiError as exc:
                if not exc.transient:
                    raise
            else:
                return
            if time.monotonic() > end:
                raise TimeoutError(f"{name} was never answered")
            await asyncio.sleep(0.2)

    async def _balances(self, client: CustodyClient) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for user in USERS:
            for asset, item in (await client.balances(user)).items():
                if amount := int(item.available.units) + int(item.held.units):
                    found[user, asset] = amount
        return found

    async def _reckon(self) -> None:
        async with self._client() as client:

            async def settled() -> bool:
                return all([(await client.withdrawal(name)).state == "settled" for name in self.names])

            await eventually(settled, SETTLE_SECONDS, "every withdrawal is settled")

            async def right() -> bool:
                return await self._balances(client) == self.paper.expected

            await eventually(right, SETTLE_SECONDS, "every balance is right")
        answer = await self.stage.ctl("reconcile")
        self.paper.check("chains and books agree", answer["agreed"], True)
        paid = await self.outside.received(list(self.paper.outside))
        self.paper.check("everybody outside got exactly what was withdrawn", paid, self.paper.outside)
        await self.stage.daemon.stop()
        await self.stage.ctl("ledger", "verify", str(self.stage.folder / "data" / "journal.db"))


async def _main(kills: int, seed: int) -> None:
    click.echo(f"seed {seed}")
    async with Stage() as stage:
        soak = Soak(stage, random.Random(seed))  # noqa: S311  # a rehearsal's chance, no secret
        try:
            await soak.run(kills)
        except BaseException:
            click.echo(stage.daemon.tail())
            click.echo(stage.signer.tail())
            raise
    click.echo(f"{kills} kills, {len(soak.names)} withdrawals, each paid once; every unit accounted for")


@click.command(help=__doc__)
@click.option("--kills", default=200, show_default=True)
@click.option("--seed", type=int, default=None, help="Of the actions; one of chance by default.")
def main(kills: int, seed: int | None) -> None:
    """Run it."""
    asyncio.run(_main(kills, random.SystemRandom().randrange(1 << 32) if seed is None else seed))


if __name__ == "__main__":
    sys.exit(main())
