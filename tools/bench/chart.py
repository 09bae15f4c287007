"""The one picture of the overload experiment: goodput against offered load, ours and the usual way, drawn by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

WIDTH, HEIGHT = 178, 150
"""Of one panel's area, in pixels."""
GAP, LEFT, TOP, BELOW = 58, 58, 96, 56
OURS, THEIRS, INK, SOFT, FAINT = "#0a7d5a", "#c2410c", "#222222", "#6b6b6b", "#e2e2e2"
MARKS = (1.0, 2.0, 3.0, 5.0, 10.0)
"""Loads that are named on the axis, which is logarithmic."""
LEVELS = (0.0, 0.25, 0.5, 0.75, 1.0)
APART = 13.0
"""Pixels between two labels at the end of the lines, or they would lie on one another."""

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One model: (load, goodput) points, by load; `subtitle` says what the provider does."""

    title: str
    subtitle: str
    ours: Points
    baseline: Points


def chart(panels: Sequence[Panel]) -> str:
    """The SVG's text: the panels side by side on one scale."""
    width = LEFT + len(panels) * (WIDTH + GAP) - 6
    height = TOP + HEIGHT + BELOW
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            'font-family="Helvetica, Arial, sans-serif" font-size="11">'
        ),
        "<title>Goodput against offered load</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="white"/>',
        _text(LEFT, 26, "What an overloaded provider still gives", size=15, weight="bold"),
        _text(LEFT, 44, "Useful answers in time, in parts of what the provider truly can; the worst of all runs."),
        *_legend(width - 330, 26),
    ]
    for number, panel in enumerate(panels):
        parts += _panel(panel, LEFT + number * (WIDTH + GAP), first=number == 0)
    middle = LEFT + (len(panels) * (WIDTH + GAP) - GAP) / 2
    parts.append(_text(middle, height - 14, "offered load, in parts of the capacity", colour=SOFT, anchor="middle"))
    return "\n".join([*parts, "</svg>\n"])


def _legend(x: float, y: float) -> list[str]:
    return [
        _line([(x, y - 4), (x + 26, y - 4)], OURS),
        _dot(x + 13, y - 4, OURS),
        _text(x + 33, y, "the pool"),
        _line([(x + 104, y - 4), (x + 130, y - 4)], THEIRS, dashed=True),
        _dot(x + 117, y - 4, THEIRS),
        _text(x + 137, y, "a plain client with tenacity retries"),
    ]


def _panel(panel: Panel, left: float, *, first: bool) -> list[str]:
    bottom = TOP + HEIGHT
    parts = [
        _text(left, TOP - 26, panel.title, size=12, weight="bold"),
        _text(left, TOP - 12, panel.subtitle, size=10, colour=SOFT),
    ]
    for level in LEVELS:
        y = bottom - level * HEIGHT
        parts.append(_line([(left, y), (left + WIDTH, y)], SOFT if level == 0.0 else FAINT, width=1.0))
        if first:
            parts.append(_text(left - 8, y + 4, f"{level:.0%}", colour=SOFT, anchor="end"))
    for mark in MARKS:
        x = _x(mark, left)
        parts.append(_line([(x, bottom), (x, bottom + 4)], SOFT, width=1.0))
        parts.append(_text(x, bottom + 17, f"{mark:g}×", colour=SOFT, anchor="middle"))
    lines = ((panel.baseline, THEIRS), (panel.ours, OURS))
    for points, colour in lines:
        at = [(_x(load, left), bottom - min(goodput, 1.0) * HEIGHT) for load, goodput in points]
        parts.append(_line(at, colour, dashed=colour == THEIRS))
        parts += [_dot(x, y, colour) for x, y in at]
    ends = _spread([bottom - min(points[-1][1], 1.0) * HEIGHT for points, _ in lines])
    for (points, colour), y in zip(lines, ends, strict=True):
        parts.append(_text(left + WIDTH + 9, y + 4, f"{points[-1][1]:.0%}", colour=colour, weight="bold"))
    return parts


def _spread(ys: list[float]) -> list[float]:
    """Two heights, moved apart where they are too near."""
    first, second = ys
    if abs(first - second) >= APART:
        return ys
    middle, sign = (first + second) / 2.0, 1.0 if first >= second else -1.0
    return [middle + sign * APART / 2.0, middle - sign * APART / 2.0]


def _x(load: float, left: float) -> float:
    return left + WIDTH * log(load) / log(MARKS[-1])


def _line(points: Points, colour: str, *, width: float = 2.2, dashed: bool = False) -> str:
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dash = ' stroke-dasharray="5 4"' if dashed else ""
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{width}"{dash}/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    size: int = 11,
    colour: str = INK,
    weight: str = "normal",
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}" font-weight="{weight}" '
        f'text-anchor="{anchor}">{text}</text>'
    )
