"""The real System, Token, Memo and ATA programs, one block at a time and without a socket, for the deposit rules.

A `RealChain` runs transactions on the local chain's bank and hands back each block as the codec decodes it from the
very JSON the server would send.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.transaction import VersionedTransaction
from spl.token.instructions import (
    create_idempotent_associated_token_account,
    initialize_account3,
    initialize_mint2,
    mint_to,
    transfer_checked,
)
from spl.token.models import InitializeAccount3Params, InitializeMint2Params, MintToParams, TransferCheckedParams

from chains.devnet.solana import encode
from chains.devnet.solana.bank import Bank
from chains.devnet.solana.settings import Settings
from chains.ports import Tier, Token, WatchList
from chains.solana.codec import TOKEN_PROGRAM, Findings, WatchIndex, WireBlock, read_block, token_account

PROGRAM = Pubkey.from_string(TOKEN_PROGRAM)
SOL = 10**9
_BLOCK = msgspec.json.Decoder(WireBlock)


def wallet(number: int) -> Keypair:
    """A key pair that is the same in every run."""
    return Keypair.from_seed(number.to_bytes(32, "big"))


def name(key: Keypair) -> str:
    return str(key.pubkey())


def ata(owner: Keypair, mint: Pubkey) -> Pubkey:
    return Pubkey.from_string(token_account(name(owner), str(mint), TOKEN_PROGRAM))


def watch(
    deposits: Sequence[Keypair] = (), hot: Sequence[Keypair] = (), mints: Sequence[Pubkey] = (), decimals: int = 6
) -> WatchList:
    """A watch list of these addresses and these SPL Token mints."""
    listed = WatchList()
    for key in deposits:
        listed.add(name(key), Tier.DEPOSIT)
    for key in hot:
        listed.add(name(key), Tier.HOT)
    listed.list_tokens(
        (
            Token(address="native", decimals=9),
            *(Token(address=str(mint), decimals=decimals, program=TOKEN_PROGRAM) for mint in mints),
        ),
        1,
    )
    return listed


class RealChain:
    """One chain with a rich payer and as many mints as wanted."""

    def __init__(self, seed: str = "solana codec tests") -> None:
        self.bank = Bank(Settings(seed=seed, manual=True, finalized_depth=1, confirmed_depth=0), time=1_750_000_000)
        self.payer = self.bank.genesis.faucet
        self.last: WireBlock | None = None

    def run(self, instructions: Sequence[Instruction], *signers: Keypair, payer: Keypair | None = None) -> str:
        """Queue a transaction for the next block; the first signer pays unless another payer is named."""
        payer = payer or self.payer
        message = Message.new_with_blockhash(
            list(instructions), payer.pubkey(), Hash.from_string(self.bank.tip.blockhash)
        )
        keys = list({str(key.pubkey()): key for key in (payer, *signers)}.values())
        by_name = {key.pubkey(): key for key in keys}
        required = message.account_keys[: message.header.num_required_signatures]
        return self.submit(VersionedTransaction(message, [by_name[key] for key in required]))

    def submit(self, transaction: VersionedTransaction) -> str:
        return self.bank.submit(transaction)

    def block(self) -> WireBlock:
        """Let one slot pass and return its block, as decoded from the wire."""
        block = self.bank.tick(self.bank.tip.time + 1)
        assert block is not None
        view = encode.View(details="accounts", rewards=False, highest=1)
        self.last = _BLOCK.decode(msgspec.json.encode(encode.block(block, view)))
        return self.last

    def findings(self, watching: WatchList) -> Findings:
        """Let one slot pass and read what it says about the watched addresses."""
        self.block()
        return self.reread(watching)

    def reread(self, watching: WatchList) -> Findings:
        """Read the last block again."""
        assert self.last is not None
        index = WatchIndex()
        index.catch_up(watching)
        return read_block(self.bank.slot, self.last, index)

    def errors(self) -> list[str]:
        """The raw verdict of each transaction of the last block."""
        assert self.last is not None
        return [bytes(entry.meta.err).decode() for entry in self.last.transactions]

    def fund(self, key: Keypair, lamports: int = 10 * SOL) -> None:
        self.run([self.pay_sol(self.payer, key, lamports)])
        self.block()

    def mint(self, number: int, decimals: int = 6) -> Keypair:
        """A new mint whose authority is the payer."""
        key = wallet(number)
        rent = self.bank.svm.minimum_balance_for_rent_exemption(82)
        made = create_account(
            CreateAccountParams(
                from_pubkey=self.payer.pubkey(), to_pubkey=key.pubkey(), lamports=rent, space=82, owner=PROGRAM
            )
        )
        authority = self.payer.pubkey()
        initialized = initialize_mint2(
            InitializeMint2Params(
                decimals=decimals,
                program_id=PROGRAM,
                mint=key.pubkey(),
                mint_authority=authority,
                freeze_authority=None,
            )
        )
        self.run([made, initialized], key)
        self.block()
        return key

    def give(self, owner: Keypair, mint: Pubkey, amount: int) -> None:
        """Create the owner's associated account and mint into it."""
        self.run([self.open(owner, mint), self.mint_to(ata(owner, mint), mint, amount)])
        self.block()
        assert self.errors() == ["null"]

    def open(self, owner: Keypair, mint: Pubkey, payer: Keypair | None = None) -> Instruction:
        return create_idempotent_associated_token_account((payer or self.payer).pubkey(), owner.pubkey(), mint, PROGRAM)

    def mint_to(self, account: Pubkey, mint: Pubkey, amount: int) -> Instruction:
        return mint_to(
            MintToParams(
                program_id=PROGRAM,
                mint=mint,
                dest=account,
                mint_authority=self.payer.pubkey(),
                amount=amount,
                signers=[],
            )
        )

    def auxiliary(self, key: Keypair, owner: Keypair, mint: Pubkey) -> list[Instruction]:
        """A token account of `owner` at an address of its own, not the associated one."""
        rent = self.bank.svm.minimum_balance_for_rent_exemption(165)
        return [
            create_account(
                CreateAccountParams(
                    from_pubkey=self.payer.pubkey(), to_pubkey=key.pubkey(), lamports=rent, space=165, owner=PROGRAM
                )
            ),
            initialize_account3(
                InitializeAccount3Params(program_id=PROGRAM, account=key.pubkey(), mint=mint, owner=owner.pubkey())
            ),
        ]

    @staticmethod
    def pay_sol(source: Keypair, recipient: Keypair, lamports: int) -> Instruction:
        return transfer(TransferParams(from_pubkey=source.pubkey(), to_pubkey=recipient.pubkey(), lamports=lamports))

    @staticmethod
    def pay_token(owner: Keypair, source: Pubkey, target: Pubkey, mint: Pubkey, amount: int) -> Instruction:
        return transfer_checked(
            TransferCheckedParams(
                program_id=PROGRAM,
                source=source,
                mint=mint,
                dest=target,
                owner=owner.pubkey(),
                amount=amount,
                decimals=6,
                signers=[],
            )
        )
