"""One provider's books: what a permit moves when it is taken, and when it comes back in each of its ways."""

from __future__ import annotations

import pytest

from chains.pool.breaker import State
from chains.pool.calls import Priority
from chains.pool.classify import Classification, Kind
from chains.pool.methods import MethodClass
from chains.pool.provider import NEVER
from chains.pool.retries import RetryBudget
from chains.pool.service import ServiceTime
from chains.pool.settings import PoolSettings
from tests.chains.pool.rig import a_provider


def said(kind: Kind, pause: float = 0.0) -> Classification:
    return Classification(kind=kind, name=kind.value, message="as it said", pause=pause)


def test_a_permit_that_was_never_used_costs_nothing() -> None:
    provider = a_provider("a", rps=1.0)
    permit = provider.begin(0.0, Priority.LIVE, "m")
    assert (provider.ready_at(0.0, Priority.LIVE, "m") or 0.0) > 0.0
    provider.finish(permit, 0.0, None, sent=False)
    assert provider.ready_at(0.0, Priority.LIVE, "m") == 0.0
    assert provider.slots.in_flight == 0


def test_a_permit_that_was_used_and_cancelled_costs_its_token() -> None:
    provider = a_provider("a", rps=1.0)
    provider.finish(provider.begin(0.0, Priority.LIVE, "m"), 0.0, None, sent=True)
    assert (provider.ready_at(0.0, Priority.LIVE, "m") or 0.0) > 0.0
    assert provider.slots.in_flight == 0


def test_a_permit_comes_back_once() -> None:
    provider = a_provider("a")
    permit = provider.begin(0.0, Priority.LIVE, "m")
    provider.finish(permit, 0.0, said(Kind.OK), sent=True)
    with pytest.raises(AssertionError, match="twice"):
        provider.finish(permit, 0.0, said(Kind.OK), sent=True)


def test_how_long_it_has_been_failing_counts_from_the_first_failure_since_a_success() -> None:
    provider = a_provider("a")
    for now, kind in ((0.5, Kind.HURRIED), (1.0, Kind.UNKNOWN), (3.0, Kind.OVERLOADED)):
        provider.finish(provider.begin(now, Priority.LIVE, "m"), now, said(kind), sent=True)
    health = provider.health(5.0)
    assert (health.failing_for, health.last_error, health.last_error_ago) == (4.0, "overloaded", 2.0)
    assert (health.last_success_ago, health.may_ask) == (None, True)
    provider.finish(provider.begin(6.0, Priority.LIVE, "m"), 6.0, said(Kind.CHAIN_VERDICT), sent=True)
    health = provider.health(7.0)
    assert (health.failing_for, health.last_success_ago, health.last_error) == (None, 1.0, "overloaded")


def test_a_throttle_is_told_with_its_pause() -> None:
    provider = a_provider("a")
    provider.finish(provider.begin(0.0, Priority.LIVE, "m"), 0.0, said(Kind.THROTTLED, pause=20.0), sent=True)
    health = provider.health(1.0)
    assert (health.may_ask, health.failing_for, health.error_breaker) == (False, 1.0, State.CLOSED)
    assert 19.0 <= health.frozen_for <= 20.0
    assert health.learned_rate < health.contract_rate


def test_the_usual_time_is_learned_from_good_answers_by_class() -> None:
    service = ServiceTime()
    assert service.usual(MethodClass.LIGHT) == 0.0
    for _ in range(100):
        service.observe(MethodClass.LIGHT, 0.1)
        service.observe(MethodClass.HEAVY, 2.0)
    assert service.usual(MethodClass.LIGHT) == pytest.approx(0.1)
    assert service.usual(MethodClass.HEAVY) == pytest.approx(2.0)
    for number in range(100):
        service.observe(MethodClass.LIGHT, 0.05 if number % 2 else 0.15)
    assert 0.15 <= service.usual(MethodClass.LIGHT) <= 0.25


def test_a_quarantine_never_ends_by_itself() -> None:
    provider = a_provider("a")
    provider.integrity.set(0.0, "it lied")
    assert provider.ready_at(1e9, Priority.BROADCAST, "m") == NEVER


def test_the_retry_budget_is_a_tenth_of_success_and_a_trickle() -> None:
    budget = RetryBudget("testnet", PoolSettings(retry_burst=2.0, retry_floor_per_second=0.5), 0.0)
    assert [budget.spend(0.0) for _ in range(3)] == [True, True, False]
    for _ in range(11):
        budget.earn()
    assert [budget.spend(0.0) for _ in range(2)] == [True, False]
    assert [budget.spend(2.5) for _ in range(2)] == [True, False]
    assert [budget.spend(1_000.0) for _ in range(3)] == [True, True, False], "the stock is bounded"


def test_the_backoff_is_jittered_over_its_whole_range_and_bounded() -> None:
    budget = RetryBudget("testnet", PoolSettings(), 0.0)
    pauses = [budget.backoff(1) for _ in range(100)]
    assert min(pauses) < 0.01
    assert 0.09 < max(pauses) <= 0.1
    assert max(budget.backoff(50) for _ in range(100)) <= 5.0
