"""Key files: private, whole, never overwritten, and silent about what they hold."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from custody.envelope.ed25519 import SigningKey
from custody.envelope.keyfile import KeyFileCode, KeyFileError, create_key_file, read_key_file
from custody.envelope.privatefile import PrivateFileCode, PrivateFileError, create_private, read_private

KEY = SigningKey("operator-1", bytes(range(32)))
SECRET = bytes(range(32)).hex()


def refusal(path: Path) -> KeyFileCode:
    with pytest.raises(KeyFileError) as refused:
        read_key_file(path)
    shown = f"{refused.value!s}{refused.value!r}{refused.value.__cause__!r}"
    assert SECRET not in shown
    assert str(path) in shown
    return refused.value.code


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    path.chmod(0o600)
    return path


def test_a_key_comes_back_from_its_file(tmp_path: Path) -> None:
    path = tmp_path / "operator.json"
    create_key_file(path, KEY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {"key": "operator-1", "public": KEY.public.hex(), "secret": SECRET}
    key = read_key_file(path)
    assert (key.id, key.public, key.sign(b"x")) == (KEY.id, KEY.public, KEY.sign(b"x"))
    assert os.listdir(tmp_path) == ["operator.json"]


def test_the_mode_is_0600_under_any_umask(tmp_path: Path) -> None:
    for umask in (0o000, 0o777):
        before = os.umask(umask)
        try:
            create_private(tmp_path / f"{umask}", b"x")
        finally:
            os.umask(before)
        assert stat.S_IMODE((tmp_path / f"{umask}").stat().st_mode) == 0o600


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path / "operator.json", "somebody's")
    with pytest.raises(KeyFileError) as refused:
        create_key_file(path, KEY)
    assert refused.value.code is KeyFileCode.EXISTS
    assert path.read_text() == "somebody's"
    assert os.listdir(tmp_path) == ["operator.json"]


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "operator.json").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileError) as refused:
        create_key_file(tmp_path / "operator.json", KEY)
    assert refused.value.code is KeyFileCode.EXISTS
    assert not (tmp_path / "elsewhere").exists()


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as refused:
        create_key_file(tmp_path / "absent" / "operator.json", KEY)
    assert refused.value.code is KeyFileCode.UNWRITABLE


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o620, 0o602, 0o610, 0o601])
def test_a_file_that_others_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "operator.json"
    create_key_file(path, KEY)
    path.chmod(mode)
    assert refusal(path) is KeyFileCode.PERMISSIONS
    path.chmod(0o400)
    assert read_key_file(path).public == KEY.public


def test_a_systemd_credential_may_show_its_acl_mask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "operator.json"
    create_key_file(path, KEY)
    path.chmod(0o440)
    assert refusal(path) is KeyFileCode.PERMISSIONS
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_key_file(path).public == KEY.public
    path.chmod(0o444)
    assert refusal(path) is KeyFileCode.PERMISSIONS
    path.chmod(0o460)
    assert refusal(path) is KeyFileCode.PERMISSIONS
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "other"))
    path.chmod(0o440)
    assert refusal(path) is KeyFileCode.PERMISSIONS


def test_what_is_not_there_or_not_a_file(tmp_path: Path) -> None:
    assert refusal(tmp_path / "absent.json") is KeyFileCode.MISSING
    assert refusal(tmp_path) is KeyFileCode.UNREADABLE
    os.mkfifo(tmp_path / "pipe", 0o600)
    assert refusal(tmp_path / "pipe") is KeyFileCode.UNREADABLE
    assert refusal(write(tmp_path / "large", b" " * 70_000)) is KeyFileCode.UNREADABLE


@pytest.mark.parametrize(
    "members",
    [
        pytest.param({"secret": SECRET[:-2]}, id="short"),
        pytest.param({"secret": SECRET + "00"}, id="long"),
        pytest.param({"secret": SECRET.upper()}, id="capitals"),
        pytest.param({"secret": " " + SECRET}, id="blank"),
        pytest.param({"secret": "zz" * 32}, id="not hexadecimal"),
        pytest.param({"secret": 7}, id="number"),
        pytest.param({"public": "00" * 32}, id="another public key"),
        pytest.param({"public": KEY.public.hex().upper()}, id="public key in capitals"),
        pytest.param({"key": ""}, id="no id"),
        pytest.param({"key": "a b"}, id="blank in id"),
        pytest.param({"more": 1}, id="one member more"),
    ],
)
def test_malformed_files(tmp_path: Path, members: dict[str, object]) -> None:
    good = {"key": KEY.id, "public": KEY.public.hex(), "secret": SECRET}
    assert refusal(write(tmp_path / "k", json.dumps(good | members))) is KeyFileCode.MALFORMED


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff", b"{", SECRET.encode(), b"[" * 60_000])
def test_other_content(tmp_path: Path, content: bytes) -> None:
    assert refusal(write(tmp_path / "k", content)) is KeyFileCode.MALFORMED


def test_an_id_that_could_not_be_read_back_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError) as refused:
        create_key_file(tmp_path / "k", SigningKey("two words", bytes(32)))
    assert refused.value.code is KeyFileCode.MALFORMED
    assert os.listdir(tmp_path) == []


def test_another_owner_is_refused(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    path = tmp_path / "k"
    create_private(path, b"x")
    os.chown(path, 12345, 12345)
    with pytest.raises(PrivateFileError) as refused:
        read_private(path)
    assert refused.value.code is PrivateFileCode.PERMISSIONS
