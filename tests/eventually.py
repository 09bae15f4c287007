"""Waiting for real processes, the one way there is: ask again until it holds, or fail with what was last seen.

Only tests/peers, tests/e2e and tests/soak wait on wall-clock time; everywhere else time is virtual.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

PAUSE_SECONDS = 0.05
"""Between two looks: short beside what a person would notice, long beside what a look costs."""


async def eventually(look: Callable[[], Awaitable[T]], deadline_seconds: float, what: str = "") -> T:
    """The first truthy answer of `look`. An `AssertionError` in a look counts as "not yet".

    Raises `AssertionError` after `deadline_seconds`, naming `what` was waited for and what the last look showed.
    """
    end = time.monotonic() + deadline_seconds
    while True:
        try:
            seen = await look()
        except AssertionError as failure:
            last = f"{failure}"
            cause: AssertionError | None = failure
        else:
            if seen:
                return seen
            last, cause = repr(seen), None
        if time.monotonic() >= end:
            raise AssertionError(_complaint(look, deadline_seconds, what, last)) from cause
        await asyncio.sleep(PAUSE_SECONDS)


def eventually_sync(look: Callable[[], T], deadline_seconds: float, what: str = "") -> T:
    """The same for tests without an event loop, which must not be called inside one."""

    async def awaited() -> T:
        return look()

    return asyncio.run(eventually(awaited, deadline_seconds, what or _name(look)))


def _complaint(look: Callable[[], object], deadline_seconds: float, what: str, last: str) -> str:
    return f"{what or _name(look)}: not within {deadline_seconds} s; last seen: {last}"


def _name(look: Callable[[], object]) -> str:
    return getattr(look, "__name__", repr(look))
