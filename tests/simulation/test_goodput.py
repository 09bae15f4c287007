"""The overload experiment in little: a seed, a few loads, a short look. The whole of it is `make bench`."""

from __future__ import annotations

import msgspec
import pytest

from tests.simulation.models import load_plan
from tests.simulation.simulator import Case, baseline, ours, recovery_seconds

PLAN = load_plan()
SHORT = msgspec.structs.replace(PLAN.experiment, capacity=20.0, warm_up=90.0, duration=60.0)


def case(model: str, contract: float, load: float, fault: tuple[float, float] | None = None) -> Case:
    about = PLAN.models[model]
    return Case(model=about, experiment=SHORT, contract=contract * SHORT.capacity, load=load, seed=7, fault=fault)


@pytest.mark.parametrize(
    ("model", "contract", "load"),
    [
        ("plain_429", 0.95, 1.0),
        ("plain_429", 2.0, 3.0),
        ("200_with_error", 2.0, 1.5),
        ("silent_queue", 2.0, 5.0),
        ("penalty_box", 2.0, 2.0),
        ("flapping", 2.0, 2.0),
    ],
)
def test_overload_is_a_plateau_and_no_broadcast_starves(model: str, contract: float, load: float) -> None:
    outcome = ours(case(model, contract, load))
    assert outcome.goodput >= 0.8
    assert outcome.p0_success == 1.0
    assert outcome.attempts <= 1.1


@pytest.mark.parametrize("model", ["silent_queue", "penalty_box"])
def test_the_usual_way_collapses_where_the_pool_does_not(model: str) -> None:
    """Or the models would be too kind to tell anything."""
    brief = msgspec.structs.replace(SHORT, warm_up=10.0, duration=20.0)
    outcome = baseline(msgspec.structs.replace(case(model, 1.0, 3.0), experiment=brief))
    assert outcome.goodput < 0.1


@pytest.mark.parametrize("model", ["plain_429", "silent_queue", "penalty_box", "black_hole"])
def test_after_a_fault_of_twenty_seconds_it_is_itself_again_within_thirty(model: str) -> None:
    fault = (90.0, 110.0)
    brief = msgspec.structs.replace(SHORT, warm_up=60.0, duration=90.0)
    # The plan is nearly what the provider bears: so the fault is the first that is heard of any limit.
    outcome = ours(msgspec.structs.replace(case(model, 0.95, 2.0, fault), experiment=brief))
    assert recovery_seconds(outcome, fault) <= 30.0


def test_the_mix_is_whole_and_a_seed_is_a_run() -> None:
    assert sum(msgspec.structs.astuple(PLAN.experiment.mix)) == pytest.approx(1.0)
    brief = msgspec.structs.replace(SHORT, warm_up=5.0, duration=15.0)
    twice = [ours(msgspec.structs.replace(case("plain_429", 2.0, 2.0), experiment=brief)) for _ in range(2)]
    assert twice[0].useful == twice[1].useful
