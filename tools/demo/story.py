"""The story that `make demo` tells. Each chapter does something, waits until it is true, and writes down what must be.

Nothing here reads an amount from the daemon in order to expect it: the story keeps its own books (`paper`), and at the
end both are compared to the unit, on chain and in the ledger.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

from chains.devnet.faultproxy import BlackHole, Healthy, TooManyRequests
from custody.client.client import CustodyClient
from custody.envelope.keyfile import read_key_file
from custody.ledger.identifiers import HOUSE_NETWORK, HOUSE_RENT, suspense
from custody.ledger.state import State
from tools.demo.outside import Outside
from tools.demo.paper import Paper, shown, units
from tools.demo.people import Admins, outside_ethereum, outside_solana
from tools.demo.stage import Stage
from tools.demo.waiting import eventually

USERS = ("alice", "bob", "carol")
SETTLE_SECONDS = 60.0
LOOK_SECONDS = 1.5
"""Long enough for several looks of the scanner, which polls three times a second."""


class Story:
    """One telling."""

    def __init__(self, stage: Stage, paper: Paper) -> None:
        self.stage = stage
        self.paper = paper
        self.outside = Outside(stage)
        self.addresses: dict[tuple[str, str], str] = {}
        self.withdrawals: list[str] = []
        self.began = time.monotonic()
        self._client: CustodyClient | None = None

    @property
    def client(self) -> CustodyClient:
        """The exchange's backend."""
        assert self._client is not None, "the daemon runs"
        return self._client

    async def tell(self) -> None:
        """All chapters; raises when anything is not as it must be."""
        await self.setting()
        async with CustodyClient(self.stage.api, read_key_file(self.stage.keys / "payouts.json")) as client:
            self._client = client
            await self.funding()
            await self.deposits()
            await self.bridge()
            await self.pause()
            await self.outage()
            await self.crash()
            await self.reckoning()
        await self.verification()

    async def setting(self) -> None:
        """Two chains, two processes."""
        self.paper.title(0, "The setting")
        await self.stage.build()
        await self.stage.found()
        await self.stage.start()
        self.paper.say(f"a ledger is founded: {self.stage.ledger}")
        self.paper.say("two local chains, two providers each, custodyd and custody-signer as processes of their own")

    async def funding(self) -> None:
        """The owner's money reaches the hot wallets, is seen, and is called the house's by two admins."""
        self.paper.title(1, "The treasury funds the hot wallets; users deposit")
        hot = await self.outside.hot_wallets()
        receipts = await self.outside.fund(hot)
        admins = Admins(self.stage.keys, self.stage.folder / "admin.sock", self.stage.ledger)
        for chain, transaction, ordinal in receipts:
            codes: list[str] = []

            async def attributed(
                chain: str = chain, transaction: str = transaction, ordinal: str = ordinal, codes: list[str] = codes
            ) -> bool:
                codes[:] = await admins.fund(chain, transaction, ordinal)
                return "unknown_receipt" not in codes

            await eventually(attributed, SETTLE_SECONDS, f"the receipt {transaction} on {chain} is final")
            self.paper.check("the first admin proposes, the second one acts", codes, ["endorsed", "ok"])
        self.paper.say("four receipts at the hot wallets: in suspense until two admins called them house:capital")

    async def deposits(self) -> None:
        """Addresses for three users; deposits that are credited at finality and not before."""
        for user in USERS:
            for chain in ("ethereum", "solana"):
                found = await self.client.request_address(user, chain)
                self.addresses[user, chain] = found.address
        columns = ("user", "ethereum", "solana")
        rows = [(user, self.addresses[user, "ethereum"], self.addresses[user, "solana"]) for user in USERS]
        self.paper.table("deposit addresses, each attested by the signer", columns, rows)

        early = await self.outside.deposit("ethereum", "ETH", self.addresses["alice", "ethereum"], "2")
        await self.outside.included(early)
        self.paper.check("nothing is credited before finality", await self._available("alice", "ETH"), 0)
        self.outside.stop_finality()
        await self.stage.solana.settle(await self._deposit("carol", "solana", "SOL", "10"))
        await asyncio.sleep(LOOK_SECONDS)
        self.paper.check("nor on Solana", await self._available("carol", "SOL"), 0)
        self.outside.resume_finality()
        self.paper.say("alice's 2 ETH and carol's 10 SOL stand in blocks that are not final: nothing is credited")
        plan = [
            ("alice", "solana", "USDC", "1500"),
            ("bob", "ethereum", "USDC", "3000"),
            ("bob", "solana", "SOL", "5"),
            ("carol", "solana", "USDC", "250.000001"),
        ]
        self.paper.owe("alice", "ETH", units("2", "ETH"))
        for user, chain, asset, amount in plan:
            await self._deposit(user, chain, asset, amount)
        await self.outside.deposit("ethereum", "USDC", self.addresses["carol", "ethereum"], "0.5")
        await self._balances_come_true("every deposit is credited")

        async def small() -> bool:
            return [item.state for item in (await self.client.deposits(account="carol")).deposits].count(
                "below_minimum"
            ) == 1

        await eventually(small, SETTLE_SECONDS, "carol's 0.5 USDC is recorded as below the minimum")
        await self._show("after the deposits (carol's 0.5 USDC is below the minimum: recorded, not credited)")

    async def bridge(self) -> None:
        """Deposited on one chain, withdrawn on the other; coins too; one to an address of ours."""
        self.paper.title(2, "The bridge: deposited on one chain, withdrawn on the other")
        await self._withdraw("alice", "USDC", "ethereum", outside_ethereum(), "400")
        await self._withdraw("bob", "USDC", "solana", outside_solana(), "700.5")
        await self._withdraw("alice", "ETH", "ethereum", outside_ethereum(), "0.75")
        await self._withdraw("carol", "SOL", "solana", outside_solana(), "3.25")
        await self._withdraw("carol", "SOL", "solana", self.addresses["alice", "solana"], "1", to_user="alice")
        await self._all_settled()
        await self._show("after the bridge (carol's 1 SOL to alice's address became a transfer)")

    async def pause(self) -> None:
        """An operator pauses deposits; what arrives is recorded, and credited once on resume."""
        self.paper.title(3, "An operator pauses Solana deposits")
        reason = "rehearsal: the node operator announced maintenance"
        await self.stage.ctl("pause", "--chain", "solana", "--direction", "deposits", "--reason", reason)
        await self.outside.deposit("solana", "USDC", self.addresses["bob", "solana"], "100")
        before = await self._available("bob", "USDC")

        async def recorded() -> bool:
            page = await self.client.deposits(account="bob")
            return any(item.state == "recorded" for item in page.deposits)

        await eventually(recorded, SETTLE_SECONDS, "the deposit is recorded")
        self.paper.check("recorded, not credited", await self._available("bob", "USDC"), before)
        self.paper.say("bob's 100 USDC are recorded and wait; his balance is what it was")
        await self.stage.ctl(
            "resume", "--chain", "solana", "--direction", "deposits", "--reason", "maintenance is over"
        )
        self.paper.owe("bob", "USDC", units("100", "USDC"))
        await self._balances_come_true("the deposit is credited once")
        await self._show("after the resume")

    async def outage(self) -> None:
        """All Ethereum providers throttle, then fall silent. The chain holds itself, and resumes by itself."""
        self.paper.title(4, "All Ethereum providers answer 429, then fall silent")
        for proxy in self.stage.proxies["ethereum"]:
            proxy.switch(TooManyRequests(retry_after=1))
        await self.outside.deposit("ethereum", "ETH", self.addresses["bob", "ethereum"], "0.5")
        name = await self._withdraw("alice", "ETH", "ethereum", outside_ethereum(), "0.1")
        await eventually(self._both_held, SETTLE_SECONDS, "the automatic holds appear, one for each direction")
        for proxy in self.stage.proxies["ethereum"]:
            proxy.switch(BlackHole())

        async def silent() -> bool:
            errors = [row["last_error"] for row in await self._providers("ethereum")]
            return all("timeout" in error or "unreachable" in error or "time" in error for error in errors)

        await eventually(silent, SETTLE_SECONDS, "the providers have fallen silent")
        rows = [
            (row["name"], row["reason"] or "may be asked", row["last_error"])
            for row in await self._providers("ethereum")
        ]
        self.paper.table("the Ethereum providers now", ("provider", "may it be asked", "last error"), rows)
        status = await self.client.status()
        held = [(hold.cause, hold.chain, hold.direction, _clock(hold.since), hold.reason) for hold in status.holds]
        self.paper.table("what the status says", ("cause", "chain", "direction", "since", "why"), held)
        await self._show_pauses()
        self.paper.check("only Ethereum is held", [hold.chain for hold in status.holds], ["ethereum"] * 2)
        waiting = await self.client.withdrawal(name)
        self.paper.check("the withdrawal waits", waiting.state, "queued")
        self.paper.say("alice's withdrawal was accepted and waits; nothing was signed")
        for proxy in self.stage.proxies["ethereum"]:
            proxy.switch(Healthy())

        async def lifted() -> bool:
            return not await self._held()

        await eventually(lifted, SETTLE_SECONDS, "the automatic holds are lifted by themselves")
        self.paper.owe("bob", "ETH", units("0.5", "ETH"))
        await self._all_settled()
        await self._balances_come_true("everything is credited and paid")
        await self._show("after the providers returned, by itself")

    async def crash(self) -> None:
        """SIGKILL for both processes while payments are out on both chains."""
        self.paper.title(5, "kill -9 between signing and settlement, on both chains")
        await self.outside.stop_time()
        names = [
            await self._withdraw("bob", "USDC", "ethereum", outside_ethereum(), "123.456789"),
            await self._withdraw("carol", "SOL", "solana", outside_solana(), "0.987654321"),
        ]

        async def signed() -> bool:
            return [state for _, state in self.outside.attempts(names)] == ["signed", "signed"]

        await eventually(signed, SETTLE_SECONDS, "both payments are signed")
        await self.stage.daemon.kill()
        await self.stage.signer.kill()
        states = self.outside.attempts(names)
        self.paper.table("the journal at the kill", ("withdrawal", "state of its attempt"), states)
        self.paper.check("signed and not settled", [state for _, state in states], ["signed", "signed"])
        await self.outside.resume_time()
        await self.stage.start()
        await self._all_settled()
        await self._balances_come_true("each is paid once")
        await self._show("after the restart")

    async def reckoning(self) -> None:
        """Both books, both chains, to the last unit."""
        self.paper.title(6, "Reconciliation to the last unit, and the journal verified from genesis")
        answer = await self.stage.ctl("reconcile")
        rows = answer["rows"]
        assert isinstance(rows, list)
        table = [
            (
                row["chain"],
                row["asset"],
                shown(int(row["ledger"]), row["asset"]),
                shown(int(row["wallets"]), row["asset"]),
                shown(int(row["observed"]), row["asset"]),
                row["result"],
            )
            for row in rows
        ]
        self.paper.table(
            "what we should hold, what the wallet book says, what the chain says",
            ("chain", "asset", "ledger", "wallet book", "chain", "result"),
            table,
        )
        self.paper.check("every row agrees", answer["agreed"], True)
        await self._balances_come_true("every balance is exactly right")
        paid = await self.outside.received(list(self.paper.outside))
        self.paper.check("everybody outside got exactly what was withdrawn", paid, self.paper.outside)
        found = await self._show("at the end")
        self.paper.check("no balance but the expected ones", found, self._must())

    async def verification(self) -> None:
        """Offline: the journal from genesis gives the same root."""
        tip = await self.outside.tip()
        await self.stage.daemon.stop()
        told = await self.stage.ctl("ledger", "verify", str(self.stage.folder / "data" / "journal.db"))
        self.paper.check("the ledger is the one that was founded", told["ledger"], self.stage.ledger)
        height, root = told["height"], told["root"]
        self.paper.say(f"verified offline: {height} blocks, every signature, every result; root {root}")
        again = self.outside.journal(tip.height)
        self.paper.check("the root that the daemon gave, executed again from genesis", again.root.hex(), tip.root)
        final = self.outside.journal()
        self.paper.check("and the last one", final.root.hex(), root)
        costs = [
            (asset, shown(-final.balance(asset, HOUSE_NETWORK), asset), shown(-final.balance(asset, HOUSE_RENT), asset))
            for asset in ("ETH", "SOL")
        ]
        self.paper.table("what it cost the house", ("asset", "network fees", "rent"), costs)
        self.paper.check(
            "nothing is left in suspense but carol's 0.5 USDC",
            self._suspense(final),
            {("ethereum", "USDC"): units("0.5", "USDC")},
        )

    def _suspense(self, state: State) -> dict[tuple[str, str], int]:
        found = {
            (chain, asset): state.balance(asset, suspense(chain))
            for chain in ("ethereum", "solana")
            for asset in ("ETH", "SOL", "USDC")
        }
        return {key: amount for key, amount in found.items() if amount}

    async def _providers(self, chain: str) -> list[dict[str, str]]:
        rows = (await self.stage.ctl("providers"))["providers"]
        assert isinstance(rows, list)
        return [row for row in rows if row["chain"] == chain]

    async def _deposit(self, user: str, chain: str, asset: str, amount: str) -> str:
        self.paper.owe(user, asset, units(amount, asset))
        return await self.outside.deposit(chain, asset, self.addresses[user, chain], amount)

    async def _withdraw(self, user: str, asset: str, chain: str, to: str, amount: str, *, to_user: str = "") -> str:
        name = f"w{len(self.withdrawals) + 1}-{user}"
        sum_ = units(amount, asset)
        await self.client.withdraw(name, user, asset, chain, to, sum_, create_account=chain == "solana")
        self.withdrawals.append(name)
        self.paper.owe(user, asset, -sum_)
        if to_user:
            self.paper.owe(to_user, asset, sum_)
        else:
            self.paper.pay(chain, to, asset, sum_)
        return name

    async def _show_pauses(self) -> None:
        chains = (await self.stage.ctl("status"))["chains"]
        assert isinstance(chains, list)
        rows = [
            (row["chain"], one["direction"], one["state"], _seconds(one["queue_age_seconds"]),
             _seconds(one["estimate_seconds"]) or "nobody knows yet")
            for row in chains
            for one in row["pauses"]
        ]  # fmt: skip
        columns = ("chain", "direction", "state", "oldest waits", "resumes in")
        self.paper.table("how each direction of each chain stands", columns, rows)

    async def _held(self) -> list[str]:
        status = await self.client.status()
        return sorted(hold.direction for hold in status.holds if hold.cause == "provider")

    async def _both_held(self) -> bool:
        return await self._held() == ["deposits", "withdrawals"]

    async def _available(self, user: str, asset: str) -> int:
        item = (await self.client.balances(user)).get(asset)
        return 0 if item is None else int(item.available.units)

    def _must(self) -> dict[tuple[str, str], int]:
        return {key: amount for key, amount in self.paper.expected.items() if amount}

    async def _found(self) -> dict[tuple[str, str], int]:
        found: dict[tuple[str, str], int] = {}
        for user in USERS:
            for asset, item in (await self.client.balances(user)).items():
                amount = int(item.available.units) + int(item.held.units)
                if amount:
                    found[user, asset] = amount
        return found

    async def _balances_come_true(self, what: str) -> None:
        async def true() -> bool:
            return await self._found() == self._must()

        try:
            await eventually(true, SETTLE_SECONDS, what)
        except Exception:
            self.paper.say(f"found {await self._found()}, must be {self._must()}")
            raise

    async def _all_settled(self) -> None:
        async def settled() -> bool:
            states = [(await self.client.withdrawal(name)).state for name in self.withdrawals]
            return all(state == "settled" for state in states)

        await eventually(settled, SETTLE_SECONDS, "every withdrawal is settled")

    async def _show(self, name: str) -> dict[tuple[str, str], int]:
        found = await self._found()
        assets = ("ETH", "SOL", "USDC")
        rows = [(user, *(shown(found.get((user, asset), 0), asset) for asset in assets)) for user in USERS]
        self.paper.table(name, ("user", *assets), rows)
        return found


def _seconds(number: float | None) -> str:
    return "" if number is None else f"{number:.0f} s"


def _clock(milliseconds: int) -> str:
    """A time of day in UTC, for people."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%H:%M:%S UTC")
