"""The windows of a plan against a model of what they promise: the limit kept, and in it everyone's share."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chains.pool.calls import Priority
from chains.pool.limiter import Limiter
from chains.pool.settings import LimiterSettings, Metering
from chains.pool.windows import Counted, Shares, Window

START = 1_000.0
LOWER = (Priority.LIVE, Priority.QUORUM, Priority.BACKFILL)
TENTHS = Shares(urgent=20.0, head=10.0, backfill=50.0)


def fill(window: Window, priority: Priority, now: float = START, cost: float = 1.0) -> int:
    """As many as go at once."""
    count = 0
    while window.ready_at(now, cost, priority) == now:
        window.take(now, cost, priority)
        count += 1
    return count


@pytest.mark.parametrize(
    ("order", "got"),
    [
        # Who asks first, and how many of a hundred units each class gets before it must wait.
        ((Priority.LIVE, Priority.HEAD, Priority.BROADCAST), (70, 10, 20)),
        ((Priority.LIVE, Priority.BROADCAST, Priority.HEAD), (70, 20, 10)),
        ((Priority.BACKFILL, Priority.LIVE, Priority.BROADCAST), (50, 20, 20)),
        ((Priority.BROADCAST, Priority.HEAD, Priority.LIVE), (90, 10, 0)),
        ((Priority.HEAD, Priority.BROADCAST, Priority.LIVE), (80, 20, 0)),
        ((Priority.QUORUM, Priority.LIVE, Priority.BACKFILL), (70, 0, 0)),
        ((Priority.BROADCAST, Priority.BACKFILL, Priority.HEAD), (90, 0, 10)),
    ],
)
def test_what_a_class_leaves_to_the_others_is_their_share(order: tuple[Priority, ...], got: tuple[int, ...]) -> None:
    window = Window(10.0, 100.0, TENTHS)
    assert tuple(fill(window, priority) for priority in order) == got


def test_what_the_urgent_have_used_is_not_held_back_a_second_time() -> None:
    window = Window(10.0, 100.0, TENTHS)
    for _ in range(15):
        window.take(START, 1.0, Priority.BROADCAST)
    assert fill(window, Priority.LIVE) == 70, "all but ten for the head and the five that are left of twenty"
    assert fill(window, Priority.BROADCAST) == 5
    window = Window(10.0, 100.0, TENTHS)
    for _ in range(30):
        window.take(START, 1.0, Priority.BROADCAST)
    assert fill(window, Priority.LIVE) == 60, "all but ten for the head"


def test_a_share_is_back_when_what_was_used_of_it_has_left_the_window() -> None:
    window = Window(10.0, 100.0, TENTHS)
    fill(window, Priority.BROADCAST, START, 10.0)
    assert fill(window, Priority.LIVE, START + 5.0) == 0
    now = START + 10.5
    assert fill(window, Priority.LIVE, now) == 70
    assert fill(window, Priority.BROADCAST, now) == 20


def test_an_answer_when_is_neither_too_early_nor_too_late() -> None:
    window = Window(10.0, 100.0, TENTHS)
    for second in range(10):
        for _ in range(7):
            window.take(START + second, 1.0, Priority.LIVE)
    now = START + 9.5
    at = window.ready_at(now, 10.0, Priority.LIVE)
    assert START + 11.0 < at <= START + 11.5, "when the second second has left, of seven units each"
    assert window.ready_at(now, 20.0, Priority.BROADCAST) == now
    assert window.ready_at(at - 0.01, 10.0, Priority.LIVE) == at
    assert window.ready_at(at, 10.0, Priority.LIVE) == at


def test_what_was_never_sent_is_taken_out_of_the_part_it_was_counted_in() -> None:
    window = Window(10.0, 10.0)
    window.take(START, 10.0, Priority.LIVE)
    window.give_back(START, 10.0, Priority.LIVE)
    window.take(START + 9.0, 10.0, Priority.LIVE)
    assert window.ready_at(START + 11.0, 1.0, Priority.LIVE) > START + 19.0
    window.give_back(START - 100.0, 10.0, Priority.LIVE)
    assert window.ready_at(START + 11.0, 1.0, Priority.LIVE) > START + 19.0, "what has left can't be taken out"


@pytest.mark.parametrize(
    ("cost", "priority"), [(75.0, Priority.LIVE), (60.0, Priority.BACKFILL), (300.0, Priority.HEAD)]
)
def test_a_call_larger_than_all_its_class_can_have_waits_for_its_own_and_goes(cost: float, priority: Priority) -> None:
    window = Window(10.0, 100.0, TENTHS)
    assert window.ready_at(START, cost, priority) == START
    window.take(START, 1.0, priority)
    at = window.ready_at(START, cost, priority)
    assert START < at <= START + 10.5
    assert window.ready_at(at, cost, priority) == at


def test_a_large_call_takes_from_the_shares_but_not_from_beyond_the_limit() -> None:
    window = Window(10.0, 100.0, TENTHS)
    window.take(START, 20.0, Priority.BROADCAST)
    window.take(START, 10.0, Priority.HEAD)
    assert window.ready_at(START, 75.0, Priority.LIVE) > START
    assert window.ready_at(START, 70.0, Priority.LIVE) == START


@pytest.mark.parametrize(
    ("plan", "method", "got"),
    [
        # Of a plan's window: whole units are kept, and for a broadcast one at least.
        (Metering(windows=((10.0, 100.0),)), "m", {Priority.LIVE: 70, Priority.HEAD: 10, Priority.BROADCAST: 20}),
        (Metering(windows=((10.0, 3.0),)), "m", {Priority.LIVE: 2, Priority.HEAD: 0, Priority.BROADCAST: 1}),
        (Metering(windows=((10.0, 1.0),)), "m", {Priority.LIVE: 1, Priority.HEAD: 0, Priority.BROADCAST: 0}),
        # A broadcast that costs more than its share finds room for one all the same.
        (
            Metering(windows=((1.0, 300.0),), costs={"sendTransaction": 100.0}),
            "sendTransaction",
            {Priority.LIVE: 1, Priority.BROADCAST: 1},
        ),
        # Of a method's own rate.
        (
            Metering(method_rates={"getBlock": 10.0}),
            "getBlock",
            {Priority.BACKFILL: 7, Priority.HEAD: 1, Priority.BROADCAST: 2},
        ),
        (Metering(method_rates={"getBlock": 4.0}), "getBlock", {Priority.LIVE: 4, Priority.BROADCAST: 0}),
        # Nobody but broadcasts hands in transactions: nothing is kept from them.
        (Metering(method_rates={"sendTransaction": 10.0}), "sendTransaction", {Priority.BROADCAST: 10}),
    ],
)
def test_the_shares_of_plans_large_and_small(plan: Metering, method: str, got: dict[Priority, int]) -> None:
    counted = Counted(plan, LimiterSettings())
    found = dict.fromkeys(got, 0)
    for priority in got:
        while counted.ready_at(START, priority, method) == START:
            counted.take(START, priority, method)
            found[priority] += 1
    assert found == got


@dataclass(frozen=True)
class Step:
    wait: float
    priority: Priority
    cost: float
    back: bool


STEPS = st.lists(
    st.builds(
        Step,
        wait=st.sampled_from([0.0, 0.0, 0.0, 0.3, 1.0, 4.0]),
        priority=st.sampled_from(Priority),
        cost=st.sampled_from([1.0, 1.0, 3.0, 12.5]),
        back=st.booleans(),
    ),
    max_size=120,
)


@given(STEPS, st.sampled_from([50.0, 100.0, 1_000.0]), st.sampled_from([1.0, 10.0]))
@settings(derandomize=True, max_examples=300)
def test_whatever_is_asked_the_limit_holds_and_each_share_is_there_at_once(
    steps: list[Step], limit: float, seconds: float
) -> None:
    shares = Shares(limit * 0.2, limit * 0.1, limit * 0.5)
    window = Window(seconds, limit, shares)
    taken: list[tuple[float, Priority, float]] = []
    now = START
    for step in steps:
        now += step.wait
        if step.back and taken and taken[-1][0] > now - seconds:
            window.give_back(*_swap(taken.pop()))
        for _ in range(8):
            if window.ready_at(now, step.cost, step.priority) == now:
                window.take(now, step.cost, step.priority)
                taken.append((now, step.priority, step.cost))
        in_window = [entry for entry in taken if entry[0] > now - seconds]
        assert sum(cost for *_, cost in in_window) <= limit + 1e-6
        assert sum(cost for _, who, cost in in_window if who is Priority.BACKFILL) <= shares.backfill + 1e-6
        # Everything that may still count against a class: the window's parts leave it a little late.
        counted = [entry for entry in taken if entry[0] > now - seconds * 1.05 - 1e-6]
        for priority, share in ((Priority.BROADCAST, shares.urgent), (Priority.HEAD, shares.head)):
            left = share - sum(cost for _, who, cost in counted if who is priority)
            if left > 1e-6:
                assert window.ready_at(now, left, priority) == now, f"{left} of {priority.name}'s share are not there"


def _swap(entry: tuple[float, Priority, float]) -> tuple[float, float, Priority]:
    at, priority, cost = entry
    return at, cost, priority


@given(
    st.sampled_from([20.0, 100.0]),
    st.lists(st.sampled_from([1.0, 5.0, 20.0]), min_size=1, max_size=4),
    st.sampled_from([((10.0, 300.0),), ((10.0, 600.0), (60.0, 1_800.0)), ()]),
)
@settings(derandomize=True, max_examples=40, deadline=None)
def test_an_account_that_all_push_serves_the_urgent_within_a_bounded_time(
    contract: float, costs: list[float], windows: tuple[tuple[float, float], ...]
) -> None:
    """Lower classes push as hard as they can, with cheap calls and costly ones; a broadcast comes now and then, within
    its share of each window, and waits for no more than its own bucket takes to fill."""
    plan = Metering(windows=windows, costs={f"m{number}": cost for number, cost in enumerate(costs)})
    subject = Limiter("account", contract, LimiterSettings(), START, plan)
    gap = max([1.0 / (0.2 * 0.85 * contract), *(seconds / (0.2 * units) for seconds, units in windows)]) * 1.06
    assume(gap < 30.0)
    now, turn = START, 0
    for _ in range(25):
        until = now + gap
        while True:
            wishes = [
                (
                    subject.ready_at(now, priority, f"m{(turn + step) % len(costs)}"),
                    priority,
                    f"m{(turn + step) % len(costs)}",
                )
                for step, priority in enumerate(LOWER)
            ]
            at, priority, method = min(wishes)
            if at > until:
                break
            if at > now:
                now = at
                continue
            subject.take(now, priority, method)
            turn += 1
        now = until
        assert subject.ready_at(now, Priority.BROADCAST, "status") == now
        subject.take(now, Priority.BROADCAST, "status")


def test_a_costly_read_s_debt_is_not_a_broadcast_s() -> None:
    plan = Metering(costs={"getProgramAccounts": 50.0, "sendTransaction": 10.0})
    subject = Limiter("account", 10.0, LimiterSettings(), START, plan)
    subject.take(START, Priority.LIVE, "getProgramAccounts")
    assert subject.ready_at(START, Priority.LIVE, "getSlot") > START + 5.0
    assert subject.ready_at(START, Priority.BROADCAST, "sendTransaction") == START
    subject.take(START, Priority.BROADCAST, "sendTransaction")
    again = subject.ready_at(START, Priority.BROADCAST, "sendTransaction")
    assert again == pytest.approx(START + 10.0 / (0.2 * 8.5)), "its own debt, paid off from its own share"
    assert subject.ready_at(START, Priority.HEAD, "getSlot") == START


def test_the_debt_of_the_urgent_is_paid_off_with_whatever_there_is() -> None:
    subject = Limiter("account", 10.0, LimiterSettings(cubic_c=1e-9), START, Metering(costs={"sendTransaction": 20.0}))
    now, sent = START, 0
    while now < START + 60.0:
        subject.take(now, Priority.BROADCAST, "sendTransaction")
        sent += 1
        now = subject.ready_at(now, Priority.BROADCAST, "sendTransaction")
    assert sent * 20.0 / 60.0 == pytest.approx(0.9 * 8.5, rel=0.1), "all but the share of the head"
