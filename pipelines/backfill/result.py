"""What a backfill did, date by date, and the line that a person reads at its end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from finflow.pipelines.backfill.changes import Changes, together
from finflow.pipelines.backfill.plan import BackfillPlan
from finflow.pipelines.core.manifests import JsonRecord


@dataclass(frozen=True)
class DateResult(JsonRecord):
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
class ChunkResult(JsonRecord):
    """What a chunk left: `written` new rows in the predictions table at `table_version`, `delivered` new ones in the sink."""

    dates: tuple[DateResult, ...]
    written: int
    table_version: int | None
    seconds: float
    delivered: int = 0
    changes: Changes = field(default_factory=Changes)


@dataclass(frozen=True)
class BackfillResult(JsonRecord):
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
    restated: bool
    dates: tuple[DateResult, ...]
    counts: dict[str, int]
    will_run: int
    written: int
    delivered: int
    changed: int
    changes: Changes
    table_version: int | None
    estimate_seconds: float
    summary: str


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
    changes = together(chunk.changes for chunk in done)
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
        restated=plan.restated,
        dates=dates,
        counts=counts,
        will_run=len(plan.selected),
        written=written,
        delivered=sum(chunk.delivered for chunk in done),
        changed=len(changes.dates),
        changes=changes,
        table_version=max(versions, default=None),
        estimate_seconds=plan.estimate_seconds,
        summary=_summary(plan, counts, len(after), written, sum(one.in_sample or 0 for one in after.values()), changes, mode),
    )


def shown_plan(plan: BackfillPlan, mode: str) -> dict[str, Any]:
    """A plan as JSON-able values: what would run, in order (`dry-run`), or how the dates stand (`status`)."""
    return {**backfill_result(plan, [], mode).to_dict(), "will_run": list(plan.selected) if mode == "dry-run" else []}


def _summary(plan: BackfillPlan, counts: dict[str, int], ran: int, written: int, in_sample: int, changes: Changes, mode: str) -> str:
    """One line: how many dates, what became of them, what was written, what changed by it."""
    said = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    how = plan.model + (", restated" if plan.restated else "")
    head = f"backfill {plan.definition} {plan.start} to {plan.end} ({how}): {len(plan.dates)} trading days"
    if mode == "status":
        return f"{head}: {said}"
    if mode == "dry-run":
        return f"{head}: {len(plan.selected)} would run in about {plan.estimate_seconds:.0f} s; now {said}"
    if not plan.selected:
        return f"{head}: {said}; nothing to do with --only {plan.only}, nothing was written"
    rows = f"{written:,} rows written" if written else "0 rows written (all were there already)"
    rows += f", {in_sample:,} rows of these dates in-sample" if in_sample else ""
    return f"{head}: {ran} ran, {said}; {rows}; {changes.words}"
