"""One chain transaction into both books: the wallet book moves by the facts, the ledger by what explains them."""

from __future__ import annotations

from dataclasses import dataclass

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.context import Context
from custody.ledger.deposits import record
from custody.ledger.identifiers import (
    HOUSE_RENT,
    deposit_id,
    external,
    suspense,
)
from custody.ledger.outcomes import NATIVE, Settlement, in_units, settle
from custody.ledger.state import State


@dataclass(slots=True)
class TransactionFacts:
    """All facts of one transaction of a range."""

    name: str
    position: int
    deposits: list[tx.ScannedDeposit]
    movements: list[tx.ScannedMovement]
    outcomes: list[tx.ScannedOutcome]


@dataclass(slots=True)
class Booking:
    """What booking one range has found so far, which later transactions of the same range must see: integrity holds,
    deposits recorded, attempts ended, and the last order given to a deposit."""

    chain: str
    holds: list[ev.HoldSet]
    recorded: list[ev.DepositRecorded]
    ended: dict[str, None]
    orders: int


def book(state: State, booking: Booking, facts: TransactionFacts, context: Context) -> tuple[ev.Event, ...]:
    """The events of one transaction. After them −external and the wallet book have moved by the same amount."""
    chain = booking.chain
    events: list[ev.Event] = []
    unexplained: dict[str, int] = {}
    for address, token, delta in _deltas(facts):
        events.append(ev.WalletMoved(chain=chain, address=address, token=token, tx=facts.name, delta=delta))
        asset, units = in_units(state, chain, token, delta)
        unexplained[asset] = unexplained.get(asset, 0) + units

    settlements = [settle(state, booking.ended, chain, outcome) for outcome in facts.outcomes]
    for settlement in settlements:
        events.extend(settlement.events)
        for asset, units in settlement.explained:
            unexplained[asset] = unexplained.get(asset, 0) + units
        booking.ended.update(dict.fromkeys(settlement.ended))

    for deposit in facts.deposits:
        if _is_own(settlements, deposit):
            continue
        recorded = _recorded(state, booking, deposit)
        if recorded is None:
            continue
        events.extend(record(recorded))
        booking.recorded.append(recorded)
        booking.orders = recorded.order
        unexplained[recorded.asset] = unexplained.get(recorded.asset, 0) - recorded.amount

    for settlement in settlements:
        events.extend(_rent(state, chain, settlement, unexplained))
    events.extend(_leftovers(state, booking, facts, unexplained, settlements))
    if any(settlement.suspicious for settlement in settlements):
        reason = next(settlement.suspicious for settlement in settlements if settlement.suspicious)
        events.extend(_hold(booking, facts, reason, context))
    elif any(amount < 0 for _, amount in sorted(unexplained.items())):
        events.extend(_hold(booking, facts, "money left without an attempt that explains it", context))
    return tuple(events)


def _deltas(facts: TransactionFacts) -> list[tuple[str, str, int]]:
    rows = [(item.address, item.token, int(item.amount)) for item in facts.deposits]
    rows.extend((item.address, item.token, int(item.delta)) for item in facts.movements)
    return rows


def _is_own(settlements: list[Settlement], deposit: tx.ScannedDeposit) -> bool:
    """An increase that one of our attempts made on purpose (a top-up) is not a user's deposit. Excluded by purpose,
    never by signer: a withdrawal of ours to a deposit address of ours is a credit."""
    return any((deposit.address, deposit.token, int(deposit.amount)) in item.internal for item in settlements)


def _recorded(state: State, booking: Booking, fact: tx.ScannedDeposit) -> ev.DepositRecorded | None:
    name = deposit_id(booking.chain, fact.tx, fact.ordinal)
    if state.deposits.get(name) is not None:
        return None
    address = state.addresses.need(booking.chain, fact.address)
    asset, amount = in_units(state, booking.chain, fact.token, int(fact.amount))
    minimum = int(state.assets.need(asset).as_token(booking.chain, fact.token).minimum)
    return ev.DepositRecorded(
        deposit=name,
        chain=booking.chain,
        tx=fact.tx,
        ordinal=fact.ordinal,
        position=fact.position,
        address=fact.address,
        account=address.account,
        asset=asset,
        amount=amount,
        order=booking.orders + 1,
        move="record" if int(fact.amount) >= minimum else "refuse",
    )


def _rent(state: State, chain: str, settlement: Settlement, unexplained: dict[str, int]) -> tuple[ev.Event, ...]:
    """What an attempt of ours paid for created accounts, or got back for closed ones, within its journaled cap."""
    asset = state.tokens.need(chain, NATIVE)
    rest = unexplained.get(asset, 0)
    if rest == 0 or settlement.rent_cap == 0 or rest < -settlement.rent_cap:
        return ()
    unexplained[asset] = 0
    return (ev.Posted(asset=asset, legs=((HOUSE_RENT, rest), (external(chain), -rest))),)


def _leftovers(
    state: State,
    booking: Booking,
    facts: TransactionFacts,
    unexplained: dict[str, int],
    settlements: list[Settlement],
) -> tuple[ev.Event, ...]:
    """Whatever nothing explains goes to suspense. A plain receipt at a wallet is kept by name, so that it can be
    attributed later."""
    chain = booking.chain
    events: list[ev.Event] = []
    for asset, amount in sorted(unexplained.items()):
        if amount:
            events.append(ev.Posted(asset=asset, legs=((suspense(chain), amount), (external(chain), -amount))))
    if settlements:
        return tuple(events)
    for movement in facts.movements:
        asset, amount = in_units(state, chain, movement.token, int(movement.delta))
        if amount > 0 and unexplained.get(asset, 0) > 0:
            events.append(
                ev.SurplusBooked(chain=chain, tx=facts.name, ordinal=movement.ordinal, asset=asset, amount=amount)
            )
    return tuple(events)


def _hold(booking: Booking, facts: TransactionFacts, reason: str, context: Context) -> tuple[ev.Event, ...]:
    hold = ev.HoldSet(
        hold=f"auto:integrity:{booking.chain}:{facts.name[:66]}",
        chain=booking.chain,
        asset="",
        account="",
        wallet="",
        provider="",
        direction="all",
        origin="auto",
        cause="integrity",
        reason=f"{reason}: transaction {facts.name}",
        actor="ledger",
        since=context.now,
        until=0,
    )
    booking.holds.append(hold)
    return (hold,)
