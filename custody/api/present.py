"""From the ledger's rows to the API's answers. Reads views, decides nothing."""

from __future__ import annotations

from collections.abc import Iterable

from custody.api import answers
from custody.api.wire import Amount, amount
from custody.ledger import events as ev
from custody.ledger import holds
from custody.ledger.identifiers import available, held
from custody.ledger.lifecycle import DEPOSIT, WithdrawalState
from custody.ledger.state import Hold, State
from custody.views.books import Books
from custody.views.facts import ChainFacts, Facts, PauseFacts
from custody.views.feed import REACHED, Entry
from custody.views.history import History

PENDING, ASSIGNED = "pending", "assigned"


def in_asset(state: State, asset: str, units: int) -> Amount:
    """An amount of a listed asset."""
    return amount(units, state.assets.need(asset).decimals)


def address(state: State, account: str, chain: str) -> answers.Address | None:
    """A user's address on a chain, None when it was never asked for. It is shown only once its scanner watches it."""
    slot = state.slots.get(account, chain)
    if slot is None:
        return None
    row = state.addresses.get(chain, slot.address) if slot.address else None
    watched = row is not None and row.order <= state.chains.need(chain).watched
    return answers.Address(
        account=account,
        chain=chain,
        address=slot.address if watched else "",
        state=ASSIGNED if watched else PENDING,
    )


def addresses(state: State, account: str) -> answers.Addresses:
    """All of a user's addresses, by chain."""
    rows = (address(state, account, str(key[0])) for key, _ in state.chains.rows())
    return answers.Addresses(account=account, addresses=tuple(row for row in rows if row is not None))


def balances(state: State, account: str, height: int) -> answers.Balances:
    """What a user has, in every listed asset."""
    rows = []
    for key, asset in state.assets.rows():
        name = str(key[0])
        rows.append(
            answers.Balance(
                asset=name,
                available=amount(state.balance(name, available(account)), asset.decimals),
                held=amount(state.balance(name, held(account)), asset.decimals),
            )
        )
    return answers.Balances(account=account, height=height, balances=tuple(rows))


def deposit(state: State, history: History, name: str) -> answers.Deposit:
    """A deposit that exists."""
    row = state.deposits.need(name)
    return answers.Deposit(
        id=name,
        order=row.order,
        account=row.account,
        chain=row.chain,
        asset=row.asset,
        amount=in_asset(state, row.asset, row.amount),
        address=row.address,
        tx=row.tx,
        ordinal=row.ordinal,
        position=row.position,
        state=row.state,
        recorded_at=history.recorded_at(row.order),
        credited_at=history.credited_at(name),
    )


def withdrawal(state: State, history: History, name: str) -> answers.Withdrawal:
    """A withdrawal that exists."""
    row = state.withdrawals.need(name)
    scope = holds.Scope(direction="withdrawals", chain=row.chain, asset=row.asset, account=row.account)
    waits = row.state is WithdrawalState.QUEUED and bool(holds.stopping(holds.in_force(state), scope))
    return answers.Withdrawal(
        id=name,
        order=row.order,
        account=row.account,
        asset=row.asset,
        chain=row.chain,
        to=row.to,
        amount=in_asset(state, row.asset, row.amount),
        create_account=row.create_account,
        state=row.state,
        held=waits,
        attempt=row.attempt,
        tx=row.tx,
        failures=row.failures,
        reason=row.reason,
        requested_at=row.requested,
        ended_at=history.ended_at(name),
    )


def transfer(history: History, name: str) -> answers.Transfer | None:
    """A booked batch, None when there is none of this id."""
    row = history.transfer(name)
    if row is None:
        return None
    return answers.Transfer(id=name, state="booked", legs=row.legs, height=row.height, at=row.at)


def events(state: State, entries: Iterable[Entry]) -> tuple[answers.AnyEvent, ...]:
    """Feed entries on the wire."""
    return tuple(_event(state, entry) for entry in entries)


def _event(state: State, entry: Entry) -> answers.AnyEvent:
    sequence, height, at = entry.sequence, entry.height, entry.at
    match entry.event:
        case ev.AccountOpened(account=account):
            return answers.AccountOpened(sequence=sequence, height=height, at=at, account=account)
        case ev.AddressAssigned(account=account, chain=chain, address=text):
            return answers.AddressAssigned(
                sequence=sequence, height=height, at=at, account=account, chain=chain, address=text
            )
        case ev.BatchBooked(batch=batch, legs=legs):
            return answers.TransferBooked(sequence=sequence, height=height, at=at, transfer=batch, legs=legs)
        case ev.HoldLifted(hold=hold, reason=reason):
            return answers.HoldLifted(sequence=sequence, height=height, at=at, hold=hold, reason=reason)
        case ev.HoldSet() as event:
            return answers.HoldSet(
                sequence=sequence,
                height=height,
                at=at,
                hold=event.hold,
                chain=event.chain,
                asset=event.asset,
                account=event.account,
                direction=event.direction,
                origin=event.origin,
                cause=event.cause,
                reason=event.reason,
                until=event.until,
                provider=event.provider,
            )
        case other:
            return _money(state, entry, other)


def _money(
    state: State,
    entry: Entry,
    event: ev.DepositRecorded | ev.DepositCredited | ev.WithdrawalOpened | ev.WithdrawalMoved,
) -> answers.AnyEvent:
    sequence, height, at = entry.sequence, entry.height, entry.at
    match event:
        case ev.DepositRecorded():
            return answers.DepositRecorded(
                sequence=sequence,
                height=height,
                at=at,
                deposit=event.deposit,
                account=event.account,
                chain=event.chain,
                asset=event.asset,
                amount=in_asset(state, event.asset, event.amount),
                tx=event.tx,
                state=DEPOSIT[None, event.move],
            )
        case ev.DepositCredited():
            return answers.DepositCredited(
                sequence=sequence,
                height=height,
                at=at,
                deposit=event.deposit,
                account=event.account,
                chain=event.chain,
                asset=event.asset,
                amount=in_asset(state, event.asset, event.amount),
            )
        case ev.WithdrawalOpened():
            return answers.WithdrawalOpened(
                sequence=sequence,
                height=height,
                at=at,
                withdrawal=event.withdrawal,
                account=event.account,
                chain=event.chain,
                asset=event.asset,
                to=event.to,
                amount=in_asset(state, event.asset, event.amount),
                state=REACHED[event.move],
            )
        case ev.WithdrawalMoved():
            return answers.WithdrawalMoved(
                sequence=sequence,
                height=height,
                at=at,
                withdrawal=event.withdrawal,
                account=state.withdrawals.need(event.withdrawal).account,
                state=REACHED[event.move],
                tx=event.tx,
                reason=event.reason,
            )


def scope_of(hold: Hold) -> str:
    """The kind of a hold's scope, which may be shown to anybody."""
    if hold.provider:
        return "provider"
    if hold.account:
        return "account"
    if hold.wallet:
        return "wallet"
    if hold.chain and hold.asset:
        return "chain+asset"
    return "chain" if hold.chain else "asset" if hold.asset else "all"


def status(books: Books, facts: Facts) -> answers.Status:
    """What anybody may know: no account, no address of a pause that concerns one person or wallet, no actor."""
    state = books.state
    link = books.link
    standing = [hold for _, hold in holds.in_force(state)]
    return answers.Status(
        version=facts.version,
        ledger=state.ledger,
        height=-1 if link is None else link.height,
        time=0 if link is None else link.time,
        ready=facts.ready,
        paused=bool(facts.latches) or any(not hold.provider for hold in standing),
        holds=tuple(_public(hold) for hold in standing),
        latches=tuple(
            answers.StatusLatch(cause=latch.cause, reason=latch.reason, since=latch.since) for latch in facts.latches
        ),
        chains=chains(state, facts),
    )


def _public(hold: Hold) -> answers.StatusHold:
    scope = scope_of(hold)
    told = scope not in ("account", "wallet", "provider")
    return answers.StatusHold(
        scope=scope,
        chain=hold.chain if told else "",
        asset=hold.asset if told else "",
        direction=hold.direction,
        origin=hold.origin,
        cause=hold.cause,
        reason=hold.reason if told else "",
        since=hold.since,
        until=hold.until,
    )


def _pause(row: PauseFacts) -> answers.StatusPause:
    return answers.StatusPause(
        direction=row.direction,
        state=row.state.lower(),
        since=row.since,
        cause=row.cause,
        reason=row.reason,
        queue_age_seconds=row.queue_age_seconds,
        estimate_seconds=row.estimate_seconds,
    )


def kept_out(state: State) -> frozenset[tuple[str, str]]:
    """(chain, provider) of those that the ledger holds, whether their pool has caught up with it or not."""
    return frozenset((hold.chain, hold.provider) for _, hold in holds.in_force(state) if hold.provider)


def usable(row: ChainFacts, out: frozenset[tuple[str, str]]) -> int:
    """How many of a chain's providers may be asked now."""
    return sum(1 for one in row.providers if one.may_ask and (row.chain, one.name) not in out)


def chains(state: State, facts: Facts) -> tuple[answers.StatusChain, ...]:
    """Every chain of the ledger, beside what its providers say."""
    known = {row.chain: row for row in facts.chains}
    out = kept_out(state)
    found = []
    for key, cursor in state.cursors.rows():
        name = str(key[0])
        row = known.get(name)
        found.append(
            answers.StatusChain(
                chain=name,
                position=cursor.position,
                height=cursor.height,
                latest=row.latest if row else None,
                finalized=row.finalized if row else None,
                providers=len(row.providers) if row else 0,
                usable=usable(row, out) if row else 0,
                pauses=tuple(map(_pause, row.pauses)) if row else (),
            )
        )
    return tuple(found)
