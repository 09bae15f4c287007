"""The signer's configuration: what a person may write, and what is said of the rest."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path

import pytest
from click.testing import CliRunner

from custody.configuration import ConfigurationError
from custody.signing.custodysigner import main
from custody.signing.settings import load

RIGHT = {
    "directory": '"state"',
    "keystore": '"keys"',
    "passphrase": '"passphrase"',
    "public": '"signer.pub.json"',
    "socket": '"s"',
}


def written(folder: Path, **changes: str) -> Path:
    path = folder / "signer.toml"
    path.write_text("".join(f"{name} = {value}\n" for name, value in {**RIGHT, **changes}.items()))
    return path


def test_the_least_that_is_needed(tmp_path: Path) -> None:
    found, names = load(written(tmp_path))
    assert (found.key, found.directory, found.ledger) == ("signer", tmp_path / "state", None)
    assert (names.uids, names.gid) == (frozenset((os.geteuid(),)), None)


def test_names_of_users_and_groups_are_looked_up(tmp_path: Path) -> None:
    user, group = pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name
    _, names = load(written(tmp_path, clients=f'["{user}", 12345]', group=f'"{group}"'))
    assert (names.uids, names.gid) == (frozenset((os.geteuid(), 12345)), os.getegid())


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"key": '"two words"'}, "key"),
        ({"ledger": '"ab"'}, "ledger"),
        ({"socket": f'"/{"x" * 107}"'}, "socket"),
        ({"work_factor": "1024"}, "work_factor"),
        ({"work_factor": "20000"}, "work_factor"),
        ({"clients": '["nobody-of-this-name"]'}, "clients[0]"),
        ({"group": '"no-group-of-this-name"'}, "group"),
        ({"passphrase": '""'}, "passphrase"),
        ({"secret": '"x"'}, "secret"),
    ],
)
def test_each_fault_is_named(tmp_path: Path, changes: dict[str, str], place: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path, **changes))
    (problem,) = caught.value.problems
    assert problem.startswith(f"{tmp_path / 'signer.toml'}: {place}")


@pytest.mark.parametrize("command", ["init", "run"])
def test_faults_end_the_process_with_78(tmp_path: Path, command: str) -> None:
    path = written(tmp_path, key='"two words"', extra="1", socket="3")
    done = CliRunner().invoke(main, [command, "--config", str(path)])
    assert done.exit_code == 78
    assert len(done.stderr.splitlines()) == 3
