"""System tools that some tests need: skipped by name where one is absent, a failure where CI promised all of them."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

from tools.node import Node, find_node

REMEDIES = {
    "strace": "apt-get install strace",
    "systemd-analyze": "apt-get install systemd",
    "promtool": "apt-get install prometheus",
}


def require_tool(name: str, path: Path | None = None) -> Path:
    """The tool's executable: at `path` where the caller knows its place, else on PATH.

    Absent: skips the test, naming the tool and what installs it; fails it when the environment says REQUIRE_TOOLS=1.
    """
    found = path if path is not None else _on_path(name)
    if found is None or not found.is_file() or not os.access(found, os.X_OK):
        _absent(f"{name} is not installed: {REMEDIES.get(name, 'make setup')}")
    return found


def require_node() -> Node:
    """The node that the set-up chose, with `node_modules` in place; absent, as `require_tool`."""
    node = find_node()
    if node is None:
        _absent("node is not installed: make setup")
    return node


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return None if found is None else Path(found)


def _absent(sentence: str) -> NoReturn:
    if os.environ.get("REQUIRE_TOOLS") == "1":
        pytest.fail(sentence)
    pytest.skip(sentence)
