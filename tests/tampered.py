"""An `Upstream` that passes everything on and lies where it is told to: for seeing that a lie never becomes a fact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from chains.pool.calls import Answer, Call, Upstream

T = TypeVar("T")
_RAW: msgspec.json.Decoder[Any] = msgspec.json.Decoder()

Lie = Callable[[Any], Any]
"""Takes a decoded result, and gives back what shall be believed instead."""


EVERYBODY = "*"
"""As `liar`: all of them."""


class Tampered:
    """Each method's answer goes through its lie, if it has one. Of those that `call_each` asks, only `liar` lies."""

    def __init__(self, inner: Upstream) -> None:
        self.chain = inner.chain
        self.lies: dict[str, Lie] = {}
        self.liar = ""
        self._inner = inner

    async def call(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """As the inner upstream, then the lie."""
        lie = self.lies.get(call.method)
        if lie is None:
            return await self._inner.call(call, decoder)
        honest = await self._inner.call(call, _RAW)
        return decoder.decode(msgspec.json.encode(lie(honest)))

    async def call_from(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        """As the inner upstream, with the lie if this is the liar."""
        lie = self.lies.get(call.method)
        if lie is None or self.liar not in (provider, EVERYBODY):
            return await self._inner.call_from(provider, call, decoder)
        honest = await self._inner.call_from(provider, call, _RAW)
        return decoder.decode(msgspec.json.encode(lie(honest)))

    def preferred(self) -> tuple[str, ...]:
        """As the inner upstream."""
        return self._inner.preferred()

    def report_heights(self, provider: str, *, latest: int | None = None, finalized: int | None = None) -> None:
        """As the inner upstream."""
        self._inner.report_heights(provider, latest=latest, finalized=finalized)

    async def call_each(self, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[Answer[T], ...]:
        """As the inner upstream, with the lie in the liar's answer."""
        lie = self.lies.get(call.method)
        if lie is None:
            return await self._inner.call_each(call, decoder)
        answers = await self._inner.call_each(call, _RAW)
        return tuple(self._retold(answer, lie, decoder) for answer in answers)

    def _retold(self, answer: Answer[Any], lie: Lie, decoder: msgspec.json.Decoder[T]) -> Answer[T]:
        if answer.error is not None:
            return Answer[T](answer.provider, None, answer.error)
        told = lie(answer.value) if self.liar in (answer.provider, EVERYBODY) else answer.value
        return Answer[T](answer.provider, decoder.decode(msgspec.json.encode(told)), None)

    def providers(self) -> tuple[str, ...]:
        """As the inner upstream."""
        return self._inner.providers()

    def report_integrity(self, provider: str, reason: str) -> None:
        """As the inner upstream."""
        self._inner.report_integrity(provider, reason)
