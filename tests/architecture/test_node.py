"""The choice of node: a new enough one from PATH, the virtual environment's own in every other case."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tools.node import OLDEST, find_node


def install(folder: Path, version: str) -> None:
    """A node on PATH that says it is of this version, with its npm."""
    for name, says in (("node", version), ("npm", "11.0.0")):
        (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
        (folder / name).chmod(0o755)


def test_a_new_enough_node_on_path_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    install(tmp_path, f"v{OLDEST}.0.0")
    node = find_node()
    assert node is not None
    assert node.binary == tmp_path / "node"
    assert node.npm == (str(tmp_path / "npm"),)
    assert node.environment()["PATH"].startswith(str(tmp_path))


@pytest.mark.parametrize("version", [f"v{OLDEST - 1}.9.9", "nonsense", ""])
def test_an_unfit_node_on_path_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    install(tmp_path, version)
    node = find_node()
    assert node is not None
    assert tmp_path not in node.binary.parents


def test_a_node_without_npm_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    install(tmp_path, f"v{OLDEST}.0.0")
    (tmp_path / "npm").unlink()
    node = find_node()
    assert node is not None
    assert tmp_path not in node.binary.parents


def test_the_environments_own_node_is_a_binary_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    node = find_node()
    assert node is not None
    assert node.binary.read_bytes()[:4] == b"\x7fELF"
    said = subprocess.run([node.binary, "-p", "6 * 7"], capture_output=True, text=True, timeout=60, check=True)
    assert said.stdout == "42\n"
    assert Path(node.npm[1]).is_file()
