"""What can be wrong with a transaction before any state is looked at: forms, lengths and counts.

Whatever fails here is refused before admission and never reaches the journal, so `decide` may take every id, amount and
list at its word.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from custody.ledger import transactions as tx
from custody.ledger.amounts import MAX_DECIMALS, check_amount, check_integer
from custody.ledger.holds import AUTO_CAUSES, DIRECTIONS, OPERATOR_CAUSES, ORIGINS
from custody.ledger.identifiers import (
    HOUSE_FEES,
    is_asset_name,
    is_chain_name,
    is_digest,
    is_hold_id,
    is_identifier,
)
from custody.ledger.rejections import Rejection

MAX_TEXT = 500
MAX_LIST = 16_384
MAX_LEGS = 1000
MAX_PURPOSES = 32
MAX_RAW = 16_384
MAX_INTEGER = 1 << 53

_HEX = re.compile(r"(?:[0-9a-f]{2})+", re.ASCII)
_PARAMETER = re.compile(r"[a-z_]{1,32}", re.ASCII)
_TRANSACTION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", re.ASCII)
"""A chain's name of a transaction or block: free of colons, so that ids made of it are unambiguous, and short and plain
enough that a hold can be named after it."""
_KINDS = ("withdrawal", "sweep", "topup")
_FAMILIES = ("evm", "solana")


def fault(said: tx.Transaction) -> Rejection | None:
    """The first thing wrong with a transaction's form, or None."""
    if not 0 <= said.seq < MAX_INTEGER:
        return Rejection.FIELD_OUT_OF_BOUNDS
    check: Callable[[Any], Rejection | None] | None = _CHECKS.get(type(said))
    return None if check is None else check(said)


def _ids(*ids: str) -> Rejection | None:
    return None if all(is_identifier(item) for item in ids) else Rejection.IDENTIFIER_MALFORMED


def _chains(*chains: str) -> Rejection | None:
    return None if all(is_chain_name(item) for item in chains) else Rejection.IDENTIFIER_MALFORMED


def _assets(*assets: str) -> Rejection | None:
    return None if all(is_asset_name(item) for item in assets) else Rejection.IDENTIFIER_MALFORMED


def _texts(*texts: str) -> Rejection | None:
    return None if all(len(item) <= MAX_TEXT for item in texts) else Rejection.FIELD_OUT_OF_BOUNDS


def _filled(*texts: str) -> Rejection | None:
    return None if all(0 < len(item) <= MAX_TEXT for item in texts) else Rejection.FIELD_OUT_OF_BOUNDS


def _transactions(*names: str) -> Rejection | None:
    return None if all(_TRANSACTION.fullmatch(item) for item in names) else Rejection.IDENTIFIER_MALFORMED


def _numbers(*numbers: int) -> Rejection | None:
    return None if all(0 <= item < MAX_INTEGER for item in numbers) else Rejection.FIELD_OUT_OF_BOUNDS


def _count(items: Iterable[object], most: int) -> Rejection | None:
    return None if sum(1 for _ in items) <= most else Rejection.FIELD_OUT_OF_BOUNDS


def _hex(text: str, most: int) -> Rejection | None:
    if len(text) > 2 * most:
        return Rejection.FIELD_OUT_OF_BOUNDS
    return None if _HEX.fullmatch(text) else Rejection.PAYLOAD_MALFORMED


def _first(faults: Iterable[Rejection | None]) -> Rejection | None:
    return next((item for item in faults if item is not None), None)


def _public(text: str) -> Rejection | None:
    return None if is_digest(text) else Rejection.PAYLOAD_MALFORMED


def _key(said: tx.KeyRegistered | tx.KeyRow) -> Rejection | None:
    return _ids(said.id) or _public(said.public) or _count(said.roles, 16)


def _rotated(said: tx.KeyRotated) -> Rejection | None:
    return _ids(said.id) or _public(said.public)


def _revoked(said: tx.KeyRevoked) -> Rejection | None:
    return _ids(said.id)


def _chain(said: tx.ChainSet | tx.ChainRow) -> Rejection | None:
    if said.family not in _FAMILIES:
        return Rejection.PAYLOAD_MALFORMED
    numbers = _numbers(said.decoder, said.position, said.height)
    return _chains(said.chain) or _filled(said.identity, said.hash) or numbers


def _asset(said: tx.AssetSet | tx.AssetRow) -> Rejection | None:
    wrong = _assets(said.asset) or _count(said.representations, 64)
    if wrong is not None:
        return wrong
    if not said.representations or not 0 <= said.decimals <= MAX_DECIMALS:
        return Rejection.FIELD_OUT_OF_BOUNDS
    return _first(
        _chains(item.chain)
        or _filled(item.token)
        or _texts(item.program)
        or (None if 0 <= item.decimals <= MAX_DECIMALS else Rejection.FIELD_OUT_OF_BOUNDS)
        or check_integer(item.minimum, signed=False)
        for item in said.representations
    )


def _parameter(said: tx.ParameterSet | tx.ParameterRow) -> Rejection | None:
    if not _PARAMETER.fullmatch(said.name):
        return Rejection.IDENTIFIER_MALFORMED
    return _texts(said.scope) or check_integer(said.value, signed=False)


def _genesis(said: tx.Genesis) -> Rejection | None:
    if not 1 <= said.quorum <= 16 or said.ledger or said.seq:
        return Rejection.FIELD_OUT_OF_BOUNDS
    return (
        _texts(said.name)
        or _first(_count(items, MAX_LIST) for items in (said.keys, said.chains, said.assets, said.parameters))
        or _first(_key(item) for item in said.keys)
        or _first(_chain(item) for item in said.chains)
        or _first(_asset(item) for item in said.assets)
        or _first(_parameter(item) for item in said.parameters)
    )


def _requested_address(said: tx.AddressRequested) -> Rejection | None:
    return _ids(said.account) or _chains(said.chain)


def _attested(said: tx.AddressAttested) -> Rejection | None:
    account = _ids(said.account) if said.account else None
    return account or _chains(said.chain) or _filled(said.address, said.tier) or _numbers(said.index)


def _assigned(said: tx.AddressAssigned) -> Rejection | None:
    return _chains(said.chain) or _texts(said.address) or _numbers(said.watched)


def _scanned(said: tx.ChainScanned) -> Rejection | None:
    counts = _first(_count(items, MAX_LIST) for items in (said.blocks, said.deposits, said.movements, said.outcomes))
    numbers = _numbers(said.first, said.last, said.decoder, said.tokens, said.watched)
    blocks = _first(_numbers(item.position, item.height) or _filled(item.hash) for item in said.blocks)
    deposits = _first(_transactions(item.tx) or _filled(item.ordinal) for item in said.deposits)
    movements = _first(_transactions(item.tx) or _filled(item.ordinal) for item in said.movements)
    outcomes = _first(_outcome(item) for item in said.outcomes)
    return _chains(said.chain) or counts or numbers or blocks or deposits or movements or outcomes


def _outcome(item: tx.ScannedOutcome) -> Rejection | None:
    if not is_digest(item.message):
        return Rejection.IDENTIFIER_MALFORMED
    paid = _first(_texts(row.recipient, row.token) for row in item.paid)
    return _transactions(item.tx) or _numbers(item.nonce or 0) or _count(item.paid, MAX_LIST) or paid


def _balances(said: tx.BalancesObserved) -> Rejection | None:
    wrong = _chains(said.chain) or _numbers(said.position) or _count(said.balances, MAX_LIST)
    return wrong or _first(check_integer(item.amount, signed=False) for item in said.balances)


def _funded(said: tx.TreasuryFunded) -> Rejection | None:
    return _chains(said.chain) or _texts(said.tx, said.ordinal)


def _withdrawal(said: tx.WithdrawalRequested) -> Rejection | None:
    forms = _ids(said.id, said.account) or _assets(said.asset) or _chains(said.chain)
    return forms or check_amount(said.amount) or _filled(said.to)


def _approved(said: tx.WithdrawalApproved) -> Rejection | None:
    return _ids(said.id)


def _cancelled(said: tx.WithdrawalCancelled) -> Rejection | None:
    return _ids(said.id) or _texts(said.reason)


def _prepared(said: tx.AttemptPrepared) -> Rejection | None:
    if not is_digest(said.attempt) or not all(is_digest(item) for item in said.excludes):
        return Rejection.IDENTIFIER_MALFORMED
    wrong = _chains(said.chain) or _hex(said.message, MAX_RAW) or _count(said.purposes, MAX_PURPOSES)
    wrong = wrong or _count(said.excludes, MAX_PURPOSES) or _numbers(said.nonce or 0)
    wrong = wrong or check_integer(said.fee_cap, signed=False) or check_integer(said.rent_cap, signed=False)
    if wrong is not None:
        return wrong
    if len(said.parameters) > 16:
        return Rejection.FIELD_OUT_OF_BOUNDS
    if not all(_PARAMETER.fullmatch(name) for name in sorted(said.parameters)):
        return Rejection.IDENTIFIER_MALFORMED
    texts = [said.sender, said.blockhash or ""]
    texts.extend(text for pair in sorted(said.parameters.items()) for text in pair)
    return _texts(*texts) or _first(_purpose(item) for item in said.purposes)


def _purpose(item: tx.Purpose) -> Rejection | None:
    if item.kind not in _KINDS:
        return Rejection.PAYLOAD_MALFORMED
    texts = _texts(item.source, item.recipient, item.token, item.reference)
    return texts or check_amount(item.amount) or (_ids(item.id) if item.kind == "withdrawal" else None)


def _signed(said: tx.AttemptSigned) -> Rejection | None:
    if not is_digest(said.attempt):
        return Rejection.IDENTIFIER_MALFORMED
    return _hex(said.raw, MAX_RAW) or _texts(said.tx)


def _evidence(said: tx.AttemptEvidence) -> Rejection | None:
    if not is_digest(said.attempt):
        return Rejection.IDENTIFIER_MALFORMED
    rows = _first(_texts(item.provider) or _numbers(item.finalized_height, item.context) for item in said.absences)
    return _count(said.absences, 64) or rows


def _batch(said: tx.TransferBatch) -> Rejection | None:
    wrong = _ids(said.id) or _count(said.legs, MAX_LEGS)
    if wrong is not None:
        return wrong
    if not said.legs:
        return Rejection.FIELD_OUT_OF_BOUNDS
    return _first(
        _ids(leg.source)
        or (None if leg.target == HOUSE_FEES else _ids(leg.target))
        or _assets(leg.asset)
        or check_amount(leg.amount)
        for leg in said.legs
    )


def _hold_set(said: tx.HoldSet) -> Rejection | None:
    if not is_hold_id(said.hold) or (said.account and not is_identifier(said.account)):
        return Rejection.IDENTIFIER_MALFORMED
    causes = AUTO_CAUSES if said.origin == "auto" else OPERATOR_CAUSES
    if said.direction not in DIRECTIONS or said.origin not in ORIGINS or said.cause not in causes:
        return Rejection.PAYLOAD_MALFORMED
    if not _is_whole(said):
        return Rejection.PAYLOAD_MALFORMED
    if not said.reason.strip():
        return Rejection.FIELD_OUT_OF_BOUNDS
    chain = _chains(said.chain) if said.chain else None
    asset = _assets(said.asset) if said.asset else None
    texts = _texts(said.wallet, said.provider, said.reason, said.actor)
    return chain or asset or texts or _numbers(said.until)


def _is_whole(said: tx.HoldSet) -> bool:
    """A cordon is of one provider of one chain and of nothing else. It stops no money, so one that also named an asset
    or an account would look like a pause and be none; and one without a provider would stop everything."""
    if not said.provider:
        return said.cause != "cordon"
    return bool(said.chain) and not (said.asset or said.account or said.wallet)


def _hold_lifted(said: tx.HoldLifted) -> Rejection | None:
    if not is_hold_id(said.hold):
        return Rejection.IDENTIFIER_MALFORMED
    return _texts(said.reason, said.actor)


_CHECKS: dict[type[tx.Transaction], Callable[[Any], Rejection | None]] = {
    tx.Genesis: _genesis,
    tx.KeyRegistered: _key,
    tx.KeyRotated: _rotated,
    tx.KeyRevoked: _revoked,
    tx.ChainSet: _chain,
    tx.AssetSet: _asset,
    tx.ParameterSet: _parameter,
    tx.AddressRequested: _requested_address,
    tx.AddressAttested: _attested,
    tx.AddressAssigned: _assigned,
    tx.ChainScanned: _scanned,
    tx.BalancesObserved: _balances,
    tx.TreasuryFunded: _funded,
    tx.WithdrawalRequested: _withdrawal,
    tx.WithdrawalApproved: _approved,
    tx.WithdrawalCancelled: _cancelled,
    tx.AttemptPrepared: _prepared,
    tx.AttemptSigned: _signed,
    tx.AttemptEvidence: _evidence,
    tx.TransferBatch: _batch,
    tx.HoldSet: _hold_set,
    tx.HoldLifted: _hold_lifted,
}
