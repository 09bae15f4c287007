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
    """All facts of one transaction of a range; `outcome` where one of our addresses sent it."""

    name: str
    position: int
    deposits: list[tx.ScannedDeposit]
    movements: list[tx.ScannedMovement]
    outcome: tx.ScannedOutcome | None


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
        _explain(unexplained, *in_units(state, chain, token, delta))

    own = None if facts.outcome is None else settle(state, booking.ended, chain, facts.outcome)
    suspicious = ""
    if own is not None:
        suspicious = _take_over(booking, events, unexplained, own)

    if any(state.surplus.get(chain, item.tx, item.ordinal) is not None for item in facts.movements):
        suspicious = suspicious or "a receipt that is open already is reported again"
    internal = {} if own is None else dict(own.internal)
    for deposit in facts.deposits:
        if state.deposits.get(deposit_id(chain, deposit.tx, deposit.ordinal)) is not None:
            suspicious = suspicious or "a deposit that was recorded before is reported again"
            continue
        amount = _foreign(internal, deposit)
        if amount == 0:
            continue
        recorded = _recorded(state, booking, deposit, amount)
        events.extend(record(recorded))
        booking.recorded.append(recorded)
        booking.orders = recorded.order
        _explain(unexplained, recorded.asset, -recorded.amount)

    if own is not None:
        events.extend(_rent(state, chain, own, unexplained))
    if not suspicious and any(amount < 0 for _, amount in sorted(unexplained.items())):
        suspicious = "money left without an attempt that explains it"
    events.extend(_leftovers(state, chain, facts, unexplained))
    if suspicious:
        events.extend(_hold(booking, facts, suspicious, context))
    return tuple(events)


def _deltas(facts: TransactionFacts) -> list[tuple[str, str, int]]:
    rows = [(item.address, item.token, int(item.amount)) for item in facts.deposits]
    rows.extend((item.address, item.token, int(item.delta)) for item in facts.movements)
    return rows


def _explain(unexplained: dict[str, int], asset: str, units: int) -> None:
    unexplained[asset] = unexplained.get(asset, 0) + units


def _take_over(booking: Booking, events: list[ev.Event], unexplained: dict[str, int], own: Settlement) -> str:
    """Book what an outcome explains; why a person must look, if one must."""
    events.extend(own.events)
    for asset, units in own.explained:
        _explain(unexplained, asset, units)
    booking.ended.update(dict.fromkeys(own.ended))
    return own.suspicious


def _foreign(internal: dict[tuple[str, str], int], deposit: tx.ScannedDeposit) -> int:
    """How much of an increase, in raw units, our own attempt did not bring there on purpose (a top-up). Excluded by
    purpose, never by signer: a withdrawal of ours to a deposit address of ours is a credit. A chain may report both in
    one sum, so what the purposes account for is taken off the sum."""
    key = (deposit.address, deposit.token)
    ours = min(internal.get(key, 0), int(deposit.amount))
    internal[key] = internal.get(key, 0) - ours
    return int(deposit.amount) - ours


def _recorded(state: State, booking: Booking, fact: tx.ScannedDeposit, raw: int) -> ev.DepositRecorded:
    address = state.addresses.need(booking.chain, fact.address)
    asset, amount = in_units(state, booking.chain, fact.token, raw)
    minimum = int(state.assets.need(asset).as_token(booking.chain, fact.token).minimum)
    return ev.DepositRecorded(
        deposit=deposit_id(booking.chain, fact.tx, fact.ordinal),
        chain=booking.chain,
        tx=fact.tx,
        ordinal=fact.ordinal,
        position=fact.position,
        address=fact.address,
        account=address.account,
        asset=asset,
        amount=amount,
        order=booking.orders + 1,
        move="record" if raw >= minimum else "refuse",
    )


def _rent(state: State, chain: str, own: Settlement, unexplained: dict[str, int]) -> tuple[ev.Event, ...]:
    """What an attempt of ours paid for created accounts, or got back for closed ones, within its journaled cap."""
    asset = state.tokens.need(chain, NATIVE)
    rest = unexplained.get(asset, 0)
    if rest == 0 or abs(rest) > own.rent_cap:
        return ()
    unexplained[asset] = 0
    return (ev.Posted(asset=asset, legs=((HOUSE_RENT, rest), (external(chain), -rest))),)


def _leftovers(state: State, chain: str, facts: TransactionFacts, unexplained: dict[str, int]) -> tuple[ev.Event, ...]:
    """Whatever nothing explains goes to suspense. What came in by a transaction of somebody else's is kept by name, so
    that it can be attributed later, and never for more than what went to suspense."""
    events: list[ev.Event] = []
    for asset, amount in sorted(unexplained.items()):
        if amount:
            events.append(ev.Posted(asset=asset, legs=((suspense(chain), amount), (external(chain), -amount))))
    if facts.outcome is not None:
        return tuple(events)
    for movement in facts.movements:
        asset, gained = in_units(state, chain, movement.token, int(movement.delta))
        amount = min(gained, unexplained.get(asset, 0))
        if amount > 0 and state.surplus.get(chain, facts.name, movement.ordinal) is None:
            _explain(unexplained, asset, -amount)
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
