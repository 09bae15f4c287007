"""Several providers of one chain in one process, each of which may lie: an `Upstream` without a socket or a clock.

The answers are decoded and classified as the pool does it; a provider's `temper` may replace any of them. So what two
of three dishonest providers can do to an adapter is a matter of a few lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from chains.errors import Ambiguous, ChainError, NoProvider, Permanent, Retryable, Verdict
from chains.pool.calls import Answer, Call
from chains.pool.classify import TREATMENT, Evidence, Raises, Shape, classify

T = TypeVar("T")
Reply = dict[str, Any]
Temper = Callable[[Call, Reply], Reply | None]
"""What a provider makes of the honest reply to a call; None is silence."""


def honest(call: Call, reply: Reply) -> Reply:
    return reply


def silent(call: Call, reply: Reply) -> None:
    return None


def failing(code: int, message: str = "", data: object = None) -> Temper:
    """Answers everything with one error."""
    return lambda call, reply: {"id": 1, "error": {"code": code, "message": message, "data": data}}


class LyingProviders:
    """`Upstream` over what `says` answers; the order of `tempers` is the order in which `call` asks."""

    def __init__(self, chain: str, family: str, says: Callable[[Call], Reply], tempers: dict[str, Temper]) -> None:
        self.chain = chain
        self._family = family
        self._says = says
        self.tempers = tempers or {"one": honest}
        self.unavailable: set[str] = set()
        self.strikes: list[tuple[str, str]] = []
        self.asked: list[tuple[str, Call]] = []
        self.heights: dict[str, tuple[int | None, int | None]] = {}

    def providers(self) -> tuple[str, ...]:
        return tuple(self.tempers)

    def report_integrity(self, provider: str, reason: str) -> None:
        self.strikes.append((provider, reason))

    async def call(self, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        trouble: Retryable = NoProvider("no_provider", "nobody may be asked")
        for provider in self._available():
            try:
                return self._ask(provider, call, decoder)
            except Retryable as exc:
                trouble = exc
        raise trouble

    async def call_from(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        if provider in self.unavailable:
            raise NoProvider("no_provider", f"{provider} may not be asked")
        return self._ask(provider, call, decoder)

    def preferred(self) -> tuple[str, ...]:
        return tuple(self._available())

    def report_heights(self, provider: str, *, latest: int | None = None, finalized: int | None = None) -> None:
        self.heights[provider] = (latest, finalized)

    async def call_each(self, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[Answer[T], ...]:
        answers: list[Answer[T]] = []
        for provider in self._available():
            try:
                answers.append(Answer(provider, self._ask(provider, call, decoder), None))
            except ChainError as exc:
                answers.append(Answer(provider, None, exc))
        return tuple(answers)

    def _available(self) -> Sequence[str]:
        return [provider for provider in self.tempers if provider not in self.unavailable]

    def _ask(self, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
        self.asked.append((provider, call))
        reply = self.tempers[provider](call, self._says(call))
        trouble = Ambiguous if call.broadcast else Retryable
        if reply is None:
            raise trouble("overloaded", f"{provider} is silent")
        if "error" in reply:
            raise _mapped(self._family, reply["error"])
        try:
            return decoder.decode(msgspec.json.encode(reply["result"]))
        except msgspec.ValidationError as exc:
            raise trouble("provider_broken", str(exc)) from exc


def _mapped(family: str, error: Reply) -> ChainError:
    evidence = Evidence(
        shape=Shape.ERROR,
        code=error["code"],
        message=error.get("message", ""),
        data=msgspec.json.encode(error.get("data")),
    )
    meaning = classify(family, "", evidence)
    raises = TREATMENT[meaning.kind].raises
    if raises is Raises.VERDICT:
        return Verdict(meaning.name, meaning.message, rpc_code=meaning.rpc_code, data=error.get("data"))
    return (Permanent if raises is Raises.PERMANENT else Retryable)(meaning.name, meaning.message)
