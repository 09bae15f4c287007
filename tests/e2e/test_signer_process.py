"""The signer as it runs: a real process, encrypted keys, a unix socket, and `kill -9` at the worst moments."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path

import apsw
import msgspec
import pytest

from custody.envelope.envelopes import Envelope
from custody.ledger import encoding
from custody.ledger import transactions as tx
from custody.signing import protocol
from custody.signing.client import SignerClient, SignerRefused, SignerUnreachable
from custody.signing.keystore import Keystore, read_passphrase
from custody.signing.protocol import Entry, Sign, Standing
from tests.custody.ledgers import EVM, SOL, Ledger, funded
from tests.custody.signing.desks import prepare
from tests.eventually import eventually, eventually_sync
from tools.sources import ROOT

COMMAND = [sys.executable, "-c", "from custody.signing.custodysigner import main; main()"]
DEADLINE = 60.0


class Home:
    """A signer's configuration and directory, made by `init`."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.config = folder / "signer.toml"
        self.socket = folder / "s"
        self.config.write_text(
            'directory = "state"\nkeystore = "keys"\npassphrase = "passphrase"\npublic = "signer.pub.json"\n'
            'socket = "s"\nwork_factor = 16384\n'
        )

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *arguments, "--config", str(self.config)]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=DEADLINE, check=False)

    def keystore(self) -> Keystore:
        """The very keys of the process, so that the test's ledger can name their addresses."""
        return Keystore.open(self.folder / "keys", read_passphrase(self.folder / "passphrase"))

    @contextmanager
    def running(self, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
        """The process; whatever becomes of it, it is gone afterwards."""
        out = (self.folder / "out").open("a")
        command = [*COMMAND, "run", "--config", str(self.config)]
        process = subprocess.Popen(command, stdout=out, stderr=out, text=True, cwd=ROOT, env=environment)
        try:
            yield process
        finally:
            process.kill()
            process.wait(DEADLINE)
            out.close()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[SignerClient]:
        """A client that has been answered."""
        client = SignerClient(self.socket)

        async def answered() -> Standing | None:
            try:
                return await client.hello()
            except SignerUnreachable:
                return None

        await eventually(answered, DEADLINE, "the signer answers")
        try:
            yield client
        finally:
            await client.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Fresh from `init`, which takes some scrypts; only ever copied."""
    home = Home(tmp_path_factory.mktemp("signer") / "home")
    done = home.call("init", "--generate-passphrase")
    assert (done.returncode, done.stderr) == (0, "")
    return home


@pytest.fixture
def home(made: Home, tmp_path: Path) -> Home:
    """A copy that a test may run and damage."""
    shutil.copytree(made.folder, tmp_path / "home")
    return Home(tmp_path / "home")


def present(home: Home) -> Ledger:
    """Blocks of twenty seconds from now, which the signer takes: so that a slow machine does not make its tip stale."""
    return funded(home.keystore(), now=time.time_ns() // 1_000_000 + 20_000)


def raw_of(envelope: Envelope) -> str:
    said = encoding.decode(envelope.payload)
    assert isinstance(said, tx.AttemptSigned)
    return said.raw


async def test_from_init_to_a_signature_and_a_clean_end(home: Home) -> None:
    identity = json.loads((home.folder / "signer.pub.json").read_text())
    assert identity == {"key": "signer", "public": home.keystore().identity.hex()}
    ledger = present(home)
    attempts = [prepare(ledger, name) for name in ("w-eth", "w-spl")]
    with home.running() as process:
        async with home.client() as client:
            assert (await client.hello()).public == identity["public"]
            await client.extend(ledger.blobs)
            for attempt in attempts:
                assert ledger.submit(await client.sign(attempt)).code == "ok"
            assert ledger.submit(await client.attest(SOL, "gas", "", 1)).code == "ok"
            process.send_signal(signal.SIGTERM)
            assert process.wait(DEADLINE) == 0
    assert not home.socket.exists()
    lines = [json.loads(line) for line in (home.folder / "out").read_text().splitlines()]
    events = [line["event"] for line in lines]
    assert [event for event in events if event != "signer_not_closed"][-5:] == [
        "signer_started",
        "signer_signed",
        "signer_signed",
        "signer_attested",
        "signer_stopped",
    ]
    told = (home.folder / "out").read_text()
    assert (home.folder / "passphrase").read_text().strip() not in told


async def test_killed_between_the_log_and_the_answer_it_gives_the_same_bytes(home: Home) -> None:
    """The request is sent and its answer never read; as soon as the log has it, the process is killed."""
    ledger = present(home)
    attempts = [prepare(ledger, name) for name in ("w-eth", "w-sol")]
    kept: dict[str, str | None] = {}

    async def look(attempt: str) -> str | None:
        return logged(home.folder / "state" / "signed.db", attempt)

    for attempt in attempts:
        with home.running() as process:
            async with home.client() as client:
                await client.extend(ledger.blobs)
            with socket.socket(socket.AF_UNIX) as line:
                line.connect(str(home.socket))
                line.sendall(protocol.frame(Sign(attempt=attempt)))
                kept[attempt] = await eventually(partial(look, attempt), DEADLINE, "the log has it")
                process.kill()
                process.wait(DEADLINE)
    with home.running():
        async with home.client() as client:
            await client.extend(ledger.blobs)
            for attempt in attempts:
                assert raw_of(await client.sign(attempt)) == kept[attempt]
            assert [entry.attempt for entry in (await client.log()).entries] == attempts


async def test_killed_it_remembers_its_history_and_refuses_another(home: Home) -> None:
    ledger = present(home)
    attempt = prepare(ledger)
    with home.running() as process:
        async with home.client() as client:
            tip = await client.extend(ledger.blobs)
            raw = raw_of(await client.sign(attempt))
            process.kill()
            process.wait(DEADLINE)
    put_back = funded(home.keystore(), now=ledger.now)
    put_back.withdraw("w-other", "alice", "ETH", EVM, 5)
    with home.running():
        async with home.client() as client:
            hello = await client.hello()
            assert (hello.height, hello.hash) == (tip.height, tip.hash)
            with pytest.raises(SignerRefused) as caught:
                await client.extend(put_back.blobs)
            assert (caught.value.code, caught.value.hash) == ("divergence", tip.hash)
            assert raw_of(await client.sign(attempt)) == raw
            await client.brake(True, reason="a fork", actor="test")
    with home.running():
        async with home.client() as client:
            with pytest.raises(SignerRefused, match="brake"):
                await client.sign(attempt)


def test_one_directory_has_one_signer(home: Home) -> None:
    with home.running():
        eventually_sync(home.socket.exists, DEADLINE, "the signer listens")
        done = home.call("run")
        assert done.returncode == 1
        assert "journal_locked" in done.stderr
        assert home.socket.exists()


def test_systemd_is_told(home: Home) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(home.folder / "notify"))
        manager.settimeout(DEADLINE)
        environment = {"NOTIFY_SOCKET": str(home.folder / "notify"), "WATCHDOG_USEC": "100000"}
        with home.running(environment) as process:
            assert [manager.recv(99) for _ in range(3)] == [b"READY=1", b"WATCHDOG=1", b"WATCHDOG=1"]
            process.send_signal(signal.SIGTERM)
            heard = eventually_sync(lambda: manager.recv(99) == b"STOPPING=1", DEADLINE, "it says that it stops")
            assert heard
            assert process.wait(DEADLINE) == 0


def test_init_again_changes_nothing(home: Home) -> None:
    before = {path: path.read_bytes() for path in sorted(home.folder.rglob("*.json"))}
    assert home.call("init", "--generate-passphrase").returncode == 0
    assert {path: path.read_bytes() for path in before} == before


def test_a_lost_log_is_not_replaced_by_an_empty_one(home: Home) -> None:
    (home.folder / "state" / "signed.db").unlink()
    for command in ("init", "run"):
        done = home.call(command)
        assert done.returncode == 1
        assert "signed.db" in done.stderr
        assert "Traceback" not in done.stderr
    assert not (home.folder / "state" / "signed.db").exists()


def test_a_wrong_passphrase_opens_nothing(home: Home) -> None:
    place = home.folder / "passphrase"
    right = place.read_bytes()
    place.write_bytes(b"wrong")
    try:
        done = home.call("run")
    finally:
        place.write_bytes(right)
    assert done.returncode == 1
    assert "keystore_passphrase_wrong" in done.stderr
    assert "Traceback" not in done.stderr


def logged(path: Path, attempt: str) -> str | None:
    """The raw bytes in the log's file, read beside the running process; None while there are none."""
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        row = connection.execute("SELECT entry FROM signed WHERE attempt = ?", (attempt,)).fetchone()
    except apsw.BusyError:
        return None
    finally:
        connection.close()
    return None if row is None else msgspec.msgpack.decode(row[0], type=Entry).raw
