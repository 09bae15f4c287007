"""The wallet book against the chain, at exactly the cursor's position; and receipts that turn out to be the owner's."""

from __future__ import annotations

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.bounds import overflows
from custody.ledger.context import Context
from custody.ledger.identifiers import HOUSE_CAPITAL, external, suspense
from custody.ledger.outcomes import in_units
from custody.ledger.pauses import set_event
from custody.ledger.rejections import Rejection
from custody.ledger.state import Hold, State
from custody.wallets.reconciliation import Agreement, compare


def decide_observed(state: State, said: tx.BalancesObserved, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """A surplus is booked to suspense; a deficit of one unit holds that asset's withdrawals on the chain. Errors in
    order: unknown_chain, position_not_at_cursor, unknown_address, scan_disordered when a balance is told twice,
    amount_too_large."""
    cursor = state.cursors.get(said.chain)
    if cursor is None:
        return Rejection.UNKNOWN_CHAIN
    if cursor.position != said.position:
        return Rejection.POSITION_NOT_AT_CURSOR
    events: list[ev.Event] = []
    once: dict[tuple[str, str], None] = {}
    short: dict[str, None] = {}
    agreed = 0
    for item in said.balances:
        if state.addresses.get(said.chain, item.address) is None or state.tokens.get(said.chain, item.token) is None:
            return Rejection.UNKNOWN_ADDRESS
        if (item.address, item.token) in once:
            return Rejection.SCAN_DISORDERED
        once[item.address, item.token] = None
        booked = state.wallets.get(said.chain, item.address, item.token) or 0
        observed = int(item.amount)
        match compare(booked, observed):
            case Agreement.EQUAL:
                agreed += 1
            case Agreement.SURPLUS:
                events.extend(_surplus(state, said, item, observed - booked))
            case Agreement.DEFICIT:
                events.extend(_deficit(state, said, item, booked - observed, context, short))
    events.append(ev.BalancesAgreed(chain=said.chain, position=said.position, addresses=agreed))
    return Rejection.AMOUNT_TOO_LARGE if overflows(state, events) else tuple(events)


def _surplus(state: State, said: tx.BalancesObserved, item: tx.ObservedBalance, raw: int) -> tuple[ev.Event, ...]:
    asset, amount = in_units(state, said.chain, item.token, raw)
    name = f"balance:{item.address}:{item.token}"
    tx_name = f"position:{said.position}"
    return (
        ev.WalletMoved(chain=said.chain, address=item.address, token=item.token, tx=tx_name, delta=raw),
        ev.Posted(asset=asset, legs=((external(said.chain), -amount), (suspense(said.chain), amount))),
        ev.SurplusBooked(chain=said.chain, tx=tx_name, ordinal=name, asset=asset, amount=amount),
    )


def _deficit(
    state: State,
    said: tx.BalancesObserved,
    item: tx.ObservedBalance,
    raw: int,
    context: Context,
    short: dict[str, None],
) -> tuple[ev.Event, ...]:
    """One hold an asset and chain, however many addresses are short; the reason names the first. `short`: the assets
    whose hold this transaction has decided on already."""
    asset, amount = in_units(state, said.chain, item.token, raw)
    name = f"auto:reconciliation:{said.chain}:{asset}:{said.position}"
    hold = Hold(
        chain=said.chain,
        asset=asset,
        account="",
        wallet="",
        provider="",
        direction="withdrawals",
        origin="auto",
        cause="reconciliation",
        reason=f"{item.address} holds {amount} units of {asset} less than the wallet book at {said.position}",
        actor="ledger",
        since=context.now,
        until=0,
    )
    if asset in short or state.holds.get(name) is not None or state.past_holds.get(name) is not None:
        return ()
    short[asset] = None
    return (set_event(name, hold),)


def decide_funded(state: State, said: tx.TreasuryFunded, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """An open receipt moves from suspense to the house's capital."""
    if state.chains.get(said.chain) is None:
        return Rejection.UNKNOWN_CHAIN
    row = state.surplus.get(said.chain, said.tx, said.ordinal)
    if row is None:
        return Rejection.UNKNOWN_RECEIPT
    legs = ((suspense(said.chain), -row.amount), (HOUSE_CAPITAL, row.amount))
    return (
        ev.SurplusExplained(chain=said.chain, tx=said.tx, ordinal=said.ordinal, asset=row.asset, amount=row.amount),
        ev.Posted(asset=row.asset, legs=legs),
    )
