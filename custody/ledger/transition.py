"""decide → evolve, one signed transaction at a time, and the genesis that everything starts from.

Admission comes first: form, ledger, key, signature, sequence number. What is refused there leaves no trace. What is
admitted is journaled with the code it was answered with, also when that code is a rejection: a request whose first
answer was no can never turn into a yes because a network delivered it twice.
"""

from __future__ import annotations

import hashlib

import msgspec

from custody.ledger import administration, encoding, forms
from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.context import Context
from custody.ledger.decide import decide
from custody.ledger.evolve import evolve
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.state import WINDOW, Key, Said, State, Window

OK = "ok"
ENDORSED = "endorsed"
"""An admin's voice was counted; the act waits for another."""


class Admitted(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction that will be journaled whatever `decide` says."""

    key: str
    digest: str
    said: tx.Transaction


class Repeat(msgspec.Struct, frozen=True, kw_only=True):
    """The same payload under the same sequence number: `code` is what it was answered with the first time."""

    code: str


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """`code`: `ok`, `endorsed` or a rejection's. `events` is empty for a rejection."""

    code: str
    events: tuple[ev.Event, ...]


def read(state: State, key: str, payload: bytes) -> tuple[tx.Transaction, Key] | Rejection:
    """Everything admission asks that needs no signature yet: form, ledger, key."""
    said = encoding.decode(payload)
    if isinstance(said, Rejection):
        return said
    wrong = forms.fault(said)
    if wrong is not None:
        return wrong
    if said.ledger != state.ledger or isinstance(said, tx.Genesis):
        return Rejection.OTHER_LEDGER
    row = state.keys.get(key)
    if row is None:
        return Rejection.UNKNOWN_KEY
    return Rejection.KEY_REVOKED if row.revoked else (said, row)


def admit(state: State, key: str, said: tx.Transaction, payload: bytes) -> Admitted | Repeat | Rejection:
    """The sequence window, for a payload whose signature is known to be right. Errors in order: sequence_too_old,
    sequence_conflict, sequence_too_far."""
    digest = encoding.digest(payload)
    window = state.windows.get(key)
    high = -1 if window is None else window.high
    if said.seq <= high - WINDOW:
        return Rejection.SEQUENCE_TOO_OLD
    before = state.said.get(key, said.seq)
    if before is not None:
        return Repeat(code=before.code) if before.digest == digest else Rejection.SEQUENCE_CONFLICT
    if said.seq > high + WINDOW:
        return Rejection.SEQUENCE_TOO_FAR
    return Admitted(key=key, digest=digest, said=said)


def apply(state: State, admitted: Admitted, *, now: int, height: int) -> Result:
    """Decide and evolve. `now` and `height` are the block's."""
    roles = state.keys.need(admitted.key).roles
    context = Context(now=now, height=height, key=admitted.key, roles=roles)
    outcome = decide(state, admitted.said, context)
    if isinstance(outcome, Rejection):
        result = Result(code=outcome.code, events=())
    else:
        waiting = admitted.said.QUORUM and not any(isinstance(e, ev.Endorsed) and e.complete for e in outcome)
        result = Result(code=ENDORSED if waiting and outcome else OK, events=outcome)
    for event in result.events:
        evolve(state, event)
    _remember(state, admitted, result.code)
    return result


def _remember(state: State, admitted: Admitted, code: str) -> None:
    key, seq = admitted.key, admitted.said.seq
    state.said.put((key, seq), Said(digest=admitted.digest, code=code))
    window = state.windows.get(key) or Window(high=-1, used=0, hash="")
    for old in range(max(0, window.high - WINDOW + 1), max(0, seq - WINDOW + 1)):
        if state.said.get(key, old) is not None:
            state.said.drop((key, old))
    text = f"{window.hash}\0{seq}\0{admitted.digest}\0{code}"
    fresh = Window(high=max(window.high, seq), used=window.used + 1, hash=hashlib.sha256(text.encode()).hexdigest())
    state.windows.put((key,), fresh)


def found(payload: bytes) -> tuple[State, tuple[ev.Event, ...]] | Rejection:
    """The state after block 0; its builder sets `ledger` to block 0's hash. Errors: those of forms, `key_exists` for a
    repeated id or public key, `key_weak`, `last_admin` when the quorum can't be met or nobody may seal, and those of
    the chains, assets and parameters it lists."""
    said = encoding.decode(payload)
    if isinstance(said, Rejection):
        return said
    if not isinstance(said, tx.Genesis):
        return Rejection.PAYLOAD_MALFORMED
    wrong = forms.fault(said)
    if wrong is not None:
        return wrong
    state = State()
    events: list[ev.Event] = [
        ev.Founded(name=said.name, quorum=said.quorum),
    ]
    once: dict[str, None] = {}
    publics: dict[str, None] = {}
    for key in said.keys:
        if key.id in once or key.public in publics:
            return Rejection.KEY_EXISTS
        if administration.is_weak(key.public):
            return Rejection.KEY_WEAK
        once[key.id] = None
        publics[key.public] = None
        events.append(ev.KeyPut(key=key.id, public=key.public, roles=key.roles, revoked=False))
    sealers = sum(1 for key in said.keys if Role.SEQUENCER in key.roles)
    if sum(1 for key in said.keys if Role.ADMIN in key.roles) < said.quorum or sealers == 0:
        return Rejection.LAST_ADMIN
    for event in events:
        evolve(state, event)
    rows = [
        *((administration.decide_chain, row) for row in said.chains),
        *((administration.decide_asset, row) for row in said.assets),
        *((administration.decide_parameter, row) for row in said.parameters),
    ]
    for decide_row, row in rows:
        outcome = decide_row(state, row)  # type: ignore[operator]  # each function stands beside rows of its own type
        if isinstance(outcome, Rejection):
            return outcome
        for event in outcome:
            evolve(state, event)
        events.extend(outcome)
    return state, tuple(events)
