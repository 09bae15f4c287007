"""The urgent commands load nothing they don't need: measured by what is imported, not by a clock."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from custody.views.facts import ChainFacts
from tests.custody.api.rig import ETH, a_world, health, serving_operators

HEAVY = ("aiohttp", "web3", "solders", "rich", "msgspec", "pydantic", "structlog", "apsw", "custody.ledger")

LOADED = """
import sys
from custody.custodyctl import main
try:
    main(sys.argv[1:])
except SystemExit as exc:
    assert not exc.code, exc.code
print(*sorted(sys.modules))
"""


def loaded(*words: str) -> set[str]:
    """All modules that a process has loaded when it has done what the words say."""
    command = [sys.executable, "-c", LOADED, *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_importing_the_command_line_loads_click_and_little_else() -> None:
    source = "import sys, custody.custodyctl; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=60, check=True)
    modules = set(done.stdout.split())
    assert "click" in modules
    assert modules.isdisjoint((*HEAVY, "http.client", "asyncio"))


@pytest.mark.parametrize(
    "words",
    [
        ("pause", "--reason", "x"),
        ("brake", "--reason", "x"),
        ("providers", "cordon", "first", "--reason", "x"),
        ("-o", "json", "status"),
        ("-o", "json", "holds"),
        ("-o", "json", "providers"),
    ],
    ids=lambda words: " ".join(words),
)
async def test_the_urgent_commands_load_only_the_standard_library(tmp_path: Path, words: tuple[str, ...]) -> None:
    async with a_world(tmp_path) as world, serving_operators(world, tmp_path) as socket:
        world.outside[ETH] = ChainFacts(chain=ETH, providers=(health("first"),))
        before = world.replica.height
        modules = await asyncio.to_thread(loaded, "--socket", str(socket), *words)
        assert modules.isdisjoint((*HEAVY, "asyncio"))
        assert (world.replica.height > before) is ("--reason" in words)
