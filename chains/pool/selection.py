"""Whom to ask next, and when to stop asking: the story of one call, as a pure value.

`Inquiry` remembers what each provider has said to this call. From that follow who may still be asked, whether it costs
retry budget, and which error tells the caller most when nobody answered better.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum

import msgspec

from chains.errors import UNREADABLE, Ambiguous, ChainError, NoProvider, Permanent, Retryable, Verdict, cap
from chains.pool.calls import Call
from chains.pool.classify import TREATMENT, Blame, Classification, Failover, Kind, Raises
from chains.pool.methods import method_class
from chains.pool.provider import NEVER, Provider


class Step(Enum):
    """What follows an answer that is none."""

    STOP = 0
    ASK_OTHERS = 1  # free: the last one answered, only not what was hoped for
    RETRY = 2  # costs budget: the last one was in trouble


_TELLING: tuple[Kind, ...] = (
    Kind.NOT_YET,
    Kind.ABSENT_UNPROVEN,
    Kind.LACKS_DATA,
    Kind.OVERSIZED,
    Kind.UNSUPPORTED,
)
"""When several providers said different things: what a provider *answered* tells more than another one's trouble."""

_TOLD = frozenset(kind.value for kind in (*_TELLING, Kind.SPLIT) if TREATMENT[kind].blame is Blame.SUCCESS)


def tells(error: ChainError) -> bool:
    """Whether a provider's useful word stands behind an error: the chain's verdict, "not here", "ask for less"."""
    if isinstance(error, Permanent):
        return True
    return error.code in _TOLD


class Inquiry:
    """One call's findings so far. A provider is in `silent` once there is no use in asking it again."""

    __slots__ = ("_findings", "_max_attempts", "_troubles", "asked", "chain", "method", "silent", "wants_fresher")

    def __init__(self, chain: str, method: str, max_attempts: int) -> None:
        self.chain, self.method, self._max_attempts = chain, method, max_attempts
        self.asked: dict[str, int] = {}
        self.silent: set[str] = set()
        self.wants_fresher = False
        self._findings: list[tuple[str, Classification]] = []
        self._troubles = 0

    def note(self, provider: str, found: Classification, all_names: Sequence[str]) -> Step:
        """Remember an answer that is none, and say what follows."""
        self._findings.append((provider, found))
        self.asked[provider] = self.asked.get(provider, 0) + 1
        failover = TREATMENT[found.kind].failover
        if failover is Failover.NOBODY:
            return Step.STOP
        if failover is Failover.OTHERS:
            self.silent.add(provider)
            self.wants_fresher = self.wants_fresher or found.kind is Kind.NOT_YET
            return Step.ASK_OTHERS if len(self.silent) < len(all_names) else Step.STOP
        self._troubles += 1
        return Step.RETRY if self._troubles < self._max_attempts else Step.STOP

    @property
    def troubles(self) -> int:
        """How many of the answers were trouble."""
        return self._troubles

    def heard_anything(self) -> bool:
        """Whether some provider gave an answer that is worth more to the caller than "nobody could be asked"."""
        if any(found.kind in _TELLING and found.kind is not Kind.UNSUPPORTED for _, found in self._findings):
            return True
        return bool(self._findings) and all(found.kind is Kind.PERMANENT for _, found in self._findings)

    def told(self) -> str:
        """Who said what, for people."""
        return "; ".join(f"{name}: {found.name} ({cap(found.message)})" for name, found in self._findings)

    def error(self, all_names: Sequence[str]) -> ChainError:
        """What to raise. Only when something was noted."""
        assert self._findings, "nobody was asked yet"
        # One provider's word that our request is wrong is no proof of it, unless nobody said anything else.
        other = [finding for finding in self._findings if finding[1].kind is not Kind.PERMANENT]
        provider, found = (other or self._findings)[-1]
        if TREATMENT[found.kind].failover is not Failover.NOBODY:
            for kind in _TELLING:
                heard = next((finding for finding in self._findings if finding[1].kind is kind), None)
                if heard is not None:
                    provider, found = heard
                    break
        unanimous = len(self.silent) == len(all_names) and all(f.kind is found.kind for _, f in self._findings)
        if found.kind is Kind.AUTH or (found.kind is Kind.UNSUPPORTED and not unanimous):
            return NoProvider("no_provider", f"{self.chain}: {self.method}: {self.told()}")
        return error_of(self.chain, self.method, provider, found)


def error_of(chain: str, method: str, provider: str, found: Classification) -> ChainError:
    """The error that one provider's bad answer becomes."""
    message = f"{chain}: {provider}: {method}: {cap(found.message)}"
    raises = TREATMENT[found.kind].raises
    if raises is Raises.VERDICT:
        return Verdict(found.name, message, rpc_code=found.rpc_code, data=_decoded(found.data))
    if raises is Raises.PERMANENT:
        return Permanent(found.name, message)
    return Retryable(_CODE.get(found.kind, found.name), message)


def broadcast_error(chain: str, call: Call, provider: str, found: Classification, *, may_have_left: bool) -> ChainError:
    """The same for a broadcast, where only a provider's proper refusal proves that nothing is on its way."""
    if may_have_left and not TREATMENT[found.kind].refused:
        return Ambiguous(found.name, f"{chain}: {provider}: {call.method}: {cap(found.message)}")
    return error_of(chain, call.method, provider, found)


_CODE = {Kind.OVERSIZED: Kind.SPLIT.value}
"""An answer above our own limit, from everyone, means for the caller: ask for less."""


def _decoded(data: bytes) -> object:
    try:
        return msgspec.json.decode(data)
    except UNREADABLE:
        return None


class Choice(msgspec.Struct, frozen=True):
    """Either a provider, or when to look again: at a time, `on_event` when a request in flight may end first."""

    provider: Provider | None
    at: float = NEVER
    on_event: bool = False

    def hopeless(self, deadline: float) -> bool:
        """Nobody can be asked before the deadline, whatever ends in the meantime."""
        return self.provider is None and not self.on_event and self.at > deadline


def ample_time(providers: Sequence[Provider], method: str, now: float) -> float:
    """Seconds in which the quickest provider that can be counted on hardly ever fails to answer such a call; 0: nobody
    knows. Who is away, or never answered one, says nothing about it."""
    kind = method_class(method)
    known = [each for each in providers if each.service.ample(kind) > 0.0]
    there = [each for each in known if not each.shut(now)]
    return min((each.service.ample(kind) for each in there or known), default=0.0)


def choose(providers: Sequence[Provider], call: Call, inquiry: Inquiry, now: float) -> Choice:
    """The best provider that may be asked now: one this call hasn't asked yet, the freshest if the last one was
    behind, then the least busy, then the one whose turn it is."""
    best: Provider | None = None
    best_rank: tuple[int, int, float, int, int] | None = None
    soonest = NEVER
    on_event = False
    silent, asked, priority, method = inquiry.silent, inquiry.asked, call.priority, call.method
    for provider in providers:
        if silent and provider.name in silent:
            continue
        at = provider.ready_at(now, priority, method)
        if at is None:
            on_event = True
        elif at > now:
            soonest = min(soonest, at)
        else:
            slots = provider.slots
            rank = (
                asked.get(provider.name, 0) if asked else 0,
                -(provider.latest or 0) if inquiry.wants_fresher else 0,
                slots.in_flight / slots.limit,
                provider.asked,
                provider.order,
            )
            if best_rank is None or rank < best_rank:
                best, best_rank = provider, rank
    return Choice(best, soonest, on_event)
