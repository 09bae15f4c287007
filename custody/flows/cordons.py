"""Who must not be asked: the pool follows the ledger's holds of scope provider, and a proven lie becomes one.

A quarantine that lived in the process alone would be forgotten by a restart. So a strike is recorded as a hold
`auto:integrity` on that provider, which a person lifts; and whoever cordons a provider does so on every node, for all
to see. Such a hold never stops money: it only takes a voice away.
"""

from __future__ import annotations

import asyncio

import structlog

from chains.pool.breaker import State
from custody.flows.deposits import accepted
from custody.flows.holding import hold_automatically
from custody.flows.ports import PoolControl
from custody.ledger.holds import in_force
from custody.views.books import Books
from custody.voice import Voice

_log = structlog.get_logger(__name__)


class Cordons:
    """One chain's. `strikes` and `last_strike` are what was proven since the start."""

    def __init__(self, chain: str, pool: PoolControl, voice: Voice, books: Books) -> None:
        self._chain = chain
        self._pool = pool
        self._voice = voice
        self._books = books
        self._standing: dict[str, str] = {}
        self.strikes = 0
        self.last_strike = ""
        self._struck: dict[str, None] = {}

    def follow(self) -> None:
        """Make the pool keep out exactly whom the ledger says. A hold that is lifted opens the latches too: a person
        has looked."""
        wanted: dict[str, str] = {}
        for name, hold in in_force(self._books.state):
            if hold.chain == self._chain and hold.provider in self._pool.providers():
                wanted.setdefault(hold.provider, f"{hold.reason} ({name})")
        for provider, reason in sorted(wanted.items()):
            if self._standing.get(provider) != reason:
                self._pool.cordon(provider, reason)
        for provider in sorted(self._standing):
            if provider not in wanted:
                self._struck.pop(provider, None)
                self._pool.uncordon(provider)
                self._pool.release(provider)
        self._standing = wanted

    async def step(self) -> None:
        """Record new strikes, and follow the ledger. Raises `Busy`."""
        for item in self._pool.health(asyncio.get_running_loop().time()):
            if item.integrity_breaker is not State.OPEN or item.name in self._struck:
                continue
            reason = item.reason.removeprefix("quarantined: ")
            await self._record(item.name, reason)
            self._struck[item.name] = None
            self.strikes += 1
            self.last_strike = f"{item.name}: {reason}"
        self.follow()

    async def _record(self, provider: str, reason: str) -> None:
        answer = await hold_automatically(
            self._voice,
            self._books,
            cause="integrity",
            direction="all",
            reason=reason,
            chain=self._chain,
            provider=provider,
        )
        _log.error(
            "provider_quarantined", chain=self._chain, provider=provider, accepted=accepted(answer), reason=reason
        )
