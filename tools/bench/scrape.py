"""How long a scrape of a daemon as large as we promise for keeps the loop from its work.

`/metrics` is served in pieces, so what counts is the longest step between two of them. Two sizes: many providers, whose
gauges are many, and fewer, whose requests are.
"""

from __future__ import annotations

import statistics
import time

from tests.custody.views.crowd import Crowd

SIZES = (16, 3)
"""Providers a chain, of eight chains: the most that is promised for, and where requests have the most series."""
ROUNDS = 25


def _steps(crowd: Crowd) -> list[float]:
    """Seconds of each step of one scrape, as the handler goes through them."""
    found: list[float] = []
    pieces = crowd.metrics.render()
    while True:
        began = time.perf_counter()
        piece = next(pieces, None)
        found.append(time.perf_counter() - began)
        if piece is None:
            return found


def measure() -> dict[str, float]:
    """The longest step and the whole, medians of the rounds, of the size that is worse; and how many series."""
    longest: list[float] = []
    whole: list[float] = []
    series = 0
    for size in SIZES:
        crowd = Crowd(size)
        crowd.hear()
        lines = b"".join(crowd.metrics.render()).splitlines()  # the first one also warms up
        series = max(series, sum(1 for line in lines if not line.startswith(b"#")))
        rounds = [_steps(crowd) for _ in range(ROUNDS)]
        longest.append(statistics.median(map(max, rounds)))
        whole.append(statistics.median(map(sum, rounds)))
    return {
        "metrics_scrape_seconds": round(max(longest), 5),
        "metrics_scrape_whole_seconds": round(max(whole), 5),
        "metrics_series": float(series),
    }
