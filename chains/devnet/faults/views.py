"""Answering as of an earlier time: what a frozen and a stale node have in common, whatever the chain."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from msgspec.structs import replace

from chains.devnet.faults.evmview import EvmView
from chains.devnet.faults.exchange import Answer, Exchange
from chains.devnet.faults.solanaview import SolanaView
from chains.devnet.faults.wire import Asked, Said, write_question


class View(Protocol):
    """A chain as it was."""

    def ask(self, asked: Asked) -> Asked:
        """The call, put so that the node's answer is of then, as far as a call can say that."""
        ...

    def tell(self, asked: Asked, said: Said) -> Said:
        """The answer to the original call, without what came after."""
        ...


class Held:
    """The view that a frozen node keeps; taken once, however many ask at the same time."""

    __slots__ = ("_evm", "_lock", "_solana")

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._evm: EvmView | None = None
        self._solana: SolanaView | None = None

    async def evm(self, take: Callable[[], Awaitable[EvmView]]) -> EvmView:
        """The EVM chain as it was first seen."""
        async with self._lock:
            if self._evm is None:
                self._evm = await take()
            return self._evm

    async def solana(self, take: Callable[[], Awaitable[SolanaView]]) -> SolanaView:
        """The Solana chain as it was first seen."""
        async with self._lock:
            if self._solana is None:
                self._solana = await take()
            return self._solana


async def retold(exchange: Exchange, view: View) -> Answer:
    """What the node says, as of a view."""
    question = exchange.question
    if question is None:
        return await exchange.forward()
    asked = {bytes(call.id): call for call in question.calls}
    rephrased = replace(question, calls=tuple(view.ask(call) for call in question.calls))
    return await exchange.asking(write_question(rephrased)).retell(
        lambda call, said: view.tell(asked[bytes(call.id)], said)
    )
