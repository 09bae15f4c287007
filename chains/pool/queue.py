"""Where calls wait: bounded, the most urgent class first, first come first served inside a class.

Pure: `now` is monotonic seconds. `plan` hands out what may go now and says when to look again; the shell does the
waking. A call whose own choice of providers is blocked (it has asked the others already) doesn't hold up those behind
it; but a free place at a provider always goes to the first in line who can use it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from chains.errors import ChainError, NoProvider, Permanent, Retryable
from chains.pool.calls import Call, Priority
from chains.pool.methods import MethodClass, method_class
from chains.pool.provider import NEVER, Permit, Provider
from chains.pool.selection import Choice, Inquiry, choose

LOOK_AHEAD = 0.25
"""Seconds. When every provider is shut for longer than this, the whole line is searched for calls that can't be served
in time any more, so that they fail at once; for shorter waits (a token) that search would cost more than it gives."""


class Ticket:
    """One call's place in the queue. `deadline` is the time by which it must be sent, `providers` those it may go to.

    `payload` belongs to whoever waits: the queue never looks at it.
    """

    __slots__ = ("call", "deadline", "inquiry", "number", "payload", "providers", "since")

    def __init__(
        self, call: Call, deadline: float, inquiry: Inquiry, providers: Sequence[Provider], since: float = 0.0
    ) -> None:
        self.call, self.deadline, self.inquiry, self.providers = call, deadline, inquiry, providers
        self.since = since
        self.number = 0
        self.payload: object = None

    def only_for(self, these: Sequence[Provider]) -> bool:
        """Whether nobody but these could still say anything to it."""
        silent = self.inquiry.silent
        return all(provider in these or provider.name in silent for provider in self.providers)


@dataclass(slots=True)
class Plan:
    """What to do now: permits already taken, calls that can't be served in time, and when to look again
    (`NEVER`: when a request ends or a call arrives)."""

    grants: list[tuple[Ticket, Permit]] = field(default_factory=list)
    hopeless: list[Ticket] = field(default_factory=list)
    wake_at: float = NEVER


class Queue:
    """All waiting calls of one chain's pool; `waiting` is how many."""

    __slots__ = ("_arrivals", "_bound", "_lines", "waiting")

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._arrivals = 0
        self.waiting = 0
        self._lines: tuple[dict[int, Ticket], ...] = tuple({} for _ in Priority)

    def __len__(self) -> int:
        return self.waiting

    def depth(self, priority: Priority) -> int:
        """How many calls of a class are waiting."""
        return len(self._lines[priority])

    def ahead_of(self, priority: Priority) -> int:
        """How many calls would be served before a new one of this class."""
        return sum(len(line) for line in self._lines[: priority + 1])

    def enter(self, ticket: Ticket) -> Ticket | None:
        """Stand in line. When the queue is full the latest of the lowest class makes room, and is returned; it is the
        ticket itself when nobody stands lower."""
        displaced: Ticket | None = None
        if self.waiting >= self._bound:
            lowest = next(line for line in reversed(self._lines) if line)
            displaced = lowest[next(reversed(lowest))]
            if displaced.call.priority <= ticket.call.priority:
                return ticket
            self.leave(displaced)
        self._arrivals += 1
        ticket.number = self._arrivals
        self._lines[ticket.call.priority][ticket.number] = ticket
        self.waiting += 1
        return displaced

    def leave(self, ticket: Ticket) -> None:
        """Step out of line: served, given up, or cancelled. Leaving twice is leaving once."""
        if self._lines[ticket.call.priority].pop(ticket.number, None) is not None:
            self.waiting -= 1

    def oldest(self, without: Sequence[Provider] = ()) -> dict[Priority, float]:
        """Since when the first of each class that waits has waited; not counting those who can only go to providers in
        `without`."""
        first: dict[Priority, float] = {}
        for priority, line in zip(Priority, self._lines, strict=True):
            for ticket in line.values():  # ordered: by arrival
                if not without or not ticket.only_for(without):
                    first[priority] = ticket.since
                    break
        return first

    def send_away(self, priority: Priority) -> list[Ticket]:
        """Everyone of a class out of line, in order of arrival."""
        tickets = list(self._lines[priority].values())  # ordered: arrival
        for ticket in tickets:
            self.leave(ticket)
        return tickets

    def drain(self) -> list[Ticket]:
        """Send everyone out of line, in order of arrival inside the classes."""
        tickets = [ticket for line in self._lines for ticket in line.values()]  # ordered: arrival
        for ticket in tickets:
            self.leave(ticket)
        return tickets

    def plan(self, providers: Sequence[Provider], now: float) -> Plan:
        """Hand out every permit that can be handed out now. Those served and those given up have left the line."""
        plan = Plan()
        for line in self._lines:
            if line:
                self._plan_line(line, providers, now, plan)
        for ticket, _ in plan.grants:
            self.leave(ticket)
        for ticket in plan.hopeless:
            self.leave(ticket)
        return plan

    def _plan_line(self, line: dict[int, Ticket], providers: Sequence[Provider], now: float, plan: Plan) -> None:
        shut: dict[MethodClass | None, Choice] = {}
        for ticket in line.values():  # ordered: by arrival, which is what FIFO means
            call = ticket.call
            known = shut.get(None) or (shut.get(method_class(call.method)) if shut else None)
            if known is not None:
                if known.hopeless(ticket.deadline):
                    plan.hopeless.append(ticket)
                continue
            choice = choose(ticket.providers, call, ticket.inquiry, now)
            if choice.provider is not None:
                permit = choice.provider.begin(now, call.priority, call.method)
                plan.grants.append((ticket, permit))
                continue
            if choice.hopeless(ticket.deadline):
                plan.hopeless.append(ticket)
            else:
                plan.wake_at = min(plan.wake_at, choice.at)
            for kind in (method_class(call.method), None):
                found = _shut_for_all(providers, call.priority, kind, now)
                if found is None:
                    break
                plan.wake_at = min(plan.wake_at, found.at)
                shut[kind] = found
            if None in shut and (shut[None].on_event or shut[None].at - now <= LOOK_AHEAD):
                return


def _shut_for_all(
    providers: Sequence[Provider], priority: Priority, kind: MethodClass | None, now: float
) -> Choice | None:
    """When the next of a class and a kind of work (None: of any kind) can be served, whichever method it asks for;
    None when somebody may be asked now."""
    soonest, on_event = NEVER, False
    for provider in providers:
        at = provider.open_at(now, priority, kind)
        if at is None:
            on_event = True
        elif at <= now:
            return None
        else:
            soonest = min(soonest, at)
    return Choice(None, soonest, on_event)


def unserved(ticket: Ticket, all_names: Sequence[str], now: float) -> ChainError:
    """The error of a call that can't be sent any more before its deadline: what it has heard already if that tells
    the caller something; `NoProvider` with each provider's reason when all are shut; else `Retryable` (`too_late`)."""
    inquiry, method = ticket.inquiry, ticket.call.method
    if inquiry.heard_anything():
        return inquiry.error(all_names)
    told = f"; asked so far: {inquiry.told()}" if inquiry.asked else ""
    if all(provider.lacks(method, now) for provider in ticket.providers):
        return Permanent("unsupported", f"{inquiry.chain}: no provider offers {method}{told}")
    obstacles = [
        (provider.name, provider.obstacle(now) or provider.lacks(method, now)) for provider in ticket.providers
    ]
    if all(why for _, why in obstacles):
        reasons = "; ".join(f"{name}: {why}" for name, why in obstacles)
        return NoProvider("no_provider", f"{inquiry.chain}: {method}: {reasons}{told}")
    return Retryable("too_late", f"{inquiry.chain}: {method}: waited in vain for a free place{told}")
