"""`python -m tools.bench`: every part, or with ONLY=name that part alone, merged into build/bench.json."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping

import msgspec

from tools.bench import goodput, overhead, realtime, scrape
from tools.sources import ROOT

Figures = Mapping[str, float]

PARTS: Mapping[str, Callable[[], Figures]] = {
    "overhead": overhead.measure,  # first, while the machine is cool
    "scrape": scrape.measure,
    "realtime": realtime.measure,
    "goodput": goodput.measure,
}


def main() -> int:
    """Exit 0, 2 for a part that isn't there."""
    only = os.environ.get("ONLY", "")
    if only and only not in PARTS:
        sys.stderr.write(f"bench: no part {only!r}; there are {', '.join(PARTS)}\n")
        return 2
    path = ROOT / "build" / "bench.json"
    path.parent.mkdir(exist_ok=True)
    known: dict[str, float] = msgspec.json.decode(path.read_bytes()) if path.exists() else {}
    for name, measure in PARTS.items():
        if only in {"", name}:
            began = time.monotonic()
            figures = measure()
            known.update(figures)
            path.write_bytes(msgspec.json.format(msgspec.json.encode(known, order="sorted"), indent=2) + b"\n")
            sys.stdout.write(f"bench: {name}: {time.monotonic() - began:.0f} s\n")
            for key, value in sorted(figures.items()):
                sys.stdout.write(f"  {key} = {value:g}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
