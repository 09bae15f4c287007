"""The limiter against a model of what it promises: contract kept, reservations kept, freezes kept, rate won back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chains.pool.calls import Priority
from chains.pool.limiter import Accounts, Limiter
from chains.pool.settings import LimiterSettings, Metering

START = 1_000.0


def limiter(contract: float = 100.0, *, freeze_spread: float = 0.05, cubic_c: float = 0.4) -> Limiter:
    return Limiter("account", contract, LimiterSettings(freeze_spread=freeze_spread, cubic_c=cubic_c), START)


def drive(
    subject: Limiter, until: float, wishes: tuple[Priority, ...], now: float = START
) -> list[tuple[float, Priority]]:
    """Everyone in `wishes` always wants one more; whoever may go first goes, the most urgent first on a tie."""
    taken: list[tuple[float, Priority]] = []
    while True:
        at, priority = min((subject.ready_at(now, wish), wish) for wish in wishes)
        if at > until:
            return taken
        if at > now:
            now = at
            continue
        subject.take(now, priority)
        taken.append((now, priority))


def most_in_any_second(taken: list[tuple[float, Priority]]) -> int:
    times = [at for at, _ in taken]
    most, first = 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - 1.0:
            first += 1
        most = max(most, last - first + 1)
    return most


@pytest.mark.parametrize("contract", [20.0, 50.0, 330.0])
def test_no_second_ever_holds_more_than_the_contract(contract: float) -> None:
    taken = drive(limiter(contract), START + 30.0, tuple(Priority))
    assert most_in_any_second(taken) <= contract + 1, "and one for the second that it straddles"
    assert len(taken) / 30.0 == pytest.approx(0.97 * contract, rel=0.03), "pushed, it goes up to the contract"


def test_tiny_plans_burst_by_a_token_for_each_bucket_and_no_more() -> None:
    taken = drive(limiter(1.0), START + 60.0, tuple(Priority))
    assert most_in_any_second(taken) <= 4
    assert len(taken) <= 60


@given(st.sampled_from([5.0, 40.0, 200.0]), st.sampled_from([Priority.BROADCAST, Priority.HEAD]))
@settings(derandomize=True, max_examples=12)
def test_urgent_calls_find_their_reserved_tokens_under_any_push(contract: float, urgent: Priority) -> None:
    subject = limiter(contract)
    rest = (Priority.LIVE, Priority.QUORUM, Priority.BACKFILL)
    now, share = START, 0.2 if urgent is Priority.BROADCAST else 0.1
    gap = 1.0 / (0.85 * contract * share)
    for _ in range(50):
        drive(subject, now + gap * 1.001, rest, now)
        now += gap * 1.001
        assert subject.ready_at(now, urgent) == now
        subject.take(now, urgent)


def test_backfill_gets_at_most_half_even_when_nobody_else_asks() -> None:
    taken = drive(limiter(100.0), START + 30.0, (Priority.BACKFILL,))
    assert len(taken) / 30.0 == pytest.approx(0.5 * 85.0, rel=0.03)


def test_what_the_urgent_leave_is_not_wasted() -> None:
    taken = drive(limiter(100.0, cubic_c=1e-9), START + 30.0, (Priority.LIVE,))
    assert len(taken) / 30.0 == pytest.approx(85.0, rel=0.03)


def test_a_throttle_freezes_everyone_for_as_long_as_asked_and_a_little_more() -> None:
    subject = limiter(100.0)
    subject.take(START, Priority.LIVE)
    subject.throttled(START + 0.1, START, 7.0)
    for priority in Priority:
        assert START + 7.1 <= subject.ready_at(START + 0.2, priority) <= START + 0.1 + 7.0 * 1.05
    assert subject.ready_at(subject.frozen_until() + 1.0, Priority.BROADCAST) == subject.frozen_until() + 1.0


def test_an_absurd_retry_after_is_capped() -> None:
    subject = limiter(100.0)
    subject.throttled(START, START, 1e12)
    assert subject.frozen_until() <= START + 300.0 * 1.05


def test_one_cut_an_epoch_however_many_answers_say_so() -> None:
    subject = limiter(100.0)
    subject.throttled(START + 1.0, START + 0.5, 0.0)
    rate, frozen = subject.rate(START + 1.0), subject.frozen_until()
    assert rate == pytest.approx(0.7 * 0.7 * 85.0), "cut, and the peak with it, since nothing was proven yet"
    for late in range(10):
        subject.throttled(START + 1.0 + late / 100.0, START + 0.9, 0.0)
    assert (subject.rate(START + 1.0), subject.frozen_until()) == (rate, frozen)
    subject.throttled(START + 1.2, START + 0.9, 5.0)
    assert subject.frozen_until() == START + 6.2
    subject.succeeded(START + 7.0)
    before = subject.rate(START + 8.0)
    subject.throttled(START + 8.0, START + 7.0, 0.0)
    assert subject.rate(START + 8.0) < before


def test_throttles_in_a_row_lengthen_the_pause_until_an_answer_ends_the_row() -> None:
    subject = limiter(100.0, freeze_spread=0.0)
    now, pauses = START, []
    rates = []
    for _ in range(8):
        subject.throttled(now, now, 0.0)
        pauses.append(subject.frozen_until() - now)
        rates.append(subject.rate(now))
        now = subject.frozen_until() + 0.5
    assert pauses == [1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 60.0]
    assert rates == pytest.approx([0.7 * 59.5, *[0.7 * 85.0] * 7]), (
        "an account that is shut says nothing about the rate"
    )
    subject.succeeded(now - 100.0)
    subject.throttled(now, now, 0.0)
    assert subject.frozen_until() - now == 60.0, "an answer to an older request says nothing"


def frozen_in_a_row(subject: Limiter, now: float, times: int) -> tuple[float, list[float]]:
    """So many throttles, each to the first request after the last one's pause; then an answer."""
    pauses = []
    for _ in range(times):
        subject.throttled(now, now, 0.0)
        pauses.append(subject.frozen_until() - now)
        now = subject.frozen_until() + 0.5
    subject.succeeded(now)
    return now + 1.0, pauses


def test_a_penalty_that_was_found_out_is_where_the_next_pause_begins() -> None:
    subject = limiter(100.0, freeze_spread=0.0)
    now, pauses = frozen_in_a_row(subject, START, 4)
    assert pauses == [1.0, 2.0, 5.0, 10.0]
    now, pauses = frozen_in_a_row(subject, now, 1)
    assert pauses == [10.0]
    now, pauses = frozen_in_a_row(subject, now, 2)
    assert pauses == [5.0, 10.0], "one that sufficed is tried shorter, for it may have been an outage"
    for _ in range(3):
        now, pauses = frozen_in_a_row(subject, now, 1)
        assert pauses == [10.0], "and once that was too short it is kept to"
    now, pauses = frozen_in_a_row(subject, now + 3_600.0, 1)
    assert pauses == [1.0], "until it is forgotten"


def test_a_long_outage_is_not_taken_for_a_penalty() -> None:
    subject = limiter(100.0, freeze_spread=0.0)
    for number in range(20):
        subject.succeeded(START + number)
    now, pauses = frozen_in_a_row(subject, START + 20.0, 7)
    assert pauses[-1] == 60.0
    assert subject.rate(now + 10.0) >= 0.97 * 85.0, "what little was asked before it is not taken for the mark"
    for expected in (15.0, 10.0, 5.0, 2.0, 1.0, 1.0):
        now, pauses = frozen_in_a_row(subject, now, 1)
        assert pauses == [expected]


@pytest.mark.parametrize("told", [True, False], ids=["told", "found out"])
def test_what_was_served_in_a_stretch_as_long_as_the_penalty_is_the_mark(told: bool) -> None:
    """Some 600 are served in six seconds and a half; then the account is shut for ten."""
    subject = limiter(100.0, freeze_spread=0.0)
    taken = drive(subject, START + 6.5, (Priority.LIVE,))
    for at, _ in taken:
        subject.succeeded(at)
    now = START + 6.5
    if told:
        subject.throttled(now, now, 10.0)
        subject.succeeded(subject.frozen_until() + 0.1)
    else:
        frozen_in_a_row(subject, now, 4)
    now = subject.frozen_until() + 10.0
    assert subject.rate(now) == pytest.approx(0.98 * len(taken) / 10.0)
    now = pushed(subject, now, now + 60.0)
    assert subject.rate(now) == pytest.approx(0.98 * len(taken) / 10.0), "which is no guess, and kept to"


def test_a_long_pause_that_was_asked_for_after_little_traffic_is_not_taken_for_the_mark() -> None:
    subject = limiter(100.0, freeze_spread=0.0)
    for number in range(10):
        subject.succeeded(START + number)
    subject.throttled(START + 10.0, START + 10.0, 60.0)
    assert subject.rate(subject.frozen_until() + 60.0) >= 0.45 * 85.0


def pushed(subject: Limiter, now: float, until: float) -> float:
    """Live reads all along, as many as go."""
    drive(subject, until, (Priority.LIVE,), now)
    return until


def test_a_rate_that_was_refused_at_once_is_not_the_mark_and_the_way_to_it_is_careful() -> None:
    subject = limiter(100.0, freeze_spread=0.0)
    subject.throttled(START, START, 0.0)
    thawed = START + 1.0
    rates = [subject.rate(thawed + step * 0.25) for step in range(20)]
    assert rates[0] == pytest.approx(0.7 * 59.5)
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(0.97 * 59.5), "a plateau just below the peak"
    now = pushed(subject, thawed, thawed + 10.0)
    assert 60.0 < subject.rate(now) < 80.0, "and on towards what was refused, in steps of a part of what is left"
    now = pushed(subject, now, now + 60.0)
    assert subject.rate(now) == pytest.approx(99.0), "which is borne now: on to the contract"


def test_nobody_pushing_nothing_is_tried() -> None:
    subject = limiter(100.0)
    subject.throttled(START, START, 0.0)
    assert subject.rate(START + 86_400.0) == pytest.approx(0.97 * 59.5)


def test_a_mark_that_was_found_is_kept_to_for_longer_the_less_there_is_to_win() -> None:
    """An account that bears 50 a second, under a plan that says 100: cuts become rare, and the plateau is near 50."""
    subject, now, cuts = limiter(100.0), START, []
    tokens, spent, served = 0.0, START, 0
    while now < START + 600.0:
        at = subject.ready_at(now, Priority.LIVE)
        if at > now:
            now = at
            continue
        tokens = min(tokens + (now - spent) * 50.0, 25.0)
        spent = now
        subject.take(now, Priority.LIVE)
        if tokens < 1.0:
            subject.throttled(now, now, 0.0)
            cuts.append(now)
        else:
            tokens -= 1.0
            served += 1
            subject.succeeded(now)
    assert len(cuts) <= 12
    assert sum(at < START + 100.0 for at in cuts) > 2 * sum(at > START + 200.0 for at in cuts)
    assert served >= 0.95 * 50.0 * 600.0
    assert 46.0 <= subject.rate(now) <= 53.0


def test_every_window_of_a_plan_holds_at_once() -> None:
    plan = Metering(windows=((10.0, 200.0), (3_600.0, 3_000.0)))
    subject = Limiter("account", 100.0, LimiterSettings(), START, plan)
    taken = drive(subject, START + 7_200.0, tuple(Priority))
    times = [at for at, _ in taken]
    for seconds, units in plan.windows:
        for first in range(0, len(times), 97):
            assert sum(times[first] <= at < times[first] + seconds for at in times) <= units
    assert len(times) >= 0.9 * 6_000


def test_a_costly_call_pays_its_price_and_is_not_starved_by_cheap_ones() -> None:
    plan = Metering(costs={"eth_getLogs": 20.0})
    subject = Limiter("account", 100.0, LimiterSettings(cubic_c=1e-9), START, plan)
    now, spent = START, 0.0
    for number in range(400):
        method = "eth_getLogs" if number % 10 == 0 else "eth_blockNumber"
        ready = subject.ready_at(now, Priority.LIVE, method)
        assert ready == pytest.approx(subject.ready_at(now, Priority.LIVE, "other")), "whoever is first goes first"
        now = ready
        subject.take(now, Priority.LIVE, method)
        spent += plan.costs.get(method, 1.0)
    assert spent / (now - START) == pytest.approx(85.0, rel=0.05)


def test_a_method_with_a_rate_of_its_own_does_not_hold_up_the_others() -> None:
    plan = Metering(method_rates={"sendTransaction": 2.0})
    subject = Limiter("account", 1_000.0, LimiterSettings(), START, plan)
    for _ in range(2):
        subject.take(START, Priority.BROADCAST, "sendTransaction")
    assert START + 1.0 <= subject.ready_at(START, Priority.BROADCAST, "sendTransaction") <= START + 1.06
    assert subject.ready_at(START, Priority.BROADCAST, "getSignatureStatuses") == START


def test_a_plan_s_numbers_are_above_zero() -> None:
    for plan in ({"windows": ((10.0, 0.0),)}, {"costs": {"m": -1.0}}, {"method_rates": {"m": 0.0}}):
        with pytest.raises(ValueError, match="above zero"):
            Metering(**plan)


@given(st.lists(st.tuples(st.floats(0.0, 20.0), st.floats(0.0, 5.0), st.booleans()), max_size=40))
@settings(derandomize=True)
def test_whatever_happens_the_rate_stays_between_floor_and_contract(steps: list[tuple[float, float, bool]]) -> None:
    subject, now = limiter(10.0), START
    for wait, pause, throttle in steps:
        now += wait
        if throttle:
            subject.throttled(now, now, pause)
        for priority in Priority:
            if subject.ready_at(now, priority) == now:
                subject.take(now, priority)
        assert 0.5 <= subject.rate(now) <= 10.0
        assert subject.tokens(now) >= -1e-6
        later = subject.ready_at(now, Priority.BROADCAST)
        assert later <= now + 5.0 * 1.05 + 60.0 * 1.05 + 5.0, "nobody waits for ever"


def test_a_request_that_was_never_sent_gives_its_token_back() -> None:
    subject = limiter(1.0)
    subject.take(START, Priority.LIVE)
    assert subject.ready_at(START, Priority.LIVE) > START
    subject.give_back(START, START, Priority.LIVE)
    assert subject.ready_at(START, Priority.LIVE) == START


def test_chains_that_share_an_account_share_its_limiter() -> None:
    accounts = Accounts()
    one = accounts.limiter("plan", 10.0, START)
    assert accounts.limiter("plan", 10.0, START + 5.0) is one
    assert accounts.limiter("other", 20.0, START) is not one
    with pytest.raises(ValueError, match="plan"):
        accounts.limiter("plan", 20.0, START)
