"""The first policy: limits, then a threshold; zero switches a number off."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from custody.policy.parameters import BY_NAME, Parameter, Scope
from custody.policy.withdrawals import Limits, Verdict, judge


def limits(per_transaction: int = 0, daily: int = 0, approval_above: int = 0) -> Limits:
    return Limits(per_transaction=per_transaction, daily=daily, approval_above=approval_above)


@pytest.mark.parametrize(
    ("amount", "spent", "rules", "verdict"),
    [
        (1 << 120, 1 << 120, limits(), Verdict.ALLOWED),
        (10, 0, limits(per_transaction=10), Verdict.ALLOWED),
        (11, 0, limits(per_transaction=10), Verdict.ABOVE_TRANSACTION_LIMIT),
        (5, 5, limits(daily=10), Verdict.ALLOWED),
        (6, 5, limits(daily=10), Verdict.ABOVE_DAILY_LIMIT),
        (1, 10, limits(daily=10), Verdict.ABOVE_DAILY_LIMIT),
        (10, 0, limits(approval_above=10), Verdict.ALLOWED),
        (11, 0, limits(approval_above=10), Verdict.NEEDS_APPROVAL),
        (11, 0, limits(per_transaction=10, daily=10, approval_above=10), Verdict.ABOVE_TRANSACTION_LIMIT),
        (11, 0, limits(daily=10, approval_above=10), Verdict.ABOVE_DAILY_LIMIT),
        (11, 0, limits(per_transaction=11, daily=11, approval_above=10), Verdict.NEEDS_APPROVAL),
    ],
)
def test_the_verdict(amount: int, spent: int, rules: Limits, verdict: Verdict) -> None:
    assert judge(amount, spent, rules) is verdict


ORDER = list(Verdict)
number = st.integers(0, 30)


@given(number, number, number, number, number, st.integers(0, 5))
def test_more_is_never_easier(amount: int, spent: int, one: int, day: int, ask: int, more: int) -> None:
    rules = limits(one, day, ask)
    easier, harder = judge(amount, spent, rules), judge(amount + more, spent + more, rules)
    assert ORDER.index(harder) <= ORDER.index(easier)


def test_parameters_are_found_by_their_name() -> None:
    assert set(BY_NAME) == {
        "limit_per_transaction", "limit_daily", "approval_above", "fee_cap", "attempts", "death_quorum",
    }  # fmt: skip
    for parameter in Parameter:
        assert BY_NAME[parameter.label] is parameter
        assert parameter.default >= 0
    assert Parameter.LIMIT_DAILY.scope is Scope.ASSET
    assert Parameter.ATTEMPTS.scope is Scope.CHAIN
    assert (Parameter.ATTEMPTS.default, Parameter.DEATH_QUORUM.default) == (1, 1), "one try, one witness at least"
