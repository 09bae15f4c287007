"""The daemon as it runs: a real process that gets ready, refuses a second one, drains on SIGTERM, outlives kills."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from custody.daemon.founding import found
from custody.journal.reader import JournalReader
from custody.settings import load
from custody.signing.keystore import Keystore
from custody.signing.log import SignerLog
from custody.signing.service import Service, open_socket
from custody.signing.signer import LOG, Signer
from tests.custody.flows.life import SEEDS
from tests.eventually import eventually
from tests.peers.daemonhome import Home, a_home
from tools.sources import ROOT

COMMAND = [sys.executable, "-c", "from custody.custodyd import main; main()"]
DEADLINE = 60.0


@asynccontextmanager
async def a_signer(home: Home) -> AsyncIterator[Signer]:
    """The real signer behind its socket, in this process."""
    folder = home.folder / "signer"
    folder.mkdir()
    SignerLog.create(folder / LOG)
    signer = Signer(folder, Keystore(SEEDS), key="signer", clock=lambda: time.time_ns() // 1_000_000)
    service = Service(signer, frozenset((os.getuid(),)))
    await service.start(open_socket(home.folder / "s"))
    try:
        yield signer
    finally:
        await service.stop()
        signer.close()


class Daemon:
    """One `custodyd` process."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        log = (self.home.folder / "custodyd.log").open("ab")
        self.process = await asyncio.create_subprocess_exec(
            *COMMAND, "run", "--config", str(self.home.config), cwd=ROOT, stdout=log, stderr=log
        )
        log.close()

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            return await self.process.wait()

    def log(self) -> str:
        return (self.home.folder / "custodyd.log").read_text()


async def once(home: Home, *arguments: str) -> tuple[int, str, str]:
    """Run a command to its end: code, output, errors."""
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        *arguments,
        "--config",
        str(home.config),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(DEADLINE):
        out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def ready(session: aiohttp.ClientSession, port: int) -> bool:
    try:
        async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


def height(journal: Path) -> int:
    reader = JournalReader.open(journal)
    try:
        return reader.height()
    finally:
        reader.close()


async def test_a_life_of_the_daemon() -> None:
    async with a_home(block_time=1) as home, a_signer(home), aiohttp.ClientSession() as session:
        home.identify_signer()
        port = free_port()
        home.write(port=port)
        await found(load(home.config), home.people)
        journal = home.folder / "data" / "journal.db"
        daemon = Daemon(home)
        await daemon.start()
        try:
            await eventually(lambda: ready(session, port), DEADLINE, "the daemon is ready")
            # A second one is refused by the first one's lock, and changes nothing.
            code, _, err = await once(home, "run")
            assert (code, "journal_locked" in err) == (3, True), err
            # kill -9, and again: it comes up on what was durable.
            for _ in range(2):
                before = height(journal)
                assert await daemon.end(signal.SIGKILL) == -signal.SIGKILL
                await daemon.start()
                await eventually(lambda: ready(session, port), DEADLINE, "the daemon is ready again")
                assert height(journal) >= before
            # SIGTERM ends it within its drain, with 0 and a word.
            assert await daemon.end(signal.SIGTERM) == 0, daemon.log()[-2000:]
            words = [json.loads(line)["event"] for line in daemon.log().splitlines() if line.startswith("{")]
            assert words[-2:] == ["stopping", "stopped"]
            # The way back from a restore has nothing to do here, and says so.
            code, out, err = await once(home, "rejoin")
            assert (code, "share one history" in out) == (0, True), err
            # Where somebody else listens it does not serve, and does not hang.
            with socket.socket() as taken:
                taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                taken.bind(("127.0.0.1", port))
                taken.listen()
                code, _, err = await once(home, "run")
            assert (code, f"127.0.0.1:{port}" in err) == (1, True), err
        finally:
            if daemon.process is not None and daemon.process.returncode is None:
                daemon.process.kill()
                await daemon.process.wait()
