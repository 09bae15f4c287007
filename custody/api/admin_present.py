"""From views and facts to what an operator sees: everything, secrets excepted, which are in none of them."""

from __future__ import annotations

from custody.api import admin_answers as shapes
from custody.api import admin_providers, present
from custody.api.ports import AdminDeps
from custody.api.wire import amount
from custody.ledger.holds import in_force
from custody.ledger.state import Hold
from custody.views.history import HoldRecord

RECENT = 20
"""Deposits and withdrawals shown beside an account."""
PAST_HOLDS = 500


def hold(name: str, row: Hold, record: HoldRecord | None = None) -> shapes.Hold:
    """A hold, and how it ended where it has."""
    return shapes.Hold(
        id=name,
        scope=present.scope_of(row),
        chain=row.chain,
        asset=row.asset,
        account=row.account,
        wallet=row.wallet,
        provider=row.provider,
        direction=row.direction,
        origin=row.origin,
        cause=row.cause,
        reason=row.reason,
        actor=row.actor,
        since=row.since,
        until=row.until,
        lifted=record.lifted if record else 0,
        lifted_by=record.lifted_by if record else "",
        lifted_reason=record.lifted_reason if record else "",
    )


def holds(deps: AdminDeps, *, history: bool) -> shapes.Holds:
    """Those in force, or the newest of all."""
    if history:
        records = deps.history.holds(PAST_HOLDS)
        return shapes.Holds(holds=tuple(hold(record.id, record.hold, record) for record in records))
    return shapes.Holds(holds=tuple(hold(name, row) for name, row in in_force(deps.books.state)))


def status(deps: AdminDeps) -> shapes.Status:
    """The whole at a glance."""
    facts, state, link = deps.facts(), deps.books.state, deps.books.link
    return shapes.Status(
        version=facts.version,
        ledger=state.ledger,
        height=-1 if link is None else link.height,
        time=0 if link is None else link.time,
        started=facts.started,
        ready=facts.ready,
        waiting_for=facts.waiting_for,
        holds=holds(deps, history=False).holds,
        latches=tuple(
            shapes.Latch(cause=latch.cause, reason=latch.reason, actor=latch.actor, since=latch.since)
            for latch in facts.latches
        ),
        chains=admin_providers.chains(state, facts),
        withdrawals=tuple(
            shapes.Count(chain=chain, state=name, count=count) for chain, name, count in deps.tallies.withdrawals()
        ),
        deposits_waiting=len(state.pending),
    )


def account(deps: AdminDeps, name: str) -> shapes.Account:
    """An account that exists."""
    state, history = deps.books.state, deps.history
    link = deps.books.link
    return shapes.Account(
        account=name,
        opened_at=state.accounts.need(name),
        balances=present.balances(state, name, -1 if link is None else link.height).balances,
        addresses=present.addresses(state, name).addresses,
        holds=tuple(hold(key, row) for key, row in in_force(state) if row.account in ("", name)),
        deposits=tuple(present.deposit(state, history, item) for item in history.latest_deposits(name, RECENT)),
        withdrawals=tuple(
            present.withdrawal(state, history, item) for item in history.latest_withdrawals(name, RECENT)
        ),
    )


def wallets(deps: AdminDeps) -> shapes.Wallets:
    """Sums by tier, and the house's addresses one by one."""
    state = deps.books.state
    rows = []
    for house in deps.tallies.houses():
        for key, asset in state.assets.rows():
            item = asset.on(house.chain)
            if item is None:
                continue
            raw = state.wallets.get(house.chain, house.address, item.token) or 0
            shown = amount(raw, item.decimals)
            rows.append(
                shapes.Wallet(
                    chain=house.chain, tier=house.tier, address=house.address, asset=str(key[0]), amount=shown
                )
            )
    tiers = tuple(
        shapes.Tier(chain=chain, asset=name, tier=tier, amount=present.in_asset(state, name, units))
        for name, chain, tier, units in deps.tallies.assets()
    )
    return shapes.Wallets(tiers=tiers, wallets=tuple(rows))


def tip(deps: AdminDeps) -> shapes.LedgerTip:
    """Which ledger, and up to where."""
    link = deps.books.link
    return shapes.LedgerTip(
        ledger=deps.books.state.ledger,
        height=-1 if link is None else link.height,
        hash="" if link is None else link.hash,
        root=deps.books.state.root.hex(),
        time=0 if link is None else link.time,
    )
