"""The beat of slots: the one place where the local chain's time meets the machine's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def following(due: float, now: float, seconds: float) -> float:
    """When the beat after the one due at `due` is due, as seen at `now`.

    A machine that falls behind loses beats; it never makes up for them in a burst, which no real chain does either.
    """
    return max(due + seconds, now)


async def beat(seconds: float, act: Callable[[], object]) -> None:
    """Call `act` once every `seconds`, for ever, without drift."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = following(due, loop.time(), seconds)
        await asyncio.sleep(due - loop.time())
        act()
