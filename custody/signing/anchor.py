"""Leaving one history for another: the only way past the signer's tip, and only as enough admins say.

The journal lives in a folder of its own, so that setting it aside is one rename. What is to be reached is written down
first; until the new history has got there, nothing is signed. The log of what was signed stays: it is what keeps the
new history from paying again.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from custody.anchoring import Reanchored, read_reanchored
from custody.envelope import envelopes
from custody.envelope.canonical import canonical
from custody.envelope.envelopes import Envelope
from custody.envelope.privatefile import sync_directory
from custody.journal.chain import Link
from custody.ledger.roles import Role
from custody.ledger.state import State
from custody.signing.refusals import Refusal, RefusalCode


def judge(state: State, tip: Link | None, signer: str, statements: Sequence[Envelope]) -> Reanchored | Refusal:
    """What the admins of our own replica agree on about our own tip. Refusal: `not_authorised`."""
    said = read_reanchored(statements[0].payload) if statements else None
    if said is None or any(statement.payload != statements[0].payload for statement in statements):
        return Refusal(RefusalCode.NOT_AUTHORISED, "the statements do not all say the same")
    here = None if tip is None else (tip.ledger, signer, tip.height, tip.hash)
    if here != (said.ledger, said.signer, said.from_height, said.from_hash) or said.to_height < 0:
        return Refusal(RefusalCode.NOT_AUTHORISED, "the statements speak of another signer, ledger or tip")
    agreeing: dict[str, None] = {}
    for statement in statements:
        row = state.keys.get(statement.key)
        if row is None or row.revoked or Role.ADMIN not in row.roles:
            return Refusal(RefusalCode.NOT_AUTHORISED, f"{statement.key} is no admin of the signer's ledger")
        if not envelopes.is_signed(statement, bytes.fromhex(row.public)):
            return Refusal(RefusalCode.NOT_AUTHORISED, f"not signed by the key {statement.key}")
        agreeing[statement.key] = None
    if len(agreeing) < state.quorum:
        return Refusal(RefusalCode.NOT_AUTHORISED, f"{len(agreeing)} of {state.quorum} admins have said so")
    return said


class _Pending(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`aside` is the name under which the old journal is kept."""

    said: Reanchored
    aside: str


_decoder = msgspec.json.Decoder(_Pending)


class Anchor:
    """The statement that is being carried out, durably, if there is one."""

    __slots__ = ("_folder", "_path", "_pending")

    def __init__(self, path: Path, folder: Path) -> None:
        """`folder` is the journal's. Carries on where a crash cut the change short. Raises `OSError`, `ValueError`."""
        self._path, self._folder = path, folder
        self._pending = self._read()
        if self._pending is not None:
            self._set_aside(self._pending)

    @property
    def pending(self) -> Reanchored | None:
        """What is to be reached, while it is not."""
        return None if self._pending is None else self._pending.said

    def begin(self, said: Reanchored) -> None:
        """Write down what is to be reached, then move the old journal out of the way; it must be closed, and is kept.
        Raises `OSError`; opening anew carries on from there."""
        taken = {item.name for item in self._folder.parent.iterdir()}
        number = next(n for n in range(1, len(taken) + 2) if f"{self._folder.name}.{n}" not in taken)
        pending = _Pending(said=said, aside=f"{self._folder.name}.{number}")
        draft = self._path.with_name(f".{self._path.name}.draft")
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb") as file:
            file.write(canonical(pending))
            file.flush()
            os.fsync(descriptor)
        draft.replace(self._path)
        sync_directory(self._path.parent)
        self._pending = pending
        self._set_aside(pending)

    def reached(self) -> None:
        """The new history is there: the statement is done. Raises `OSError`."""
        with suppress(FileNotFoundError):
            self._path.unlink()
        sync_directory(self._path.parent)
        self._pending = None

    def _set_aside(self, pending: _Pending) -> None:
        aside = self._folder.with_name(pending.aside)
        if not aside.exists():
            self._folder.rename(aside)
        self._folder.mkdir(mode=0o700, exist_ok=True)
        sync_directory(self._folder.parent)

    def _read(self) -> _Pending | None:
        try:
            return _decoder.decode(self._path.read_bytes())
        except FileNotFoundError:
            return None
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise ValueError(f"{self._path} says which history to believe, and can't be read") from exc
