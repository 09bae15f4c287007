"""The brake is on while its file is there, whatever is in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from custody.signing.brake import UNREADABLE, Brake
from custody.signing.protocol import Braked
from tests.custody.signing.desks import full_disk


def test_it_is_off_until_pulled_and_survives(tmp_path: Path) -> None:
    assert Brake(tmp_path / "brake").on is None
    brake = Brake(tmp_path / "brake")
    brake.pull("why", "uid:7", 12)
    assert brake.on == Braked(reason="why", actor="uid:7", since=12)
    assert Brake(tmp_path / "brake").on == brake.on


def test_the_first_reason_stays(tmp_path: Path) -> None:
    brake = Brake(tmp_path / "brake")
    brake.pull("first", "uid:7", 12)
    brake.pull("second", "uid:8", 13)
    assert Brake(tmp_path / "brake").on == Braked(reason="first", actor="uid:7", since=12)


def test_released_it_stays_released(tmp_path: Path) -> None:
    brake = Brake(tmp_path / "brake")
    brake.pull("why", "uid:7", 12)
    brake.release()
    brake.release()
    assert brake.on is None
    assert Brake(tmp_path / "brake").on is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff", b'{"reason": 1}'])
def test_a_latch_that_cannot_be_read_is_on(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "brake").write_bytes(content)
    found = Brake(tmp_path / "brake").on
    assert found is not None
    assert found.reason == UNREADABLE


def test_it_holds_even_where_it_cannot_be_written(tmp_path: Path) -> None:
    brake = Brake(tmp_path / "brake")
    with full_disk(), pytest.raises(OSError, match="File too large"):
        brake.pull("why", "uid:7", 12)
    assert brake.on is not None
    brake.pull("again", "uid:7", 13)
    assert Brake(tmp_path / "brake").on == Braked(reason="why", actor="uid:7", since=12)


def test_it_stays_on_where_releasing_fails(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    brake = Brake(folder / "brake")
    brake.pull("why", "uid:7", 12)
    (folder / "brake").unlink()
    folder.rmdir()
    with pytest.raises(OSError, match="No such file"):
        brake.release()
    assert brake.on is not None
