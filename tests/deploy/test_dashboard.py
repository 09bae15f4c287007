"""The Grafana dashboard: classic JSON that any installation can import, showing only what the daemon exports."""

from __future__ import annotations

import json
import subprocess
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.exported import exported, faults
from tests.tools import require_tool

BOARD: dict[str, Any] = json.loads((Path(__file__).parents[2] / "deploy/grafana/custody.json").read_text())
PANELS: list[dict[str, Any]] = BOARD["panels"]
SHOWN = [(panel["title"], target["expr"]) for panel in PANELS for target in panel.get("targets", ())]
EXPORTED = exported()


@pytest.mark.parametrize(("title", "expression"), SHOWN)
def test_a_panel_asks_for_what_is_exported(title: str, expression: str) -> None:
    assert faults(expression, EXPORTED) == []


def test_every_expression_is_promql(tmp_path: Path) -> None:
    """Each as the expression of a recording rule, which is what promtool can judge without a server."""
    place = tmp_path / "panels.json"
    rules = [{"record": f"panel_{number}", "expr": expression} for number, (_, expression) in enumerate(SHOWN)]
    place.write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    words = [str(require_tool("promtool")), "check", "rules", str(place)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_everything_exported_is_shown() -> None:
    """A metric that nobody looks at is either missing here or not worth its series."""
    families = {name.removesuffix("_bucket") for name in EXPORTED if not name.endswith(("_sum", "_count"))}
    everything = "\n".join(expression for _, expression in SHOWN)
    assert [name for name in sorted(families) if name not in everything] == []


def test_it_can_be_imported_anywhere() -> None:
    assert BOARD["uid"] == "custody-overview"
    (source,) = BOARD["templating"]["list"]
    assert (source["type"], source["name"]) == ("datasource", "source")
    asked = [panel["datasource"]["uid"] for panel in PANELS if panel["type"] != "row"]
    asked += [target["datasource"]["uid"] for panel in PANELS for target in panel.get("targets", ())]
    assert set(asked) == {"${source}"}
    assert "id" not in BOARD, "an id is of one installation"


def test_panels_have_their_own_place() -> None:
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)
    for one, other in combinations(PANELS, 2):
        a, b = one["gridPos"], other["gridPos"]
        apart_x = a["x"] + a["w"] <= b["x"] or b["x"] + b["w"] <= a["x"]
        apart_y = a["y"] + a["h"] <= b["y"] or b["y"] + b["h"] <= a["y"]
        assert apart_x or apart_y, f"{one['title']} and {other['title']} overlap"
    assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in PANELS)
