"""The stages as Prefect tasks: named, retried, never cached by Prefect (the folder store and the tables say what is done)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from prefect import task
from prefect.cache_policies import NO_CACHE

from finflow.flows.display import DISPLAY
from finflow.flows.runs.events import LATE_DATA, announce_decision, emit, watched_quarantine
from finflow.models.base import Hardware
from finflow.pipelines.backfill.run import plan_backfill, run_chunk
from finflow.pipelines.backfill.walk_forward import try_period
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import CleanManifest, Evaluation, FitResult, FitSpec, PredictionResult, RawManifest, SampleManifest
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.fits.fits import carry_out, predict_fit
from finflow.pipelines.fits.needs import TRAINING
from finflow.pipelines.leakage.stage import check_samples
from finflow.pipelines.operating.arrival import Awaited, look_for_session, named
from finflow.pipelines.samples.windows import store_samples
from finflow.pipelines.scoring.score import score_clean
from finflow.pipelines.training.conclusion import conclude_training, evaluate_training
from finflow.pipelines.training.leaks import refuse_leaks
from finflow.pipelines.training.plan import plan_training
from finflow.pipelines.training.trial import conclude_trial

if TYPE_CHECKING:
    from finflow.pipelines.backfill.request import BackfillRequest
    from finflow.pipelines.backfill.run import BackfillPlan, ChunkResult
    from finflow.pipelines.backfill.walk_forward import WalkStep
    from finflow.pipelines.leakage.check import LeakageReport
    from finflow.pipelines.operating.arrival import Arrived
    from finflow.pipelines.operating.schedules import Due
    from finflow.pipelines.samples.development import Development
    from finflow.pipelines.scoring.score import ScoreResult
    from finflow.pipelines.training.conclusion import Conclusion
    from finflow.pipelines.training.plan import TrainingPlan


def _say_in_log(text: str) -> None:
    """A line for the person at the terminal, and in the run's log."""
    from prefect import get_run_logger

    DISPLAY.say(text)
    get_run_logger().warning(text)


def _say_missing(context: Context, raw: RawManifest) -> None:
    """A warning where the source lacks rows that it should have; a line where it only begins later than it did."""
    if raw.missing is not None and raw.missing.rows:
        _say_in_log(f"{context.name}: {raw.missing.text}.")
    elif raw.missing is not None:
        DISPLAY.say(raw.missing.text)


def _transient(task: Any, run: Any, state: Any) -> bool:
    """Retry what a second try may mend; a person's mistake is not among it."""
    try:
        state.result()
    except FinflowError:
        return False
    except Exception:
        return True
    return False


@task(
    name="ingest",
    task_run_name="read the source",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def ingest_task(context: Context) -> RawManifest:
    """Source to raw table."""
    raw = ingest(context)
    DISPLAY.say(f"read {raw.read:,} rows, {raw.added:,} of them new ({raw.first_time[:10]} to {raw.last_time[:10]})")
    _say_missing(context, raw)
    return raw


@task(
    name="look for session",
    task_run_name="look for the rows of {due.session}",
    retries=2,
    retry_delay_seconds=[2, 10],
    retry_condition_fn=_transient,
    cache_policy=NO_CACHE,
    persist_result=False,
)
def look_for_session_task(context: Context, due: Due) -> Arrived | Awaited:
    """Source to raw table, and whether the session's rows are there."""
    found = look_for_session(context, due)
    if isinstance(found, Awaited):
        DISPLAY.say(found.text)
        return found
    DISPLAY.say(f"session {due.session} is there: {found.raw.added:,} new rows")
    _say_missing(context, found.raw)
    if found.missing:
        text = f"{context.name}: late: of session {due.session} no row of {named(found.missing)} came; the run goes on without."
        _say_in_log(text)
        emit(LATE_DATA, context.definition, text, session=due.session)
    return found


@task(name="validate", task_run_name="hold against the contract", cache_policy=NO_CACHE, persist_result=False)
def validate_task(context: Context, raw: RawManifest, as_of: str) -> CleanManifest:
    """Raw table to clean table and quarantine, by the contract."""

    with watched_quarantine(context, raw):
        clean = validate(context, raw, pd.Timestamp(as_of))
    warnings = [rule for rule in clean.rules if not rule.passed and rule.severity == "warning"]
    DISPLAY.say(f"contract met: {clean.rows:,} rows clean, {clean.quarantined:,} quarantined, {len(warnings)} warnings")
    return clean


@task(name="window", task_run_name="build the windows", cache_policy=NO_CACHE, persist_result=False)
def window_task(context: Context, clean: CleanManifest) -> SampleManifest:
    """Clean table to observations and sample index."""
    samples = store_samples(context, clean)
    DISPLAY.say(f"windowed: {samples.samples:,} samples of {len(samples.columns)} columns")
    return samples


@task(name="check", task_run_name="look for the future in the past", cache_policy=NO_CACHE, persist_result=False)
def check_task(context: Context, samples: SampleManifest) -> LeakageReport:
    """The cheap part of the leakage check, before hours of fits."""
    found = check_samples(context, samples)
    if found.passed:
        DISPLAY.say("no leakage was found")
    return found


@task(name="refuse leaks", task_run_name="go on without leaks", cache_policy=NO_CACHE, persist_result=False)
def refuse_task(context: Context, samples: SampleManifest, checked: LeakageReport) -> None:
    """A training ends here if its check failed: nothing is fitted, and no test outcome is looked at."""
    from prefect.runtime import flow_run

    refuse_leaks(context, samples, checked, {"finflow.prefect_run": str(flow_run.id)})


@task(
    name="fit",
    task_run_name="fit {spec.candidate} fold {spec.fold.name} seed {spec.seed}",
    cache_policy=NO_CACHE,
    persist_result=False,
)
def fit_and_predict_task(spec: FitSpec, home: Home) -> PredictionResult:
    """One fit and the predictions of its fold's test part."""
    try:
        return predict_fit(spec, carry_out(spec, home), home)
    finally:
        DISPLAY.advance("fit")


@task(name="score", task_run_name="predict with the champion", cache_policy=NO_CACHE, persist_result=False)
def score_task(context: Context, clean: CleanManifest, version: int | None) -> ScoreResult:
    """The as-of session, predicted and kept once."""
    scored = score_clean(context, clean, version)
    DISPLAY.say(f"scored {scored.date}: {scored.rows} rows by version {scored.version}, {scored.written} new")
    return scored


@task(name="plan backfill", task_run_name="plan {request.start} to {request.end}", cache_policy=NO_CACHE, persist_result=False)
def backfill_plan_task(
    context: Context, request: BackfillRequest, clean: CleanManifest, failures: dict[str, str] | None = None
) -> BackfillPlan:
    """Which dates run, with which version; see `plan_backfill`."""
    plan = plan_backfill(context, request, clean, failures)
    waiting = f", {len(plan.untrained)} of them after a training" if plan.untrained else ""
    DISPLAY.say(f"backfill of {len(plan.dates)} dates: {len(plan.selected)} to run{waiting}")
    return plan


@task(name="train period", task_run_name="train as of {step.period.as_of}", cache_policy=NO_CACHE, persist_result=False)
def walk_period_task(context: Context, step: WalkStep) -> str | None:
    """One period of a walk: fits, decision, version. Why it could not be trained, if it could not."""
    try:
        return try_period(context, step)
    finally:
        DISPLAY.advance("train")


def _chunk_name() -> str:
    """What the Prefect UI calls the task of some dates."""
    from prefect.runtime import task_run

    dates = task_run.parameters["dates"]
    return f"backfill {dates[0]} to {dates[-1]}"


@task(name="backfill", task_run_name=_chunk_name, cache_policy=NO_CACHE, persist_result=False)
def backfill_chunk_task(context: Context, plan: BackfillPlan, dates: tuple[str, ...]) -> ChunkResult:
    """Some dates in one pass and one commit."""
    try:
        return run_chunk(context, plan, dates)
    finally:
        DISPLAY.advance("backfill")


@task(name="plan", task_run_name="plan folds and fits", cache_policy=NO_CACHE, persist_result=False)
def plan_task(
    context: Context,
    samples: SampleManifest,
    candidates: list[str] | None,
    seed: int | None,
    hardware: Hardware,
    kind: str = TRAINING,
) -> TrainingPlan:
    """Folds, recipes and fits of a training, or of a trial."""
    plan = plan_training(context, samples, candidates=candidates, seed=seed, hardware=hardware, kind=kind)
    DISPLAY.say(f"{len(plan.recipes)} recipes on {len(plan.folds)} test periods: {len(plan.specs)} fits")
    return plan


@task(name="evaluate", task_run_name="compare all candidates", cache_policy=NO_CACHE, persist_result=False)
def evaluate_task(
    context: Context, plan: TrainingPlan, results: list[PredictionResult | BaseException]
) -> tuple[Evaluation, dict[str, str]]:
    """Every candidate on the same dates; with it, why a candidate could not be compared."""
    DISPLAY.say("evaluating: a look at test outcomes, which is recorded first")
    return evaluate_training(context, plan, results)


@task(name="decide", task_run_name="decide, register, report", cache_policy=NO_CACHE, persist_result=False)
def conclude_task(
    context: Context,
    plan: TrainingPlan,
    evaluation: Evaluation,
    failed: dict[str, str],
    fits: list[FitResult],
    leakage: LeakageReport,
) -> Conclusion:
    """Gate, production fits, registration, record, alias, report."""
    from prefect.runtime import flow_run

    tags = {"finflow.prefect_run": str(flow_run.id)}
    recorded = context.promotions.find(plan.run_key) is not None
    conclusion = conclude_training(context, plan, evaluation, failed, fits, leakage=leakage, tags=tags)
    if not recorded:
        announce_decision(context.definition, conclusion)
    DISPLAY.say(f"{conclusion.decision.verdict}: {conclusion.decision.reason}")
    return conclusion


@task(name="compare", task_run_name="compare, log and report the trial", cache_policy=NO_CACHE, persist_result=False)
def conclude_trial_task(
    context: Context, plan: TrainingPlan, allowed: Development, results: list[PredictionResult | BaseException]
) -> tuple[Evaluation, dict[str, Any]]:
    """Every recipe on the same development dates, in MLflow and in a report; no decision."""
    from prefect.runtime import flow_run

    DISPLAY.say("comparing on development folds: nothing is decided")
    return conclude_trial(context, plan, allowed, results, tags={"finflow.prefect_run": str(flow_run.id)})
