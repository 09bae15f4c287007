"""`custodyd init`: the daemon's keys, the first people's keys, and block 0.

Where each chain's cursor starts is asked of its providers now and stands in the genesis for ever. Everything is checked
before anything is written, and nothing that exists is overwritten.
"""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from chains.observations import Block
from chains.pool.limiter import Accounts
from chains.ports import Adapter, Token
from custody.configuration import ConfigurationError
from custody.daemon.compose import ChainParts, open_chain, provider_faults
from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.envelope.keyfile import KeyFileError, create_key_file, read_key_file
from custody.execution import Replica
from custody.journal.journal import Journal
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.settings import ChainModel, Everything, parameters

DAEMON_KEYS = {
    "watcher": (Role.WATCHER,),
    "composer": (Role.COMPOSER,),
    "relay": (Role.RELAY,),
    "sequencer": (Role.SEQUENCER,),
}
"""The daemon's own keys, each with its one role."""

PEOPLE_KEYS = {"operator": (Role.OPERATOR,), "payouts": (Role.PAYOUTS,), "engine": (Role.ENGINE,)}
"""Made for the first operator and for the exchange's backend, in the folder the operator names."""


class _Identity(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    public: str


class Founded(msgspec.Struct, frozen=True, kw_only=True):
    """What `init` made. `ledger`: the genesis hash, which clients and signer pin. `starts`: (chain, position)."""

    ledger: str
    journal: Path
    people: Path
    starts: tuple[tuple[str, int], ...]


class FoundingError(Exception):
    """Why there is no ledger: nothing was written but key files that are good for the next try."""


async def found(everything: Everything, people: Path) -> Founded:
    """Make keys where there are none, ask the chains where they stand, write block 0.

    Raises `ConfigurationError`, `FoundingError`, `KeyFileError`, `JournalError`, `ChainError`.
    """
    daemon = everything.daemon
    if daemon.journal.exists():
        raise FoundingError(f"there is a journal at {daemon.journal} already; a ledger is founded once")
    faults = provider_faults(everything)
    if faults:
        raise ConfigurationError(faults)
    signer = _signer_identity(daemon.signer_identity)
    rows, starts = await _chains(everything)
    daemon.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    own = {name: _key(daemon.keys, name) for name in DAEMON_KEYS}
    persons = {name: _key(people, name) for name in PEOPLE_KEYS}
    admins = [_key(people, f"admin-{number + 1}") for number in range(daemon.admins)]
    keys = (
        *(_row(own[name], roles) for name, roles in DAEMON_KEYS.items()),
        *(_row(persons[name], roles) for name, roles in PEOPLE_KEYS.items()),
        *(_row(key, (Role.ADMIN,)) for key in admins),
        tx.KeyRow(id=signer.key, public=signer.public, roles=(Role.SIGNER,)),
    )
    genesis = tx.Genesis(
        ledger="",
        seq=0,
        name=daemon.name,
        quorum=daemon.admins,
        keys=keys,
        chains=rows,
        assets=_assets(everything),
        parameters=tuple(
            tx.ParameterRow(name=item.name, scope=item.scope, value=item.value) for item in parameters(everything)
        ),
    )
    replica = Replica()
    envelope = envelopes.sign(admins[0], encoding.encode(genesis))
    executed = replica.found(envelope, own["sequencer"], now=time.time_ns() // 1_000_000)
    if isinstance(executed, Rejection):
        raise FoundingError(f"the configuration makes no ledger: {executed.code}: {executed.advice}")
    journal = Journal.open(daemon.journal, create=True, max_bytes=daemon.max_journal_bytes)
    try:
        journal.append((executed.block,))
    finally:
        journal.close()
    daemon.pin.write_text(executed.link.hash + "\n")
    return Founded(ledger=executed.link.hash, journal=daemon.journal, people=people, starts=starts)


def _signer_identity(path: Path) -> _Identity:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Identity)
    except OSError as exc:
        raise FoundingError(f"{path}: {exc.strerror}; run `custody-signer init` first, it writes this file") from exc
    except msgspec.DecodeError as exc:
        raise FoundingError(f"{path} is not a signer's identity file: {exc}") from exc


def _key(folder: Path, name: str) -> SigningKey:
    """The key in `<folder>/<name>.json`, made now if it is not there."""
    path = folder / f"{name}.json"
    if path.exists():
        return read_key_file(path)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = SigningKey.generate(name)
    create_key_file(path, key)
    return key


def _row(key: SigningKey, roles: tuple[Role, ...]) -> tx.KeyRow:
    return tx.KeyRow(id=key.id, public=key.public.hex(), roles=roles)


async def _chains(everything: Everything) -> tuple[tuple[tx.ChainRow, ...], tuple[tuple[str, int], ...]]:
    accounts = Accounts()
    rows: list[tx.ChainRow] = []
    for model in everything.chains:
        parts = open_chain(model, everything.folder, accounts)
        try:
            rows.append(await _chain(model, parts, _tokens(everything, model)))
        finally:
            await parts.pool.close()
    return tuple(rows), tuple((row.chain, row.position) for row in rows)


def _tokens(everything: Everything, model: ChainModel) -> list[Token]:
    """The chain's representations: their spelling decides what a scan finds, their decimals what an amount is worth,
    and neither can be changed once the ledger has them."""
    rows = (item for asset in everything.assets.assets for item in asset.representations)
    return [
        Token(address=item.token, decimals=item.decimals, program=item.program)
        for item in rows
        if item.chain == model.chain
    ]


async def _chain(model: ChainModel, parts: ChainParts, tokens: list[Token]) -> tx.ChainRow:
    await parts.adapter.identify()
    for token in tokens:
        await parts.adapter.verify_token(token)
    start = await _start(parts.adapter)
    return tx.ChainRow(
        chain=model.chain,
        family=model.family,
        identity=model.identity,
        decoder=parts.adapter.decoder,
        position=start.position,
        height=start.height,
        hash=start.hash,
    )


async def _start(adapter: Adapter) -> Block:
    """The newest finalized block: what came before is not ours, since no address of ours existed."""
    return (await adapter.head()).finalized


def _assets(everything: Everything) -> tuple[tx.AssetRow, ...]:
    return tuple(
        tx.AssetRow(
            asset=asset.asset,
            decimals=asset.decimals,
            representations=tuple(
                tx.Representation(
                    chain=item.chain,
                    token=item.token,
                    decimals=item.decimals,
                    program=item.program,
                    minimum=item.minimum,
                )
                for item in asset.representations
            ),
        )
        for asset in everything.assets.assets
    )


def daemon_keys(everything: Everything) -> dict[str, SigningKey]:
    """The daemon's own keys. Raises `ConfigurationError` naming each file that can't be read."""
    problems: list[str] = []
    keys: dict[str, SigningKey] = {}
    for name in DAEMON_KEYS:
        try:
            keys[name] = read_key_file(everything.daemon.keys / f"{name}.json")
        except KeyFileError as exc:
            problems.append(str(exc))
    if problems:
        raise ConfigurationError(tuple(problems))
    return keys
