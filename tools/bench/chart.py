"""The one picture of the overload experiment: goodput against offered load, ours and the usual way, drawn by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

WIDTH, HEIGHT = 200, 150
GAP, LEFT, TOP = 28, 44, 56
OURS, THEIRS, INK, FAINT = "#0a7d5a", "#c2410c", "#444444", "#dddddd"
MARKS = (1.0, 2.0, 5.0, 10.0)
"""Loads that are named on the axis, which is logarithmic."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One model: (load, goodput) points, by load."""

    title: str
    ours: Sequence[tuple[float, float]]
    baseline: Sequence[tuple[float, float]]


def chart(panels: Sequence[Panel]) -> str:
    """The SVG's text: the panels side by side on one scale."""
    width = LEFT + len(panels) * (WIDTH + GAP)
    height = TOP + HEIGHT + 44
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="sans-serif" font-size="11">'
        ),
        f'<rect width="{width}" height="{height}" fill="white"/>',
        _text(LEFT, 18, "Useful answers in time, as a part of the provider's true capacity", size=13),
        _line([(LEFT, 32), (LEFT + 24, 32)], OURS),
        _text(LEFT + 30, 36, "the pool"),
        _line([(LEFT + 100, 32), (LEFT + 124, 32)], THEIRS, dashed=True),
        _text(LEFT + 130, 36, "a plain client with tenacity retries"),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, LEFT + number * (WIDTH + GAP), first=number == 0)
    parts.append(_text(LEFT, height - 8, "offered load, times the capacity"))
    return "\n".join([*parts, "</svg>\n"])


def _panel(panel: Panel, left: float, *, first: bool) -> list[str]:
    bottom = TOP + HEIGHT
    parts = [_text(left, TOP - 6, panel.title)]
    for level in (0.0, 0.5, 1.0):
        y = bottom - level * HEIGHT
        parts.append(_line([(left, y), (left + WIDTH, y)], FAINT, width=1.0))
        if first:
            parts.append(_text(left - 28, y + 4, f"{level:.0%}"))
    parts += [_text(_x(mark, left) - 6, bottom + 15, f"{mark:g}×") for mark in MARKS]
    for points, colour in ((panel.baseline, THEIRS), (panel.ours, OURS)):
        at = [(_x(load, left), bottom - min(goodput, 1.0) * HEIGHT) for load, goodput in points]
        parts.append(_line(at, colour, dashed=colour == THEIRS))
    return parts


def _x(load: float, left: float) -> float:
    return left + WIDTH * log(load) / log(MARKS[-1])


def _line(points: Sequence[tuple[float, float]], colour: str, *, width: float = 2.5, dashed: bool = False) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'


def _text(x: float, y: float, text: str, *, size: int = 11) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" fill="{INK}" font-size="{size}">{text}</text>'
