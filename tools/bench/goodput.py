"""The overload experiment, whole: every model of tests/simulation/models.toml at every load, ours and the usual way.

Goodput is the lowest over loads, contracts, seeds and the variants of a model; so is the success of urgent calls.
Attempts and recovery are the highest. The chart shows the lowest at each load.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ProcessPoolExecutor
from typing import Literal

import msgspec

from tests.simulation.models import Experiment, Plan, load_plan
from tests.simulation.simulator import Case, Outcome, baseline, ours, recovery_seconds
from tools.bench.chart import Panel, chart
from tools.sources import ROOT

VARIANTS: Mapping[str, tuple[str, ...]] = {
    "plain_429": ("plain_429", "plain_429_with_header", "200_with_error"),
    "silent_queue": ("silent_queue",),
    "penalty_box": ("penalty_box", "penalty_box_unknown"),
    "flapping": ("flapping",),
    "black_hole": ("black_hole",),
    "slow_drip": ("slow_drip",),
}
CHARTED: Mapping[str, tuple[str, str]] = {
    "plain_429": ("Plain 429", "refuses what is too much"),
    "silent_queue": ("Silent queue", "refuses nothing, answers in turn"),
    "penalty_box": ("Penalty box", "shuts for 10 s, anew if asked"),
    "flapping": ("Flapping", "8 of 30 s nothing but 503"),
}
"""Title and subtitle of the models that something is promised for."""
FAULT_LOAD = 2.0
BASELINE_SECONDS = (20.0, 60.0)
"""Warm-up and duration of the baseline, which has nothing to learn and is the same after a minute as after an hour."""

Side = Literal["ours", "baseline"]


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run's figures."""

    model: str
    side: Side
    load: float
    goodput: float
    p0_success: float
    attempts: float
    recovery: float | None = None


class _Job(msgspec.Struct, frozen=True, kw_only=True):
    model: str
    side: Side
    case: Case


def _run(job: _Job) -> Run:
    outcome: Outcome = (ours if job.side == "ours" else baseline)(job.case)
    fault = job.case.fault
    return Run(
        model=job.model,
        side=job.side,
        load=job.case.load,
        goodput=outcome.goodput,
        p0_success=outcome.p0_success,
        attempts=outcome.attempts,
        recovery=None if fault is None else recovery_seconds(outcome, fault),
    )


def _jobs(plan: Plan) -> Iterable[_Job]:
    experiment = plan.experiment
    begin = experiment.warm_up + 60.0
    fault = (begin, begin + experiment.fault)
    plain = _shorter(experiment)
    for model, variants in VARIANTS.items():
        for variant in variants:
            about = plan.models[variant]
            main = variant == model and model in CHARTED
            # The variants are there to be no worse; one seed on the plan that promises too much shows it.
            for contract in experiment.contracts if main else experiment.contracts[-1:]:
                rate = contract * experiment.capacity
                for seed in experiment.seeds if main else experiment.seeds[:1]:
                    for load in experiment.loads:
                        case = Case(model=about, experiment=experiment, contract=rate, load=load, seed=seed)
                        yield _Job(model=model, side="ours", case=case)
                    case = Case(
                        model=about, experiment=experiment, contract=rate, load=FAULT_LOAD, seed=seed, fault=fault
                    )
                    yield _Job(model=model, side="ours", case=case)
        about = plan.models[variants[0]]
        for load in experiment.loads:
            case = Case(model=about, experiment=plain, contract=0.0, load=load, seed=experiment.seeds[0])
            yield _Job(model=model, side="baseline", case=case)


def _shorter(experiment: Experiment) -> Experiment:
    warm_up, duration = BASELINE_SECONDS
    return msgspec.structs.replace(experiment, warm_up=warm_up, duration=duration)


def measure() -> dict[str, float]:
    """The figures, and build/goodput.svg."""
    # The dearest first, so that no core is left with one of them in the end.
    jobs = sorted(_jobs(load_plan()), key=lambda job: -job.case.load)
    with ProcessPoolExecutor(max_workers=min(2, os.cpu_count() or 1)) as workers:
        runs = list(workers.map(_run, jobs, chunksize=1))
    figures: dict[str, float] = {}
    for model in VARIANTS:
        for side, prefix in (("ours", ""), ("baseline", "baseline_")):
            mine = [run for run in runs if run.model == model and run.side == side]
            calm = [run for run in mine if run.recovery is None]
            figures[f"{prefix}goodput_min_{model}"] = round(min(run.goodput for run in calm), 4)
            figures[f"{prefix}p0_success_{model}"] = round(min(run.p0_success for run in calm), 5)
            figures[f"{prefix}attempts_per_request_{model}"] = round(max(run.attempts for run in calm), 4)
        recoveries = [run.recovery for run in runs if run.model == model and run.recovery is not None]
        figures[f"recovery_seconds_{model}"] = max(recoveries)
    for prefix in ("", "baseline_"):
        worst = max(figures[f"{prefix}attempts_per_request_{model}"] for model in VARIANTS)
        figures[f"{prefix}attempts_per_request"] = worst
    panels = [
        Panel(title, subtitle, _lowest(runs, model, "ours"), _lowest(runs, model, "baseline"))
        for model, (title, subtitle) in CHARTED.items()
    ]
    (ROOT / "build" / "goodput.svg").write_text(chart(panels))
    return figures


def _lowest(runs: Iterable[Run], model: str, side: Side) -> list[tuple[float, float]]:
    lowest: dict[float, float] = {}
    for run in runs:
        if run.model == model and run.side == side and run.recovery is None:
            lowest[run.load] = min(run.goodput, lowest.get(run.load, 1.0))
    return sorted(lowest.items())
