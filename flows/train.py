"""The flow that trains, compares and decides."""

from __future__ import annotations

import os
from typing import Any

from prefect import flow
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import publish_decision, publish_leaderboard, publish_validation
from flows.display import DISPLAY
from flows.tasks import conclude_task, evaluate_task, fit_and_predict_task, ingest_task, plan_task, validate_task, window_task
from models.base import Hardware
from pipelines.definition import load_definition
from pipelines.home import Home
from pipelines.manifests import PredictionResult

# One fit a core: more only take turns, and each runs on one thread for the sake of its bits.
RUNNER: Any = ThreadPoolTaskRunner(max_workers=len(os.sched_getaffinity(0)))


@flow(name="train", flow_run_name="train {name} as of {as_of}", task_runner=RUNNER)
def train_flow(
    name: str,
    as_of: str | None = None,
    candidates: list[str] | None = None,
    seed: int | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",
) -> dict[str, Any]:
    """Source to decision: every candidate and baseline on every fold, one gate, one recorded decision."""
    from pipelines.fit_process import warm
    from pipelines.knowledge import resolve_as_of

    warm()  # what fits are forked from loads its libraries while the data are read
    definition, home = load_definition(name), Home.from_environment()
    hardware = Hardware(accelerator, devices, strategy, precision)
    raw = ingest_task(definition, home)
    instant = resolve_as_of(definition, home, as_of)
    clean = validate_task(definition, home, raw, instant.isoformat())
    publish_validation(definition, clean)
    samples = window_task(definition, home, clean)
    plan = plan_task(definition, home, samples, candidates, seed, hardware)
    DISPLAY.begin("fit", len(plan.specs))
    fits = [fit_and_predict_task.submit(spec, home) for spec in plan.specs]
    results: list[PredictionResult | BaseException] = [future.result(raise_on_failure=False) for future in fits]
    evaluation, failed = evaluate_task(definition, home, plan, results)
    fitted = [result.fit for result in results if isinstance(result, PredictionResult)]
    publish_leaderboard(definition, evaluation)
    conclusion = conclude_task(definition, home, plan, evaluation, failed, fitted)
    publish_decision(definition, home, evaluation, conclusion)
    return conclusion.outcome
