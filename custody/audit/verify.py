"""Is this journal whole, was it sealed by whom it names, and does it lead to the books it claims?

Everything is done again from block 0: hash chain, seals, every signature, every decision, every state root, and at the
end the invariants over the whole state. What can't be proven is said and not passed over: without a tip file nobody can
tell whether blocks are missing behind the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import msgspec

from custody.envelope.envelopes import encode_signature
from custody.execution import Divergence, Replica
from custody.journal.block import Block
from custody.journal.chain import Link
from custody.journal.errors import JournalError
from custody.journal.reader import JournalReader
from custody.ledger import encoding
from custody.ledger.invariants import violations
from custody.ledger.rejections import Rejection
from custody.ledger.state import State


class AuditError(Exception):
    """The journal does not prove what it should. `code` is a journal's code, `divergence`, `invariant_broken` or
    `journal_empty`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """What was proven. `transactions`: (type, how many were accepted, how many refused). `tip_known`: there was a tip
    file, so nothing is missing behind the last block."""

    ledger: str
    height: int
    hash: str
    root: str
    time: int
    tip_known: bool
    blocks: int
    transactions: tuple[tuple[str, int, int], ...]
    accounts: int
    deposits: int
    withdrawals: int
    attempts: int


def verify(
    path: Path,
    progress: Callable[[int, int], None] | None = None,
    judge: Callable[[State], tuple[str, ...]] = violations,
) -> Verified:
    """Re-execute a journal, live or copied. `progress` hears (block, last block) now and then; `judge` names
    what is wrong with the books at the end.

    Raises `AuditError`. Memory is that of the ledger's state, whatever the journal's length.
    """
    replica = Replica()
    counts: dict[str, list[int]] = {}
    try:
        with closing(JournalReader.open(path)) as reader:
            last = reader.height()
            tip_known = reader.remembered is not None
            for block, link in reader.verify(last):
                executed = replica.execute(block)
                for envelope, result in zip(block.transactions, executed.results, strict=True):
                    row = counts.setdefault(type_of(envelope.payload), [0, 0])
                    row[0 if result.code in ("ok", "endorsed") else 1] += 1
                if progress is not None and (link.height % 256 == 0 or link.height == last):
                    progress(link.height, last)
    except JournalError as exc:
        raise AuditError(exc.code, exc.message) from exc
    except Divergence as exc:
        raise AuditError("divergence", f"block {exc.height}: {exc.message}") from exc
    if replica.link is None:
        raise AuditError("journal_empty", f"{path} has no block")
    broken = judge(replica.state)
    if broken:
        raise AuditError("invariant_broken", "; ".join(broken[:5]))
    return _verified(replica, replica.link, counts, tip_known=tip_known)


def _verified(replica: Replica, link: Link, counts: dict[str, list[int]], *, tip_known: bool) -> Verified:
    state = replica.state
    return Verified(
        ledger=link.ledger,
        height=link.height,
        hash=link.hash,
        root=state.root.hex(),
        time=link.time,
        tip_known=tip_known,
        blocks=link.height + 1,
        transactions=tuple((name, yes, no) for name, (yes, no) in sorted(counts.items())),
        accounts=len(state.accounts),
        deposits=len(state.deposits),
        withdrawals=len(state.withdrawals),
        attempts=len(state.attempts),
    )


def export(path: Path) -> Iterator[bytes]:
    """One JSON object a block, chain and digests checked, nothing executed. Payloads are text, exactly as signed.

    Raises `AuditError`.
    """
    try:
        with closing(JournalReader.open(path)) as reader:
            for block, link in reader.verify(reader.height()):
                yield _line(block, link)
    except JournalError as exc:
        raise AuditError(exc.code, exc.message) from exc


def _line(block: Block, link: Link) -> bytes:
    row = {
        "schema": 1,
        "hash": link.hash,
        "header": block.header,
        "seals": [{"key": seal.key, "signature": encode_signature(seal.signature)} for seal in block.seals],
        "transactions": [
            {
                "key": envelope.key,
                "payload": envelope.payload.decode(),
                "signature": encode_signature(envelope.signature),
                "result": code,
            }
            for envelope, code in zip(block.transactions, block.results, strict=True)
        ],
    }
    return msgspec.json.encode(row)


def type_of(payload: bytes) -> str:
    """What a payload says, by its type."""
    said = encoding.decode(payload)
    assert not isinstance(said, Rejection), "it was admitted once"
    return str(said.__struct_config__.tag)
