"""What must be true of the books after every transition, recomputed from scratch.

`evolve` asserts the cheap half as it goes. This is the whole of it, for property tests, for the audit, and for anybody
who wants to know what is promised.
"""

from __future__ import annotations

from custody.ledger.identifiers import PENDING, external, held
from custody.ledger.lifecycle import OPEN_ATTEMPTS, OPEN_WITHDRAWALS, DepositState, WithdrawalState
from custody.ledger.outcomes import in_units
from custody.ledger.state import State
from custody.wallets.reconciliation import Statement


def statements(state: State) -> tuple[tuple[str, Statement], ...]:
    """(chain, statement) of every asset on every chain: −external against the wallet book, in the asset's unit."""
    owed: dict[tuple[str, str], int] = {}
    for chain_key, _ in state.chains.rows():
        chain = str(chain_key[0])
        for asset_key, asset in state.assets.rows():
            if asset.on(chain) is not None:
                name = str(asset_key[0])
                owed[chain, name] = -state.balance(name, external(chain))
    booked: dict[tuple[str, str], int] = {}
    for wallet_key, raw in state.wallets.rows():
        chain, token = str(wallet_key[0]), str(wallet_key[2])
        name, amount = in_units(state, chain, token, raw)
        booked[chain, name] = booked.get((chain, name), 0) + amount
    return tuple(
        (chain, Statement(asset=name, owed=amount, held=booked.get((chain, name), 0)))
        for (chain, name), amount in sorted(owed.items())
    )


def violations(state: State) -> tuple[str, ...]:
    """Every broken invariant as a sentence; empty when the books are right."""
    return (*_sums(state), *_users(state), *_explained(state), *_waiting(state), *_attempts(state))


def _sums(state: State) -> list[str]:
    sums: dict[str, int] = {}
    for key, amount in state.balances.rows():
        sums[str(key[0])] = sums.get(str(key[0]), 0) + amount
    return [f"{asset} sums to {amount}, not zero" for asset, amount in sorted(sums.items()) if amount]


def _users(state: State) -> list[str]:
    return [
        f"{key[1]} owes {-amount} {key[0]}"
        for key, amount in state.balances.rows()
        if amount < 0 and str(key[1]).startswith("user:")
    ]


def _explained(state: State) -> list[str]:
    return [
        f"−external:{chain} of {item.asset} is {item.owed}, the wallet book holds {item.held}"
        for chain, item in statements(state)
        if item.difference
    ]


def _waiting(state: State) -> list[str]:
    """What is held is exactly what open withdrawals ask for; what is pending is exactly what waits for credit."""
    due: dict[tuple[str, str], int] = {}
    for key, row in state.withdrawals.rows():
        if row.state in OPEN_WITHDRAWALS:
            account = (row.asset, held(row.account))
            due[account] = due.get(account, 0) + row.amount
        listed = state.open_withdrawals.get(row.order) == key[0]
        if listed is not (row.state in OPEN_WITHDRAWALS):
            return [f"withdrawal {key[0]} is {row.state} and listed as open: {listed}"]
    for key, deposit in state.deposits.rows():
        if deposit.state is DepositState.RECORDED:
            account = (deposit.asset, PENDING)
            due[account] = due.get(account, 0) + deposit.amount
        if (state.pending.get(deposit.order) == key[0]) is not (deposit.state is DepositState.RECORDED):
            return [f"deposit {key[0]} is {deposit.state} but its place in the queue says otherwise"]
    queued = sorted((order, name) for queue in state.waiting.values() for order, name in queue.items())
    if queued != [(key[0], name) for key, name in state.pending.rows()]:
        return ["the queue by chain and asset is not the queue of pending deposits"]
    for key, amount in state.balances.rows():
        if str(key[1]).endswith("/held") or key[1] == PENDING:
            due[str(key[0]), str(key[1])] = due.get((str(key[0]), str(key[1])), 0) - amount
    return [f"{account} of {asset} is off by {amount}" for (asset, account), amount in sorted(due.items()) if amount]


def _attempts(state: State) -> list[str]:
    """A withdrawal in an attempt names one that pays it; no nonce was used by two; an open attempt is listed."""
    broken: list[str] = []
    for key, row in state.withdrawals.rows():
        if row.state is not WithdrawalState.IN_ATTEMPT:
            continue
        attempt = state.attempts.get(row.attempt)
        if attempt is None or not any(purpose.id == key[0] for purpose in attempt.purposes):
            broken.append(f"withdrawal {key[0]} is in an attempt that does not pay it")
    landed: dict[tuple[str, str, int], str] = {}
    for key, attempt in state.attempts.rows():
        name = str(key[0])
        if (state.open_attempts.get(name) is not None) is not (attempt.state in OPEN_ATTEMPTS):
            broken.append(f"attempt {name} is {attempt.state} but listed otherwise")
        if attempt.nonce is None or attempt.state not in ("landed", "failed"):
            continue
        slot = (attempt.chain, attempt.sender, attempt.nonce)
        if slot in landed:
            broken.append(f"attempts {landed[slot]} and {name} both used nonce {attempt.nonce}")
        landed[slot] = name
    return broken
