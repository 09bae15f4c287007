"""How many blocks' logs a provider gives in one answer: learned from what it refuses, tried again from what it grants.

Providers bound `eth_getLogs` by blocks, by logs, by bytes or by time, mostly unannounced, and by each block's own
contents; so there is no right number to configure. A refusal halves; a row of successes doubles, up to just below what
was refused last; after a longer row the refusal is old news, and what was refused is tried once more.

Pure.
"""

from __future__ import annotations

from typing import Final

CAP: Final = 32
"""Blocks at most: at some 400 logs a block and 700 bytes a log, 9 MB on a busy Ethereum."""

START: Final = 8
"""Blocks at first: what hardly a provider refuses, and an eighth of the requests."""

GROW: Final = 8
"""Answers in a row after which more is tried."""

FORGET: Final = 64
"""Answers in a row after which a refusal no longer bounds."""


class _Span:
    __slots__ = ("refused", "row", "size")

    def __init__(self) -> None:
        self.size = START
        self.refused = CAP + 1
        self.row = 0


class Spans:
    """What was learned about each provider of one chain, for as long as the daemon runs."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[str, _Span] = {}

    def size(self, provider: str) -> int:
        """How many blocks to ask it for at once; 1: block by block."""
        return self._of(provider).size

    def refused(self, provider: str, blocks: int) -> None:
        """It would not answer for so many."""
        span = self._of(provider)
        span.refused = max(2, blocks)
        span.size = max(1, min(span.size, blocks) // 2)
        span.row = 0

    def granted(self, provider: str, blocks: int) -> None:
        """It answered for so many. Fewer than asked of it otherwise (at the end of a range) teach nothing."""
        span = self._of(provider)
        if blocks < span.size:
            return
        span.row += 1
        if span.row >= FORGET:
            span.refused = CAP + 1
        if span.row % GROW == 0 and span.size * 2 < span.refused:
            span.size = min(CAP, span.size * 2)
            span.row = 0

    def _of(self, provider: str) -> _Span:
        return self._known.setdefault(provider, _Span())
