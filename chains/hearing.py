"""Asking several providers about one thing: no more of them than needed while they agree, everybody once they don't.

What the answers mean is `witnesses`' business; this room only puts the questions. A provider that fails or lacks the
data is replaced by the next one; a contradiction is put to all that are left, so that the verdict doesn't hang on who
was asked first more than it must.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from chains.errors import ChainError, Integrity, NoProvider, Retryable, cap
from chains.pool.calls import Call, Priority, Upstream

T = TypeVar("T")

Ask = Callable[[str, bool], Awaitable[T]]
"""Puts the question to a provider; the second argument is whether it is the first one to be asked. Raises
`ChainError`."""


def order(upstream: Upstream) -> tuple[str, ...]:
    """All providers: those first that the pool would rather ask, then those that it can't ask at once."""
    preferred = upstream.preferred()
    return (*preferred, *(name for name in upstream.providers() if name not in preferred))


async def ask(upstream: Upstream, provider: str, call: Call, decoder: msgspec.json.Decoder[T]) -> T:
    """Put a call to that provider alone. Where it is the only one there is, with all the pool's patience: who can't be
    replaced by another is asked again."""
    if len(upstream.providers()) == 1:
        return await upstream.call(call, decoder)
    return await upstream.call_from(provider, call, decoder)


async def opinions(upstream: Upstream, call: Call, decoder: msgspec.json.Decoder[T]) -> tuple[T, ...]:
    """What each provider says, in what is no fact but a guess, such as a price: whoever answers in time. Where nobody
    does, or there is only one, one answer with all the pool's patience. Raises what `Upstream.call` raises."""
    if len(upstream.providers()) > 1:
        answers = await upstream.call_each(call, decoder)
        said = tuple(answer.value for answer in answers if answer.value is not None)
        if said:
            return said
    return (await upstream.call(call, decoder),)


def fair(opinions: Sequence[int], required: int) -> int:
    """One number out of several opinions that fewer than `required` liars move neither up nor down: the `required`-th
    from the top. Where there are too few for that, the highest: a price too high meets a cap, one too low gets stuck.
    """
    ranked = sorted(opinions, reverse=True)
    return ranked[required - 1] if len(ranked) > required else ranked[0]


def urgency(first: bool, pressing: Priority) -> Priority:
    """How urgent a question is: second opinions go after first ones, and nothing of a backlog before it."""
    return pressing if first or pressing > Priority.QUORUM else Priority.QUORUM


def check_identity(upstream: Upstream, expected: str, said: Mapping[str, str], required: int) -> None:
    """Whether enough providers serve the chain we are configured for; `said`: what each that answered calls itself.

    Who serves another chain is reported and never asked again, and the others go on as long as they make the quorum.
    Raises `Integrity` (`wrong_chain`) where they no longer do because of that, and `NoProvider` where too few answer.
    """
    wrong = {name: identity for name, identity in said.items() if identity != expected}
    for name, identity in wrong.items():  # ordered: as answered
        upstream.report_integrity(name, f"serves chain {cap(identity)}, not {expected}")
    right = len(said) - len(wrong)
    if right >= required:
        return
    told = "; ".join(f"{name} serves chain {cap(identity)}, not {expected}" for name, identity in wrong.items())
    if wrong:
        raise Integrity("wrong_chain", f"{told}; {right} of the {required} needed serve the right one")
    raise NoProvider(
        "no_provider", f"{upstream.chain}: {right} of the {required} providers needed tell which chain they serve"
    )


class Hearing(Generic[T]):
    """One question, put to one provider after the other. `said` and `failed` are in the order of asking.

    `enough` asks until `required` have answered, and all who are left once two answers differ by `key`.
    """

    __slots__ = ("_ask", "_key", "_providers", "_rest", "failed", "required", "said")

    def __init__(
        self, providers: Sequence[str], required: int, ask: Ask[T], key: Callable[[T], object] = lambda one: one
    ) -> None:
        self._providers = self._rest = tuple(providers)
        self._ask, self._key = ask, key
        self.required = required
        self.said: list[tuple[str, T]] = []
        self.failed: list[tuple[str, ChainError]] = []

    @property
    def values(self) -> list[T]:
        """The answers alone."""
        return [value for _, value in self.said]

    async def enough(self) -> None:
        """Ask as many as are needed."""
        while self._rest and (missing := self._missing()) > 0:
            await self._put(missing)

    async def everybody(self) -> None:
        """Ask all who have not been asked yet."""
        await self._put(len(self._rest))

    def again(self) -> Hearing[T]:
        """The same question anew."""
        return Hearing(self._providers, self.required, self._ask, self._key)

    def agreed(self) -> T | None:
        """The answer that as many as required gave, if there is exactly one such; None otherwise."""
        keys = [self._key(value) for value in self.values]
        found = [n for n, key in enumerate(keys) if keys.index(key) == n and keys.count(key) >= self.required]
        return self.values[found[0]] if len(found) == 1 else None

    def troubles(self) -> str:
        """Who could not answer, and why, for people."""
        return "; ".join(f"{name}: {error}" for name, error in self.failed)

    def error(self, what: str) -> ChainError:
        """What to raise when too few answered: their own trouble where nobody did, else `unproven`."""
        if not self.said:
            for _, trouble in self.failed:
                if not isinstance(trouble, NoProvider):
                    return trouble
            return NoProvider("no_provider", f"nobody may be asked for {what} ({self.troubles() or 'no providers'})")
        spoke = ", ".join(name for name, _ in self.said)
        how = f"is said by {spoke} alone" if len(self.said) < self.required else f"is not told alike by {spoke}"
        others = f" ({self.troubles()})" if self.failed else ""
        return Retryable("unproven", f"{what} {how}; {self.required} must say the same{others}")

    def raise_integrity(self) -> None:
        """Raise what a provider's answer proves about the chain itself, whatever others said."""
        for _, trouble in self.failed:
            if isinstance(trouble, Integrity):
                raise trouble

    def _missing(self) -> int:
        keys = [self._key(value) for value in self.values]
        return len(self._rest) if any(key != keys[0] for key in keys) else self.required - len(keys)

    async def _put(self, count: int) -> None:
        batch, self._rest = self._rest[:count], self._rest[count:]
        fresh = not self.said and not self.failed
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._one(name, fresh and n == 0)) for n, name in enumerate(batch)]
        for name, task in zip(batch, tasks, strict=True):
            answer = task.result()
            if isinstance(answer, ChainError):
                self.failed.append((name, answer))
            else:
                self.said.append((name, answer))

    async def _one(self, name: str, first: bool) -> T | ChainError:
        try:
            return await self._ask(name, first)
        except ChainError as exc:
            return exc
