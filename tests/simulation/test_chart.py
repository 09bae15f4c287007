"""The picture: well-formed, each model once, and no two labels at the end of the lines on one another."""

from __future__ import annotations

from itertools import combinations
from xml.etree import ElementTree as ET

import pytest

from tools.bench.chart import APART, THEIRS, Panel, chart

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("theirs", [0.0, 0.9, 0.94, 0.95, 1.0])
def test_it_is_drawn_whole_and_legible(theirs: float) -> None:
    loads = (1.0, 2.0, 10.0)
    panels = [
        Panel(title, "how", [(load, 0.94) for load in loads], [(load, theirs) for load in loads])
        for title in ("One", "Two")
    ]
    root = ET.fromstring(chart(panels))
    texts = root.findall(f"{SVG}text")
    assert [text.text for text in texts].count("One") == 1
    ends = [
        (float(text.get("x", "")), float(text.get("y", ""))) for text in texts if text.text in {"94%", f"{theirs:.0%}"}
    ]
    for (x, y), (other_x, other_y) in combinations([end for end in ends if end[0] > 200.0], 2):
        assert abs(x - other_x) > APART or abs(y - other_y) >= APART - 0.2
    lines = [line for line in root.findall(f"{SVG}polyline") if line.get("stroke") == THEIRS]
    assert len(lines) == len(panels) + 1, "and one in the legend"
    width, height = float(root.get("width", "")), float(root.get("height", ""))
    for circle in root.findall(f"{SVG}circle"):
        assert 0.0 < float(circle.get("cx", "")) < width
        assert 0.0 < float(circle.get("cy", "")) < height
