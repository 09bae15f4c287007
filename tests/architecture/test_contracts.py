"""Each import contract is seen to break when it is broken: a violation is planted in a skeleton of the rooms.

The skeleton has the real contracts and empty modules, so that a planted line is the only thing wrong with it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tools.sources import ROOT

TWINS = ("codec", "finality", "rpc", "watcher", "composer", "broadcaster", "adapter")
POOL = ("calls", "classify", "limiter", "concurrency", "breaker", "queue", "selection", "transport", "recorded", "pool")
MODULES = (
    *(f"chains.{name}" for name in ("observations", "ports", "errors", "witnesses", "sightings", "hearing")),
    *(f"chains.pool.{name}" for name in POOL),
    *(f"chains.{chain}.{name}" for chain in ("evm", "solana") for name in TWINS),
    "chains.evm.facts",
    "chains.evm.spans",
    "chains.devnet.local",
    "custody.envelope.ed25519",
    "custody.envelope.errors",
    "custody.ledger.transition",
    "custody.policy.verdict",
    "custody.wallets.book",
    "custody.pausing.machine",
    "custody.journal.log",
    "custody.signing.permit",
    "custody.flows.withdrawals",
    "custody.client.client",
    "custody.daemon.compose",
    "custody.custodyctl",
    "custody.cli.paying",
    "custody.settings",
)

PLANTED = {
    "chains imports custody": ("chains.evm.adapter", "custody.settings", "chains-apart"),
    "one chain imports the other": ("chains.evm.rpc", "chains.solana.rpc", "evm-apart"),
    "the other imports the one": ("chains.solana.watcher", "chains.evm.codec", "solana-apart"),
    "the pool knows a chain": ("chains.pool.pool", "chains.evm.codec", "pool-apart"),
    "a pool rule reads the clock": ("chains.pool.limiter", "time", "pure-pool"),
    "a pool rule does I/O by way of the shell": ("chains.pool.breaker", "chains.pool.transport", "pure-pool"),
    "a codec does I/O": ("chains.evm.codec", "aiohttp", "pure-chains"),
    "a composer does I/O by way of its rpc": ("chains.solana.composer", "chains.solana.rpc", "pure-chains"),
    "finality uses a library nobody listed": ("chains.evm.finality", "numpy", "pure-chains"),
    "the ledger uses the environment": ("custody.ledger.transition", "os", "pure-ledger"),
    "the ledger makes a number by chance": ("custody.ledger.transition", "secrets", "pure-ledger"),
    "the ledger stores": ("custody.ledger.transition", "apsw", "pure-ledger"),
    "the ledger imports another room": ("custody.ledger.transition", "custody.journal.log", "pure-ledger"),
    "the policy logs": ("custody.policy.verdict", "structlog", "pure-ledger"),
    "the wallet book knows a chain": ("custody.wallets.book", "chains.ports", "pure-ledger"),
    "the rules of pausing read the clock": ("custody.pausing.machine", "time", "pure-pausing"),
    "the rules of pausing look at the pool": ("custody.pausing.machine", "chains.pool.pool", "pure-pausing"),
    "the signer talks": ("custody.signing.permit", "aiohttp", "signer-silent"),
    "the signer knows providers": ("custody.signing.permit", "chains.pool.calls", "signer-silent"),
    "the CLI reaches keys": ("custody.custodyctl", "custody.signing.permit", "keys-out-of-reach"),
    "the client reaches keys": ("custody.client.client", "custody.signing.permit", "keys-out-of-reach"),
    "a flow names an adapter": ("custody.flows.withdrawals", "chains.evm.adapter", "one-composition"),
    "a shipped room rehearses": ("custody.daemon.compose", "chains.devnet.local", "rehearsals-apart"),
}

BY_A_DETOUR = {
    "the signer talks through a neighbour": (
        ("custody.signing.permit", "custody.journal.log"),
        ("custody.journal.log", "urllib.request"),
        "signer-silent",
    ),
    "the CLI reaches keys through a neighbour": (
        ("custody.custodyctl", "custody.settings"),
        ("custody.settings", "custody.signing.permit"),
        "keys-out-of-reach",
    ),
}

ALLOWED = (
    ("custody.daemon.compose", "chains.evm.adapter"),
    ("custody.signing.permit", "chains.solana.composer"),
    ("custody.ledger.transition", "custody.policy.verdict"),
    ("custody.ledger.transition", "hashlib"),
    ("custody.flows.withdrawals", "chains.ports"),
    ("chains.evm.composer", "eth_abi"),
    ("chains.devnet.local", "chains.evm.codec"),
)


def contracts() -> dict[str, str]:
    """Contract id → name, of all contracts of the project."""
    options = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return {contract["id"]: contract["name"] for contract in options["tool"]["importlinter"]["contracts"]}


def skeleton(root: Path, *imports: tuple[str, str]) -> Path:
    """The rooms as empty modules, with the given imports (importer, imported) planted in them."""
    (root / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text(encoding="utf-8"), encoding="utf-8")
    for module in MODULES:
        path = root / f"{module.replace('.', '/')}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        for folder in (path.parent, path.parent.parent):
            if folder != root:
                (folder / "__init__.py").touch()
    for importer, imported in imports:
        assert importer in MODULES
        with (root / f"{importer.replace('.', '/')}.py").open("a", encoding="utf-8") as file:
            file.write(f"import {imported}\n")
    return root


def broken(root: Path) -> set[str]:
    """The ids of the contracts that import-linter calls broken; all must have been judged."""
    linter = (sys.executable, "-c", "from importlinter.cli import lint_imports_command as main; main()", "--no-cache")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
    done = subprocess.run(linter, cwd=root, env=environment, capture_output=True, text=True, timeout=60, check=False)
    lines = done.stdout.splitlines()
    verdicts = {
        word: {i for i, name in contracts().items() if any(line.startswith(f"{name} {word}") for line in lines)}
        for word in ("KEPT", "BROKEN")
    }
    assert verdicts["KEPT"] | verdicts["BROKEN"] == contracts().keys(), done.stdout + done.stderr
    assert done.returncode == (1 if verdicts["BROKEN"] else 0)
    return verdicts["BROKEN"]


@pytest.mark.parametrize(("importer", "imported", "contract"), PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_import_breaks_its_contract(tmp_path: Path, importer: str, imported: str, contract: str) -> None:
    assert contract in broken(skeleton(tmp_path, (importer, imported)))


@pytest.mark.parametrize(("first", "second", "contract"), BY_A_DETOUR.values(), ids=BY_A_DETOUR.keys())
def test_a_detour_breaks_it_too(tmp_path: Path, first: tuple[str, str], second: tuple[str, str], contract: str) -> None:
    assert contract in broken(skeleton(tmp_path, first, second))


def test_what_the_design_allows_breaks_nothing(tmp_path: Path) -> None:
    assert broken(skeleton(tmp_path, *ALLOWED)) == set()


def test_a_room_that_was_renamed_breaks_its_contract(tmp_path: Path) -> None:
    root = skeleton(tmp_path)
    (root / "chains/evm").rename(root / "chains/ethereum")
    assert "evm-apart" in broken(root)


def test_every_contract_has_a_planted_violation() -> None:
    assert {contract for _, _, contract in PLANTED.values()} == contracts().keys()


def test_the_project_keeps_its_contracts() -> None:
    assert broken(ROOT) == set()
