"""The stage: two local chains, two providers each behind fault proxies, and the two processes whose story it is.

Everything binds to loopback at ports of the system's choosing and lives in one folder that goes away at the end.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from chains.devnet.anvil import Anvil
from chains.devnet.faultproxy import FaultProxy
from chains.devnet.solana.chain import SolanaDevnet
from chains.devnet.solana.settings import Settings as SolanaDevnetSettings
from tools.demo.waiting import eventually

SPL_TOKEN = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"  # noqa: S105  # a program's address, no password
START_SECONDS = 60.0
STOP_SECONDS = 40.0


class Failed(Exception):
    """A process of the story did not do what the story needs; its log's end is in the message."""


def command(name: str) -> str:
    """A console script of ours, as the set-up installed it."""
    return str(Path(sys.executable).with_name(name))


class Program:
    """One process of ours with its log in a file."""

    def __init__(self, name: str, command: list[str], log: Path) -> None:
        self.name = name
        self._command = command
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, unless it runs; whether it is up is for its user to see."""
        if self.running:
            return
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def kill(self) -> None:
        """SIGKILL, as a power cut would."""
        await self._end(signal.SIGKILL)

    async def stop(self) -> None:
        """SIGTERM and wait for the drain."""
        await self._end(signal.SIGTERM)

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.returncode is None

    def tail(self) -> str:
        """The end of its log."""
        return self._log.read_text(errors="replace")[-3000:] if self._log.exists() else ""

    async def _end(self, number: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


class Stage:
    """Made by `async with Stage() as stage`; `build` puts up the chains, `found` makes keys and ledger."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="custody-demo-"))
        self.keys = self.folder / "people"
        self.anvil = Anvil(block_time=1)
        self.solana = SolanaDevnet(SolanaDevnetSettings(slot_ms=100, finalized_depth=16, skip_every=13, first_slot=50))
        self.proxies: dict[str, list[FaultProxy]] = {}
        self.usdc_ethereum = ""
        self.usdc_solana = ""
        self.ledger = ""
        self.signer = Program(
            "custody-signer",
            [command("custody-signer"), "run", "--config", str(self.folder / "signer.toml")],
            self.folder / "signer.log",
        )
        self.daemon = Program(
            "custodyd",
            [command("custodyd"), "run", "--config", str(self.folder / "custody.toml")],
            self.folder / "custodyd.log",
        )
        self.api = ""

    async def __aenter__(self) -> Stage:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.daemon.stop()
        await self.signer.stop()
        await self._stack.aclose()
        if not os.environ.get("KEEP_FILES"):
            shutil.rmtree(self.folder, ignore_errors=True)

    async def build(self) -> None:
        """Chains, tokens, proxies, configuration."""
        await self._stack.enter_async_context(self.anvil)
        await self._stack.enter_async_context(self.solana)
        self.usdc_ethereum = await self.anvil.deploy_token("USDC", 6)
        self.usdc_solana = await self.solana.create_mint(6)
        for chain, url in (("ethereum", self.anvil.url), ("solana", self.solana.url)):
            self.proxies[chain] = [await self._stack.enter_async_context(FaultProxy(url)) for _ in range(2)]
        self._configure()

    def _configure(self) -> None:
        listen = _free_port()
        self.api = f"http://127.0.0.1:{listen}"
        write = self._write
        write("custody.toml", _DAEMON.format(folder=self.folder, port=listen))
        write("ethereum.toml", _ETHEREUM.format(**self._urls("ethereum"), identity=self.anvil.chain_id))
        write("solana.toml", _SOLANA.format(**self._urls("solana"), identity=self.solana.genesis_hash))
        write("assets.toml", _ASSETS.format(evm=self.usdc_ethereum, mint=self.usdc_solana, program=SPL_TOKEN))
        write("policy.toml", _POLICY)
        write("signer.toml", _SIGNER.format(ledger=""))
        self._write("passphrase", secrets.token_hex(16))

    def _urls(self, chain: str) -> Mapping[str, str]:
        first, second = self.proxies[chain]
        return {"first": first.url, "second": second.url}

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(text)

    async def found(self) -> None:
        """`custody-signer init`, then `custodyd init`: keys, and block 0."""
        await self._once("custody-signer", "init", "--config", str(self.folder / "signer.toml"))
        told = await self._once(
            "custodyd", "init", "--config", str(self.folder / "custody.toml"), "--keys", str(self.keys)
        )
        self.ledger = told.split()[1]
        # From now on the signer believes no other ledger.
        self._write("signer.toml", _SIGNER.format(ledger=f'ledger = "{self.ledger}"'))

    async def start(self) -> None:
        """Both processes, until the daemon says that it is ready."""
        await self.signer.start()
        await self.daemon.start()
        await eventually(self._ready, START_SECONDS, "the daemon is ready")

    async def _ready(self) -> bool:
        for program in (self.signer, self.daemon):
            if not program.running:
                raise Failed(f"{program.name} ended by itself:\n{program.tail()}")
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2)) as session,
                session.get(f"{self.api}/readyz") as response,
            ):
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _once(self, name: str, *arguments: str) -> str:
        process = await asyncio.create_subprocess_exec(
            command(name), *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        async with asyncio.timeout(START_SECONDS):
            out, err = await process.communicate()
        if process.returncode:
            raise Failed(f"{name} {arguments[0]} ended with {process.returncode}: {err.decode()}")
        return out.decode()

    async def ctl(self, *arguments: str) -> dict[str, object]:
        """`custodyctl -o json …` as an operator would call it; raises `Failed` on another exit code than 0."""
        common = ["-o", "json", "--socket", str(self.folder / "admin.sock"), "--yes"]
        told = await self._once("custodyctl", *common, "--key", str(self.keys / "operator.json"), *arguments)
        answer = json.loads(told)
        assert isinstance(answer, dict)
        return answer


def _free_port() -> int:
    """A port that was free a moment ago; the daemon binds it at its start."""
    import socket  # lazy: one call

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_DAEMON = """
name = "custody demo"
data = "{folder}/data"
admin_socket = "{folder}/admin.sock"
signer_socket = "{folder}/signer.sock"
signer_identity = "{folder}/signer.pub.json"
listen = "127.0.0.1:{port}"
chains = ["ethereum.toml", "solana.toml"]
assets = "assets.toml"
policy = "policy.toml"
drain_seconds = 20.0
"""

_PROVIDERS = """
[[providers]]
name = "first"
url = "{first}"
requests_per_second = 500.0
timeout_seconds = 3.0

[[providers]]
name = "second"
url = "{second}"
requests_per_second = 500.0
timeout_seconds = 3.0

[pool]
open_seconds = 1.0
open_cap_seconds = 4.0

[pause]
poll_seconds = 0.25
survey_seconds = 1.0
canary_seconds = 0.5
grace_seconds = 2.0
sick_seconds = 2.0
drain_seconds = 3.0
hold_seconds = 3.0
flap_seconds = 5.0
window_seconds = 1.0
windows = 2
finality_seconds = 60.0
head_seconds = 60.0
ramp_seconds = 0.5
backfill_seconds = 1.0
stagger_seconds = 0.5
"""

_ETHEREUM = (
    """
chain = "ethereum"
family = "evm"
identity = "{identity}"
"""
    + _PROVIDERS
    + """
[evm]
max_fee = "200000000000"
max_tip = "3000000000"

[watch]
poll_seconds = 0.3
backoff_cap_seconds = 1.0

[payouts]
poll_seconds = 0.3
reserve = "10000000000000000"

[sweeps]
poll_seconds = 2.0
minimum = {{ USDC = "1000000", ETH = "100000000000000000" }}
"""
)

_SOLANA = (
    """
chain = "solana"
family = "solana"
identity = "{identity}"
"""
    + _PROVIDERS
    + """
[solana]
price_cap = 1000000

[watch]
poll_seconds = 0.3
backoff_cap_seconds = 1.0

[payouts]
poll_seconds = 0.3
reserve = "10000000"
rent_cap = "3000000"

[sweeps]
poll_seconds = 2.0
minimum = {{ USDC = "1000000", SOL = "100000000" }}
"""
)

_ASSETS = """
[[assets]]
asset = "ETH"
representations = [{{ chain = "ethereum", token = "native", decimals = 18, minimum = "1000000000000000" }}]

[[assets]]
asset = "SOL"
representations = [{{ chain = "solana", token = "native", decimals = 9, minimum = "10000000" }}]

[[assets]]
asset = "USDC"
representations = [
  {{ chain = "ethereum", token = "{evm}", decimals = 6, minimum = "1000000" }},
  {{ chain = "solana", token = "{mint}", decimals = 6, minimum = "1000000", program = "{program}" }},
]
"""

_POLICY = """
parameters = [
  { name = "approval_above", scope = "USDC", value = "5000000000" },
  { name = "limit_per_transaction", scope = "USDC", value = "20000000000" },
  { name = "fee_cap", scope = "ethereum", value = "100000000000000000" },
  { name = "fee_cap", scope = "solana", value = "10000000" },
  { name = "attempts", scope = "solana", value = "2" },
  { name = "death_quorum", scope = "solana", value = "2" },
]
"""

_SIGNER = """
directory = "signer"
keystore = "keystore"
passphrase = "passphrase"
public = "signer.pub.json"
socket = "signer.sock"
{ledger}
"""
