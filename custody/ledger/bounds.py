"""Whether a decision's postings would carry a balance out of its bounds: asked before anything changes.

Only facts from outside can do that. What users do among themselves moves what is there already; but a listed token may
report any amount, and a chain's integer grows when it is scaled to a finer unit.
"""

from __future__ import annotations

from collections.abc import Iterable

from custody.ledger import events as ev
from custody.ledger.amounts import LIMIT
from custody.ledger.state import State


def overflows(state: State, events: Iterable[ev.Event]) -> bool:
    """Whether any balance, at any point of these events, would leave ±2^127."""
    balances: dict[tuple[str, str], int] = {}
    for event in events:
        if not isinstance(event, ev.Posted):
            continue
        for account, amount in event.legs:
            key = (event.asset, account)
            before = balances[key] if key in balances else state.balance(event.asset, account)
            balances[key] = before + amount
            if not -LIMIT < balances[key] < LIMIT:
                return True
    return False
