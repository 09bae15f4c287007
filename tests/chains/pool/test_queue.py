"""The queue and the choice of provider, without a loop: order, reservations, bounds, and who is told off at once."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chains.errors import NoProvider, Permanent, Retryable
from chains.pool.calls import Priority
from chains.pool.classify import Classification, Kind
from chains.pool.provider import Permit, Provider
from chains.pool.queue import Queue, Ticket, unserved
from chains.pool.selection import Inquiry
from tests.chains.pool.rig import a_call, a_provider

OK = Classification(kind=Kind.OK, name="ok")


def ticket(providers: list[Provider], priority: Priority = Priority.LIVE, deadline: float = 1e9) -> Ticket:
    return Ticket(a_call(priority=priority), deadline, Inquiry("testnet", "m", 3), providers)


def finish(permit: Permit, now: float, outcome: Classification | None = OK) -> None:
    permit.provider.finish(permit, now, outcome, sent=True)


def test_the_most_urgent_class_goes_first_whoever_came_first() -> None:
    provider = a_provider("a", rps=1.0)
    queue = Queue(100)
    for priority in reversed(Priority):
        queue.enter(ticket([provider], priority))
    now, order = 0.0, []
    while len(queue):
        plan = queue.plan([provider], now)
        order += [served.call.priority for served, _ in plan.grants]
        now = plan.wake_at
    assert order[:2] == [Priority.BROADCAST, Priority.HEAD]
    assert order == sorted(order)


def test_a_full_queue_drops_the_latest_of_the_lowest_class() -> None:
    provider = a_provider("a")
    queue = Queue(3)
    first, second = ticket([provider], Priority.BACKFILL), ticket([provider], Priority.BACKFILL)
    for each in (first, second, ticket([provider], Priority.LIVE)):
        assert queue.enter(each) is None
    late = ticket([provider], Priority.BACKFILL)
    assert queue.enter(late) is late, "nobody stands lower than it"
    assert queue.enter(ticket([provider], Priority.BROADCAST)) is second
    assert queue.enter(ticket([provider], Priority.HEAD)) is first
    assert len(queue) == 3
    same = ticket([provider], Priority.LIVE)
    assert queue.enter(same) is same
    assert (queue.depth(Priority.BACKFILL), queue.ahead_of(Priority.HEAD), queue.ahead_of(Priority.LIVE)) == (0, 2, 3)


def test_two_slots_are_kept_for_broadcasts() -> None:
    provider = a_provider("a", concurrency=4)
    queue = Queue(100)
    for _ in range(10):
        queue.enter(ticket([provider], Priority.HEAD))
    assert len(queue.plan([provider], 10.0).grants) == 2
    for _ in range(10):
        queue.enter(ticket([provider], Priority.BROADCAST))
    assert [served.call.priority for served, _ in queue.plan([provider], 10.0).grants] == [Priority.BROADCAST] * 2


def test_a_provider_with_one_slot_serves_everybody() -> None:
    provider = a_provider("a", concurrency=1)
    queue = Queue(10)
    queue.enter(ticket([provider], Priority.BACKFILL))
    assert len(queue.plan([provider], 0.0).grants) == 1


def test_who_has_asked_the_only_free_provider_does_not_hold_up_the_next() -> None:
    free, shut = a_provider("free"), a_provider("shut", 1)
    shut.limiter.throttled(0.0, 0.0, 5.0)
    queue = Queue(10)
    choosy, easy = ticket([free, shut]), ticket([free, shut])
    choosy.inquiry.silent.add("free")
    queue.enter(choosy)
    queue.enter(easy)
    plan = queue.plan([free, shut], 1.0)
    assert [served for served, _ in plan.grants] == [easy]
    assert plan.wake_at == shut.limiter.frozen_until()


def test_who_cannot_be_served_in_time_is_told_at_once_however_far_back() -> None:
    provider = a_provider("a")
    provider.limiter.throttled(0.0, 0.0, 60.0)
    queue = Queue(100)
    patient = [ticket([provider], deadline=100.0) for _ in range(3)]
    hurried = [ticket([provider], deadline=30.0) for _ in range(3)]
    for each in (*patient, *hurried):
        queue.enter(each)
    plan = queue.plan([provider], 0.0)
    assert plan.hopeless == hurried
    assert plan.wake_at == provider.limiter.frozen_until()
    assert len(queue) == 3


def test_each_provider_s_reason_is_named() -> None:
    a, b, c = a_provider("a"), a_provider("b", 1), a_provider("c", 2)
    a.limiter.throttled(0.0, 0.0, 60.0)
    b.integrity.set(0.0, "two hashes for one block")
    for _ in range(20):
        permit = c.begin(0.0, Priority.LIVE, "m")
        finish(permit, 0.0, Classification(kind=Kind.OVERLOADED, name="timeout"))
    error = unserved(ticket([a, b, c], deadline=1.0), ("a", "b", "c"), 0.0)
    assert isinstance(error, NoProvider)
    for words in ("a: throttled, paused for 6", "b: quarantined: two hashes", "c: breaker open for", "(timeout)"):
        assert words in error.message


def test_no_provider_and_no_free_place_are_different_errors() -> None:
    a, b = a_provider("a"), a_provider("b", 1)
    error = unserved(ticket([a, b]), ("a", "b"), 0.0)
    assert (type(error), error.code) == (Retryable, "too_late")
    for provider in (a, b):
        finish(provider.begin(0.0, Priority.LIVE, "m"), 0.0, Classification(kind=Kind.UNSUPPORTED, name="unsupported"))
    error = unserved(ticket([a, b]), ("a", "b"), 0.0)
    assert (type(error), error.code) == (Permanent, "unsupported")


@dataclass
class Out:
    ticket: Ticket
    permit: Permit


class QueueMachine(RuleBasedStateMachine):
    """Arrivals, answers, failures, cancellations and time in any order, over two providers with few places."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.providers = [
            a_provider("a", 0, rps=4.0, concurrency=4, now=self.now),
            a_provider("b", 1, rps=2.0, concurrency=3, now=self.now),
        ]
        self.queue = Queue(12)
        self.waiting: list[Ticket] = []
        self.out: list[Out] = []

    def plan(self) -> None:
        waiting = list(self.waiting)
        plan = self.queue.plan(self.providers, self.now)
        granted = [served for served, _ in plan.grants]
        for served, permit in plan.grants:
            assert permit.granted_at == self.now
            self.out.append(Out(served, permit))
            self.waiting.remove(served)
        for given_up in plan.hopeless:
            self.waiting.remove(given_up)
            assert given_up.deadline < 1e8
        for priority in Priority:
            in_line = [t for t in waiting if t.call.priority is priority and t not in plan.hopeless]
            served_of_class = [t for t in granted if t.call.priority is priority]
            assert served_of_class == in_line[: len(served_of_class)], "first come, first served inside a class"
        left = [t.call.priority for t in self.waiting]
        if Priority.BROADCAST in left:
            for provider in self.providers:
                assert provider.ready_at(self.now, Priority.BROADCAST, "m") != self.now, "a place for P0 stayed empty"
        if self.waiting:
            assert plan.wake_at > self.now

    @rule(priority=st.sampled_from(Priority), hurry=st.booleans())
    def arrive(self, priority: Priority, hurry: bool) -> None:
        new = ticket(self.providers, priority, self.now + 2.0 if hurry else 1e9)
        displaced = self.queue.enter(new)
        self.waiting.append(new)
        if displaced is not None:
            assert all(t.call.priority <= displaced.call.priority for t in self.waiting)
            self.waiting.remove(displaced)
        self.plan()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 100))
    def cancel_in_line(self, which: int) -> None:
        gone = self.waiting.pop(which % len(self.waiting))
        self.queue.leave(gone)
        self.queue.leave(gone)

    @precondition(lambda self: self.out)
    @rule(
        which=st.integers(0, 100),
        kind=st.sampled_from([None, Kind.OK, Kind.OK, Kind.OVERLOADED, Kind.THROTTLED, Kind.NOT_YET]),
    )
    def end(self, which: int, kind: Kind | None) -> None:
        out = self.out.pop(which % len(self.out))
        finish(out.permit, self.now, Classification(kind=kind, name=kind.value) if kind else None)
        self.plan()

    @rule(seconds=st.floats(0.01, 8.0))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds
        self.plan()

    @invariant()
    def the_books_agree(self) -> None:
        assert len(self.queue) == len(self.waiting) <= 12
        for provider in self.providers:
            mine = [out for out in self.out if out.permit.provider is provider]
            assert provider.slots.in_flight == len(mine) <= provider.slots.limit
            lesser = [out for out in mine if out.permit.priority is not Priority.BROADCAST]
            assert len(lesser) <= provider.slots.limit - provider.slots.reserved, "the reserved slots stay free"


QueueMachine.TestCase.settings = settings(derandomize=True, max_examples=80, stateful_step_count=50)
TestQueueMachine = QueueMachine.TestCase


@given(st.lists(st.sampled_from(Priority), min_size=1, max_size=60), st.integers(1, 4))
@settings(derandomize=True, max_examples=40)
def test_everyone_is_served_in_the_end(arrivals: list[Priority], concurrency: int) -> None:
    providers = [a_provider("a", 0, rps=20.0, concurrency=concurrency), a_provider("b", 1, rps=5.0)]
    queue = Queue(100)
    for priority in arrivals:
        queue.enter(ticket(providers, priority))
    now, served = 0.0, 0
    for _ in range(10_000):
        plan = queue.plan(providers, now)
        served += len(plan.grants)
        for _, permit in plan.grants:
            finish(permit, now)
        if not len(queue):
            break
        now = plan.wake_at if plan.wake_at < 1e9 else now
    assert served == len(arrivals)
