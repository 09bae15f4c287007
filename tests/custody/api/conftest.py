"""A furnished world and a client of its API, for every test of this folder."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio

from tests.custody.api.asking import Asker
from tests.custody.api.rig import World, a_world, serving_clients


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with a_world(tmp_path) as world:
        yield world


@pytest.fixture
async def ask(world: World) -> AsyncIterator[Asker]:
    async with serving_clients(world) as base, aiohttp.ClientSession() as session:
        yield Asker(base, world, session)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still_world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    """One world for many tests that leave it as it is. They run with `loop_scope="module"`."""
    async with a_world(tmp_path_factory.mktemp("still")) as world:
        yield world


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def still(still_world: World) -> AsyncIterator[Asker]:
    async with serving_clients(still_world) as base, aiohttp.ClientSession() as session:
        yield Asker(base, still_world, session)
