"""`chain.scanned`: a contiguous finalized range becomes facts in both books.

Every transaction in the range is booked as a whole. What our addresses gained or lost by it must be explained by
deposits, by one of our own attempts, by its fee and its rent; what is left over goes to suspense, where it is seen, and
money that left without an attempt, or an attempt that did not do what its message says, holds the chain.
"""

from __future__ import annotations

from itertools import pairwise

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.amounts import check_integer
from custody.ledger.booking import Booking, TransactionFacts, book
from custody.ledger.bounds import overflows
from custody.ledger.context import Context
from custody.ledger.deposits import release
from custody.ledger.holds import in_force, row_of
from custody.ledger.outcomes import NATIVE
from custody.ledger.rejections import Rejection
from custody.ledger.state import Cursor, State


def decide_scanned(state: State, said: tx.ChainScanned, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """Errors in order: unknown_chain, native_not_listed, scan_not_joined, scan_stale, scan_disordered,
    amount_too_large."""
    chain = state.chains.get(said.chain)
    if chain is None:
        return Rejection.UNKNOWN_CHAIN
    if state.tokens.get(said.chain, NATIVE) is None:
        return Rejection.NATIVE_NOT_LISTED
    cursor = state.cursors.need(said.chain)
    if said.first != cursor.position + 1 or said.parent != cursor.hash:
        return Rejection.SCAN_NOT_JOINED
    if said.decoder != chain.decoder or said.tokens != chain.tokens or said.watched < chain.watched:
        return Rejection.SCAN_STALE
    if said.watched > chain.attested or not _ordered(state, cursor, said) or not _placed(said):
        return Rejection.SCAN_DISORDERED
    if not _known(state, said):
        return Rejection.SCAN_DISORDERED

    booking = Booking(chain=said.chain, holds=[], recorded=[], ended={}, orders=state.counters.deposits)
    events: list[ev.Event] = [ev.CursorMoved(chain=said.chain, blocks=said.blocks)]
    for facts in _by_transaction(said):
        events.extend(book(state, booking, facts, context))
    held = in_force(state) + tuple((hold.hold, row_of(hold)) for hold in booking.holds)
    events.extend(release(state, held, booking.recorded))
    return Rejection.AMOUNT_TOO_LARGE if overflows(state, events) else tuple(events)


def _ordered(state: State, cursor: Cursor, said: tx.ChainScanned) -> bool:
    """Blocks in order, each new, without a height left out (a skipped Solana slot has no height), the last one last."""
    blocks = said.blocks
    if not blocks or blocks[0].height != cursor.height + 1 or blocks[-1].position != said.last:
        return False
    if blocks[0].position < said.first:
        return False
    hashes = {block.hash: None for block in blocks}
    if len(hashes) != len(blocks) or any(state.blocks.get(said.chain, block.hash) is not None for block in blocks):
        return False
    return all(
        after.position > before.position and after.height == before.height + 1 for before, after in pairwise(blocks)
    )


def _placed(said: tx.ChainScanned) -> bool:
    """Every transaction in one of the blocks, and in one only; its sender's side told once."""
    positions = {block.position: None for block in said.blocks}
    where: dict[str, int] = {}
    facts = [(item.tx, item.position) for item in said.deposits]
    facts.extend((item.tx, item.position) for item in said.movements)
    facts.extend((item.tx, item.position) for item in said.outcomes)
    if any(position not in positions or where.setdefault(name, position) != position for name, position in facts):
        return False
    return len({outcome.tx: None for outcome in said.outcomes}) == len(said.outcomes)


def _known(state: State, said: tx.ChainScanned) -> bool:
    """Every fact speaks of an address and a token of ours, in whole numbers. A place in a transaction has at most one
    end that gains and one that loses."""
    facts = [(item.tx, item.ordinal, item.address, item.token, item.amount, True) for item in said.deposits]
    facts.extend((item.tx, item.ordinal, item.address, item.token, item.delta, False) for item in said.movements)
    once: dict[tuple[str, str, bool], None] = {}
    for name, ordinal, where, token, amount, is_deposit in facts:
        address = state.addresses.get(said.chain, where)
        if address is None or state.tokens.get(said.chain, token) is None:
            return False
        if check_integer(amount, signed=not is_deposit) is not None or amount == "0":
            return False
        end = (name, ordinal, not amount.startswith("-"))
        if (is_deposit and address.tier != "deposit") or end in once:
            return False
        once[end] = None
    for outcome in said.outcomes:
        if state.addresses.get(said.chain, outcome.sender) is None:
            return False
        if check_integer(outcome.fee, signed=False) is not None:
            return False
        if any(check_integer(paid.amount, signed=False) is not None for paid in outcome.paid):
            return False
    return True


def _by_transaction(said: tx.ChainScanned) -> list[TransactionFacts]:
    """The range's facts grouped by transaction, in the order of blocks and then of first mention."""
    groups: dict[str, TransactionFacts] = {}
    for deposit in said.deposits:
        _group(groups, deposit.tx, deposit.position).deposits.append(deposit)
    for movement in said.movements:
        _group(groups, movement.tx, movement.position).movements.append(movement)
    for outcome in said.outcomes:
        _group(groups, outcome.tx, outcome.position).outcome = outcome
    return sorted(groups.values(), key=lambda group: group.position)  # ordered: insertion order, then a stable sort


def _group(groups: dict[str, TransactionFacts], name: str, position: int) -> TransactionFacts:
    return groups.setdefault(
        name, TransactionFacts(name=name, position=position, deposits=[], movements=[], outcome=None)
    )
