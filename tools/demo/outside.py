"""The world beyond the daemon: who sends deposits, who receives withdrawals, and what the chains themselves say.

Everything here asks the chains directly, past the fault proxies and without a line of the daemon's own adapters.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec
from solders.pubkey import Pubkey
from spl.token.instructions import get_associated_token_address

from chains.devnet.anvil import ETHER
from chains.devnet.solana.bank import Commitment
from custody.execution import Replica
from custody.journal.reader import JournalReader
from custody.ledger.state import State
from tools.demo.paper import units
from tools.demo.stage import Stage
from tools.demo.waiting import eventually

INCLUDE_SECONDS = 30.0


class Tip(msgspec.Struct, frozen=True, kw_only=True):
    """Where the ledger stands."""

    height: int
    root: str


class Outside:
    """The faucets and the chains."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    async def hot_wallets(self) -> dict[str, str]:
        """The house's hot wallets, by chain, as an operator sees them."""
        answer = await self._stage.ctl("wallets")
        wallets: Any = answer["wallets"]
        return {row["chain"]: row["address"] for row in wallets if row["tier"] == "hot"}

    async def tip(self) -> Tip:
        """Height and state root, as the daemon gives them."""
        socket = aiohttp.UnixConnector(str(self._stage.folder / "admin.sock"))
        async with (
            aiohttp.ClientSession(connector=socket) as session,
            session.get("http://admin/admin/ledger") as response,
        ):
            return msgspec.json.decode(await response.read(), type=Tip)

    async def fund(self, hot: dict[str, str]) -> list[tuple[str, str, str]]:
        """The owner's money to the hot wallets: (chain, transaction, ordinal) of each receipt."""
        anvil, solana = self._stage.anvil, self._stage.solana
        evm, sol = hot["ethereum"], hot["solana"]
        mint = self._stage.usdc_solana
        token_account = str(get_associated_token_address(Pubkey.from_string(sol), Pubkey.from_string(mint)))
        return [
            ("ethereum", await anvil.send(evm, 20 * ETHER), "native"),
            ("ethereum", await anvil.mint(self._stage.usdc_ethereum, evm, units("1000", "USDC")), "log:0"),
            ("solana", await solana.airdrop(sol, units("50", "SOL")), f"{sol}/native"),
            ("solana", await solana.mint_to(mint, sol, units("1000", "USDC")), f"{token_account}/{mint}"),
        ]

    async def deposit(self, chain: str, asset: str, address: str, amount: str) -> str:
        """Somebody sends money to a deposit address; the transaction's id."""
        raw = units(amount, asset)
        if chain == "ethereum":
            if asset == "ETH":
                return await self._stage.anvil.send(address, raw)
            return await self._stage.anvil.mint(self._stage.usdc_ethereum, address, raw)
        if asset == "SOL":
            return await self._stage.solana.airdrop(address, raw)
        return await self._stage.solana.mint_to(self._stage.usdc_solana, address, raw)

    async def included(self, transaction: str) -> None:
        """Until an Ethereum transaction stands in a block."""

        async def mined() -> bool:
            return await self._stage.anvil.receipt(transaction) is not None

        await eventually(mined, INCLUDE_SECONDS, "the transaction is in a block")

    async def received(self, keys: list[tuple[str, str, str]]) -> dict[tuple[str, str, str], int]:
        """What each recipient really holds now, by the chains' own word."""
        found: dict[tuple[str, str, str], int] = {}
        for chain, recipient, asset in keys:
            look = self._ethereum if chain == "ethereum" else self._solana
            found[chain, recipient, asset] = await look(recipient, asset)
        return found

    async def _ethereum(self, recipient: str, asset: str) -> int:
        anvil = self._stage.anvil
        if asset == "ETH":
            return int(str(await anvil.rpc("eth_getBalance", recipient, "finalized")), 16)
        data = "0x70a08231" + recipient[2:].lower().rjust(64, "0")
        call = {"to": self._stage.usdc_ethereum, "data": data}
        return int(str(await anvil.rpc("eth_call", call, "finalized")), 16)

    async def _solana(self, recipient: str, asset: str) -> int:
        await asyncio.sleep(0)
        bank = self._stage.solana.bank
        final = bank.at(Commitment.FINALIZED)
        owner = Pubkey.from_string(recipient)
        if asset == "SOL":
            account = bank.account(owner, final)
            return 0 if account is None else int(account.lamports)
        token_account = get_associated_token_address(owner, Pubkey.from_string(self._stage.usdc_solana))
        account = bank.account(token_account, final)
        # SPL Token `Account`: mint 0–32, owner 32–64, amount 64–72 little-endian.
        return 0 if account is None else int.from_bytes(bytes(account.data)[64:72], "little")

    def stop_finality(self) -> None:
        """Blocks go on, on Solana, and none becomes final."""
        self._stage.solana.pause_finality()

    def resume_finality(self) -> None:
        """What waited becomes final."""
        self._stage.solana.resume_finality()

    async def stop_time(self) -> None:
        """Nothing becomes final on either chain: what is sent from now on can't be settled."""
        self.stop_finality()
        await self._stage.anvil.rpc("evm_setIntervalMining", 0)

    async def resume_time(self) -> None:
        """Both chains go on."""
        self.resume_finality()
        await self._stage.anvil.rpc("evm_setIntervalMining", 1)

    def journal(self, height: int | None = None) -> State:
        """The state that the journal on disk executes to, here and now and without a process of ours, after the block
        at `height` or the last one."""
        replica = Replica(check_signatures=False)
        reader = JournalReader.open(self._stage.folder / "data" / "journal.db")
        try:
            for block, _ in reader.verify(reader.height() if height is None else height):
                replica.execute(block)
        finally:
            reader.close()
        return replica.state

    def attempts(self, withdrawals: list[str]) -> list[tuple[str, str]]:
        """(withdrawal, state of its attempt) by the journal on disk."""
        state = self.journal()
        rows: list[tuple[str, str]] = []
        for name in withdrawals:
            row = state.withdrawals.get(name)
            attempt = None if row is None else state.attempts.get(row.attempt)
            rows.append((name, "none" if attempt is None else str(attempt.state)))
        return rows
