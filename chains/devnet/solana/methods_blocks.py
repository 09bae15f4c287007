"""Methods that read the chain back: blocks, transactions, statuses."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from chains.devnet.solana import encode, errors
from chains.devnet.solana.bank import Bank, Commitment
from chains.devnet.solana.context import answer, at_least_confirmed
from chains.devnet.solana.encode import View
from chains.devnet.solana.history import Block, Landed
from chains.devnet.solana.params import Config, Params, pubkey, signature

_BLOCKS_RANGE = 500_000
_STATUSES_LIMIT = 256
_SIGNATURES_LIMIT = 1_000
_MEMO_PROGRAMS = ("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo")


def get_block(bank: Bank, params: Params) -> object:
    """One block. Refusals as agave decides them: -32004 not there yet, -32007 skipped, -32001 cleaned up."""
    slot = params.integer(0, "slot")
    config = _block_config(params)
    return encode.block(_find(bank, slot, config), _view(config, rewards=config.flag("rewards", True)))


def get_block_time(bank: Bank, params: Params) -> object:
    """Unix seconds of a block; the same refusals as `getBlock`."""
    return _find(bank, params.integer(0, "slot"), Config({"commitment": "confirmed"})).time


def _block_config(params: Params) -> Config:
    value = params.value(1)
    return Config({"encoding": value}) if isinstance(value, str) else params.config(1)


def _find(bank: Bank, slot: int, config: Config) -> Block:
    commitment = at_least_confirmed(bank, config)
    block = bank.history.by_slot.get(slot)
    if slot <= bank.at(Commitment.FINALIZED).slot:
        if block is not None:
            return block
        if slot < bank.history.first.slot:
            raise errors.block_cleaned_up(slot, bank.history.first.slot)
        raise errors.slot_skipped(slot)
    if block is not None and block.height <= bank.at(commitment).height:
        return block
    raise errors.block_not_available(slot)


def _view(config: Config, *, rewards: bool) -> View:
    return View(
        encoding=config.choice("encoding", "json", encode.ENCODINGS),
        details=config.choice("transactionDetails", "full", encode.DETAILS),
        rewards=rewards,
        highest=config.integer("maxSupportedTransactionVersion"),
    )


def get_blocks(bank: Bank, params: Params) -> object:
    """Slots that have a block, from `start` to `end` or to the newest of the commitment."""
    start = params.integer(0, "startSlot")
    end = None if isinstance(params.value(1), dict) else params.optional_integer(1, "endSlot")
    config = params.config(1 if isinstance(params.value(1), dict) else 2)
    newest = bank.at(at_least_confirmed(bank, config)).slot
    last = min(start + _BLOCKS_RANGE if end is None else end, newest)
    if last < start:
        return []
    if last - start > _BLOCKS_RANGE:
        raise errors.invalid_params(f"Slot range too large; max {_BLOCKS_RANGE}")
    return bank.history.slots(start, last, _BLOCKS_RANGE)


def get_blocks_with_limit(bank: Bank, params: Params) -> object:
    """The first `limit` slots from `start` that have a block of the commitment."""
    start = params.integer(0, "startSlot")
    limit = params.integer(1, "limit")
    if limit > _BLOCKS_RANGE:
        raise errors.invalid_params(f"Limit too large; max {_BLOCKS_RANGE}")
    newest = bank.at(at_least_confirmed(bank, params.config(2))).slot
    return bank.history.slots(start, newest, limit)


def get_first_available_block(bank: Bank, _params: Params) -> object:
    """The oldest slot still kept."""
    return bank.history.first.slot


def get_transaction(bank: Bank, params: Params) -> object:
    """A landed transaction, null where unknown or not yet at the commitment."""
    name = signature(params.text(0, "signature"))
    config = _block_config(params)
    commitment = at_least_confirmed(bank, config)
    landed = bank.history.by_signature.get(name)
    if landed is None or landed.height > bank.at(commitment).height:
        return None
    shape = encode.transaction_with_meta(landed, _view(config, rewards=True))
    return {"slot": landed.slot, "blockTime": bank.history.at_height(landed.height).time, **shape}


def get_signature_statuses(bank: Bank, params: Params) -> object:
    """Statuses as `processed` sees them; without `searchTransactionHistory` only of recent blocks."""
    names = [signature(text) for text in params.texts(0, "signatures", _STATUSES_LIMIT)]
    search = params.config(1).flag("searchTransactionHistory", False)
    return answer(bank.tip, [_status(bank, bank.history.by_signature.get(name), search) for name in names])


def _status(bank: Bank, landed: Landed | None, search: bool) -> object:
    if landed is None:
        return None
    depth = bank.tip.height - landed.height
    commitment = bank.commitment_of(landed.height)
    if not search and depth > bank.settings.recent_status_blocks and commitment is Commitment.FINALIZED:
        return None
    report = landed.execution.report
    return {
        "slot": landed.slot,
        "confirmations": None if commitment is Commitment.FINALIZED else depth,
        "err": report.err,
        "status": encode.status(report),
        "confirmationStatus": commitment.value,
    }


def get_signatures_for_address(bank: Bank, params: Params) -> object:
    """Transactions that name an address, newest first, between `until` and `before` (both exclusive)."""
    name = str(pubkey(params.text(0, "address")))
    config = params.config(1)
    newest = bank.at(at_least_confirmed(bank, config)).height
    limit = _SIGNATURES_LIMIT if config.integer("limit") is None else config.integer("limit")
    if limit is None or not 1 <= limit <= _SIGNATURES_LIMIT:
        raise errors.invalid_params(f"Invalid limit; max {_SIGNATURES_LIMIT}")
    before, until = config.text("before"), config.text("until")
    known = reversed(bank.history.by_address.get(name, ()))
    wanted = _between(known, None if before is None else signature(before), None if until is None else signature(until))
    return [_summary(bank, landed) for landed in islice((one for one in wanted if one.height <= newest), limit)]


def _between(newest_first: Iterable[Landed], before: str | None, until: str | None) -> Iterable[Landed]:
    started = before is None
    for landed in newest_first:
        if landed.signature == until:
            return
        if started:
            yield landed
        started = started or landed.signature == before


def _summary(bank: Bank, landed: Landed) -> dict[str, object]:
    return {
        "signature": landed.signature,
        "slot": landed.slot,
        "err": landed.execution.report.err,
        "memo": _memo(landed),
        "blockTime": bank.history.at_height(landed.height).time,
        "confirmationStatus": bank.commitment_of(landed.height).value,
    }


def _memo(landed: Landed) -> str | None:
    """agave's digest of the memos: `[length] text`, joined by `; `."""
    names = landed.execution.keys.names
    found = [
        bytes(instruction.data)
        for instruction in landed.transaction.message.instructions
        if names[instruction.program_id_index] in _MEMO_PROGRAMS
    ]
    return "; ".join(f"[{len(one)}] {one.decode(errors='replace')}" for one in found) or None
