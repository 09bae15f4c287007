"""Methods about the node and the chain's progress."""

from __future__ import annotations

from chains.devnet.solana import errors
from chains.devnet.solana.bank import Bank
from chains.devnet.solana.context import API_VERSION, answer, block_for
from chains.devnet.solana.params import Params
from chains.devnet.solana.settings import MAX_PROCESSING_AGE

SLOTS_IN_EPOCH = 432_000
_FEATURE_SET = 0
_LEADERS_LIMIT = 5_000
_ACCOUNT_BYTES_LIMIT = 10 * 1024 * 1024


def get_health(_bank: Bank, _params: Params) -> object:
    """A cluster of one is never behind."""
    return "ok"


def get_version(_bank: Bank, _params: Params) -> object:
    """The version whose shapes are spoken here."""
    return {"solana-core": API_VERSION, "feature-set": _FEATURE_SET}


def get_genesis_hash(bank: Bank, _params: Params) -> object:
    """What makes this chain this chain."""
    return bank.genesis.blockhash


def get_identity(bank: Bank, _params: Params) -> object:
    """The one node's key."""
    return {"identity": str(bank.genesis.leader.pubkey())}


def get_slot(bank: Bank, params: Params) -> object:
    """The newest block's slot."""
    return block_for(bank, params.config(0)).slot


def get_block_height(bank: Bank, params: Params) -> object:
    """The newest block's height, by which blockhashes age."""
    return block_for(bank, params.config(0)).height


def get_transaction_count(bank: Bank, params: Params) -> object:
    """Transactions since genesis, up to the newest block of the commitment."""
    block = block_for(bank, params.config(0))
    return bank.transactions - sum(len(later.landed) for later in bank.history.after(block))


def get_epoch_info(bank: Bank, params: Params) -> object:
    """Where in its epoch the chain stands."""
    block = block_for(bank, params.config(0))
    return {
        "absoluteSlot": block.slot,
        "blockHeight": block.height,
        "epoch": block.slot // SLOTS_IN_EPOCH,
        "slotIndex": block.slot % SLOTS_IN_EPOCH,
        "slotsInEpoch": SLOTS_IN_EPOCH,
        "transactionCount": bank.transactions,
    }


def get_slot_leader(bank: Bank, params: Params) -> object:
    """Always the one node."""
    block_for(bank, params.config(0))
    return str(bank.genesis.leader.pubkey())


def get_slot_leaders(bank: Bank, params: Params) -> object:
    """Always the one node."""
    params.integer(0, "startSlot")
    limit = params.integer(1, "limit")
    if not 1 <= limit <= _LEADERS_LIMIT:
        raise errors.invalid_params(f"Invalid limit; max {_LEADERS_LIMIT}")
    return [str(bank.genesis.leader.pubkey())] * limit


def get_latest_blockhash(bank: Bank, params: Params) -> object:
    """The newest blockhash. `lastValidBlockHeight` is agave's: its height + 150, one less than where it may land."""
    block = block_for(bank, params.config(0))
    value = {"blockhash": block.blockhash, "lastValidBlockHeight": block.height + MAX_PROCESSING_AGE}
    return answer(block, value)


def is_blockhash_valid(bank: Bank, params: Params) -> object:
    """Whether a blockhash is known and young enough at a commitment: false for one that is merely too new for it."""
    blockhash = params.text(0, "blockhash")
    block = block_for(bank, params.config(1))
    return answer(block, bank.blockhash_age(blockhash, block) is not None)


def get_minimum_balance_for_rent_exemption(bank: Bank, params: Params) -> object:
    """Lamports that an account of so many data bytes must keep."""
    size = params.integer(0, "dataLength")
    if size > _ACCOUNT_BYTES_LIMIT:
        raise errors.invalid_params(f"Invalid data length; max {_ACCOUNT_BYTES_LIMIT}")
    return bank.svm.minimum_balance_for_rent_exemption(size)


def get_recent_prioritization_fees(bank: Bank, params: Params) -> object:
    """For each of the last 150 blocks the least that got in, or the least that got past the locks on the accounts."""
    names = set(params.texts(0, "addresses", 128)) if params.value(0) is not None else set()
    tip = bank.tip
    found = []
    for height in range(max(bank.history.first.height, tip.height - MAX_PROCESSING_AGE + 1), tip.height + 1):
        block = bank.history.at_height(height)
        least = min((one.price for one in block.landed), default=0)
        for name in names:
            locked = [
                one.price
                for one in block.landed
                if any(
                    writable and key == name
                    for key, writable in zip(one.execution.keys.names, one.execution.keys.writable, strict=True)
                )
            ]
            least = max(least, min(locked, default=0))
        found.append({"slot": block.slot, "prioritizationFee": least})
    return found
