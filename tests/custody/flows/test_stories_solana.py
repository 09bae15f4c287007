"""The stories of every chain, over the real Solana programs, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from tests.custody.flows import stories
from tests.custody.flows.fuse import PLACES
from tests.custody.flows.sides import Side, SolanaSide
from tests.virtualtime import run

Story = Callable[[Side], Coroutine[Any, Any, None]]


@pytest.mark.parametrize("story", stories.ALL, ids=lambda story: story.__name__)
def test_story(story: Story) -> None:
    run(story(SolanaSide()))


@pytest.mark.parametrize("place", PLACES)
def test_pays_once_whatever_dies(place: str) -> None:
    run(stories.pays_once_whatever_dies(SolanaSide(), place))
