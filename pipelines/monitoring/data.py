"""Are the data there: how far they are behind, and which sessions are missing among the last ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.pipelines.core.calendars import ranges, sessions
from finflow.pipelines.data.knowledge import published, resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.as_of import KEY, read_standing
from finflow.pipelines.lake.monitoring_checks import DATA, MonitoringCheck, measured, not_measured

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import CleanManifest
    from finflow.pipelines.definitions.definition import Definition

#: gaps and entities that are named
NAMED = 5


def monitoring_as_of(context: Context, date: str | None, *, version: int, now: pd.Timestamp | None = None) -> pd.Timestamp:
    """The instant that a monitoring stands at, UTC: it may lie after the last session in the data, which is what freshness is about.

    Args:
        date: as for `knowledge.resolve_as_of`; also a date after the data's end, up to now. None: when the calendar's last session was
            published, or what is known of the data, if that came later.
        version: of the raw table, as the run ingested it.

    Raises:
        FinflowError: no rows yet, text that is no date, or a date before the first session or after now.
    """
    now = pd.Timestamp.now("UTC") if now is None else now
    latest = resolve_as_of(context, None, version=version)
    wanted = None if date is None else _midnight(date)
    if date is not None and (wanted is None or wanted <= latest.tz_localize(None)):
        return resolve_as_of(context, date, version=version)
    end = now.tz_convert("UTC").tz_localize(None).normalize() if wanted is None else wanted
    due = sessions(context.definition.calendar, latest.tz_localize(None), end)
    if wanted is not None:
        instant = published(context.definition, pd.DatetimeIndex([wanted]))[0]
        # a date to come is refused in the words of every other command
        return instant if instant <= now else resolve_as_of(context, date, version=version)
    instants = published(context.definition, pd.DatetimeIndex(due))
    return max([latest, *instants[instants <= now]])


def check_data(context: Context, clean: CleanManifest) -> list[MonitoringCheck]:
    """Freshness and gaps of the raw rows known at the batch's as-of. Raw, so that a quarantined session counts as one that came.

    Rows without a time have neither.
    """
    as_of = pd.Timestamp(clean.as_of)
    rows = read_standing(context.lake, clean.raw.table, version=clean.raw.version, as_of=as_of)[KEY]
    if rows.empty:
        return [not_measured(DATA, f"no row was known at {as_of:%Y-%m-%d}")]
    if context.definition.folds.kind == "stratified":
        return [not_measured(DATA, "freshness and gaps: the rows have no time, as their stratified folds say, so none of them is late")]
    rows["time"] = rows["time"].dt.normalize()
    rows = rows.drop_duplicates()
    return [_freshness(context.definition, rows["time"].max(), as_of), *_gaps(context.definition, rows)]


def _freshness(definition: Definition, last: pd.Timestamp, as_of: pd.Timestamp) -> MonitoringCheck:
    since = sessions(definition.calendar, last + pd.Timedelta(days=1), as_of.tz_convert("UTC").tz_localize(None))
    behind = int((published(definition, pd.DatetimeIndex(since)) <= as_of).sum())
    limit = definition.monitoring.behind
    counted = "sessions" if definition.calendar else "weekdays (the definition has no calendar)"
    detail = f"the last row is of {last:%Y-%m-%d}; {behind} {counted} were published since, by {as_of:%Y-%m-%d %H:%M} UTC"
    return measured(DATA, "freshness", "sessions behind", float(behind), threshold=float(limit), alarm=behind > limit, detail=detail)


def _gaps(definition: Definition, rows: pd.DataFrame) -> list[MonitoringCheck]:
    if definition.calendar is None:
        return [not_measured(DATA, "gaps: the definition names no calendar, so its own dates are all that is known of sessions")]
    first, last = rows["time"].min(), rows["time"].max()
    days = pd.DatetimeIndex(sessions(definition.calendar, first, last))
    recent = days[-definition.monitoring.sessions :]
    there = recent.isin(pd.DatetimeIndex(rows["time"].unique()))
    missing, limit = int((~there).sum()), definition.monitoring.gaps
    found = ranges(recent, there)
    named = ", ".join(gap["start"] if gap["dates"] == 1 else f"{gap['start']} to {gap['end']}" for gap in found[:NAMED])
    detail = f"{missing} of the last {len(recent)} sessions of {definition.calendar} have no row" + (f": {named}" if named else "")
    whole = measured(DATA, "gaps", "sessions", float(missing), threshold=float(limit), alarm=missing > limit, detail=detail)
    return [whole, _entity_gaps(rows, recent)]


def _entity_gaps(rows: pd.DataFrame, recent: pd.DatetimeIndex) -> MonitoringCheck:
    """Sessions between an entity's own first and last row, among the recent ones, that it has no row of. A suspension is no alarm."""
    life = rows.groupby("entity", observed=True)["time"].agg(["min", "max"])
    life = life[life["max"] >= recent[0]]
    lower = np.searchsorted(recent, np.maximum(life["min"].to_numpy(), recent[0].to_datetime64()), side="left")
    upper = np.searchsorted(recent, life["max"].to_numpy(), side="right")
    expected = pd.Series(upper - lower, index=life.index)
    present = rows[rows["time"].isin(recent)].groupby("entity", observed=True).size().reindex(life.index, fill_value=0)
    missing = (expected - present).clip(lower=0)
    worst = missing[missing > 0].sort_values(ascending=False, kind="stable")
    share = float(missing.sum() / max(int(expected.sum()), 1))
    named = ", ".join(f"{entity} ({count})" for entity, count in worst.head(NAMED).items())
    detail = f"{int(missing.sum())} rows of {len(worst)} of {len(life)} entities are missing" + (f": {named}" if named else "")
    return measured(DATA, "gaps", "share of rows", share, detail=detail)


def _midnight(date: str) -> pd.Timestamp | None:
    """The date of plain YYYY-MM-DD text, naive; None for anything else."""
    try:
        found = pd.Timestamp(pd.to_datetime(date.strip(), format="%Y-%m-%d"))
    except (ValueError, TypeError):
        return None
    return found
