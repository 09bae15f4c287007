"""The systemd units: accepted without a word, as closed as they were, and in step with the programs they start."""

from __future__ import annotations

import ipaddress
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from custody.configuration import EXIT_CONFIGURATION, Reading
from custody.custodyctl import DEFAULT_SOCKET
from custody.custodyd import EXIT_REFUSED
from custody.settings import ChainModel, load
from custody.signing.service import Limits
from custody.signing.settings import SignerSettings
from tests.tools import require_tool

ROOT = Path(__file__).parents[2]
UNITS = ROOT / "deploy/systemd"
HOST_UNITS = Path("/usr/lib/systemd/system")
PROGRAMS = ("custodyd", "custody-signer", "custodyctl")
DAEMON, SIGNER, RECONCILE = "custodyd.service", "custody-signer.service", "custody-reconcile.service"

EXPOSURE = {DAEMON: 1.2, SIGNER: 0.4, RECONCILE: 0.4}
"""A ratchet, by systemd 252: lower it when a unit gets tighter, never raise it. What is left of the daemon's is the
network (0.8), unix sockets, the host's root directory and users, and the devices that credentials and clock bring."""


def lines(unit: str) -> list[tuple[str, str]]:
    """A unit's settings in their order, comments left out."""
    text = (UNITS / unit).read_text()
    return [(name, value) for name, value in re.findall(r"^([A-Z][A-Za-z]+)=(.*)$", text, re.MULTILINE)]


def one(unit: str, name: str) -> str:
    (value,) = [value for known, value in lines(unit) if known == name]
    return value


def seconds(text: str) -> float:
    found = re.fullmatch(r"([0-9]+)(s|min)", text)
    assert found, text
    return int(found[1]) * {"s": 1, "min": 60}[found[2]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root directory as on an installed host: our units, the system's, and programs where the units look for them."""
    place = tmp_path / "etc/systemd/system"
    place.mkdir(parents=True)
    for unit in UNITS.iterdir():
        shutil.copy(unit, place)
    shutil.copytree(HOST_UNITS, tmp_path / "usr/lib/systemd/system", symlinks=True)
    programs = tmp_path / "opt/custody/bin"
    programs.mkdir(parents=True)
    for name in PROGRAMS:
        (programs / name).write_text("#!/bin/sh\n")
        (programs / name).chmod(0o755)
    return tmp_path


def analyze(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    tool = require_tool("systemd-analyze")
    command = [str(tool), f"--root={root}", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture(autouse=True, scope="module")
def _installed() -> None:
    require_tool("systemd-analyze")


def verify(root: Path) -> str:
    names = sorted(unit.name for unit in UNITS.iterdir())
    done = analyze(root, "verify", "--man=no", *names)
    return done.stdout + done.stderr + (f"exit {done.returncode}" if done.returncode else "")


def test_systemd_has_nothing_to_say(root: Path) -> None:
    assert verify(root) == ""


@pytest.mark.parametrize("planted", ["WatchdogSeconds=3", "ExecStartPre=/opt/custody/bin/absent", "LimitCORE=many"])
def test_systemd_would_have_said_something(root: Path, planted: str) -> None:
    unit = root / "etc/systemd/system" / DAEMON
    unit.write_text(unit.read_text().replace("[Install]", f"{planted}\n\n[Install]"))
    assert verify(root) != ""


@pytest.mark.parametrize(("unit", "most"), EXPOSURE.items())
def test_a_unit_stays_as_closed_as_it_was(root: Path, unit: str, most: float) -> None:
    done = analyze(root, "security", "--offline=yes", f"--threshold={round(most * 10)}", unit)
    assert done.returncode == 0, done.stdout
    assert f"{most:.1f}" in done.stdout.splitlines()[-1], "it got tighter: lower the ratchet"


def test_the_ratchet_catches(root: Path) -> None:
    unit = root / "etc/systemd/system" / SIGNER
    unit.write_text(unit.read_text().replace("PrivateNetwork=yes\n", ""))
    assert analyze(root, "security", "--offline=yes", "--threshold=4", SIGNER).returncode != 0


@pytest.mark.parametrize("unit", EXPOSURE)
def test_who_speaks_is_seen(unit: str) -> None:
    """Both sockets ask the kernel for the peer's uid, which a user namespace of the unit's own would hide."""
    assert "PrivateUsers" not in dict(lines(unit))


def test_the_signer_has_no_network_and_no_swap() -> None:
    known = dict(lines(SIGNER))
    assert known["RestrictAddressFamilies"] == "AF_UNIX"
    assert known["PrivateNetwork"] == "yes"
    assert known["LimitMEMLOCK"] == "infinity"
    assert known["LimitCORE"] == known["MemorySwapMax"] == "0"


def test_no_restart_helps_against_a_wrong_configuration() -> None:
    assert one(DAEMON, "RestartPreventExitStatus").split() == [str(EXIT_REFUSED), str(EXIT_CONFIGURATION)]
    assert one(SIGNER, "RestartPreventExitStatus").split() == [str(EXIT_CONFIGURATION)]


def test_a_stop_waits_for_the_drain() -> None:
    settings = load(ROOT / "config/custody.toml")
    assert seconds(one(DAEMON, "TimeoutStopSec")) >= settings.daemon.drain_seconds + 10
    assert seconds(one(SIGNER, "TimeoutStopSec")) >= Limits().drain + 5


def test_the_watchdog_waits_longer_than_the_slowest_look() -> None:
    for chain in load(ROOT / "config/custody.toml").chains:
        slowest = sum(provider.timeout_seconds for provider in chain.providers) + chain.watch.backoff_cap_seconds
        assert seconds(one(DAEMON, "WatchdogSec")) / 2 > slowest


def test_every_credential_of_the_configuration_is_loaded() -> None:
    chains: tuple[ChainModel, ...] = load(ROOT / "config/custody.toml").chains
    named = {provider.url_credential for chain in chains for provider in chain.providers}
    loaded = [value for name, value in lines(DAEMON) if name == "LoadCredentialEncrypted"]
    assert sorted(loaded) == sorted(named)


def test_the_paths_of_units_and_configuration_meet() -> None:
    daemon = load(ROOT / "config/custody.toml").daemon
    reading = Reading()
    signer = reading.file(ROOT / "deploy/etc/signer.toml", SignerSettings)
    reading.end()
    assert signer is not None
    assert daemon.data == Path("/var/lib") / one(DAEMON, "StateDirectory")
    assert daemon.admin_socket == DEFAULT_SOCKET == Path("/run") / one(DAEMON, "RuntimeDirectory") / "admin.sock"
    assert daemon.signer_socket == signer.socket
    assert signer.socket.parent == Path("/run") / one(SIGNER, "RuntimeDirectory")
    assert signer.directory.parent == signer.keystore.parent == Path("/var/lib") / one(SIGNER, "StateDirectory")
    assert signer.passphrase == one(SIGNER, "LoadCredentialEncrypted")
    assert signer.clients == (one(DAEMON, "User"),)


def test_the_signers_socket_is_the_daemons_by_group() -> None:
    """Made with the signer's own group, since the unit may not chown."""
    assert one(SIGNER, "Group") == one(DAEMON, "Group")
    assert one(SIGNER, "User") != one(DAEMON, "User")
    assert one(SIGNER, "StateDirectoryMode") == one(DAEMON, "StateDirectoryMode") == "0700"


def test_the_daemon_reaches_everything_but_link_local() -> None:
    words = [word for name, value in lines(DAEMON) if name == "IPAddressAllow" for word in value.split()]
    nets = [ipaddress.ip_network(word) for word in words if word != "localhost"]
    four = list(ipaddress.collapse_addresses(net for net in nets if isinstance(net, ipaddress.IPv4Network)))
    metadata = ipaddress.ip_network("169.254.0.0/16")
    assert not any(net.overlaps(metadata) for net in four)
    whole = ipaddress.collapse_addresses([*four, ipaddress.IPv4Network("169.254.0.0/16")])
    unicast = ["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/3"]
    assert list(whole) == [ipaddress.IPv4Network(text) for text in unicast]


def test_the_users_are_declared() -> None:
    text = (ROOT / "deploy/sysusers.d/custody.conf").read_text()
    declared = set(re.findall(r"^u\s+(\S+)", text, re.MULTILINE))
    assert declared == {one(DAEMON, "User"), one(SIGNER, "User")} == declared | {one(RECONCILE, "User")}


def test_exposures_are_known_for_every_service() -> None:
    assert {unit.name for unit in UNITS.glob("*.service")} == set(EXPOSURE)
