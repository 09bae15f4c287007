"""Keys, chains, assets and parameters: what may only change when enough admin keys say exactly the same.

There is no separate proposal type. The first admin's transaction is the proposal, the last one needed is the act, and
an endorsement is saying the same thing with one's own key, so nobody can approve something other than what they read.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import msgspec

from custody.envelope.ed25519 import check_public_key
from custody.envelope.errors import EnvelopeError
from custody.ledger import events as ev
from custody.ledger import transactions as tx
from custody.ledger.context import Context
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.state import Asset, State
from custody.policy.parameters import BY_NAME, Parameter, Scope


def proposal_digest(said: tx.Transaction) -> str:
    """What two admins must agree on: everything in the payload but its sequence number."""
    return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(said, seq=0), order="sorted")).hexdigest()


def endorse(state: State, said: tx.Transaction, context: Context) -> tuple[ev.Endorsed, ...] | Rejection:
    """This admin's voice; its event's `complete` says whether the act follows. A voice counts while its key is an
    admin's and is still the one that spoke: rotating or revoking a key takes back what a thief said with it."""
    name = proposal_digest(said)
    row = state.endorsed.get(name)
    standing = [
        key
        for key, public in (() if row is None else row.voices)
        if _has(state, key, Role.ADMIN) and state.keys.need(key).public == public
    ]
    if context.key in standing:
        return Rejection.ADMIN_ENDORSED_ALREADY
    public = state.keys.need(context.key).public
    complete = len(standing) + 1 >= state.quorum
    return (ev.Endorsed(digest=name, key=context.key, public=public, complete=complete),)


def _has(state: State, key: str, role: Role) -> bool:
    row = state.keys.get(key)
    return row is not None and not row.revoked and role in row.roles


def _left_with(state: State, role: Role, without: str) -> int:
    return sum(1 for name, _ in state.keys.rows() if name[0] != without and _has(state, str(name[0]), role))


@lru_cache(maxsize=256)
def is_weak(public: str) -> bool:
    """Whether a key must not be registered; see `custody.envelope.ed25519`. Remembered, since every endorser of a key
    asks again and one answer takes milliseconds."""
    try:
        check_public_key(bytes.fromhex(public))
    except EnvelopeError:
        return True
    return False


def decide_registered(state: State, said: tx.KeyRegistered, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """A new id, a sound public key that no other id ever had: an envelope's signature does not cover the id, so under
    a second one everything the key ever said could be said again, and one admin could pass for two. Errors in order:
    key_exists, key_weak."""
    if state.keys.get(said.id) is not None or state.publics.get(said.public) is not None:
        return Rejection.KEY_EXISTS
    if is_weak(said.public):
        return Rejection.KEY_WEAK
    return (ev.KeyPut(key=said.id, public=said.public, roles=said.roles, revoked=False),)


def decide_rotated(state: State, said: tx.KeyRotated, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """The same id and roles, another public key. Errors in order: unknown_key, key_revoked, key_exists when the
    public key is or was another id's, key_weak."""
    row = state.keys.get(said.id)
    if row is None:
        return Rejection.UNKNOWN_KEY
    if row.revoked:
        return Rejection.KEY_REVOKED
    if state.publics.get(said.public) not in (None, said.id):
        return Rejection.KEY_EXISTS
    if is_weak(said.public):
        return Rejection.KEY_WEAK
    return (ev.KeyPut(key=said.id, public=said.public, roles=row.roles, revoked=False),)


def decide_revoked(state: State, said: tx.KeyRevoked, context: Context) -> tuple[ev.Event, ...] | Rejection:
    """For good. The ledger keeps enough admins to act and a key that seals. Errors in order: unknown_key,
    last_admin."""
    row = state.keys.get(said.id)
    if row is None:
        return Rejection.UNKNOWN_KEY
    if row.revoked:
        return ()
    if Role.ADMIN in row.roles and _left_with(state, Role.ADMIN, said.id) < state.quorum:
        return Rejection.LAST_ADMIN
    if Role.SEQUENCER in row.roles and _left_with(state, Role.SEQUENCER, said.id) == 0:
        return Rejection.LAST_ADMIN
    return (ev.KeyPut(key=said.id, public=row.public, roles=row.roles, revoked=True),)


def decide_chain(state: State, said: tx.ChainSet | tx.ChainRow) -> tuple[ev.Event, ...] | Rejection:
    """A new chain with the block its cursor starts from, or a newer decoder for a known one. No chain has two names:
    with the same addresses watched under both, every deposit would be credited twice."""
    row = state.chains.get(said.chain)
    for name, other in state.chains.rows():
        if name[0] != said.chain and (other.family, other.identity) == (said.family, said.identity):
            return Rejection.CHAIN_IS_FIXED
    if row is not None and ((row.family, row.identity) != (said.family, said.identity) or said.decoder < row.decoder):
        return Rejection.CHAIN_IS_FIXED
    return (
        ev.ChainPut(
            chain=said.chain,
            family=said.family,
            identity=said.identity,
            decoder=said.decoder,
            position=said.position,
            height=said.height,
            hash=said.hash,
        ),
    )


def decide_asset(state: State, said: tx.AssetSet | tx.AssetRow) -> tuple[ev.Event, ...] | Rejection:
    """The unit is the finest representation's and never changes; representations are only ever added."""
    present = state.assets.get(said.asset)
    once: dict[str, None] = {}
    for item in said.representations:
        if state.chains.get(item.chain) is None:
            return Rejection.UNKNOWN_CHAIN
        if item.chain in once or item.decimals > said.decimals:
            return Rejection.ASSET_IS_FIXED
        once[item.chain] = None
        holder = state.tokens.get(item.chain, item.token)
        if holder not in (None, said.asset):
            return Rejection.TOKEN_TAKEN
    if present is not None and not _extends(present, said):
        return Rejection.ASSET_IS_FIXED
    return (ev.AssetPut(asset=said.asset, decimals=said.decimals, representations=said.representations),)


def _extends(present: Asset, said: tx.AssetSet | tx.AssetRow) -> bool:
    if present.decimals != said.decimals:
        return False
    offered = {item.chain: (item.token, item.decimals, item.program) for item in said.representations}
    return all(offered.get(item.chain) == (item.token, item.decimals, item.program) for item in present.representations)


def decide_parameter(state: State, said: tx.ParameterSet | tx.ParameterRow) -> tuple[ev.Event, ...] | Rejection:
    """A known parameter for a known asset or chain."""
    parameter = BY_NAME.get(said.name)
    if parameter is None or not _scope_exists(state, parameter, said.scope):
        return Rejection.UNKNOWN_PARAMETER
    return (ev.ParameterPut(name=said.name, scope=said.scope, value=int(said.value)),)


def _scope_exists(state: State, parameter: Parameter, scope: str) -> bool:
    if parameter.scope is Scope.ASSET:
        return state.assets.get(scope) is not None
    return state.chains.get(scope) is not None
