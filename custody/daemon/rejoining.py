"""After a restore: the journal goes back to the signer's history, and what was said meanwhile is said again.

A journal put back from a copy has forgotten what was paid since, and to whom addresses were given. The signer has not:
its own copy of the journal reaches at least to its last signature. So the way back is not to teach the old journal what
it lost, but to take the signer's blocks, each executed and compared again. Nothing that was signed, attested, credited
or held in them is lost, and nothing can be paid twice.

Blocks that this journal has and the signer has not (made while it was held `auto:divergence`) leave the history. Only
admins may say that, as many as the ledger asks for, naming both ends. What clients and operators had signed in those
blocks is then put to the joined ledger in its old order, where every id and sequence number is remembered; what came
of each is reported. The old files are set aside, never deleted, and everything is held until a person has read it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from custody.envelope import envelopes
from custody.envelope.canonical import canonical
from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import Envelope
from custody.envelope.keyfile import read_key_file
from custody.envelope.privatefile import sync_directory
from custody.execution import Draft, Replica
from custody.journal import block as blocks
from custody.journal import storage
from custody.journal.block import Block
from custody.journal.chain import Link
from custody.journal.journal import Journal, locked
from custody.journal.reader import JournalReader
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.rejections import Rejection
from custody.ledger.roles import Role
from custody.ledger.state import State
from custody.ledger.transition import Result
from custody.settings import DaemonModel
from custody.signing.client import SignerClient
from custody.signing.protocol import Standing

BATCH = 256
"""Blocks made durable in one commit."""

SAID_AGAIN = (Role.PAYOUTS, Role.ENGINE, Role.SECURITY, Role.OPERATOR, Role.ADMIN)
"""Whose words are put to the joined ledger again. The daemon's own follow anew from the chains and the signer."""


class RejoinError(Exception):
    """Why the journal was left as it is."""


class NeedsAdmins(RejoinError):
    """Blocks would leave the history, and not enough admins have said so. `statement` is what they must sign."""

    def __init__(self, message: str, statement: bytes) -> None:
        super().__init__(message)
        self.statement = statement


class Rejoined(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="type", tag="journal.rejoined"
):
    """What admins sign: this journal leaves the history that ends in block `from_hash` at `from_height`, and goes on
    from block `to_hash` at `to_height`, where the signer stands. No transaction: the journal that would carry it is
    the very thing in doubt."""

    ledger: str
    from_height: int
    from_hash: str
    to_height: int
    to_hash: str


class Again(msgspec.Struct, frozen=True, kw_only=True):
    """One envelope of a block that left, and what the joined ledger answered: `ok`, or why not."""

    key: str
    type: str
    code: str


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was done. `fork`: the last height both histories share; `tip`: where the journal ends now; `taken` blocks
    came from the signer, `left` blocks went; `aside`: the old journal."""

    fork: int
    tip: Link
    taken: int
    left: int
    again: tuple[Again, ...]
    aside: Path


class History(Protocol):
    """The signer, as far as it is needed here."""

    async def hello(self) -> Standing:
        """Where it stands."""
        ...

    async def blocks(self, first: int) -> tuple[bytes, ...]:
        """Its own copy of the journal from a height on, as much as fits into an answer."""
        ...


class Hands(msgspec.Struct, frozen=True, kw_only=True):
    """The daemon's keys that seal and speak, and the time, unix milliseconds."""

    sequencer: SigningKey
    relay: SigningKey
    now: int


async def rejoin(path: Path, signer: History, statements: Sequence[Envelope], hands: Hands) -> Report | None:
    """Bring the journal at `path` back to the signer's history; None when it is there already. Nothing may run.

    Raises `RejoinError`, `NeedsAdmins`, `JournalError`, `Divergence`, and what the signer's client raises; the journal
    is as it was then.
    """
    with locked(path):
        _finish(path)
        ours = JournalReader(path, storage.open_reader(path), None)
        try:
            standing = await signer.hello()
            fork = await _fork(ours, standing, signer)
            if fork == standing.height:
                return None
            staged = await _staged(ours, fork, standing, signer, statements, hands)
        finally:
            ours.close()
        aside = _swap(path, staged.left)
    return msgspec.structs.replace(staged.report, aside=aside)


async def rejoin_configured(
    daemon: DaemonModel, keys: Mapping[str, SigningKey], admins: Sequence[Path], statements: Sequence[Path]
) -> Report | None:
    """The same for the journal and the signer of a configuration. `admins`: key files of those who agree to whatever
    is asked; `statements`: files with envelopes. Raises `KeyFileError`, `EnvelopeError` and as `rejoin`."""
    said = [envelopes.decode(file.read_bytes().strip()) for file in statements]
    people = [read_key_file(file) for file in admins]
    hands = Hands(sequencer=keys["sequencer"], relay=keys["relay"], now=time.time_ns() // 1_000_000)
    client = SignerClient(daemon.signer_socket)
    try:
        try:
            return await rejoin(daemon.journal, client, said, hands)
        except NeedsAdmins as exc:
            if not people:
                raise
            said.extend(agreed(key, exc.statement) for key in people)
        return await rejoin(daemon.journal, client, said, hands)
    finally:
        await client.close()


def agreed(key: SigningKey, statement: bytes) -> Envelope:
    """An admin's voice for what `NeedsAdmins` asks."""
    return envelopes.sign(key, statement)


class _Staged(msgspec.Struct, frozen=True):
    report: Report
    left: Link


async def _fork(ours: JournalReader, standing: Standing, signer: History) -> int:
    """The last height at which both have the same block: histories that part never meet again, so it is bisected."""
    if standing.height < 0 or standing.anchoring:
        raise RejoinError("the signer has no history of its own now; start the daemon, it sends this journal's blocks")
    if ours.height() < 0 or ours.link(0).hash != standing.ledger:
        raise RejoinError(f"the signer serves another ledger ({standing.ledger})")
    below, above = 0, min(ours.height(), standing.height) + 1
    while above - below > 1:
        middle = (below + above) // 2
        found = await signer.blocks(middle)
        if found and blocks.block_hash(blocks.decode(found[0]).header) == ours.link(middle).hash:
            below = middle
        else:
            above = middle
    return below


async def _staged(
    ours: JournalReader,
    fork: int,
    standing: Standing,
    signer: History,
    statements: Sequence[Envelope],
    hands: Hands,
) -> _Staged:
    """Build the joined journal beside the old one."""
    left = ours.link(ours.height())
    staged = _staging(ours.path)
    _remove(staged)
    journal = Journal.open(staged, create=True)
    try:
        deque(journal.replay(), maxlen=0)
        replica = Replica(check_signatures=False)
        _append(journal, replica, (ours.block(height) for height in range(fork + 1)))
        replica.check_signatures = True
        while replica.height < standing.height:
            found = await signer.blocks(replica.height + 1)
            if not found:
                raise RejoinError(f"the signer stands at {standing.height} and has no block {replica.height + 1}")
            _append(journal, replica, (blocks.decode(blob) for blob in found))
        if replica.link is None or replica.link.hash != standing.hash:
            raise RejoinError("the signer's blocks do not lead to where it says that it stands")
        if left.height > fork:
            judge(replica.state, left, replica.link, statements)
        gone = [ours.block(height) for height in range(fork + 1, left.height + 1)]
        again = _say_again(journal, replica, gone, hands)
        report = Report(
            fork=fork,
            tip=replica.link,
            taken=standing.height - fork,
            left=len(gone),
            again=again,
            aside=ours.path,
        )
        _hold(journal, replica, report, left, hands)
        return _Staged(msgspec.structs.replace(report, tip=replica.link), left)
    finally:
        journal.close()


def judge(state: State, ours: Link, theirs: Link, statements: Sequence[Envelope]) -> None:
    """Whether enough admins of the history that stays say that the other one goes. Raises `NeedsAdmins`."""
    said = Rejoined(
        ledger=theirs.ledger,
        from_height=ours.height,
        from_hash=ours.hash,
        to_height=theirs.height,
        to_hash=theirs.hash,
    )
    due = canonical(said)
    agreeing: dict[str, None] = {}
    for statement in statements:
        row = state.keys.get(statement.key)
        if row is None or row.revoked or Role.ADMIN not in row.roles:
            raise NeedsAdmins(f"{statement.key} is no admin of this ledger", due)
        if statement.payload != due:
            raise NeedsAdmins(f"{statement.key} has signed something else", due)
        if not envelopes.is_signed(statement, bytes.fromhex(row.public)):
            raise NeedsAdmins(f"not signed by the key {statement.key}", due)
        agreeing[statement.key] = None
    if len(agreeing) < state.quorum:
        why = (
            f"{len(agreeing)} of {state.quorum} admins have said that the blocks up to {ours.height} leave the history"
        )
        raise NeedsAdmins(why, due)


def _append(journal: Journal, replica: Replica, found: Iterable[Block]) -> None:
    """Execute and keep, a batch at a time."""
    batch: list[Block] = []
    for block in found:
        replica.execute(block)
        batch.append(block)
        if len(batch) == BATCH:
            journal.append(batch)
            batch = []
    if batch:
        journal.append(batch)


def _say_again(journal: Journal, replica: Replica, gone: Iterable[Block], hands: Hands) -> tuple[Again, ...]:
    """Put what people and clients signed in the blocks that left to the joined ledger, in its order."""
    again: list[Again] = []
    for block in gone:
        draft = replica.begin(now=hands.now)
        for envelope in block.transactions:
            again.extend(_once_more(draft, replica, envelope, hands))
        _seal(journal, replica, draft, hands)
    return tuple(again)


def _once_more(draft: Draft, replica: Replica, envelope: Envelope, hands: Hands) -> Iterator[Again]:
    said = encoding.decode(envelope.payload)
    assert not isinstance(said, Rejection), "it was journaled"
    row = replica.state.keys.get(envelope.key)
    if isinstance(said, tx.HoldSet) and said.origin == "operator" and envelope.key == hands.relay.id:
        # An operator's pause by way of the daemon's own voice: said anew, since its number may be taken by now.
        envelope = _relayed(replica, hands, said)
    elif row is None or not any(role in SAID_AGAIN for role in row.roles):
        return
    taken = draft.take(envelope)
    yield Again(key=envelope.key, type=str(type(said).__struct_config__.tag), code=taken.code)


def _hold(journal: Journal, replica: Replica, report: Report, left: Link, hands: Hands) -> None:
    """Everything stands still until an operator has looked at the report and lifts this with a key of their own."""
    refused = sum(1 for item in report.again if item.code not in ("ok", "endorsed"))
    reason = (
        f"the journal was put back: it ended at block {left.height} and parted from the signer's history at "
        f"{report.fork}; {report.taken} blocks were taken from the signer, {report.left} left, "
        f"{len(report.again)} words in them were said again, {refused} of them refused"
    )
    said = tx.HoldSet(
        ledger=replica.state.ledger,
        seq=0,
        hold=f"auto:divergence:{report.tip.height}",
        chain="",
        asset="",
        account="",
        wallet="",
        provider="",
        direction="all",
        origin="auto",
        cause="divergence",
        reason=reason,
        actor="auto",
        until=0,
    )
    draft = replica.begin(now=hands.now)
    taken = draft.take(_relayed(replica, hands, said))
    if not isinstance(taken, Result) or taken.code != "ok":
        raise RejoinError(f"the joined ledger does not take the hold: {taken.code}")
    _seal(journal, replica, draft, hands)


def _relayed(replica: Replica, hands: Hands, said: tx.HoldSet) -> Envelope:
    window = replica.state.windows.get(hands.relay.id)
    seq = 0 if window is None else window.high + 1
    return envelopes.sign(hands.relay, encoding.encode(msgspec.structs.replace(said, seq=seq)))


def _seal(journal: Journal, replica: Replica, draft: Draft, hands: Hands) -> None:
    if not draft.entries:
        return
    if not replica.may_seal(hands.sequencer):
        raise RejoinError(f"the key {hands.sequencer.id} seals no blocks of the joined ledger")
    journal.append((replica.seal(draft, hands.sequencer).block,))


# The files. The old journal goes aside only when the new one is whole, closed and synced; a crash in between is
# finished by the next call.

_PARTS = ("-wal", "-shm", ".tip", "")
"""What stands beside a journal's main file, and the file itself, last: as long as it is there, it is the journal."""


def _staging(path: Path) -> Path:
    return path.with_name(path.name + ".rejoined")


def _swap(path: Path, left: Link) -> Path:
    aside = path.with_name(f"{path.name}.left-{left.height}-{left.hash[:8]}")
    for part in _PARTS:
        old = path.with_name(path.name + part)
        if old.exists():
            old.rename(aside.with_name(aside.name + part))
    sync_directory(path.parent)
    _finish(path)
    return aside


def _finish(path: Path) -> None:
    """Move the joined journal into its place, if the old one has left it."""
    staged = _staging(path)
    if path.exists() or not staged.exists():
        return
    for part in _PARTS:
        new = staged.with_name(staged.name + part)
        if new.exists():
            new.rename(path.with_name(path.name + part))
    sync_directory(path.parent)
    staged.with_name(staged.name + ".lock").unlink(missing_ok=True)


def _remove(staged: Path) -> None:
    """What an earlier try left."""
    for part in _PARTS:
        staged.with_name(staged.name + part).unlink(missing_ok=True)
