"""What a rehearsal needs of its chain: real transactions, signed by the chain's own faucet and minter.

Nothing here bends a rule of the chain: money appears by transfers, tokens by mints, and all of it stands in blocks.
Each transaction carries a memo with a number, so that two alike on one blockhash stay two.
"""

from __future__ import annotations

from hashlib import sha256

from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import CreateAccountParams, TransferParams, create_account, transfer
from solders.token.associated import get_associated_token_address
from solders.transaction import VersionedTransaction

from chains.devnet.solana import tokens
from chains.devnet.solana.bank import Bank
from chains.devnet.solana.messages import SYSTEM

MEMO = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")
ASSOCIATED = Pubkey.from_string("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL")
_INITIALIZE_MINT_2 = 20
_MINT_TO = 7
_CREATE_IDEMPOTENT = 1


def airdrop(bank: Bank, recipient: Pubkey, lamports: int) -> VersionedTransaction:
    """SOL from the faucet."""
    faucet = bank.genesis.faucet
    give = transfer(TransferParams(from_pubkey=faucet.pubkey(), to_pubkey=recipient, lamports=lamports))
    return _signed(bank, [give], [faucet])


def create_mint(bank: Bank, decimals: int, program: Pubkey = tokens.TOKEN) -> tuple[Pubkey, VersionedTransaction]:
    """A new mint whose authority is the chain's minter; its address follows from the seed and a counter."""
    minter = bank.genesis.minter
    seed = f"chains/devnet/solana/mint/{bank.settings.seed}/{bank.next_serial()}"
    mint = Keypair.from_seed(sha256(seed.encode()).digest())
    rent = bank.svm.minimum_balance_for_rent_exemption(tokens.MINT_BYTES)
    create = create_account(
        CreateAccountParams(
            from_pubkey=minter.pubkey(), to_pubkey=mint.pubkey(), lamports=rent, space=tokens.MINT_BYTES, owner=program
        )
    )
    data = bytes((_INITIALIZE_MINT_2, decimals)) + bytes(minter.pubkey()) + b"\0"
    initialize = Instruction(program, data, [AccountMeta(mint.pubkey(), is_signer=False, is_writable=True)])
    return mint.pubkey(), _signed(bank, [create, initialize], [minter, mint])


def mint_to(
    bank: Bank, mint: Pubkey, owner: Pubkey, amount: int, program: Pubkey = tokens.TOKEN
) -> tuple[Pubkey, VersionedTransaction]:
    """`amount` base units of a mint of ours to an owner's associated account, created where absent (0: only create)."""
    minter = bank.genesis.minter.pubkey()
    account = get_associated_token_address(owner, mint, program)
    create = Instruction(
        ASSOCIATED,
        bytes((_CREATE_IDEMPOTENT,)),
        [
            AccountMeta(minter, is_signer=True, is_writable=True),
            AccountMeta(account, is_signer=False, is_writable=True),
            AccountMeta(owner, is_signer=False, is_writable=False),
            AccountMeta(mint, is_signer=False, is_writable=False),
            AccountMeta(SYSTEM, is_signer=False, is_writable=False),
            AccountMeta(program, is_signer=False, is_writable=False),
        ],
    )
    give = Instruction(
        program,
        bytes((_MINT_TO,)) + amount.to_bytes(8, "little"),
        [
            AccountMeta(mint, is_signer=False, is_writable=True),
            AccountMeta(account, is_signer=False, is_writable=True),
            AccountMeta(minter, is_signer=True, is_writable=False),
        ],
    )
    return account, _signed(bank, [create, give] if amount else [create], [bank.genesis.minter])


def _signed(bank: Bank, instructions: list[Instruction], signers: list[Keypair]) -> VersionedTransaction:
    memo = Instruction(MEMO, f"devnet {bank.next_serial()}".encode(), [])
    payer = signers[0].pubkey()
    message = MessageV0.try_compile(payer, [*instructions, memo], [], Hash.from_string(bank.tip.blockhash))
    return VersionedTransaction(message, signers)
