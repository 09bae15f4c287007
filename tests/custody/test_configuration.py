"""Every fault at once, with file and path, and never a value: a secret in the wrong place is one of the faults."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import pytest
from pydantic import Field, field_validator

from custody.configuration import (
    EXIT_CONFIGURATION,
    MAX_FILE,
    ConfigurationError,
    Location,
    Reading,
    Settings,
    read,
    read_secret,
    refuse,
    secret_path,
)


class Kind(StrEnum):
    ONE = "one"


class Part(Settings):
    name: str
    count: Annotated[int, Field(ge=1)] = 1

    @field_validator("name")
    @classmethod
    def _lower(cls, value: str) -> str:
        if value != value.lower():
            raise ValueError("names are in lower case")
        return value


class Whole(Settings):
    place: Location
    on: bool = False
    ratio: float = 1.0
    kind: Kind = Kind.ONE
    parts: tuple[Part, ...] = ()
    by_name: dict[str, Part] = Field(default={})


def written(folder: Path, text: str) -> Path:
    path = folder / "x.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems(folder: Path, text: str) -> list[str]:
    path = written(folder, text)
    with pytest.raises(ConfigurationError) as caught:
        read(path, Whole)
    return [problem.removeprefix(f"{path}: ") for problem in caught.value.problems]


def test_settings_come_out_frozen_and_typed(tmp_path: Path) -> None:
    text = 'place = "run/here"\nkind = "one"\n[[parts]]\nname = "a"\n[by_name.b]\nname = "b"\ncount = 2\n'
    found = read(written(tmp_path, text), Whole)
    assert found.place == tmp_path / "run/here"
    assert (found.kind, found.parts, found.by_name["b"].count) == (Kind.ONE, (Part(name="a"),), 2)
    with pytest.raises(ValueError, match="frozen"):
        found.on = True


def test_an_absolute_place_is_itself(tmp_path: Path) -> None:
    assert read(written(tmp_path, 'place = "/run/x"\n'), Whole).place == Path("/run/x")


def test_all_faults_are_told_at_once_and_no_value_is(tmp_path: Path) -> None:
    text = """
        on = "hunter2"
        surplus = "hunter2"
        kind = "hunter2"
        ratio = nan
        [[parts]]
        name = "fine"
        [[parts]]
        name = "Hunter2"
        count = 0
        secret = "hunter2"
        [by_name.b]
        name = 2
    """
    found = problems(tmp_path, text)
    assert not [problem for problem in found if "unter2" in problem]
    assert [problem.split(": ", 1)[0] for problem in found] == [
        "place",
        "on",
        "ratio",
        "kind",
        "parts[1].name",
        "parts[1].count",
        "parts[1].secret",
        "by_name.b.name",
        "surplus",
    ]
    assert "parts[1].name: names are in lower case" in found


@pytest.mark.parametrize(
    "line", ["count = 1.0", 'count = "1"', "count = true", "count = 1979-05-27", f"count = {10**30}0.5", "name = 1"]
)
def test_nothing_is_taken_for_another_type(tmp_path: Path, line: str) -> None:
    fields = {"name": 'name = "a"', "count": "count = 1", line.split(" ", 1)[0]: line}
    found = problems(tmp_path, 'place = "x"\n[[parts]]\n' + "\n".join(fields.values()))
    assert [problem.split(": ")[0] for problem in found] == [f"parts[0].{line.split(' ', 1)[0]}"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"place = ", "not TOML"),
        (b"place = 'a'\nplace = 'b'", "not TOML"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (MAX_FILE + 1), "more than"),
        (b"x = " + b"[" * 100_000, "not TOML"),
        (b"big = " + b"9" * 1000, "big: "),
    ],
)
def test_files_that_are_no_configuration(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "x.toml"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        read(path, Whole)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.toml: No such file"):
        read(tmp_path / "none.toml", Whole)
    with pytest.raises(ConfigurationError, match="Is a directory"):
        read(tmp_path, Whole)


def test_several_files_are_read_to_the_end(tmp_path: Path) -> None:
    reading = Reading()
    assert reading.file(tmp_path / "a.toml", Whole) is None
    assert reading.file(written(tmp_path, 'place = "x"\n'), Whole) is not None
    reading.complain(tmp_path / "b.toml", "parts[0]", "does not go with a.toml")
    with pytest.raises(ConfigurationError) as caught:
        reading.end()
    assert [problem.removeprefix(f"{tmp_path}/") for problem in caught.value.problems] == [
        "a.toml: No such file or directory",
        "b.toml: parts[0]: does not go with a.toml",
    ]


def test_problems_go_to_standard_error_and_the_exit_code_is_the_configurations(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as caught:
        refuse(ConfigurationError(("a: b: c", "d: e")))
    assert caught.value.code == EXIT_CONFIGURATION == 78
    assert capsys.readouterr().err == "a: b: c\nd: e\n"


def test_a_secret_is_a_credential_or_a_private_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    for name in ("beside", "both"):
        (tmp_path / name).write_bytes(b"from the file\n")
        (tmp_path / name).chmod(0o600)
    assert read_secret("beside", tmp_path) == b"from the file"
    assert read_secret(str(tmp_path / "beside"), Path("/nowhere")) == b"from the file"
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "both").write_bytes(b"from systemd\n")
    (credentials / "both").chmod(0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    assert read_secret("both", tmp_path) == b"from systemd"
    assert read_secret("beside", tmp_path) == b"from the file"
    assert secret_path("credentials/both", tmp_path) == credentials / "both"


def test_a_secret_that_others_can_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").write_bytes(b"hunter2")
    (tmp_path / "open").chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600") as caught:
        read_secret("open", tmp_path)
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="does not exist"):
        read_secret("none", tmp_path)
