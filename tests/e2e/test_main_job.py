"""The whole main job, as `make demo` tells it: real chains, real processes, two kills, every amount to the unit."""

from __future__ import annotations

import json
from pathlib import Path

from tests.tools import require_node
from tools.demo.paper import Paper
from tools.demo.stage import Stage
from tools.demo.story import Story


async def test_the_story_ends_with_every_amount_exactly_right(tmp_path: Path) -> None:
    require_node()
    paper = Paper()
    async with Stage() as stage:
        story = Story(stage, paper)
        await story.tell()
    # The story raises where an amount is wrong; what remains to be seen here is that it told all of it.
    paper.write(tmp_path / "demo.json", {"right": True})
    told = json.loads((tmp_path / "demo.json").read_text())
    assert [step["table"] for step in told["steps"]][-1] == "what it cost the house"
    assert len(story.withdrawals) == 8
