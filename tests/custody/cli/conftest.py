"""The command line against the real operators' API on a unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from custody.envelope.keyfile import create_key_file
from tests.custody.api.rig import KEYS, World, a_world, serving_operators
from tests.custody.cli.rig import Ctl


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


@pytest.fixture
async def ctl(world: World, tmp_path: Path) -> AsyncIterator[Ctl]:
    key = tmp_path / "operator.json"
    create_key_file(key, KEYS["operator"])
    async with serving_operators(world, tmp_path) as socket:
        yield Ctl(socket, key)
