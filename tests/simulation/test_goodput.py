"""The overload experiment in little: a seed, a few loads, a short look. The whole of it is `make bench`."""

from __future__ import annotations

import msgspec
import pytest

from tests.simulation.models import Kind, Model, load_plan
from tests.simulation.simulator import Case, baseline, ours, ours_of_two, recovery_seconds

PLAN = load_plan()
SHORT = msgspec.structs.replace(PLAN.experiment, capacity=20.0, warm_up=60.0, duration=60.0)


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
        ("penalty_box_unknown", 2.0, 3.0),
        ("flapping", 2.0, 2.0),
        ("black_hole", 2.0, 1.5),
        ("slow_drip", 0.95, 3.0),
    ],
)
def test_overload_is_a_plateau_and_no_broadcast_starves(model: str, contract: float, load: float) -> None:
    outcome = ours(case(model, contract, load))
    assert outcome.goodput >= 0.85
    assert outcome.p0_success == 1.0
    assert outcome.attempts <= 1.1


@pytest.mark.parametrize("model", ["silent_queue", "penalty_box"])
def test_the_usual_way_collapses_where_the_pool_does_not(model: str) -> None:
    """Or the models would be too kind to tell anything."""
    brief = msgspec.structs.replace(SHORT, warm_up=10.0, duration=20.0)
    outcome = baseline(msgspec.structs.replace(case(model, 1.0, 3.0), experiment=brief))
    assert outcome.goodput < 0.1


@pytest.mark.parametrize("model", ["plain_429", "silent_queue", "penalty_box", "flapping", "black_hole"])
def test_after_a_fault_of_twenty_seconds_it_is_itself_again_within_thirty(model: str) -> None:
    fault = (60.0, 80.0)
    brief = msgspec.structs.replace(SHORT, warm_up=30.0, duration=90.0)
    # The plan is nearly what the provider bears: so the fault is the first that is heard of any limit.
    outcome = ours(msgspec.structs.replace(case(model, 0.95, 2.0, fault), experiment=brief))
    assert sum(outcome.useful[62:80]) < 0.5 * sum(outcome.useful[42:60]), "there was a fault at all"
    assert recovery_seconds(outcome, fault) <= 30.0


@pytest.mark.parametrize("down", [120.0, 60.0], ids=["never there", "away halfway"])
@pytest.mark.parametrize("kind", ["hole", "flapping"])
def test_one_of_two_is_away_and_the_other_is_used_to_the_full(kind: Kind, down: float) -> None:
    """The one that stays tells of its capacity by being slow only, which is where a little impatience costs most."""
    outcome = ours_of_two(case("silent_queue", 2.0, 3.0), Model(kind=kind, period=120.0, down=down))
    assert outcome.goodput >= 0.85
    assert outcome.goodput <= 1.05, "the other one is away"
    assert outcome.p0_success == 1.0
    assert outcome.attempts <= 1.1


def test_two_that_are_there_bear_twice_as_much() -> None:
    brief = msgspec.structs.replace(SHORT, duration=30.0)
    both = msgspec.structs.replace(case("plain_429", 2.0, 3.0), experiment=brief)
    assert ours_of_two(both, PLAN.models["silent_queue"]).goodput >= 1.7


def test_the_mix_is_whole_and_a_seed_is_a_run() -> None:
    assert sum(msgspec.structs.astuple(PLAN.experiment.mix)) == pytest.approx(1.0)
    brief = msgspec.structs.replace(SHORT, warm_up=5.0, duration=15.0)
    twice = [ours(msgspec.structs.replace(case("plain_429", 2.0, 2.0), experiment=brief)) for _ in range(2)]
    assert twice[0].useful == twice[1].useful
