"""A scheduled run's session: looking for its rows, the as-of that sees them, and the sessions that were missed before it."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from finflow.pipelines.core.calendars import published_at, ranges, sessions
from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.core.manifests import JsonRecord, RawManifest
from finflow.pipelines.data.ingest import ingest, stored_raw
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.as_of import WITHDRAWN, read_standing, standing
from finflow.pipelines.lake.lake import literal
from finflow.pipelines.lake.ledger import Ledger
from finflow.pipelines.lake.predictions import Predictions

if TYPE_CHECKING:
    from finflow.pipelines.operating.schedules import Due

#: seconds between two looks, at least: the run gives its place back meanwhile, and its process must have ended when it is taken up again
SHORTEST_REST = 20.0
#: how far back a live run looks for the last session that was predicted; an older definition is backfilled by a person
LOOK_BACK_DAYS = 730


class LateDataError(FinflowError):
    """The rows of a session did not come by the deadline."""


@dataclass(frozen=True)
class Arrived(JsonRecord):
    """What came: the raw table, and the entities that had a row at the session before and have none at this one."""

    raw: RawManifest
    missing: tuple[str, ...]


@dataclass(frozen=True)
class Awaited(JsonRecord):
    """A look in vain: what has not come and until when it is waited for, in words; and when to look again (ISO instant, UTC)."""

    text: str
    next_look: str


def look_for_session(
    context: Context,
    due: Due,
    *,
    now: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
) -> Arrived | Awaited:
    """Read the source once: are the session's rows there, those of every entity that had one at the session before?

    Where they are not, the next look is `poll_seconds` away, or at the deadline, `late_minutes` after the session's rows were due, if that
    is sooner; `SHORTEST_REST` at least, so that the last look may be as much later. From the deadline on it is answered with the entities
    that came. A source that cannot be read counts as one that has nothing new: what it brought before is in the raw table.

    Args:
        now: the clock.

    Raises:
        LateDataError: at the deadline there was no row of that session.
    """
    definition = context.definition
    deadline = due.at.to_pydatetime() + datetime.timedelta(minutes=definition.schedule.late_minutes)
    arrived, trouble = _look(context, due.session)
    if arrived is not None and not arrived.missing:
        return arrived
    present = now()
    left = (deadline - present).total_seconds()
    if left > 0:
        what = "its rows" if arrived is None else f"the rows of {named(arrived.missing)}"
        text = f"session {due.session}: waiting for {what} until {deadline:%Y-%m-%d %H:%M} UTC. {trouble}".rstrip()
        rest = max(SHORTEST_REST, min(definition.schedule.poll_seconds, left))
        return Awaited(text, (present + datetime.timedelta(seconds=rest)).isoformat())
    if arrived is None:
        raise LateDataError(
            f"{definition.name}: late: no row of session {due.session} had come by {deadline:%Y-%m-%d %H:%M} UTC, "
            f"{definition.schedule.late_minutes} minutes after it was due. {trouble} Nothing was done; the next run catches up."
        )
    return arrived


def session_as_of(context: Context, session: str) -> pd.Timestamp:
    """The as-of (UTC) of a live run about `session`: when its rows were published, or known if that was later; before the next one's.

    So a row that came late, with a vintage that says so, is seen; and a correction of an older row that is known by now is, too.
    """

    now = pd.Timestamp(datetime.datetime.now(datetime.UTC))
    wanted = ["entity", "time", "known_at", WITHDRAWN]
    rows = context.lake.read(f"raw/{context.name}", columns=wanted, optional=[WITHDRAWN], where=f"known_at <= {literal(now)}")
    day = pd.Timestamp(session)
    later = rows["time"].dt.normalize() > day
    there = standing(rows)["time"].dt.normalize()

    def published(date: pd.Timestamp) -> pd.Timestamp:
        return pd.Timestamp(published_at(context.definition.calendar, context.definition.publication_lag_minutes, [date])[0])

    as_of = max(published(day), rows.loc[~later, "known_at"].max()) if (~later).any() else published(day)
    if (there > day).any():
        as_of = min(as_of, published(there[there > day].min()) - pd.Timedelta(microseconds=1))
    return as_of.as_unit("us")


def missed_sessions(context: Context, session: str) -> list[tuple[str, str]]:
    """First and last (ISO) of each run of sessions before `session` that have no prediction, though an earlier session has one.

    Sessions are looked for one by one, so that one is found again if filling it was cut short, or if a later one was predicted meanwhile.
    Not missed are those before the first prediction of the last two years (that history is for a person to backfill), and those that a
    backfill by the versions effective then has settled, well or badly.
    """

    definition = context.definition
    day = pd.Timestamp(session)
    lake, last = context.lake, day - pd.Timedelta(days=1)
    told = Predictions(lake, definition.name).read(day - pd.Timedelta(days=LOOK_BACK_DAYS), last, columns=["time"])
    if told.empty:
        return []
    predicted = pd.DatetimeIndex(told["time"].dt.normalize().unique())
    first = predicted.min()
    if definition.calendar is not None:
        days = sessions(definition.calendar, first, last)
    else:
        there = read_standing(lake, f"raw/{definition.name}")["time"].dt.normalize()
        days = pd.DatetimeIndex(there[(there >= first) & (there <= last)].unique()).sort_values()
    settled = Ledger(lake, definition.name).read(f"{first:%Y-%m-%d}", f"{last:%Y-%m-%d}", "as-of", None)
    answered = days.isin(predicted) | days.isin(pd.DatetimeIndex(list(settled)))
    return [(one["start"], one["end"]) for one in ranges(days, answered)]


def named(entities: tuple[str, ...]) -> str:
    """A few of them, and how many more."""
    return ", ".join(entities[:5]) + (f" and {len(entities) - 5} more" if len(entities) > 5 else "")


def _look(context: Context, session: str) -> tuple[Arrived | None, str]:
    """What has come of the session (None: no row), and what is wrong with the source if it cannot be read."""

    trouble, raw = "", None
    try:
        raw = ingest(context)
    except SourceError as error:
        trouble, raw = str(error), stored_raw(context)
    if raw is None:
        return None, trouble
    rows = read_standing(context.lake, raw.table, version=raw.version)
    days = rows["time"].dt.normalize()
    day = pd.Timestamp(session)
    here = set(rows.loc[days == day, "entity"])
    if not here:
        return None, trouble or (f"The newest row is of {days.max():%Y-%m-%d}." if len(days) else "There is no row at all.")
    before = days[days < day].max()
    expected = set(rows.loc[days == before, "entity"])
    return Arrived(raw, tuple(sorted(expected - here))), trouble
