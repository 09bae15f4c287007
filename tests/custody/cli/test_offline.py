"""`ledger verify` proves a journal from its file alone and names every damage; `ledger export` gives it to anybody."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from custody.audit.verify import AuditError, export, verify
from custody.custodyctl import main
from custody.envelope.ed25519 import verify as verify_signature
from custody.execution import Executed, Replica
from custody.journal import block as blocks
from custody.journal.journal import Journal
from custody.journal.reader import JournalReader
from tests.custody.api.rig import KEYS, a_world


def ctl(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.fixture
async def journal(tmp_path: Path) -> Path:
    """A closed journal of a furnished world."""
    async with a_world(tmp_path) as world:
        world.path.with_suffix(".root").write_text(world.replica.state.root.hex())
    return tmp_path / "journal.db"


def test_a_sound_journal_is_proven_to_the_root(journal: Path) -> None:
    found = verify(journal)
    assert found.root == journal.with_suffix(".root").read_text()
    assert (found.blocks, found.tip_known, found.accounts, found.deposits) == (found.height + 1, True, 2, 1)
    counts = {name: (yes, no) for name, yes, no in found.transactions}
    assert counts["genesis"] == (1, 0)
    assert counts["chain.scanned"] == (1, 0)
    said = ctl("-o", "json", "ledger", "verify", str(journal))
    assert said.exit_code == 0, said
    answer = json.loads(said.stdout)
    assert (answer["schema"], answer["root"], answer["height"]) == (1, found.root, found.height)
    assert found.root in ctl("ledger", "verify", str(journal)).stdout


async def test_a_journal_can_be_verified_while_its_daemon_writes(tmp_path: Path) -> None:
    async with a_world(tmp_path) as world:
        assert verify(world.path).root == world.replica.state.root.hex()
        await world.deposit("bob", "ETH", 100)
        assert verify(world.path).height == world.replica.height


def test_verifying_writes_nothing(journal: Path) -> None:
    def content() -> dict[str, bytes]:
        """All files but the database's shared memory, which is rebuilt by every reader and holds no data."""
        files = [path for path in journal.parent.iterdir() if path.is_file() and not path.name.endswith("-shm")]
        return {path.name: path.read_bytes() for path in files}

    before = content()
    verify(journal)
    assert content() == before


def test_books_that_are_wrong_at_the_end_are_named(journal: Path) -> None:
    with pytest.raises(AuditError, match="ETH sums to 1") as caught:
        verify(journal, judge=lambda state: (f"ETH sums to {len(state.deposits)}, not zero",))
    assert caught.value.code == "invariant_broken"


def test_progress_reaches_the_last_block(journal: Path) -> None:
    heard: list[tuple[int, int]] = []
    found = verify(journal, lambda block, last: heard.append((block, last)))
    assert heard[-1] == (found.height, found.height)


def test_without_a_tip_file_the_doubt_is_said(journal: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy" / "journal.db"
    copy.parent.mkdir()
    shutil.copy(journal, copy)
    assert verify(copy).tip_known is False
    said = ctl("ledger", "verify", str(copy))
    assert (said.exit_code, "tip file" in said.stderr) == (0, True)


def alter(journal: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(journal) as connection:
        assert connection.execute(statement, values).rowcount > 0
    connection.close()


def table(journal: Path) -> tuple[str, str, str]:
    """The table of blocks and its two columns, as the file has them."""
    with sqlite3.connect(journal) as connection:
        (name,) = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchone()
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({name})")]
    connection.close()
    return name, columns[0], columns[1]


def test_one_flipped_bit_is_named(journal: Path) -> None:
    name, height, blob = table(journal)
    reader = JournalReader.open(journal)
    raw = bytearray(reader.blob(5))
    reader.close()
    raw[len(raw) // 2] ^= 1
    alter(journal, f"UPDATE {name} SET {blob} = ? WHERE {height} = 5", bytes(raw))
    with pytest.raises(AuditError) as caught:
        verify(journal)
    assert caught.value.code == "journal_damaged"
    said = ctl("ledger", "verify", str(journal))
    assert (said.exit_code, said.stdout) == (3, "")
    assert "journal_damaged" in said.stderr


def test_a_missing_block_is_named(journal: Path) -> None:
    name, height, _ = table(journal)
    alter(journal, f"DELETE FROM {name} WHERE {height} = 5")
    with pytest.raises(AuditError) as caught:
        verify(journal)
    assert caught.value.code == "journal_missing_block"
    assert ctl("ledger", "export", str(journal)).exit_code == 3


def test_a_cut_off_end_is_named(journal: Path) -> None:
    name, height, _ = table(journal)
    alter(journal, f"DELETE FROM {name} WHERE {height} >= 5")
    with pytest.raises(AuditError) as caught:
        verify(journal)
    assert caught.value.code == "journal_behind_tip"


def test_a_result_that_does_not_follow_is_a_divergence(journal: Path, tmp_path: Path) -> None:
    """A forger with the sequencer's key writes another answer into a well-formed, sealed, chained block."""
    forged = Journal.open(tmp_path / "forged.db", create=True)
    with_reader = JournalReader.open(journal)
    taken = [block for block, _ in with_reader.verify(with_reader.height())]
    with_reader.close()
    replica = Replica()
    for block in taken[:-1]:
        executed: Executed = replica.execute(block)
        forged.append((executed.block,))
    last = taken[-1]
    assert replica.link is not None
    root = ("00" if last.header.root[:2] != "00" else "11") + last.header.root[2:]
    header = blocks.Header(
        **{name: getattr(last.header, name) for name in blocks.Header.__struct_fields__ if name != "root"}, root=root
    )
    seal = blocks.seal(KEYS["sequencer"], blocks.block_hash(header))
    forged.append((blocks.Block(header=header, seals=(seal,), transactions=last.transactions, results=last.results),))
    forged.close()
    with pytest.raises(AuditError, match="state root") as caught:
        verify(tmp_path / "forged.db")
    assert caught.value.code == "divergence"


def test_no_journal_and_an_empty_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(AuditError) as caught:
        verify(tmp_path / "nothing.db")
    assert caught.value.code == "journal_missing"
    Journal.open(tmp_path / "new.db", create=True).close()
    with pytest.raises(AuditError) as caught:
        verify(tmp_path / "new.db")
    assert caught.value.code == "journal_empty"


def test_an_export_carries_what_was_signed(journal: Path) -> None:
    lines = [json.loads(line) for line in export(journal)]
    assert [line["header"]["height"] for line in lines] == list(range(len(lines)))
    assert all(line["schema"] == 1 for line in lines)
    said = [one for line in lines for one in line["transactions"]]
    request = next(one for one in said if '"type":"address.requested"' in one["payload"])
    assert request["result"] == "ok"
    signature = base64.b64decode(request["signature"])
    assert verify_signature(KEYS["payouts"].public, request["payload"].encode(), signature)
    assert ctl("ledger", "export", str(journal)).stdout.encode().splitlines() == list(export(journal))
