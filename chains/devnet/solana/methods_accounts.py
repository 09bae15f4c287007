"""Methods that read state. Every one of them honours its commitment: a finalized read sees the finalized state."""

from __future__ import annotations

from collections.abc import Callable

from solders.account import Account
from solders.pubkey import Pubkey

from chains.devnet.solana import account_views, errors, tokens
from chains.devnet.solana.bank import Bank
from chains.devnet.solana.context import answer, block_for
from chains.devnet.solana.history import Block
from chains.devnet.solana.params import Params, pubkey

_ACCOUNTS_LIMIT = 100


def get_account_info(bank: Bank, params: Params) -> object:
    """One account, null where absent."""
    key, config = params.pubkey(0), params.config(1)
    block = block_for(bank, config)
    account = bank.account(key, block)
    return answer(block, None if account is None else account_views.view(account, config, reader(bank, block)))


def get_multiple_accounts(bank: Bank, params: Params) -> object:
    """Up to 100 accounts of one moment."""
    keys = [pubkey(text) for text in params.texts(0, "pubkeys", _ACCOUNTS_LIMIT)]
    config = params.config(1)
    block = block_for(bank, config)
    read = reader(bank, block)
    found = [read(key) for key in keys]
    views = [None if one is None else account_views.view(one, config, read, default="base64") for one in found]
    return answer(block, views)


def get_balance(bank: Bank, params: Params) -> object:
    """Lamports, 0 where absent."""
    key = params.pubkey(0)
    block = block_for(bank, params.config(1))
    account = bank.account(key, block)
    return answer(block, 0 if account is None else account.lamports)


def get_token_account_balance(bank: Bank, params: Params) -> object:
    """A token account's amount in its mint's terms."""
    key = params.pubkey(0)
    block = block_for(bank, params.config(1))
    account = bank.account(key, block)
    if account is None:
        raise errors.invalid_params("Invalid param: could not find account")
    holding = tokens.token_account(account)
    if holding is None:
        raise errors.invalid_params("Invalid param: not a Token account")
    return answer(block, tokens.amount(holding.amount, _mint(bank, holding.mint, block).decimals))


def get_token_supply(bank: Bank, params: Params) -> object:
    """What exists of a mint."""
    key = params.pubkey(0)
    block = block_for(bank, params.config(1))
    mint = _mint(bank, key, block)
    return answer(block, tokens.amount(mint.supply, mint.decimals))


def get_token_accounts_by_owner(bank: Bank, params: Params) -> object:
    """Token accounts of an owner, by `mint` or by `programId`, sorted by address."""
    owner, wanted, config = params.pubkey(0), params.section(1, "filter"), params.config(2)
    block = block_for(bank, config)
    mint, program = wanted.text("mint"), wanted.text("programId")
    if (mint is None) == (program is None):
        raise errors.invalid_params("Invalid params: either `mint` or `programId` is needed.")
    mint_key = None if mint is None else pubkey(mint)
    program_key = _token_program(bank, block, mint_key, program)
    read = reader(bank, block)
    views = []
    for key, account in bank.program_accounts(program_key, block):
        holding = tokens.token_account(account)
        if holding is not None and holding.owner == owner and mint_key in {None, holding.mint}:
            views.append({"pubkey": str(key), "account": account_views.view(account, config, read)})
    return answer(block, views)


def reader(bank: Bank, block: Block) -> Callable[[Pubkey], Account | None]:
    """Accounts as they were at the end of a block."""
    return lambda key: bank.account(key, block)


def _token_program(bank: Bank, block: Block, mint: Pubkey | None, program: str | None) -> Pubkey:
    if mint is not None:
        account = bank.account(mint, block)
        if account is None:
            raise errors.invalid_params("Invalid param: could not find mint")
        found = account.owner
    else:
        found = pubkey(program or "")
    if found not in tokens.TOKEN_PROGRAMS:
        raise errors.invalid_params(
            "Invalid param: not a Token mint" if mint else "Invalid param: unrecognized Token program id"
        )
    return found


def _mint(bank: Bank, key: Pubkey, block: Block) -> tokens.Mint:
    account = bank.account(key, block)
    if account is None:
        raise errors.invalid_params("Invalid param: could not find mint")
    mint = tokens.mint(account)
    if mint is None:
        raise errors.invalid_params("Invalid param: not a Token mint")
    return mint
