"""Backfill: fill the predictions of a range of dates, each as it could have been made then, many in one forward pass."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from finflow.models.errors import FitFailure
from finflow.pipelines.backfill.changes import compare
from finflow.pipelines.backfill.choice import RETRAIN_PREFIX
from finflow.pipelines.backfill.plan import BackfillPlan, backfill_as_of, plan_backfill
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.result import BackfillResult, ChunkResult, DateResult, backfill_result, shown_plan
from finflow.pipelines.backfill.versions import choosing
from finflow.pipelines.backfill.walk_forward import walk_steps
from finflow.pipelines.core.errors import ConflictError, FinflowError, RegistryError, StateError
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.ledger import ALL_ENTITIES, Ledger, LedgerRow
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.lake.promotions import trained_as_of
from finflow.pipelines.registry.versions import load_version
from finflow.pipelines.samples.as_known import forget_views, samples_as_known, view_as_known
from finflow.pipelines.samples.digests import date_digests, window_digests
from finflow.pipelines.scoring.deliver import deliver
from finflow.pipelines.scoring.rows import prediction_rows, unusable_dates
from finflow.pipelines.scoring.score import absence

if TYPE_CHECKING:
    from finflow.models.samples import Samples
    from finflow.pipelines.core.manifests import CleanManifest
    from finflow.pipelines.registry.served import ServedModel

__all__ = [
    "BackfillPlan",
    "BackfillResult",
    "ChunkResult",
    "backfill",
    "backfill_as_of",
    "backfill_result",
    "forget",
    "plan_backfill",
    "run_chunk",
    "show_plan",
]

#: what spoils a date and leaves the others alone; trouble with disk, memory or another writer is not among it
_SPOILS_A_DATE = (FinflowError, FitFailure, ValueError, ArithmeticError, LookupError, RuntimeError)
_STOPS_ALL = (ConflictError, StateError)


@dataclass
class _Answers:
    """Rows and ledger entries of the dates answered so far."""

    frames: list[pd.DataFrame] = field(default_factory=list)
    settled: dict[str, LedgerRow] = field(default_factory=dict)
    in_sample: dict[str, int] = field(default_factory=dict)


def backfill(context: Context, request: BackfillRequest, clean: CleanManifest | None = None) -> BackfillResult:
    """Plan and run a backfill in this process; arguments and errors as for `plan_backfill`."""
    try:
        plan = plan_backfill(context, request, clean)
        if plan.untrained:
            from finflow.pipelines.backfill.walk_forward import train_walk, walk_steps

            failures = train_walk(context, walk_steps(context, plan.model, plan.untrained, plan.clean.raw))
            plan = plan_backfill(context, request, plan.clean, failures)
        with ThreadPoolExecutor(plan.max_active) as pool:
            done = list(pool.map(lambda dates: run_chunk(context, plan, dates), plan.chunks()))
        return backfill_result(plan, done)
    finally:
        forget()


def run_chunk(context: Context, plan: BackfillPlan, dates: Sequence[str]) -> ChunkResult:
    """Predict some of the plan's dates, keep the rows in one commit, send them to the sink; then say so in the ledger.

    A date that fails does not stop the others; its reason is in the ledger and in the result. Killed anywhere, the same call again ends
    in the same state: rows are never there twice, and the ledger is written last.

    Raises:
        ConflictError, StateError: the tables cannot be written.
        SinkError: the definition's sink takes no rows; they are in the lake.
    """
    began = time.perf_counter()
    context = choosing(context, plan.model)
    planned = {one.date: one for one in plan.dates if one.date in set(dates)}
    answers = _Answers()
    for one in planned.values():
        if one.version is None:
            answers.settled[one.date] = _failed(plan, one.date, 0, one.reason)
    for version in sorted({one.version for one in planned.values() if one.version is not None}):
        chosen = sorted(one.date for one in planned.values() if one.version == version)
        _answer_version(context, plan, version, chosen, answers)
    predictions = Predictions(context.lake, context.name)
    frames = answers.frames or [pd.DataFrame()]
    rows = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    changes = compare(predictions.latest(min(dates), max(dates)), rows)
    written = predictions.append_new(rows)
    done = [row for row in answers.settled.values() if row.status == "done"]
    delivered = 0 if plan.restated else deliver(context, {row.date for row in done}, {row.version for row in done})
    seconds = time.perf_counter() - began
    ledger = [_timed(answers.settled[date], seconds / len(planned)) for date in sorted(answers.settled)]
    Ledger(context.lake, context.name).record(ledger)
    results = tuple(
        DateResult(
            row.date, planned[row.date].before, row.status, row.rows, row.version or None, answers.in_sample.get(row.date, 0), row.reason
        )
        for row in ledger
    )
    return ChunkResult(results, written.rows, written.table_version, round(time.perf_counter() - began, 3), delivered, changes)


def show_plan(context: Context, request: BackfillRequest, mode: str = "dry-run", clean: CleanManifest | None = None) -> dict[str, Any]:
    """What a backfill would do (`dry-run`), or what the ledger says of the dates (`status`); the rest as for `plan_backfill`.

    `trainings` are the first dates of the periods that a walk forward would train before it answers; the estimate leaves them out.
    """
    try:
        plan = plan_backfill(context, request, clean)
        shown = shown_plan(plan, mode)
        trainings = _trainings(context, plan) if mode == "dry-run" and plan.untrained else []
        if trainings:
            shown["summary"] += f"; before them {len(trainings)} trainings, of the periods from {', '.join(trainings)}, not in that time"
        return {**shown, "trainings": trainings}
    finally:
        forget()


def _trainings(context: Context, plan: BackfillPlan) -> list[str]:
    return [step.period.start for step in walk_steps(context, plan.model, plan.untrained, plan.clean.raw)]


def forget() -> None:
    """Let go of what a backfill keeps in memory between its chunks."""
    forget_views()


def _answer_version(
    context: Context,
    plan: BackfillPlan,
    version: int,
    dates: Sequence[str],
    answers: _Answers,
) -> None:
    """Answer the dates of one version; those that cannot be answered are settled as failed, with the reason."""
    try:
        served = load_version(context, version)
        trained = trained_as_of(context.promotions, version)
        _answer(context, plan, served, trained, dates, answers)
    except RegistryError as error:
        for date in dates:
            answers.settled[date] = _failed(plan, date, version, str(error))


def _answer(
    context: Context,
    plan: BackfillPlan,
    served: ServedModel,
    trained: pd.Timestamp,
    dates: Sequence[str],
    answers: _Answers,
) -> None:
    """Answer dates together; if that fails, one by one, so that the date at fault is found and the others are not lost."""
    together = _Answers()
    try:
        for samples in samples_as_known(context, plan.clean, plan.stretches, dates, plan.entity):
            _keep(context, plan, served, trained, samples, together)
    except (*_STOPS_ALL, RegistryError):
        raise
    except _SPOILS_A_DATE as error:
        if len(dates) > 1:
            for date in dates:
                _answer(context, plan, served, trained, [date], answers)
            return
        reason = str(error) if isinstance(error, FinflowError) else f"{type(error).__name__}: {error}"
        together = _Answers(settled={dates[0]: _failed(plan, dates[0], served.version, reason)})
    answers.frames += together.frames
    answers.in_sample |= together.in_sample
    answers.settled |= together.settled
    for date in dates:
        if date not in answers.settled:
            answers.settled[date] = _failed(plan, date, served.version, _why_absent(context, plan, date))


def _keep(context: Context, plan: BackfillPlan, served: ServedModel, trained: pd.Timestamp, samples: Samples, answers: _Answers) -> None:
    """Predict samples of any number of dates; keep the rows of the dates whose every value is finite."""
    length = served.model.context
    windows = window_digests(samples, length)
    rows = prediction_rows(
        context,
        served,
        samples,
        trained_as_of=trained,
        scored_at=pd.Timestamp.now("UTC"),
        backfill_id=plan.backfill_id,
        restated=plan.restated,
        digests=windows,
    )
    if plan.model.startswith(RETRAIN_PREFIX) and rows["in_sample"].any():
        raise StateError(f"version {served.version} was trained on targets of the dates that it is to answer: a walk has no in-sample row.")
    digests = {str(date): digest for date, digest in date_digests(samples, length, windows).items()}
    unusable = unusable_dates(rows)
    days, place = np.unique(rows["time"].to_numpy("datetime64[D]"), return_inverse=True)
    names = [str(day) for day in days]
    counts = dict(zip(names, np.bincount(place), strict=True))
    in_sample = dict(zip(names, np.bincount(place, rows["in_sample"]), strict=True))
    for date, digest in digests.items():
        if date in unusable:
            answers.settled[date] = _failed(plan, date, served.version, unusable[date])
            continue
        answers.in_sample[date] = int(in_sample[date])
        answers.settled[date] = _row(plan, date, "done", served.version, length, digest, int(counts[date]), "")
    kept = np.array([name not in unusable for name in names])
    answers.frames.append(rows if kept.all() else rows[kept[place]])


def _why_absent(context: Context, plan: BackfillPlan, date: str) -> str:
    day = pd.Timestamp(date)
    as_of = pd.Timestamp(plan.clean.as_of) if plan.restated else published(context.definition, pd.DatetimeIndex([day]))[0]
    view = view_as_known(context, plan.clean, as_of, day)
    if plan.entity is not None:
        view = view[view["entity"] == plan.entity]
    return absence(context, plan.clean, view, day)


def _failed(plan: BackfillPlan, date: str, version: int, reason: str) -> LedgerRow:
    return _row(plan, date, "failed", version, 0, "", 0, reason)


def _row(plan: BackfillPlan, date: str, status: str, version: int, context: int, digest: str, rows: int, reason: str) -> LedgerRow:
    entity = plan.entity or ALL_ENTITIES
    return LedgerRow(date, plan.selector, entity, status, version, context, digest, rows, reason, plan.backfill_id, 0.0)


def _timed(row: LedgerRow, seconds: float) -> LedgerRow:
    return replace(row, seconds=round(seconds, 6))
