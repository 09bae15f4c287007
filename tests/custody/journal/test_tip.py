"""The tip file: the newest tip survives a torn write and any single decay, and anything worse has a name."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from custody.journal.errors import JournalCode, JournalError
from custody.journal.tip import COPIES, FILE_BYTES, NO_TIP, SPACING, Tip, TipFile, create_tip, read_tip

SLOT = SPACING * COPIES


def tip(height: int) -> Tip:
    return Tip(height=height, hash=f"{height:064x}", ledger="ab" * 32)


def written(path: Path, *heights: int) -> bytes:
    """The file after these tips were written one after the other."""
    create_tip(path, NO_TIP)
    file = TipFile(path)
    for height in heights:
        file.write(tip(height))
    file.close()
    return path.read_bytes()


def code_of(path: Path) -> JournalCode:
    with pytest.raises(JournalError) as refused:
        read_tip(path)
    return refused.value.code


def test_the_newest_tip_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "tip"
    create_tip(path, NO_TIP)
    assert read_tip(path) == NO_TIP
    assert path.stat().st_mode & 0o777 == 0o600
    file = TipFile(path)
    for height in range(7):
        file.write(tip(height))
        assert read_tip(path) == tip(height)
    file.close()
    assert path.stat().st_size == FILE_BYTES


def test_it_is_never_made_over_another(tmp_path: Path) -> None:
    create_tip(tmp_path / "tip", tip(3))
    with pytest.raises(JournalError) as refused:
        create_tip(tmp_path / "tip", NO_TIP)
    assert refused.value.code is JournalCode.EXISTS
    assert read_tip(tmp_path / "tip") == tip(3)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_write_touches_only_the_older_slot(tmp_path: Path, count: int) -> None:
    before = written(tmp_path / "tip", *range(count))
    after = written(tmp_path / "again", *range(count + 1))
    changed = [place for place in range(0, FILE_BYTES, SLOT) if before[place:][:SLOT] != after[place:][:SLOT]]
    assert len(changed) == 1
    # What was not touched still says the tip before, twice.
    (tmp_path / "cut").write_bytes(after[: changed[0]] + bytes(SLOT) + after[changed[0] + SLOT :])
    assert read_tip(tmp_path / "cut") == tip(count - 1)


def test_a_torn_write_leaves_the_tip_before_and_is_healed(tmp_path: Path) -> None:
    path = tmp_path / "tip"
    before, after = written(path, 0, 1), written(tmp_path / "again", 0, 1, 2)
    place = next(place for place in range(0, FILE_BYTES, SLOT) if before[place:][:SLOT] != after[place:][:SLOT])
    for torn in (0, 1, 40, 83, SPACING, SPACING + 40):
        content = before[:place] + after[place : place + torn] + b"\xff" * (SLOT - torn) + before[place + SLOT :]
        path.write_bytes(content)
        expected = tip(2) if torn >= SPACING else tip(1)
        assert read_tip(path) == expected
        TipFile(path).close()
        assert read_tip(path) == expected
        healed = path.read_bytes()
        assert healed[:SLOT] == healed[SLOT:]


@settings(max_examples=120, deadline=None)
@given(st.integers(0, FILE_BYTES * 8 - 1), st.integers(0, 4))
def test_one_flipped_bit_never_weakens_it(tmp_path_factory: pytest.TempPathFactory, bit: int, count: int) -> None:
    path = tmp_path_factory.mktemp("tip") / "tip"
    content = bytearray(written(path, *range(count)))
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)
    assert read_tip(path) == (tip(count - 1) if count else NO_TIP)


def test_what_is_worse_has_a_name(tmp_path: Path) -> None:
    path = tmp_path / "tip"
    assert code_of(path) is JournalCode.TIP_MISSING
    content = written(path, 0, 1)
    for damaged in (b"", content[:-1], content + b"\0", bytes(FILE_BYTES), content[:SPACING]):
        path.write_bytes(damaged)
        assert code_of(path) is JournalCode.TIP_DAMAGED
    path.unlink()
    path.mkdir()
    assert code_of(path) is JournalCode.UNREADABLE


def test_a_record_of_another_kind_is_not_a_tip(tmp_path: Path) -> None:
    path = tmp_path / "tip"
    content = written(path, 5)
    for place in range(0, FILE_BYTES, SPACING):
        record = bytearray(content[place : place + 80])
        record[:8] = b"CUSTTIP2"
        record += zlib.crc32(record).to_bytes(4, "big")
        content = content[:place] + record + content[place + len(record) :]
    path.write_bytes(content)
    assert code_of(path) is JournalCode.TIP_DAMAGED
