"""A configuration over two local chains that pass time by themselves, and the signer's identity beside it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from chains.devnet.anvil import Anvil
from chains.devnet.solana.chain import SolanaDevnet
from chains.devnet.solana.settings import Settings
from custody.signing.keystore import Keystore
from tests.contract.rig_evm import require_anvil
from tests.custody.flows.life import SEEDS
from tests.eventually import eventually

_SLOTS = Settings(slot_ms=50, finalized_depth=4)

_DAEMON = """
name = "a test"
data = "data"
admin_socket = "a"
signer_socket = "{signer}"
signer_identity = "signer.pub.json"
listen = "127.0.0.1:{port}"
chains = ["ethereum.toml", "solana.toml"]
assets = "assets.toml"
policy = "policy.toml"
drain_seconds = 10.0
"""

_CHAIN = """
chain = "{chain}"
family = "{family}"
identity = "{identity}"

[[providers]]
name = "first"
url = "{url}"
requests_per_second = 500.0

[[providers]]
name = "second"
url = "{url}/?second"
requests_per_second = 500.0

[watch]
poll_seconds = 0.2
"""

_EVM = """
[evm]
max_fee = "200000000000"
max_tip = "3000000000"
"""

_SOLANA = """
[solana]
price_cap = 1000000

[payouts]
rent_cap = "3000000"
"""

_ASSETS = """
[[assets]]
asset = "ETH"
representations = [{{ chain = "ethereum", token = "native", decimals = 18 }}]

[[assets]]
asset = "SOL"
representations = [{{ chain = "solana", token = "native", decimals = 9 }}]

[[assets]]
asset = "USDC"
representations = [{{ chain = "ethereum", token = "{token}", decimals = 6 }}]
"""


class Home:
    """One daemon's files."""

    def __init__(self, folder: Path, anvil: Anvil, solana: SolanaDevnet, token: str) -> None:
        self.folder = folder
        self.anvil = anvil
        self.solana = solana
        self.token = token
        self.config = folder / "custody.toml"
        self.people = folder / "people"
        self.write()

    def write(self, *, port: int = 0, signer: str = "s", token: str = "") -> None:
        """All of the configuration; the port 0 is whichever is free."""
        files = {
            "custody.toml": _DAEMON.format(port=port, signer=signer),
            "ethereum.toml": _CHAIN.format(
                chain="ethereum", family="evm", identity=self.anvil.chain_id, url=self.anvil.url
            )
            + _EVM,
            "solana.toml": _CHAIN.format(
                chain="solana", family="solana", identity=self.solana.genesis_hash, url=self.solana.url
            )
            + _SOLANA,
            "assets.toml": _ASSETS.format(token=token or self.token),
            "policy.toml": "",
        }
        for name, text in files.items():
            (self.folder / name).write_text(text)

    def identify_signer(self, public: bytes | None = None) -> None:
        """What `custody-signer init` writes, for a test without that process."""
        key = public or Keystore(SEEDS).identity
        (self.folder / "signer.pub.json").write_text(json.dumps({"key": "signer", "public": key.hex()}))


@asynccontextmanager
async def a_home(*, block_time: int | None = None) -> AsyncIterator[Home]:
    """Two chains with something final on each; the EVM goes on by itself with a block time in seconds."""
    require_anvil()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(prefix="custody-", dir=memory if os.access(memory, os.W_OK) else None) as folder:
        async with Anvil(block_time=block_time) as anvil, SolanaDevnet(_SLOTS) as solana:
            token = await anvil.deploy_token("USDC", 6)
            await anvil.mine(5)

            async def final() -> bool:
                return solana.bank.tip.height > 2 + _SLOTS.finalized_depth

            await eventually(final, 30.0)
            yield Home(Path(folder), anvil, solana, token)
