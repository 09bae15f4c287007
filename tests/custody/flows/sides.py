"""What a test needs of a chain beside its adapter: somebody else's money, time passing, and the truth.

A side is the chain itself and outlives every crash of the daemon. `adapter` makes a fresh adapter over it, as a daemon
does at its start.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from solders.account import Account
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chains.devnet.solana import rehearsal
from chains.devnet.solana.bank import Bank, Commitment
from chains.devnet.solana.settings import Settings
from chains.devnet.solana.tokens import TOKEN
from chains.observations import NATIVE
from chains.ports import Adapter
from chains.solana.adapter import SolanaAdapter, SolanaSettings
from chains.solana.codec import TOKEN_PROGRAM, token_account
from custody.flows.ports import PoolControl
from custody.ledger import transactions as tx
from tests.chains.solana.localproviders import LocalUpstream
from tests.custody.flows.fuse import Fuse, FusedUpstream


class Side(Protocol):
    """One chain in a test's hands. Amounts are raw units."""

    chain: str
    coin: str
    token: str
    sent: list[str]
    pool: PoolControl | None
    """The real pool behind the adapter last made, where there is one."""

    def adapter(self, fuse: Fuse) -> Adapter:
        """A fresh adapter over this chain, whose broadcasts pass the fuse."""
        ...

    async def row(self) -> tx.ChainRow:
        """The chain as a genesis names it, from its newest finalized block on."""
        ...

    def on_chain(self, asset: str, minimum: str) -> tx.Representation:
        """The representation of the coin (its own name) or of `USDC`."""
        ...

    async def give(self, address: str, token: str, amount: int) -> str:
        """Somebody sends; it stands in the next block. The transaction's name."""
        ...

    async def mine(self, blocks: int = 1) -> None:
        """So many blocks."""
        ...

    async def finalize(self) -> None:
        """What waits lands and becomes final."""
        ...

    async def holds(self, address: str, token: str) -> int:
        """What an address has, finalized, as the chain itself says."""
        ...

    async def conjure(self, address: str, amount: int) -> None:
        """Coins that come, or go, by no transaction: what no scan can explain."""
        ...

    def stranger(self, number: int) -> str:
        """Somebody's address, the same in every run."""
        ...


class SolanaSide:
    """The local chain over the real programs, its slots passed by hand, every fifth of them skipped."""

    def __init__(self, *, finalized_depth: int = 3) -> None:
        self.chain = "solana"
        self.coin = "SOL"
        settings = Settings(
            manual=True, first_slot=1_000, skip_every=5, confirmed_depth=0, finalized_depth=finalized_depth, slot_ms=400
        )
        self.bank = Bank(settings, settings.genesis_time)
        mint, transaction = rehearsal.create_mint(self.bank, 6)
        self.bank.submit(transaction)
        self.token = str(mint)
        self.upstream = LocalUpstream(self.bank, one=lambda call, reply: reply, two=lambda call, reply: reply)
        self.sent: list[str] = []
        self.pool: PoolControl | None = None
        self.finalized = Commitment.FINALIZED
        self._pass_slots(2 + finalized_depth)

    def adapter(self, fuse: Fuse) -> Adapter:
        fused = FusedUpstream(self.upstream, fuse)
        fused.sent = self.sent
        return SolanaAdapter(SolanaSettings(chain=self.chain, genesis_hash=self.bank.genesis.blockhash), fused)

    async def row(self) -> tx.ChainRow:
        last = self.bank.at(Commitment.FINALIZED)
        return tx.ChainRow(
            chain=self.chain,
            family="solana",
            identity=self.bank.genesis.blockhash,
            decoder=SolanaAdapter.decoder,
            position=last.slot,
            height=last.height,
            hash=last.blockhash,
        )

    def on_chain(self, asset: str, minimum: str) -> tx.Representation:
        native = asset == self.coin
        return tx.Representation(
            chain=self.chain,
            token=NATIVE if native else self.token,
            decimals=9 if native else 6,
            program="" if native else TOKEN_PROGRAM,
            minimum=minimum,
        )

    async def give(self, address: str, token: str, amount: int) -> str:
        who = Pubkey.from_string(address)
        if token == NATIVE:
            return self.bank.submit(rehearsal.airdrop(self.bank, who, amount))
        return self.bank.submit(rehearsal.mint_to(self.bank, Pubkey.from_string(token), who, amount)[1])

    async def mine(self, blocks: int = 1) -> None:
        self._pass_slots(blocks)

    async def finalize(self) -> None:
        self._pass_slots(1 + self.bank.settings.finalized_depth)

    async def holds(self, address: str, token: str) -> int:
        block = self.bank.at(Commitment.FINALIZED)
        if token == NATIVE:
            account = self.bank.account(Pubkey.from_string(address), block)
            return 0 if account is None else account.lamports
        place = Pubkey.from_string(token_account(address, token, TOKEN_PROGRAM))
        account = self.bank.account(place, block)
        return 0 if account is None or account.owner != TOKEN else int.from_bytes(account.data[64:72], "little")

    async def conjure(self, address: str, amount: int) -> None:
        key = Pubkey.from_string(address)
        account = self.bank.svm.get_account(key)
        assert account is not None
        self.bank.svm.set_account(key, Account(account.lamports + amount, account.data, account.owner))
        for block in self.bank.history.after(self.bank.at(Commitment.FINALIZED)):
            block.before.pop(key, None)

    def stranger(self, number: int) -> str:
        return str(Keypair.from_seed((7_000 + number).to_bytes(32, "big")).pubkey())

    def landed(self) -> Sequence[str]:
        """Signatures of all transactions that stand in blocks."""
        return tuple(self.bank.history.by_signature)

    def _pass_slots(self, blocks: int) -> None:
        while blocks:
            blocks -= self.bank.tick(self.bank.manual_time()) is not None
