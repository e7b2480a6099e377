"""The flow that compares recipes on development folds and decides nothing."""

from __future__ import annotations

from typing import Any

from prefect import flow

from finflow.flows.artifacts import publish_leaderboard, publish_validation
from finflow.flows.display import DISPLAY
from finflow.flows.scheduled import run_name
from finflow.flows.tasks import conclude_trial_task, fit_and_predict_task, ingest_task, plan_task, validate_task, window_task
from finflow.flows.train import RUNNER
from finflow.models.base import Hardware
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import PredictionResult
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.fits.needs import TRIAL
from finflow.pipelines.fits.process import warm_up_first
from finflow.pipelines.samples.development import develop, open_development


@flow(name="try", flow_run_name=run_name("try"), task_runner=RUNNER)
def try_flow(
    name: str,
    as_of: str | None = None,
    candidates: list[str] | None = None,
    seed: int | None = None,
    accelerator: str = "cpu",
    devices: int = 1,
    strategy: str = "auto",
    precision: str = "32-true",
) -> dict[str, Any]:
    """Source to leaderboard on folds that end before the first test date; no gate, no decision, no version.

    Args:
        name: the definition.
        as_of: a date; what was known then is read, and at most what was known before the first test date. Empty: that.
        candidates: only these of the definition's; every baseline is compared.
        seed: the first seed; empty: the definition's.
        accelerator: cpu, gpu or auto.
        devices: how many a fit uses.
        strategy: Lightning's.
        precision: Lightning's.
    """
    context = open_context(load_definition(name), Home.from_environment())
    warm_up_first(context.home)  # what fits are forked from loads its libraries while the data are checked
    raw = ingest_task(context)
    allowed = open_development(context, raw, as_of)
    DISPLAY.say(f"a trial: reads what was known by {allowed.as_of[:10]}, and nothing from {allowed.first_test} on")
    clean = validate_task(context, raw, allowed.as_of)
    publish_validation(context.definition, clean)
    samples = window_task(context, clean)
    trial = develop(context, samples, allowed)
    hardware = Hardware(accelerator, devices, strategy, precision)
    plan = plan_task(trial, samples, candidates, seed, hardware, TRIAL)
    DISPLAY.begin("fit", len(plan.specs))
    fits = [fit_and_predict_task.submit(spec, context.home) for spec in plan.specs]
    results: list[PredictionResult | BaseException] = [future.result(raise_on_failure=False) for future in fits]
    evaluation, outcome = conclude_trial_task(trial, plan, allowed, results)
    publish_leaderboard(context.definition, evaluation, TRIAL)
    return outcome
