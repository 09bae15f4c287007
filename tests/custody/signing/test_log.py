"""The log of what was signed: whole or not at all, found by everything it was signed for, and never quietly damaged."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.envelope.ed25519 import SigningKey
from custody.envelope.envelopes import sign
from custody.ledger.transactions import Purpose
from custody.signing.log import Issued, LogError, SignerLog
from custody.signing.protocol import Entry
from tests.custody.signing.desks import full_disk

KEY = SigningKey("signer", bytes(32))


def made(
    number: int, *, nonce: int | None = None, withdrawals: tuple[str, ...] = (), kind: str = "withdrawal"
) -> Entry:
    purposes = tuple(
        Purpose(
            kind=kind,
            id=name,
            source="s",
            recipient="r",
            token="native",
            amount="1",
            reference="",
            create_account=False,
        )
        for name in withdrawals
    )
    return Entry(
        place=0,
        attempt=f"{number:064x}",
        chain="ethereum",
        sender="0x1",
        nonce=nonce,
        blockhash=None if nonce is not None else "hash",
        purposes=purposes,
        parameters={"gas": "21000"},
        fee_cap=str(10**30),
        rent_cap="0",
        message="00",
        raw=f"{number:02x}",
        tx="tx",
        time=1,
        height=1,
    )


def issued(seq: int) -> Issued:
    return Issued(seq=seq, envelope=sign(KEY, b'{"seq":%d}' % seq))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    SignerLog.create(tmp_path / "signed.db")
    return tmp_path / "signed.db"


def test_a_new_log_is_empty_and_its_owners_alone(path: Path) -> None:
    log = SignerLog.open(path)
    assert (len(log), log.last_sequence(), log.page(0, 9), log.issued("x")) == (0, -1, (), None)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["signed.db"]


def test_a_log_is_never_made_over_another(path: Path) -> None:
    with pytest.raises(LogError):
        SignerLog.create(path)


def test_a_missing_log_is_not_a_new_one(tmp_path: Path) -> None:
    with pytest.raises(LogError):
        SignerLog.open(tmp_path / "signed.db")


def test_everything_is_there_after_opening_anew(path: Path) -> None:
    log = SignerLog.open(path)
    log.remember("one", issued(5), made(1, nonce=7, withdrawals=("w1",)))
    log.remember("two", issued(6))
    log.remember("one", issued(9))
    log.adopt(made(2, withdrawals=("w1", "w2")))
    log.close()
    log = SignerLog.open(path)
    assert (len(log), log.last_sequence()) == (2, 9)
    assert log.issued("one") == issued(9)
    assert log.issued("two") == issued(6)
    assert [entry.place for entry in log.page(0, 9)] == [1, 2]


def test_what_is_known_of_an_attempt(path: Path) -> None:
    log = SignerLog.open(path)
    log.remember("a", issued(0), made(1, nonce=7, withdrawals=("w1",)))
    log.remember("b", issued(1), made(2, nonce=7))
    log.remember("c", issued(2), made(3, nonce=8, withdrawals=("w1", "w2")))
    log.remember("d", issued(3), made(4, nonce=9, withdrawals=("w1",), kind="sweep"))
    found = log.knowledge(f"{2:064x}", ("ethereum", "0x1", 7), ("w1", "w2", "w3"))
    assert found.own is not None
    assert found.own.place == 2
    assert [entry.place for entry in found.at_nonce] == [1, 2]
    assert [(name, entry.place) for name, entry in found.for_purposes] == [("w1", 1), ("w1", 3), ("w2", 3)]
    for lane in (("ethereum", "0x1", 6), ("ethereum", "0x2", 7), ("other", "0x1", 7), ("ethereum", "0x1", None), None):
        assert log.knowledge("x", lane, ()).at_nonce == ()


def test_one_attempt_is_signed_once(path: Path) -> None:
    log = SignerLog.open(path)
    log.remember("a", issued(0), made(1))
    with pytest.raises(LogError):
        log.remember("b", issued(1), made(1))
    with pytest.raises(LogError):
        log.remember("c", issued(2))
    log.close()
    log = SignerLog.open(path)
    assert (len(log), log.last_sequence()) == (1, 0)


@pytest.mark.parametrize("way", ["remember", "adopt"])
def test_a_write_that_fails_leaves_nothing_and_is_the_last(path: Path, way: str) -> None:
    log = SignerLog.open(path)
    log.remember("a", issued(0), made(1))
    with full_disk(), pytest.raises(LogError):
        log.remember("b", issued(1), made(2)) if way == "remember" else log.adopt(made(2))
    assert len(log) == 1
    with pytest.raises(LogError):
        log.remember("c", issued(2))
    with pytest.raises(LogError):
        log.adopt(made(3))
    log.close()
    log = SignerLog.open(path)
    assert (len(log), log.issued("b")) == (1, None)


DAMAGE = {
    "an entry changed": "UPDATE signed SET entry = x'00' WHERE place = 1",
    "a checksum changed": "UPDATE signed SET crc = crc + 1 WHERE place = 2",
    "an entry gone": "DELETE FROM signed WHERE place = 1",
    "entries swapped": "UPDATE signed SET place = 5 - place WHERE place = 2",
    "a purpose gone": "DELETE FROM purposes WHERE place = 2",
    "a nonce gone": "DELETE FROM nonces WHERE place = 1",
    "another attempt's name": "UPDATE signed SET attempt = 'x' WHERE place = 1",
    "another format": "PRAGMA user_version = 2",
    "another kind of file": "PRAGMA application_id = 1",
    "a table gone": "DROP TABLE issued; DROP TABLE nonces",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE.keys())
def test_damage_is_a_refusal_to_open(path: Path, statement: str) -> None:
    log = SignerLog.open(path)
    log.remember("a", issued(0), made(1, nonce=1, withdrawals=("w1",)))
    log.remember("b", issued(1), made(2, nonce=2, withdrawals=("w2",)))
    log.close()
    connection = apsw.Connection(str(path))
    connection.execute(statement).fetchall()
    connection.close()
    with pytest.raises(LogError):
        SignerLog.open(path)


def test_a_damaged_envelope_is_not_given_out(path: Path) -> None:
    log = SignerLog.open(path)
    log.remember("a", issued(0))
    log.close()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE issued SET crc = crc + 1")
    connection.close()
    with pytest.raises(LogError):
        SignerLog.open(path).issued("a")


def test_bytes_that_are_no_database(path: Path) -> None:
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(LogError):
        SignerLog.open(path)


@settings(max_examples=25)  # each one is a dozen synced commits
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 2**53 - 1)), max_size=12))
def test_the_latest_envelope_of_a_subject_wins(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("log") / "signed.db"
    SignerLog.create(path)
    log = SignerLog.open(path)
    last: dict[str, int] = {}
    for subject, seq in said:
        log.remember(subject, issued(seq))
        last[subject] = seq
        assert log.last_sequence() == seq
    for subject in "abc":
        found = log.issued(subject)
        assert (None if found is None else found.seq) == last.get(subject)
    log.close()
