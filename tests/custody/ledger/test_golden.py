"""Journals written once stay readable for ever; see `goldenjournal` for what to do when this fails."""

from __future__ import annotations

from custody.execution import Replica
from custody.journal import block as blocks
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.ledger.invariants import violations
from tests.custody.ledger.goldenjournal import GOLDEN, journal, lines

WRITTEN = GOLDEN.read_text().splitlines()


def test_what_was_written_then_is_read_and_re_executed_to_the_same_roots() -> None:
    replica = Replica()
    for line in WRITTEN:
        hash_, root, blob = line.split(" ")
        executed = replica.execute(blocks.decode(bytes.fromhex(blob)))
        assert (executed.link.hash, replica.state.root.hex()) == (hash_, root), f"block {executed.link.height}"
    assert violations(replica.state) == ()


def test_today_the_same_history_is_written_with_the_same_bytes() -> None:
    """Byte for byte, payloads, results, roots, hashes and seals: nothing drifts unseen."""
    assert lines(journal()) == WRITTEN


def test_every_kind_of_transaction_is_in_it() -> None:
    read = [blocks.decode(bytes.fromhex(line.split(" ")[2])) for line in WRITTEN]
    said = [encoding.decode(envelope.payload) for block in read for envelope in block.transactions]
    assert {type(item) for item in said} == set(tx.TYPES)
    codes = {code for block in read for code in block.results}
    assert {"ok", "endorsed", "insufficient_balance"} <= codes
