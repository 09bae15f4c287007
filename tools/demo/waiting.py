"""Waiting for something real to come true, with a deadline and the last reason why it had not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

POLL_SECONDS = 0.1


class Late(Exception):
    """It did not come true in time."""


async def eventually(look: Callable[[], Awaitable[bool]], deadline_seconds: float, what: str) -> None:
    """Until `look` is true. Raises `Late` naming `what`."""
    loop = asyncio.get_running_loop()
    end = loop.time() + deadline_seconds
    while not await look():
        if loop.time() >= end:
            raise Late(f"not within {deadline_seconds:g} s: {what}")
        await asyncio.sleep(POLL_SECONDS)
