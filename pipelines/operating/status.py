"""How a definition stands: its champion, its last decisions, how fresh its data are, and where predictions are missing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.pipelines.core.calendars import ranges, sessions
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.as_of import read_standing
from finflow.pipelines.lake.monitorings import Monitorings
from finflow.pipelines.lake.pending import describe_pending
from finflow.pipelines.lake.predictions import Predictions

if TYPE_CHECKING:
    from finflow.pipelines.lake.promotions import Promotions

LAST_RUNS = 5
MOST_GAPS = 20


def status(context: Context, now: pd.Timestamp | None = None) -> dict[str, Any]:
    """JSON-able values; reads tables and writes nothing.

    Returns:
        champion: version, candidate, verdict, since (when it was decided), as_of (its training's), reason; None while there is none.
        waiting: the version that waits for a person, and the commands that decide (see `pending.PendingVersion`); None if none does.
        runs: the last decisions, newest first.
        data: rows, entities, first and last session, and how many sessions of the calendar have been published since (`sessions_behind`;
            None for rows without a time); None before the first ingest.
        predictions: rows (not the restated), how many of them live, first and last as-of date, and `gaps`: the trading days since the first
            prediction, up to the last session in the data, that have none, as ranges; None before the first.
        monitoring: the one recorded last: as_of, recorded_at, champion_version, alarms in words, how many checks were measured; None before
            the first.

    Raises:
        StateError: a table of another schema version.
    """
    now = pd.Timestamp.now("UTC") if now is None else now
    data = _data(context, now)
    return {
        "definition": context.name,
        "simulated": context.definition.simulated,
        "champion": _champion(context.promotions),
        "waiting": _waiting(context.promotions),
        "runs": _runs(context.promotions),
        "data": data,
        "predictions": _predictions(context, data["last"] if data else None),
        "monitoring": Monitorings(context.lake, context.name).last(),
    }


def _champion(promotions: Promotions) -> dict[str, Any] | None:
    row = promotions.champion_row()
    if row is None:
        return None
    values = row.to_dict()
    names = {"version": "version", "candidate": "candidate", "verdict": "verdict", "since": "recorded_at", "as_of": "effective_as_of"}
    return {key: values[name] for key, name in names.items()} | {"reason": row.reason}


def _waiting(promotions: Promotions) -> dict[str, Any] | None:
    found = describe_pending(promotions.name, promotions.rows())
    return None if found is None else found.to_dict()


def _runs(promotions: Promotions) -> list[dict[str, Any]]:
    shown = ("recorded_at", "verdict", "candidate", "version", "effective_as_of", "reason")
    return [{name: row.to_dict()[name] for name in shown} for row in promotions.rows()[-LAST_RUNS:][::-1]]


def _data(context: Context, now: pd.Timestamp) -> dict[str, Any] | None:
    definition = context.definition
    table = f"raw/{definition.name}"
    rows = read_standing(context.lake, table)
    if rows.empty:
        return None
    first, last = rows["time"].min(), rows["time"].max()
    timeless = definition.folds.kind == "stratified"
    since = sessions(definition.calendar, last + pd.Timedelta(days=1), now.tz_convert("UTC").tz_localize(None))
    return {
        "table": table,
        "version": context.lake.version(table),
        "rows": len(rows),
        "entities": int(rows["entity"].nunique()),
        "first": f"{first:%Y-%m-%d}",
        "last": f"{last:%Y-%m-%d}",
        "sessions_behind": None if timeless else int((published(definition, pd.DatetimeIndex(since)) <= now).sum()),
    }


def _predictions(context: Context, last: str | None) -> dict[str, Any] | None:
    definition = context.definition
    predictions = Predictions(context.lake, definition.name)
    table, rows = predictions.table, predictions.read(columns=["time", "backfill_id"])
    if rows.empty:
        return None
    there = pd.DatetimeIndex(rows["time"].dt.normalize().unique()).sort_values()
    end = max(there[-1], pd.Timestamp(last)) if last else there[-1]
    if definition.calendar is None:
        raw = read_standing(context.lake, f"raw/{definition.name}")["time"].dt.normalize()
        days = pd.DatetimeIndex(raw[(raw >= there[0]) & (raw <= end)].unique()).sort_values()
    else:
        days = pd.DatetimeIndex(sessions(definition.calendar, there[0], end))
    gaps = ranges(days, days.isin(there))
    return {
        "table": table,
        "version": context.lake.version(table),
        "rows": len(rows),
        "live_rows": int(rows["backfill_id"].isna().sum()),
        "dates": len(there),
        "first": f"{there[0]:%Y-%m-%d}",
        "last": f"{there[-1]:%Y-%m-%d}",
        "missing_dates": sum(gap["dates"] for gap in gaps),
        "gaps": gaps[:MOST_GAPS],
    }
