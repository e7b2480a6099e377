"""The flow that trains, compares and decides."""

from __future__ import annotations

import os
from typing import Any

from prefect import State, flow
from prefect.task_runners import ThreadPoolTaskRunner

from finflow.flows.artifacts import publish_decision, publish_leaderboard, publish_leakage, publish_validation
from finflow.flows.display import DISPLAY
from finflow.flows.scheduled import arrive, run_name
from finflow.flows.tasks import (
    check_task,
    conclude_task,
    evaluate_task,
    fit_and_predict_task,
    plan_task,
    refuse_task,
    validate_task,
    window_task,
)
from finflow.models.base import Hardware
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import PredictionResult
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.fits.process import warm_up_first

# One fit a core: more only take turns, and each runs on one thread for the sake of its bits.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=len(os.sched_getaffinity(0)))


@flow(name="train", flow_run_name=run_name("train"), task_runner=RUNNER)
def train_flow(
    name: str,
    as_of: str | None = None,
    candidates: list[str] | None = None,
    seed: int | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",
) -> dict[str, Any] | State[Any]:
    """Source to decision: every candidate and baseline on every fold, one gate, one recorded decision.

    Args:
        name: the definition.
        as_of: a date; empty: the newest session.
        candidates: only these of the definition's; every baseline is compared.
        seed: the first seed; empty: the definition's.
        accelerator: cpu, gpu or auto.
        devices: how many a fit uses.
        strategy: Lightning's.
        precision: Lightning's.
    """
    context = open_context(load_definition(name), Home.from_environment())
    hardware = Hardware(accelerator, devices, strategy, precision)
    arrival = arrive(context, "train", as_of)
    if isinstance(arrival, State):
        return arrival
    warm_up_first(context.home)  # what fits are forked from loads its libraries while the data are checked
    clean = validate_task(context, arrival.raw, arrival.as_of)
    publish_validation(context.definition, clean)
    samples = window_task(context, clean)
    checked = check_task(context, samples)
    publish_leakage(context.definition, checked)
    refuse_task(context, samples, checked)
    plan = plan_task(context, samples, candidates, seed, hardware)
    DISPLAY.begin("fit", len(plan.specs))
    fits = [fit_and_predict_task.submit(spec, context.home) for spec in plan.specs]
    results: list[PredictionResult | BaseException] = [future.result(raise_on_failure=False) for future in fits]
    evaluation, failed = evaluate_task(context, plan, results)
    fitted = [result.fit for result in results if isinstance(result, PredictionResult)]
    publish_leaderboard(context.definition, evaluation)
    conclusion = conclude_task(context, plan, evaluation, failed, fitted, checked)
    publish_decision(context, evaluation, conclusion)
    return conclusion.outcome
