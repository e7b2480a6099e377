"""What was known when: reading tables as of an instant, and turning a person's date into one."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from pipelines.calendars import published_at, sessions
from pipelines.digest import digest_arrays
from pipelines.errors import FinflowError, StateError
from pipelines.lake import PARTITION, Lake, literal
from pipelines.options import check_year

if TYPE_CHECKING:
    from pipelines.definition import Definition
    from pipelines.home import Home

KEY = ["entity", "time"]
#: column of the instant at which a later revision gave a row the outcome that it has now; NaT where its first revision had it already
CORRECTED = "__corrected"


def resolve_as_of(definition: Definition, home: Home, date: str | None, *, version: int | None = None) -> pd.Timestamp:
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
    known = _known(home.lake, f"raw/{definition.name}", version, definition, datetime.datetime.now(datetime.UTC))
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


def _known(location: str, table: str, version: int | None, definition: Definition, now: datetime.datetime) -> _Known:
    frame = Lake(location).read(table, version=version, columns=["time", "known_at"], where=f"known_at <= {literal(pd.Timestamp(now))}")
    if frame.empty:
        raise FinflowError(
            f"{definition.name}: no data known yet in table {table}: run `finflow validate {definition.name}` or `finflow train` first."
        )
    times = pd.DatetimeIndex(frame["time"].unique())
    published = published_at(definition.calendar, definition.publication_lag_minutes, times)
    complete = published <= pd.Timestamp(now)
    if not complete.any():
        raise FinflowError(f"{definition.name}: no session in table {table} is complete yet: the first is published at {published.min()}.")
    latest = max(published[complete].max(), frame["known_at"].max())
    return _Known(times[complete].min(), times[complete].max(), pd.Timestamp(latest).as_unit("us"))


def read_as_of(
    lake: Lake, table: str, as_of: pd.Timestamp, version: int | None = None, *, duplicates: bool = False, outcome: str | None = None
) -> pd.DataFrame:
    """The rows known by `as_of`: of each (entity, time) the latest revision.

    Args:
        as_of: aware; rows with known_at up to and including it are known.
        version: of the table; the newest by default.
        duplicates: keep every row of the latest revision where a source gave one key several times (a contract quarantines them); otherwise
            the first of them stands.
        outcome: a column whose values come late; the result then has `CORRECTED` too.

    Returns:
        the table's columns without the partition column; sorted by entity and time (duplicates by their values), index 0..n-1. The order
        does not depend on that in which rows were written.

    Raises:
        StateError: no such table or version.
    """
    if version is None and not lake.exists(table):
        raise StateError(f"table {table} is not in the lake {lake.location}: nothing has been ingested yet.")
    frame = lake.read(table, version=version, where=f"known_at <= {literal(as_of)}")
    latest = latest_revisions(frame.drop(columns=[PARTITION], errors="ignore"), duplicates=duplicates)
    if outcome is None or outcome not in frame or len(frame) == len(latest):
        return latest
    return latest.merge(_corrected(frame, outcome), on=KEY, how="left", validate="many_to_one")


def _corrected(frame: pd.DataFrame, column: str) -> pd.DataFrame:
    """entity, time and `CORRECTED`, of the rows whose `column` a later revision changed."""
    frame = frame.loc[frame.duplicated(KEY, keep=False), [*KEY, "known_at", column]].sort_values([*KEY, "known_at"], kind="stable")
    again = frame.duplicated(KEY, keep="first")
    value, before = frame[column], frame[column].shift()
    other = again & ~((value == before).fillna(False).astype(bool) | (value.isna() & before.isna()))
    found = frame.loc[other, [*KEY, "known_at"]].rename(columns={"known_at": CORRECTED})
    return found.drop_duplicates(KEY, keep="last")


def latest_revisions(frame: pd.DataFrame, *, duplicates: bool = False) -> pd.DataFrame:
    """Of rows with entity, time and known_at those of each key's latest known_at; see `read_as_of`."""
    frame = frame.sort_values([*KEY, "known_at"], kind="stable", ignore_index=True)
    if frame.duplicated(KEY).any():
        newest = frame.groupby(KEY, sort=False)["known_at"].transform("max")
        frame = frame[frame["known_at"] == newest].reset_index(drop=True)
        repeated = frame.duplicated(KEY, keep=False).to_numpy()
        if repeated.any():
            frame = _order_repeated(frame, repeated)
            frame = frame if duplicates else frame.drop_duplicates(KEY, ignore_index=True)
    return frame


def _order_repeated(frame: pd.DataFrame, repeated: np.ndarray) -> pd.DataFrame:
    """Order the few rows that share a key by their values, so that the order of arrival does not matter."""
    values = [name for name in frame.columns if name not in KEY]
    places = np.flatnonzero(repeated)
    order = frame.loc[repeated].sort_values([*KEY, *values], kind="stable").index.to_numpy()
    rearranged = np.arange(len(frame))
    rearranged[places] = order
    return frame.iloc[rearranged].reset_index(drop=True)


def digest_frame(frame: pd.DataFrame) -> str:
    """Of a frame's columns (in any order) and its rows (in their order): the same content gives the same digest on every machine.

    Times count by their instant whatever their unit; every missing text is the same, and every NaN.
    """
    arrays = {}
    for name in frame.columns:
        column = frame[name]
        if isinstance(column.dtype, pd.DatetimeTZDtype):
            arrays[f"{name}|utc"] = column.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[us]").astype(np.int64)
        elif column.dtype.kind == "M":
            arrays[f"{name}|time"] = column.to_numpy().astype("datetime64[us]").astype(np.int64)
        elif column.dtype.kind in "biuf":
            arrays[str(name)] = column.to_numpy()
        else:
            codes, texts = pd.factorize(column, sort=True)
            arrays[f"{name}|codes"] = codes.astype(np.int64)
            arrays[f"{name}|texts"] = np.array([str(text) for text in texts], dtype=object)
    return digest_arrays({**arrays, "__rows": np.array([len(frame)], dtype=np.int64)})
