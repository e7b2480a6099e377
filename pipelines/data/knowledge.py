"""What was known when: reading tables as of an instant, and turning a person's date into one."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import pandas as pd

from finflow.pipelines.core.calendars import published_at, sessions
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.options import check_year
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.lake.as_of import WITHDRAWN, standing
from finflow.pipelines.lake.lake import literal

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


def resolve_as_of(context: Context, date: str | None, *, version: int | None = None) -> pd.Timestamp:
    """The instant whose knowledge a run may use.

    Args:
        version: of the raw table, as the run ingested it (another run may write meanwhile); the newest by default.
        date: ISO text of a date: the instant at which that date's session is published (a day without a session counts from its end).
            Text with a clock time is that instant itself, in UTC unless it names a zone.
            None: the instant at which the last complete session in the raw table was published, or that of the latest revision of what
            is in it, if that came later: everything in the lake that is known by now.

    Returns:
        pd.Timestamp, UTC, microseconds.

    Raises:
        FinflowError: no rows yet, text that is no date, or a date before the first or after the last session in the raw table.
    """
    definition = context.definition
    known = _known(context, version, datetime.datetime.now(datetime.UTC))
    if date is None:
        return known.latest
    text = date.strip()
    try:
        wanted = pd.Timestamp(datetime.datetime.fromisoformat(text)).as_unit("us")
    except ValueError:
        raise FinflowError(f"as-of {text[:40]!r} is no date: write it as 2018-12-31.") from None
    check_year("as-of", wanted)
    day = wanted.tz_convert("UTC").tz_localize(None).normalize() if wanted.tzinfo else wanted.normalize()
    span = f"the data of {definition.name} reach from {known.first:%Y-%m-%d} to {known.last:%Y-%m-%d}"
    if day < known.first.normalize():
        raise FinflowError(f"as-of {text} lies before the first session: {span}.")
    # The weekend after the last session is known; the next session is not.
    if day > known.last and len(sessions(definition.calendar, known.last + pd.Timedelta(days=1), day)):
        raise FinflowError(f"as-of {text} lies after the last complete session: {span}. Choose a date in it, or bring newer data.")
    if wanted != day or wanted.tzinfo:
        return wanted.tz_convert("UTC") if wanted.tzinfo else wanted.tz_localize("UTC")
    return pd.Timestamp(published_at(definition.calendar, definition.publication_lag_minutes, [day])[0])


class _Known:
    """First and last complete session in a raw table, and the instant at which all of it was known."""

    def __init__(self, first: pd.Timestamp, last: pd.Timestamp, latest: pd.Timestamp) -> None:
        self.first = first
        self.last = last
        self.latest = latest


def _known(context: Context, version: int | None, now: datetime.datetime) -> _Known:
    definition, table = context.definition, f"raw/{context.name}"
    wanted = ["entity", "time", "known_at", WITHDRAWN]
    where = f"known_at <= {literal(pd.Timestamp(now))}"
    frame = context.lake.read(table, version=version, columns=wanted, optional=[WITHDRAWN], where=where)
    rows = standing(frame)
    if rows.empty:
        raise FinflowError(
            f"{definition.name}: no data known yet in table {table}: run `finflow validate {definition.name}` or `finflow train` first."
        )
    times = pd.DatetimeIndex(rows["time"].unique())
    published = published_at(definition.calendar, definition.publication_lag_minutes, times)
    complete = published <= pd.Timestamp(now)
    if not complete.any():
        raise FinflowError(f"{definition.name}: no session in table {table} is complete yet: the first is published at {published.min()}.")
    latest = max(published[complete].max(), frame["known_at"].max())
    return _Known(times[complete].min(), times[complete].max(), pd.Timestamp(latest).as_unit("us"))


def published(definition: Definition, dates: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """The instants (UTC) at which the sessions of `dates` are published: the as-of of each date."""
    return pd.DatetimeIndex(published_at(definition.calendar, definition.publication_lag_minutes, dates))
