"""What a finalized transaction of ours means for the attempt and the obligations behind it.

An outcome is matched by what makes it unique, the SHA-256 of its exact message (and its nonce on an account-nonce
chain), never by a signature. Success is believed only with proof that every purpose was paid.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.amounts import to_units
from custody.ledger.identifiers import HOUSE_NETWORK, attempt_id, available, external, held
from custody.ledger.lifecycle import OPEN_ATTEMPTS, WithdrawalState
from custody.ledger.state import Attempt, State
from custody.policy.parameters import Parameter

NATIVE = "native"
"""The `token` of a chain's own coin."""


@dataclass(slots=True)
class Settlement:
    """What one outcome explains. `explained`: (asset, units) that account for what our addresses lost, positive.
    `internal`: (recipient, token) → raw, of moves between our own addresses. `rent_cap`: in the native asset's unit,
    0 where no rent is explained. `suspicious`: why a person must look."""

    events: list[ev.Event] = field(default_factory=list)
    explained: list[tuple[str, int]] = field(default_factory=list)
    internal: dict[tuple[str, str], int] = field(default_factory=dict)
    rent_cap: int = 0
    suspicious: str = ""
    ended: list[str] = field(default_factory=list)


def in_units(state: State, chain: str, token: str, raw: int) -> tuple[str, int]:
    """(asset, amount in its unit) of a listed token's raw amount, which may be negative."""
    asset = state.tokens.need(chain, token)
    row = state.assets.need(asset)
    decimals = row.as_token(chain, token).decimals
    units = to_units(abs(raw), decimals=decimals, unit_decimals=row.decimals)
    return asset, units if raw >= 0 else -units


def settle(state: State, ended: dict[str, None], chain: str, outcome: tx.ScannedOutcome) -> Settlement:
    """Book the fee, end the attempt and those it excludes, settle, requeue or release its withdrawals."""
    done = Settlement()
    _book_fee(state, chain, outcome, done)
    if outcome.nonce is not None:
        done.events.append(ev.NonceUsed(chain=chain, sender=outcome.sender, nonce=outcome.nonce))
    name = attempt_id(chain, outcome.sender, outcome.message)
    attempt = state.attempts.get(name)
    if attempt is None or (attempt.chain, attempt.sender, attempt.nonce) != (chain, outcome.sender, outcome.nonce):
        done.suspicious = "a transaction of ours that no attempt prepared"
        return done
    if attempt.state not in OPEN_ATTEMPTS or name in ended:
        done.suspicious = f"an attempt that had ended ({attempt.state}) landed"
        return done

    done.ended.append(name)
    done.events.append(ev.AttemptEnded(attempt=name, move="land" if outcome.succeeded else "fail", tx=outcome.tx))
    if not outcome.succeeded:
        for purpose in attempt.purposes:
            _failed(state, chain, purpose, done)
    elif _paid(attempt, outcome):
        for purpose in attempt.purposes:
            _settled(state, chain, purpose, name, outcome.tx, done)
        _, done.rent_cap = in_units(state, chain, NATIVE, attempt.rent_cap)
    else:
        done.suspicious = "a transaction of ours succeeded without paying what its attempt says"
    _exclude_rivals(state, chain, outcome, name, attempt, done)
    return done


def _book_fee(state: State, chain: str, outcome: tx.ScannedOutcome, done: Settlement) -> None:
    asset, fee = in_units(state, chain, NATIVE, int(outcome.fee))
    if fee:
        done.events.append(ev.Posted(asset=asset, legs=((HOUSE_NETWORK, -fee), (external(chain), fee))))
        done.explained.append((asset, fee))


def _paid(attempt: Attempt, outcome: tx.ScannedOutcome) -> bool:
    """Whether every recipient provably got, in each token, at least what the purposes add up to."""
    got: dict[tuple[str, str], int] = {}
    for paid in outcome.paid:
        got[paid.recipient, paid.token] = got.get((paid.recipient, paid.token), 0) + int(paid.amount)
    due: dict[tuple[str, str], int] = {}
    for purpose in attempt.purposes:
        due[purpose.recipient, purpose.token] = due.get((purpose.recipient, purpose.token), 0) + int(purpose.amount)
    return all(got.get(target, 0) >= amount for target, amount in sorted(due.items()))


def _settled(state: State, chain: str, purpose: tx.Purpose, attempt: str, transaction: str, done: Settlement) -> None:
    if purpose.kind != "withdrawal":
        target = (purpose.recipient, purpose.token)
        done.internal[target] = done.internal.get(target, 0) + int(purpose.amount)
        return
    row = state.withdrawals.need(purpose.id)
    legs = ((held(row.account), -row.amount), (external(chain), row.amount))
    done.events.append(ev.Posted(asset=row.asset, legs=legs))
    done.events.append(ev.WithdrawalMoved(withdrawal=purpose.id, move="settle", attempt=attempt, tx=transaction))
    done.explained.append((row.asset, row.amount))


def _failed(state: State, chain: str, purpose: tx.Purpose, done: Settlement) -> None:
    """The chain's own verdict against a payment: try again as often as the policy says, then give the money back."""
    if purpose.kind != "withdrawal":
        return
    row = state.withdrawals.need(purpose.id)
    allowed = state.parameter(Parameter.ATTEMPTS.label, chain) or Parameter.ATTEMPTS.default
    if row.failures + 1 < allowed:
        done.events.append(ev.WithdrawalMoved(withdrawal=purpose.id, move="requeue", failed=True))
        return
    legs = ((held(row.account), -row.amount), (available(row.account), row.amount))
    done.events.append(ev.Posted(asset=row.asset, legs=legs))
    reason = "the payment failed on chain"
    done.events.append(ev.WithdrawalMoved(withdrawal=purpose.id, move="release", reason=reason, failed=True))


def _exclude_rivals(
    state: State, chain: str, outcome: tx.ScannedOutcome, landed: str, winner: Attempt, done: Settlement
) -> None:
    """Only one transaction can use a nonce: the others are impossible from now on, and what only they would have
    paid goes back to the queue."""
    if outcome.nonce is None:
        return
    slot = state.nonces.get(chain, outcome.sender, outcome.nonce)
    rivals = () if slot is None else tuple(name for name in slot.attempts if name != landed)
    requeued: dict[str, None] = {purpose.id: None for purpose in winner.purposes}
    for name in rivals:
        rival = state.attempts.need(name)
        if rival.state not in OPEN_ATTEMPTS:
            continue
        done.events.append(ev.AttemptEnded(attempt=name, move="exclude", tx=""))
        done.ended.append(name)
        for purpose in rival.purposes:
            if purpose.kind != "withdrawal" or purpose.id in requeued:
                continue
            requeued[purpose.id] = None
            if state.withdrawals.need(purpose.id).state is WithdrawalState.IN_ATTEMPT:
                done.events.append(ev.WithdrawalMoved(withdrawal=purpose.id, move="requeue"))
