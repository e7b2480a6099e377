"""What a backfill will do, before it does it: the trading days, the model for each, and what the ledger and the data say of them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.pipelines.backfill.choice import Choice
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.versions import choose_versions, choosing
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.manifests import CleanManifest, JsonRecord
from finflow.pipelines.core.options import parse_choice, parse_date, parse_only, parse_range
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import published, resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.as_of import read_standing
from finflow.pipelines.lake.ledger import Ledger
from finflow.pipelines.samples.as_known import find_stretches, samples_as_known
from finflow.pipelines.samples.digests import date_digests
from finflow.pipelines.samples.windows import task_of

if TYPE_CHECKING:
    from finflow.pipelines.lake.lake import Lake
    from finflow.pipelines.lake.ledger import LedgerRow
    from finflow.pipelines.samples.as_known import Stretch

#: dates that share one forward pass, and one commit; fewer where a date has many entities
CHUNK_DATES = 128
CHUNK_WINDOWS = 100_000
#: seconds that a process takes to import, load and check a version before its first date
START_SECONDS = 4.0
RESTATED = "-restated"


@dataclass(frozen=True)
class DatePlan(JsonRecord):
    """One trading day: its status before (done | missing | failed | stale | no-model), whether it will run, and with which version.

    `rows` are those that the ledger knows of; `reason` says why it failed, is stale, or cannot run. A date that runs without a version
    waits for the model of its period to be trained (`--retrain`), or fails because that could not be.
    """

    date: str
    before: str
    run: bool
    version: int | None
    rows: int
    reason: str


@dataclass(frozen=True)
class BackfillPlan(JsonRecord):
    """Exactly what a backfill will do.

    Attributes:
        backfill_id: the same command gives the same id, so that a run that was killed goes on under its name.
        model: champion, as-of, a version's number, retrain-monthly or retrain-quarterly.
        max_active: groups of dates that may run at the same time.
        restated: rows are read as corrected up to the batch's as-of, not as each date knew them.
        clean: the validated batch that is read.
        stretches: dates that share a pass over the data.
        windows_a_date: how many windows a date has at most, one with a large answer (paths) counting as several.
    """

    definition: str
    backfill_id: str
    start: str
    end: str
    entity: str | None
    only: str
    model: str
    newest_first: bool
    max_active: int
    restated: bool
    clean: CleanManifest
    dates: tuple[DatePlan, ...]
    stretches: tuple[Stretch, ...]
    windows_a_date: int
    estimate_seconds: float

    @property
    def selector(self) -> str:
        """How the ledger calls this way of filling dates."""
        return _selector(self.model, self.restated)

    @property
    def untrained(self) -> tuple[str, ...]:
        """The dates that will run, and whose period's model is to be trained first."""
        return tuple(one.date for one in self.dates if one.run and one.version is None)

    @property
    def selected(self) -> tuple[str, ...]:
        """The dates that will run, in the order in which they will."""
        dates = [one.date for one in self.dates if one.run]
        return tuple(reversed(dates)) if self.newest_first else tuple(dates)

    def chunks(self) -> tuple[tuple[str, ...], ...]:
        """The dates that will run, in groups for `run_chunk`."""
        size = max(1, min(CHUNK_DATES, CHUNK_WINDOWS // max(1, self.windows_a_date)))
        dates = self.selected
        return tuple(dates[start : start + size] for start in range(0, len(dates), size))


def plan_backfill(
    context: Context, request: BackfillRequest, clean: CleanManifest | None = None, failures: Mapping[str, str] | None = None
) -> BackfillPlan:
    """Plan the backfill of the trading days that are asked for. Writes no prediction and no ledger row.

    Args:
        clean: the batch validated as of `backfill_as_of`; without it the source is read and validated here.
        failures: by period, why its model could not be trained.

    Raises:
        FinflowError: a date that is none, an empty range, an unknown entity or option.
        RegistryError: the version is not among the recorded ones.
    """
    parse_only(request.only)
    first, last = parse_range(request.start, request.end)
    model = parse_choice(request.model, request.retrain)
    clean = clean or _validated(context, last, request.restated)
    dates, held = trading_days(context, clean, first, last)
    entities = _check_entity(context.lake, clean, request.entity)
    choices = choose_versions(choosing(context, model), model, dates, clean, failures or {})
    known = Ledger(context.lake, context.name).read(dates[0], dates[-1], _selector(model, request.restated), request.entity)
    began = time.perf_counter()
    stretches = find_stretches(context, clean, [date for date in dates if held[date] is None], request.restated)
    digests = current_digests(context, clean, stretches, known, choices, request.entity)
    took = time.perf_counter() - began
    plans = tuple(_status(date, choices[date], known.get(date), digests.get(date), held[date], request.only) for date in dates)
    return BackfillPlan(
        definition=context.name,
        backfill_id=_backfill_id(context.name, request, model),
        start=f"{first:%Y-%m-%d}",
        end=f"{last:%Y-%m-%d}",
        entity=request.entity,
        only=request.only,
        model=model,
        newest_first=request.newest_first,
        max_active=request.max_active,
        restated=request.restated,
        clean=clean,
        dates=plans,
        stretches=stretches,
        windows_a_date=(1 if request.entity else entities) * task_of(context.definition, ()).weight,
        estimate_seconds=_estimate(sum(one.run for one in plans), known, took, len(stretches)),
    )


def _backfill_id(name: str, request: BackfillRequest, model: str) -> str:
    content = {"definition": name, "start": request.start, "end": request.end, "entity": request.entity, "model": model}
    return digest_json(content | ({"restated": True} if request.restated else {}))[:12]


def _selector(model: str, restated: bool) -> str:
    return model + (RESTATED if restated else "")


def backfill_as_of(context: Context, end: str | pd.Timestamp, restated: bool = False) -> pd.Timestamp:
    """The as-of at which a backfill up to `end` is validated: that of the last complete session in the raw table not after it.

    Args:
        restated: that at which everything in the raw table is known by now.

    Raises:
        FinflowError: there is none, or `end` is no date.
    """
    last = parse_date("--end", end)
    times = pd.DatetimeIndex(read_standing(context.lake, f"raw/{context.name}")["time"].unique())
    times = times[times < last + pd.Timedelta(days=1)]
    times = times[published(context.definition, times) <= pd.Timestamp.now("UTC")]
    if not len(times):
        raise FinflowError(f"{context.name} has no complete session up to {last:%Y-%m-%d}: give a later --end.")
    return resolve_as_of(context, None if restated else f"{times.max():%Y-%m-%d}")


def trading_days(
    context: Context, clean: CleanManifest, first: pd.Timestamp, last: pd.Timestamp
) -> tuple[list[str], dict[str, str | None]]:
    """ISO dates of the calendar (without one: of the data) in the range, and by date why it cannot run yet, or None if it can.

    Raises:
        FinflowError: there is none.
    """
    raw = read_standing(context.lake, clean.raw.table, version=clean.raw.version)
    there = pd.DatetimeIndex(raw["time"].unique()).normalize().unique().sort_values()
    if context.definition.calendar is None:
        days = there[(there >= first) & (there <= last)]
    else:
        days = pd.DatetimeIndex(sessions(context.definition.calendar, first, last))
    if not len(days):
        raise FinflowError(f"there is no trading day from {first:%Y-%m-%d} to {last:%Y-%m-%d}: give other dates.")
    complete = published(context.definition, days) <= pd.Timestamp(clean.as_of)
    held: dict[str, str | None] = {}
    for day, known in zip(days, complete, strict=True):
        absent = "the data do not reach that date yet" if day > there[-1] else None if known else "that session is not complete yet"
        held[f"{day:%Y-%m-%d}"] = absent
    return list(held), held


def current_digests(
    context: Context,
    clean: CleanManifest,
    stretches: Sequence[Stretch],
    known: Mapping[str, LedgerRow],
    choices: Mapping[str, Choice],
    entity: str | None,
) -> dict[str, str]:
    """By date, the digest of the windows it would read now; for the dates done by the version that is still selected."""
    done = {date: row for date, row in known.items() if row.status == "done" and row.version == choices[date].version}
    found: dict[str, str] = {}
    for length in sorted({row.context for row in done.values()}):
        dates = [date for date, row in done.items() if row.context == length]
        for samples in samples_as_known(context, clean, stretches, dates, entity):
            found |= {str(date): digest for date, digest in date_digests(samples, length).items()}
    return found


def _validated(context: Context, last: pd.Timestamp, restated: bool) -> CleanManifest:
    raw = ingest(context)
    return validate(context, raw, backfill_as_of(context, last, restated))


def _check_entity(lake: Lake, clean: CleanManifest, entity: str | None) -> int:
    """The number of entities."""
    names = sorted(lake.read(clean.table, version=clean.version, columns=["entity"])["entity"].unique())
    if entity is not None and entity not in names:
        shown = ", ".join(map(str, names[:20])) + (" ..." if len(names) > 20 else "")
        raise FinflowError(f"--entity {entity!a}: there is no such entity; there are {shown}.")
    return len(names)


def _status(date: str, choice: Choice, row: LedgerRow | None, digest: str | None, absent: str | None, only: str) -> DatePlan:
    """A date's status before the run, and whether it will run."""
    version = choice.version
    before, reason = "missing", ""
    if version is None and not choice.pending:
        before, reason = "no-model", choice.reason if row is None else f"{choice.reason} (a version answered before)"
    elif row is not None and row.status == "failed":
        before, reason = "failed", row.reason
    elif row is not None and row.version != version:
        now = "the model of its period is to be trained again" if version is None else f"version {version} is selected now"
        before, reason = "stale", f"version {row.version} answered; {now}"
    elif row is not None and row.digest != digest:
        before, reason = "stale", "the rows that it reads have changed"
    elif row is not None:
        before = "done"
    elif absent:
        reason = absent
    run = before != "no-model" and absent is None and (only in ("all", before))
    if choice.pending and choice.reason:
        reason = choice.reason
    return DatePlan(date=date, before=before, run=run, version=version, rows=row.rows if row else 0, reason=reason)


def _estimate(count: int, known: Mapping[str, LedgerRow], took: float, stretches: int) -> float:
    """Seconds: from what dates took before where that is known, else from a pass over the data, just measured."""
    if not count:
        return 0.0
    past = [row.seconds for row in known.values() if row.seconds > 0]
    if past:
        return round(START_SECONDS + count * float(np.median(past)), 1)
    return round(START_SECONDS + took / max(1, 2 * stretches) * max(stretches, count / CHUNK_DATES) + 0.005 * count, 1)
