"""Setting and lifting holds: anyone who may pause can do so alone; loosening what a person set asks for a person."""

from __future__ import annotations

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.context import Context
from custody.ledger.deposits import release
from custody.ledger.holds import AUTO_LIFTED, content, in_force
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.state import Hold, State


def decide_set(state: State, said: tx.HoldSet, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """A repeat of a hold, in force or past, is done already; its id with other content is a conflict.

    Ids that begin with `auto:` are for automatic holds of the cause they name, and those of `reconciliation` for the
    ledger's own verdicts: who could take such an id beforehand could keep the ledger from setting its hold.
    """
    if said.hold.startswith("auto:") and not _may_be_named(said):
        return Rejection.HOLD_NOT_YOURS
    if said.chain and state.chains.get(said.chain) is None:
        return Rejection.UNKNOWN_CHAIN
    if said.asset and state.assets.get(said.asset) is None:
        return Rejection.UNKNOWN_ASSET
    hold = Hold(
        chain=said.chain,
        asset=said.asset,
        account=said.account,
        wallet=said.wallet,
        provider=said.provider,
        direction=said.direction,
        origin=said.origin,
        cause=said.cause,
        reason=said.reason,
        actor=said.actor,
        since=context.now,
        until=said.until,
    )
    present = state.holds.get(said.hold)
    used = content(present) if present is not None else state.past_holds.get(said.hold)
    if used is not None:
        return () if used == content(hold) else Rejection.ID_CONFLICT
    return (set_event(said.hold, hold),)


def _may_be_named(said: tx.HoldSet) -> bool:
    return said.origin == "auto" and said.cause != "reconciliation" and said.hold.startswith(f"auto:{said.cause}:")


def set_event(name: str, hold: Hold) -> ev.HoldSet:
    """The event that puts a hold in force."""
    return ev.HoldSet(
        hold=name,
        chain=hold.chain,
        asset=hold.asset,
        account=hold.account,
        wallet=hold.wallet,
        provider=hold.provider,
        direction=hold.direction,
        origin=hold.origin,
        cause=hold.cause,
        reason=hold.reason,
        actor=hold.actor,
        since=hold.since,
        until=hold.until,
    )


def decide_lifted(state: State, said: tx.HoldLifted, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """An operator's key lifts any hold. The relay lifts automatic ones that end by themselves, and those whose time
    has run out. Deposits that waited for it are credited in order."""
    hold = state.holds.get(said.hold)
    if hold is None:
        return () if state.past_holds.get(said.hold) is not None else Rejection.UNKNOWN_HOLD
    if Role.OPERATOR not in context.roles:
        expired = 0 < hold.until <= context.now
        own = hold.origin == "auto" and hold.cause in AUTO_LIFTED
        if not expired and not own:
            return Rejection.HOLD_NOT_YOURS
    lifted = ev.HoldLifted(hold=said.hold, reason=said.reason, actor=said.actor, at=context.now)
    return (lifted, *release(state, in_force(state, without=said.hold)))
