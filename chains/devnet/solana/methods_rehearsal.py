"""The commands of a rehearsal over the wire, beside the chain's own methods; none of them exists on a real cluster."""

from __future__ import annotations

from solders.pubkey import Pubkey

from chains.devnet.solana import errors, rehearsal, tokens
from chains.devnet.solana.bank import Bank
from chains.devnet.solana.methods_transactions import submit
from chains.devnet.solana.params import Params, pubkey

_TICKS_LIMIT = 10_000
_DECIMALS_LIMIT = 18


def tick(bank: Bank, params: Params) -> object:
    """Let `[count]` slots pass (manual chains only); the slots of the blocks they brought."""
    if not bank.settings.manual:
        raise errors.invalid_params("this chain follows the clock; start it with `manual` to tick it by hand")
    count = params.optional_integer(0, "count")
    blocks = [bank.tick(bank.manual_time()) for _ in range(min(1 if count is None else count, _TICKS_LIMIT))]
    return [block.slot for block in blocks if block is not None]


def skip_slots(bank: Bank, params: Params) -> object:
    """The next `[count]` slots have no block."""
    bank.slots_to_skip += params.integer(0, "count")
    return bank.slots_to_skip


def stop_blocks(bank: Bank, _params: Params) -> object:
    """No block until resumed: the chain halts, slots pass."""
    bank.blocks_stopped = True
    return True


def resume_blocks(bank: Bank, _params: Params) -> object:
    """Blocks again."""
    bank.blocks_stopped = False
    return True


def pause_finality(bank: Bank, _params: Params) -> object:
    """Blocks go on, nothing more becomes final."""
    bank.finality_paused = True
    return True


def resume_finality(bank: Bank, _params: Params) -> object:
    """Finality catches up at once."""
    bank.resume_finality()
    return True


def lose_sends(bank: Bank, params: Params) -> object:
    """The next `[count]` sends are accepted and lost."""
    bank.sends_to_lose += params.integer(0, "count")
    return bank.sends_to_lose


def hold_sends(bank: Bank, _params: Params) -> object:
    """Sends are accepted and wait, until released or expired."""
    bank.sends_held = True
    return True


def release_sends(bank: Bank, _params: Params) -> object:
    """What waited may land again, where its blockhash still lives."""
    bank.sends_held = False
    return True


def create_mint(bank: Bank, params: Params) -> object:
    """`[decimals, program?]` → `{mint, signature}`."""
    decimals = params.integer(0, "decimals")
    if decimals > _DECIMALS_LIMIT:
        raise errors.invalid_params(f"Invalid decimals; max {_DECIMALS_LIMIT}")
    mint, transaction = rehearsal.create_mint(bank, decimals, _program(params, 1))
    return {"mint": str(mint), "signature": submit(bank, transaction)}


def mint_to(bank: Bank, params: Params) -> object:
    """`[mint, owner, amount, program?]` → `{account, signature}`; `amount` is a decimal string or a number."""
    given = params.value(2)
    amount = int(given) if isinstance(given, str) and given.isascii() and given.isdigit() else given
    if not isinstance(amount, int) or isinstance(amount, bool) or not 0 <= amount < 2**64:
        raise errors.invalid_params("Invalid params: `amount` must be an unsigned integer.")
    owner = pubkey(params.text(1, "owner"))
    account, transaction = rehearsal.mint_to(bank, params.pubkey(0), owner, amount, _program(params, 3))
    return {"account": str(account), "signature": submit(bank, transaction)}


def _program(params: Params, place: int) -> Pubkey:
    if params.value(place) is None:
        return tokens.TOKEN
    program = pubkey(params.text(place, "program"))
    if program not in tokens.TOKEN_PROGRAMS:
        raise errors.invalid_params("Invalid param: unrecognized Token program id")
    return program
