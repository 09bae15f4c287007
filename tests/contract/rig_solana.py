"""Solana's rig: the local chain over the real programs, its slots passed by hand, every fifth of them skipped."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence

import msgspec
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from spl.token.instructions import create_idempotent_associated_token_account, mint_to, transfer_checked
from spl.token.models import MintToParams, TransferCheckedParams

from chains.devnet.solana.bank import Commitment
from chains.devnet.solana.chain import SolanaDevnet
from chains.devnet.solana.settings import Settings
from chains.observations import NATIVE, Block
from chains.ports import Adapter, Token, WatchList
from chains.solana.adapter import SolanaAdapter, SolanaSettings
from chains.solana.codec import TOKEN_PROGRAM, token_account
from tests.contract.rig import AdapterRig
from tests.upstream_direct import DirectUpstream

PROGRAM = Pubkey.from_string(TOKEN_PROGRAM)
CHAIN = Settings(manual=True, first_slot=1_000, skip_every=5, confirmed_depth=0, finalized_depth=3)

BAD_ADDRESSES: Mapping[str, str] = {
    "": "address_malformed",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed": "address_malformed",
    " 9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin": "address_malformed",
    "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin\n": "address_malformed",
    "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVF0n": "address_malformed",
    "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusV": "address_malformed",
    TOKEN_PROGRAM: "address_is_program",
    token_account(str(Keypair.from_seed(bytes(32)).pubkey()), TOKEN_PROGRAM, TOKEN_PROGRAM): "address_off_curve",
}


class SolanaRig:
    """See `AdapterRig`. Owner keys and mints are the same in every run."""

    def __init__(self, chain: SolanaDevnet, upstream: DirectUpstream, mints: Sequence[str]) -> None:
        self.chain = chain
        self.upstream = upstream
        self.settings = SolanaSettings(chain="solana", genesis_hash=chain.genesis_hash)
        self.adapter: Adapter = SolanaAdapter(self.settings, upstream)
        elsewhere = msgspec.structs.replace(self.settings, genesis_hash=str(Hash.default()))
        self.stranger: Adapter = SolanaAdapter(elsewhere, upstream)
        self.native = Token(address=NATIVE, decimals=9)
        self.token = Token(address=mints[0], decimals=6, program=TOKEN_PROGRAM)
        self.unlisted = Token(address=mints[1], decimals=6, program=TOKEN_PROGRAM)
        self.watch = WatchList()
        self.watch.list_tokens((self.native, self.token), 1)
        self.wealth = 10 * 10**9
        self.amount = 2_000_000
        self.bad_addresses = BAD_ADDRESSES
        self._keys: dict[str, Keypair] = {}

    def new_address(self) -> str:
        key = Keypair.from_seed((1_000 + len(self._keys)).to_bytes(32, "big"))
        self._keys[str(key.pubkey())] = key
        return str(key.pubkey())

    def sign(self, message: bytes, address: str) -> bytes:
        return bytes(self._keys[address].sign_message(message))

    def sweeper(self, source: str, wallet: str) -> str:
        return wallet

    async def lane(self, sender: str) -> tuple[int | None, str | None]:
        return None, self.chain.bank.at(Commitment.FINALIZED).blockhash

    async def fund(self, address: str, token: Token, amount: int) -> str:
        if token.address == NATIVE:
            return await self.chain.airdrop(address, amount)
        return await self.chain.mint_to(token.address, address, amount)

    async def fund_together(self, recipients: Sequence[str], amount: int) -> str:
        minter, mint = self.chain.bank.genesis.minter.pubkey(), Pubkey.from_string(self.token.address)
        instructions: list[Instruction] = []
        for recipient in recipients:
            owner = Pubkey.from_string(recipient)
            account = Pubkey.from_string(token_account(recipient, self.token.address, TOKEN_PROGRAM))
            instructions += [
                create_idempotent_associated_token_account(minter, owner, mint, PROGRAM),
                mint_to(
                    MintToParams(program_id=PROGRAM, mint=mint, dest=account, mint_authority=minter, amount=amount)
                ),
            ]
        return self.submit(instructions, self.chain.bank.genesis.minter)

    async def fund_failing(self, address: str) -> str:
        minter = self.chain.bank.genesis.minter.pubkey()
        mint = Pubkey.from_string(self.token.address)
        accounts = [
            Pubkey.from_string(token_account(owner, self.token.address, TOKEN_PROGRAM))
            for owner in (str(minter), address)
        ]
        too_much = transfer_checked(
            TransferCheckedParams(
                program_id=PROGRAM,
                source=accounts[0],
                mint=mint,
                dest=accounts[1],
                owner=minter,
                amount=10**18,
                decimals=6,
            )
        )
        return self.submit([too_much], self.chain.bank.genesis.minter)

    def submit(self, instructions: Sequence[Instruction], *signers: Keypair) -> str:
        """Hand in a transaction past every preflight; the first signer pays."""
        blockhash = Hash.from_string(self.chain.bank.tip.blockhash)
        message = Message.new_with_blockhash(list(instructions), signers[0].pubkey(), blockhash)
        return self.chain.bank.submit(VersionedTransaction(message, list(signers)))

    async def mine(self) -> None:
        while not await self.chain.tick():
            pass

    async def finalize(self) -> None:
        for _ in range(1 + CHAIN.finalized_depth):
            await self.mine()

    def another(self, block: Block) -> Block:
        return msgspec.structs.replace(block, hash=str(Hash.default()))


@contextlib.asynccontextmanager
async def open_rig(*, providers: int = 2) -> AsyncIterator[SolanaRig]:
    """The rig by its own type, for the tests that are about Solana alone."""
    async with SolanaDevnet(CHAIN) as chain, DirectUpstream("solana", {}) as upstream:
        upstream.urls.update({f"p{n}": chain.url for n in range(1, providers + 1)})
        mints = [await chain.create_mint(6), await chain.create_mint(6)]
        rig = SolanaRig(chain, upstream, mints)
        await rig.finalize()
        yield rig


@contextlib.asynccontextmanager
async def rig() -> AsyncIterator[AdapterRig]:
    """The rig as the contract test wants it."""
    async with open_rig() as opened:
        yield opened
