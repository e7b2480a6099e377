"""Backfill: fill the predictions of a range of dates, each as it could have been made then, many in one forward pass."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.errors import FitFailure
from pipelines.backfill_plan import BackfillPlan, backfill_as_of, plan_backfill
from pipelines.definition import Definition
from pipelines.errors import ConflictError, FinflowError, RegistryError, StateError
from pipelines.home import Home
from pipelines.ledger import ALL_ENTITIES, Ledger, LedgerRow
from pipelines.manifests import Manifest

if TYPE_CHECKING:
    from models.samples import Samples
    from pipelines.lake import Lake
    from pipelines.promotions import Promotions
    from pipelines.registry import ServedModel

__all__ = [
    "BackfillPlan",
    "BackfillResult",
    "ChunkResult",
    "backfill",
    "backfill_as_of",
    "backfill_result",
    "plan_backfill",
    "run_chunk",
    "show_plan",
]

#: what spoils a date and leaves the others alone; trouble with disk, memory or another writer is not among it
_SPOILS_A_DATE = (FinflowError, FitFailure, ValueError, ArithmeticError, LookupError, RuntimeError)
_STOPS_ALL = (ConflictError, StateError)


@dataclass(frozen=True)
class DateResult(Manifest):
    """One date after a run (or, in a dry run, as it stands).

    `in_sample` counts its rows that the version may have learnt from; None where the date did not run.
    """

    date: str
    before: str
    after: str
    rows: int
    version: int | None
    in_sample: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class ChunkResult(Manifest):
    """What a chunk left: `written` new rows in the predictions table at `table_version`."""

    dates: tuple[DateResult, ...]
    written: int
    table_version: int | None
    seconds: float


@dataclass(frozen=True)
class BackfillResult(Manifest):
    """Every date of the range, before and after. `ok` is False when a date that ran failed. `mode`: run | dry-run | status."""

    mode: str
    ok: bool
    definition: str
    backfill_id: str
    start: str
    end: str
    entity: str | None
    only: str
    model: str
    dates: tuple[DateResult, ...]
    counts: dict[str, int]
    will_run: int
    written: int
    table_version: int | None
    estimate_seconds: float
    summary: str


@dataclass
class _Answers:
    """Rows and ledger entries of the dates answered so far."""

    frames: list[pd.DataFrame] = field(default_factory=list)
    settled: dict[str, LedgerRow] = field(default_factory=dict)
    in_sample: dict[str, int] = field(default_factory=dict)


def backfill(definition: Definition, home: Home, start: str, end: str, **options: Any) -> BackfillResult:
    """Plan and run a backfill in this process; options as for `plan_backfill`."""
    plan = plan_backfill(definition, home, start, end, **options)
    return backfill_result(plan, [run_chunk(definition, home, plan, dates) for dates in plan.chunks()])


def run_chunk(definition: Definition, home: Home, plan: BackfillPlan, dates: Sequence[str]) -> ChunkResult:
    """Predict some of the plan's dates and keep the rows, in one commit; then say so in the ledger.

    A date that fails does not stop the others; its reason is in the ledger and in the result. Killed anywhere, the same call again ends
    in the same state: rows are never there twice, and the ledger is written after them.

    Raises:
        ConflictError, StateError: the tables cannot be written.
    """
    from pipelines.lake import Lake
    from pipelines.predictions import Predictions
    from pipelines.promotions import Promotions

    began = time.perf_counter()
    lake = Lake(home.lake)
    promotions = Promotions(lake, definition.name)
    planned = {one.date: one for one in plan.dates if one.date in set(dates)}
    answers = _Answers()
    for version in sorted({one.version for one in planned.values() if one.version is not None}):
        chosen = sorted(one.date for one in planned.values() if one.version == version)
        _answer_version(definition, home, lake, promotions, plan, version, chosen, answers)
    predictions = Predictions(lake, definition.name)
    rows = pd.concat(answers.frames, ignore_index=True) if answers.frames else pd.DataFrame()
    written = predictions.append_new(rows)
    seconds = time.perf_counter() - began
    ledger = [_timed(answers.settled[date], seconds / len(planned)) for date in sorted(answers.settled)]
    Ledger(lake, definition.name).record(ledger)
    results = tuple(
        DateResult(
            row.date, planned[row.date].before, row.status, row.rows, row.version or None, answers.in_sample.get(row.date, 0), row.reason
        )
        for row in ledger
    )
    return ChunkResult(results, written.rows, written.table_version, round(time.perf_counter() - began, 3))


def backfill_result(plan: BackfillPlan, chunks: Iterable[ChunkResult], mode: str = "run") -> BackfillResult:
    """Every date of the plan, with what the chunks made of it, and a line that a person reads."""
    done = list(chunks)
    after = {one.date: one for chunk in done for one in chunk.dates}
    dates = tuple(
        after.get(one.date) or DateResult(one.date, one.before, one.before, one.rows, one.version, None, one.reason) for one in plan.dates
    )
    counts: dict[str, int] = {}
    for one in dates:
        counts[one.after] = counts.get(one.after, 0) + 1
    written = sum(chunk.written for chunk in done)
    versions = [chunk.table_version for chunk in done if chunk.table_version is not None]
    return BackfillResult(
        mode=mode,
        ok=all(one.after != "failed" for one in after.values()),
        definition=plan.definition,
        backfill_id=plan.backfill_id,
        start=plan.start,
        end=plan.end,
        entity=plan.entity,
        only=plan.only,
        model=plan.model,
        dates=dates,
        counts=counts,
        will_run=len(plan.selected),
        written=written,
        table_version=max(versions, default=None),
        estimate_seconds=plan.estimate_seconds,
        summary=_summary(plan, counts, len(after), written, mode),
    )


def show_plan(
    definition: Definition,
    home: Home,
    start: str,
    end: str,
    entity: str | None = None,
    only: str = "missing",
    model: str = "champion",
    newest_first: bool = False,
    mode: str = "dry-run",
) -> dict[str, Any]:
    """What a backfill would do (`dry-run`), or what the ledger says of the dates (`status`); predicts nothing."""
    plan = plan_backfill(definition, home, start, end, entity, only, model, newest_first)
    selected = list(plan.selected)
    return {**backfill_result(plan, [], mode).to_dict(), "will_run": selected if mode == "dry-run" else []}


def _answer_version(
    definition: Definition,
    home: Home,
    lake: Lake,
    promotions: Promotions,
    plan: BackfillPlan,
    version: int,
    dates: Sequence[str],
    answers: _Answers,
) -> None:
    """Answer the dates of one version; those that cannot be answered are settled as failed, with the reason."""
    from pipelines.registry import load_version
    from pipelines.scoring import trained_as_of

    try:
        served = load_version(home, definition.name, version, promotions)
        trained = trained_as_of(promotions, version)
        _answer(definition, lake, plan, served, trained, dates, answers)
    except RegistryError as error:
        for date in dates:
            answers.settled[date] = _failed(plan, date, version, str(error))


def _answer(
    definition: Definition,
    lake: Lake,
    plan: BackfillPlan,
    served: ServedModel,
    trained: pd.Timestamp,
    dates: Sequence[str],
    answers: _Answers,
) -> None:
    """Answer dates together; if that fails, one by one, so that the date at fault is found and the others are not lost."""
    from pipelines.as_known import samples_as_known

    together = _Answers()
    try:
        for samples in samples_as_known(definition, lake, plan.clean, plan.stretches, dates, plan.entity):
            _keep(definition, plan, served, trained, samples, together)
    except (*_STOPS_ALL, RegistryError):
        raise
    except _SPOILS_A_DATE as error:
        if len(dates) > 1:
            for date in dates:
                _answer(definition, lake, plan, served, trained, [date], answers)
            return
        reason = str(error) if isinstance(error, FinflowError) else f"{type(error).__name__}: {error}"
        together = _Answers(settled={dates[0]: _failed(plan, dates[0], served.version, reason)})
    answers.frames += together.frames
    answers.in_sample |= together.in_sample
    answers.settled |= together.settled
    for date in dates:
        if date not in answers.settled:
            answers.settled[date] = _failed(plan, date, served.version, _why_absent(definition, lake, plan, date))


def _keep(
    definition: Definition, plan: BackfillPlan, served: ServedModel, trained: pd.Timestamp, samples: Samples, answers: _Answers
) -> None:
    """Predict samples of any number of dates; keep the rows of the dates whose every value is finite."""
    from pipelines.inference import prediction_rows, unusable_dates
    from pipelines.window_digests import date_digests

    rows = prediction_rows(
        definition, served, samples, trained_as_of=trained, scored_at=pd.Timestamp.now("UTC"), backfill_id=plan.backfill_id
    )
    context = served.model.context
    digests = {str(date): digest for date, digest in date_digests(samples, context).items()}
    unusable = unusable_dates(rows)
    day = rows["time"].dt.strftime("%Y-%m-%d")
    counts, in_sample = day.value_counts(), rows["in_sample"].groupby(day).sum()
    for date, digest in digests.items():
        if date in unusable:
            answers.settled[date] = _failed(plan, date, served.version, unusable[date])
            continue
        answers.in_sample[date] = int(in_sample[date])
        answers.settled[date] = _row(plan, date, "done", served.version, context, digest, int(counts[date]), "")
    answers.frames.append(rows[~day.isin(unusable.keys())] if unusable else rows)


def _why_absent(definition: Definition, lake: Lake, plan: BackfillPlan, date: str) -> str:
    from pipelines.as_known import published, view_as_known
    from pipelines.scoring import absence

    day = pd.Timestamp(date)
    view = view_as_known(lake, plan.clean, published(definition, pd.DatetimeIndex([day]))[0], day)
    if plan.entity is not None:
        view = view[view["entity"] == plan.entity]
    return absence(definition, lake, plan.clean, view, day)


def _failed(plan: BackfillPlan, date: str, version: int, reason: str) -> LedgerRow:
    return _row(plan, date, "failed", version, 0, "", 0, reason)


def _row(plan: BackfillPlan, date: str, status: str, version: int, context: int, digest: str, rows: int, reason: str) -> LedgerRow:
    entity = plan.entity or ALL_ENTITIES
    return LedgerRow(date, plan.model, entity, status, version, context, digest, rows, reason, plan.backfill_id, 0.0)


def _timed(row: LedgerRow, seconds: float) -> LedgerRow:
    return LedgerRow(**{**row.to_dict(), "seconds": round(seconds, 6)})


def _summary(plan: BackfillPlan, counts: dict[str, int], ran: int, written: int, mode: str) -> str:
    """One line: how many dates, what became of them, what was written."""
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    head = f"backfill {plan.definition} {plan.start} to {plan.end} ({plan.model}): {len(plan.dates)} trading days"
    if mode == "status":
        return f"{head}: {said}"
    if mode == "dry-run":
        return f"{head}: {len(plan.selected)} would run in about {plan.estimate_seconds:.0f} s; now {said}"
    if not plan.selected:
        return f"{head}: {said}; nothing to do with --only {plan.only}, nothing was written"
    return f"{head}: {ran} ran, {said}; {written:,} rows written" + ("" if written else " (all were there already)")
