"""Which pause stops what. One rule for everybody: something is blocked while any hold matches it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

import msgspec

from custody.ledger import events as ev
from custody.ledger.state import Hold, State

DIRECTIONS = ("deposits", "withdrawals", "both", "transfers", "all")
ORIGINS = ("operator", "auto")
OPERATOR_CAUSES = ("pause", "brake", "cordon")
AUTO_CAUSES = ("provider", "integrity", "finality", "reconciliation", "divergence", "liquidity", "fees", "storage")

AUTO_LIFTED = ("provider", "finality", "liquidity", "fees", "storage")
"""Causes whose hold automatic code may lift by itself; the others end by a person's judgement."""

STOPS_EVERYTHING = ("integrity", "divergence", "brake")
"""Causes under which not even a bump or a filler may be prepared."""

_COVERED = {
    "deposits": ("deposits", "both", "all"),
    "withdrawals": ("withdrawals", "both", "all"),
    "transfers": ("transfers", "all"),
}


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """The thing that wants to happen. Empty fields are what does not apply to it."""

    direction: str
    chain: str = ""
    asset: str = ""
    account: str = ""
    wallet: str = ""


def matches(hold: Hold, scope: Scope) -> bool:
    """Whether this hold stops it. A hold on a provider (a cordon) never stops money."""
    return (
        not hold.provider
        and hold.direction in _COVERED[scope.direction]
        and hold.chain in ("", scope.chain)
        and hold.asset in ("", scope.asset)
        and hold.account in ("", scope.account)
        and hold.wallet in ("", scope.wallet)
    )


def in_force(state: State, *, without: str = "") -> tuple[tuple[str, Hold], ...]:
    """All holds by id, in the order of ids, but for one that is about to be lifted."""
    return tuple((str(key[0]), hold) for key, hold in state.holds.rows() if key[0] != without)


def stopping(holds: Iterable[tuple[str, Hold]], scope: Scope) -> tuple[str, ...]:
    """The ids of those that stop it."""
    return tuple(name for name, hold in holds if matches(hold, scope))


def content(hold: Hold) -> str:
    """What makes the same id said twice a repeat or a conflict: everything but when it was first said."""
    fields = [
        hold.chain, hold.asset, hold.account, hold.wallet, hold.provider, hold.direction, hold.origin, hold.cause,
        hold.reason, hold.actor, str(hold.until),
    ]  # fmt: skip
    return hashlib.sha256("\0".join(fields).encode()).hexdigest()


def row_of(event: ev.HoldSet) -> Hold:
    """The hold that an event puts in force."""
    return Hold(
        chain=event.chain,
        asset=event.asset,
        account=event.account,
        wallet=event.wallet,
        provider=event.provider,
        direction=event.direction,
        origin=event.origin,
        cause=event.cause,
        reason=event.reason,
        actor=event.actor,
        since=event.since,
        until=event.until,
    )
