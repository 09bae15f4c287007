"""`python -m chains.devnet.faults` as an operator starts it: its lines, its endpoints, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import msgspec

from chains.devnet.solana.chain import SolanaDevnet
from chains.devnet.solana.settings import Settings

DEADLINE = 30.0
"""Seconds for a start-up on a busy machine; it takes half of one."""

SCRIPT = """
[[steps]]
at = 0
fault = "wrong_chain"
note = "the wrong network"

[[steps]]
at = 86400
fault = "black_hole"
"""


async def ask(url: str, body: object) -> Any:
    async with aiohttp.request("POST", url, data=msgspec.json.encode(body)) as answer:
        return msgspec.json.decode(await answer.read())


async def test_a_rehearsal_from_the_first_line_to_the_signal(tmp_path: Path) -> None:
    script = tmp_path / "outage.toml"
    script.write_text(SCRIPT)
    genesis = {"jsonrpc": "2.0", "id": 1, "method": "getGenesisHash", "params": []}
    async with SolanaDevnet(Settings(manual=True)) as chain, asyncio.timeout(DEADLINE):
        program = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chains.devnet.faults", "--script", str(script)),
            stdout=asyncio.subprocess.PIPE,
            env=os.environ | {"FAULTS_UPSTREAM": chain.url + "/secret-key"},
        )
        try:
            assert program.stdout is not None
            said, step = [msgspec.json.decode(await program.stdout.readline()) for _ in range(2)]
            assert said["url"].startswith("http://127.0.0.1:")
            assert (said["control"], said["script"]) == (said["url"] + "_fault", said["url"] + "_script")
            assert step == {"at": 0.0, "fault": "wrong_chain", "note": "the wrong network"}
            assert (await ask(said["url"], genesis))["result"] != chain.genesis_hash
            assert (await ask(said["control"], {"fault": "none"}))["fault"] == {"fault": "none"}
            assert (await ask(said["url"], genesis))["result"] == chain.genesis_hash
            program.send_signal(signal.SIGTERM)
            rest, _ = await program.communicate()
            assert (program.returncode, rest) == (0, b"")
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()
