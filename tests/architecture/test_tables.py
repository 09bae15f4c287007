"""The README's tables are the code's, and its example is one that a ledger would understand."""

from __future__ import annotations

import re

import msgspec
import pytest

from custody.api.errors import TABLE
from custody.envelope import envelopes
from custody.envelope.ed25519 import SigningKey
from custody.ledger import encoding
from custody.ledger import transactions as tx
from tools import tables
from tools.tables import README, Stale, drawn, main


def test_the_readme_is_up_to_date() -> None:
    assert main(["--check"]) == 0, "python -m tools.tables"


def test_a_stale_table_is_drawn_anew() -> None:
    text = README.read_text()
    for row in ("`hold.set`", "`in_attempt`", "`insufficient_balance`", "`fee_cap`", "| 78 |"):
        stale = "\n".join(line for line in text.splitlines() if not line.startswith(f"| {row.removeprefix('| ')}"))
        assert stale + "\n" != text, row
        assert drawn(stale + "\n") == text


@pytest.mark.parametrize("change", [("<!-- table: errors -->", ""), ("table: errors", "table: terrors")])
def test_a_table_without_a_place_is_noticed(change: tuple[str, str]) -> None:
    with pytest.raises(Stale):
        drawn(README.read_text().replace(*change))


def test_everything_is_in_its_table() -> None:
    transactions = tables.transactions()
    for kind in tx.TYPES:
        assert f"| `{kind.__struct_config__.tag}` |" in transactions
    for part in (tx.ScannedPaid, tx.Representation, tx.Purpose):
        assert f"\n| {part.__name__} | `{part.__struct_fields__[0]}`" in transactions
    assert all(f"| `{code}` | {row.status} " in tables.errors() for code, row in TABLE.items())


def test_the_example_is_a_transaction() -> None:
    (text,) = re.findall(r"^```json\n(.*?)\n```$", README.read_text(), re.MULTILINE | re.DOTALL)
    envelope = envelopes.decode(text.encode())
    key = SigningKey("payouts", bytes(range(32)))
    said = encoding.decode(envelope.payload)
    assert isinstance(said, tx.WithdrawalRequested)
    assert envelopes.is_signed(envelope, key.public)
    assert msgspec.json.decode(text) == msgspec.json.decode(envelopes.encode(envelopes.sign(key, envelope.payload)))
