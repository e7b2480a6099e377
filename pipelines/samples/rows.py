"""Which rows end a window, which labels are known, and why the others are not: by gaps, history and missing values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.revised import ABSENT
from finflow.models.samples import Observations
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.problems.base import Targets

#: windows that are looked at together
CHUNK = 65_536
_NAT = np.datetime64("NaT", "ns")


@dataclass(frozen=True)
class Dropped:
    """Rows that end no sample, each counted under the first reason that holds.

    Attributes:
        too_young: fewer than `length` observations of the entity up to the row.
        gap: the window would cross a gap longer than the definition allows.
        missing: a value within the window is missing or not finite.
        missing_by_column: rows whose own value of a column is missing or not finite, by column, where there are any.
    """

    too_young: int
    gap: int
    missing: int
    missing_by_column: dict[str, int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """In plain words, for messages and logs."""
        columns = ", ".join(f"{name} ({count:,} rows)" for name, count in self.missing_by_column.items())
        parts = [
            f"{self.too_young:,} rows have too few observations before them" if self.too_young else "",
            f"{self.gap:,} windows would cross a gap" if self.gap else "",
            f"{self.missing:,} windows hold a missing value: {columns}" if self.missing else "",
        ]
        return "; ".join(part for part in parts if part) or "nothing was dropped"


def breaks_of(time: NDArray[np.datetime64], first: NDArray[np.int64], calendar: str | None, maximum: int) -> NDArray[np.bool_]:
    """bool, [rows]: between this row and the entity's one before, more than `maximum` sessions are missing.

    Without a calendar the sessions are the dates that any entity of the data has.
    """
    if not len(time):
        return np.zeros(0, dtype=bool)
    breaks = np.zeros(len(time), dtype=bool)
    breaks[1:] = missing_sessions(time[:-1], time[1:], session_days(time, calendar)) > maximum
    breaks[first[:-1]] = False
    return breaks


def session_days(time: NDArray[np.datetime64], calendar: str | None) -> NDArray[np.datetime64]:
    """datetime64[D], ascending: the sessions from the first to the last of these times; without a calendar the dates of the times."""
    dates = time.astype("datetime64[D]")
    if calendar is None or not len(dates):
        return np.unique(dates)
    return np.asarray(sessions(calendar, dates.min(), dates.max())).astype("datetime64[D]")


def missing_sessions(before: NDArray[np.datetime64], after: NDArray[np.datetime64], days: NDArray[np.datetime64]) -> NDArray[np.int64]:
    """int64: how many of the session days lie strictly between each two times."""
    begin = np.searchsorted(days, before.astype("datetime64[D]"), side="right")
    return np.asarray(np.searchsorted(days, after.astype("datetime64[D]"), side="left") - begin)


def valid_rows(
    observations: Observations, breaks: NDArray[np.bool_], length: int, admits_missing: bool
) -> tuple[NDArray[np.int64], Dropped]:
    """int64: the rows that end a full window with no gap and no missing value (none that is infinite, where missing ones are admitted), and
    the count of the others. A window is what was known at its last row's own instant.

    Args:
        breaks: bool, [rows + versions].
    """
    count = observations.rows
    first = np.repeat(observations.first[:-1], np.diff(observations.first))
    rows = np.arange(count)
    begin = rows - length + 1
    young = begin < first
    begin = np.maximum(begin, first)
    gaps = np.concatenate(([0], np.cumsum(breaks[:count])))
    crossing = gaps[rows + 1] - gaps[begin + 1] > 0  # a gap just before the window's first row is outside it
    absent = np.isinf(observations.values) if admits_missing else ~np.isfinite(observations.values)
    lacking: NDArray[np.bool_] = np.asarray(absent.any(axis=1))
    bad = np.concatenate(([0], np.cumsum(lacking[:count])))
    missing = bad[rows + 1] - bad[begin] > 0
    if observations.revised is not None:
        behind = np.flatnonzero(observations.behind)
        for start in range(0, len(behind), CHUNK):
            part = behind[start : start + CHUNK]
            places = observations.revised.windows(part, first[part], length)
            outside = places == ABSENT
            young[part] = outside.any(axis=1) | (observations.revised.at(part, observations.revised.known[part]) == ABSENT)
            crossing[part] = (breaks[places] & ~outside)[:, 1:].any(axis=1)
            missing[part] = (lacking[places] & ~outside).any(axis=1)
    own = absent[observations.rows_as_known]
    by_column = {name: int(total) for name, total in zip(observations.columns, own.sum(axis=0), strict=True) if total}
    dropped = Dropped(int(young.sum()), int((~young & crossing).sum()), int((~young & ~crossing & missing).sum()), by_column)
    return np.flatnonzero(~young & ~crossing & ~missing), dropped


def known_targets(targets: Targets, observations: Observations, breaks: NDArray[np.bool_], as_of: pd.Timestamp | None) -> Targets:
    """The targets, without those that are not known by the as-of, or whose label span crosses a forbidden gap."""
    known = ~np.isnat(targets.label_end)
    values = targets.values
    if as_of is not None:
        moment = np.datetime64(as_of.tz_convert("UTC").tz_localize(None) if as_of.tzinfo else as_of, "ns")
        known &= ~(targets.label_end > moment)
        values = np.where(targets.target_time > moment, np.float32(np.nan), values)
    if breaks.any():
        gaps = np.cumsum(breaks)
        last = _last_row_until(observations, targets.label_end, known)
        known &= gaps[np.maximum(last, np.arange(len(gaps)))] == gaps
    values = np.where((~known & ~np.isnat(targets.label_end))[:, None], np.float32(np.nan), values).astype(np.float32)
    start, end = (np.where(known, span, _NAT) for span in (targets.label_start, targets.label_end))
    return Targets(values, start, end, targets.target_time, targets.origin)


def spread_targets(targets: Targets, place: NDArray[np.int64], rows: int) -> Targets:
    """The targets of more rows, of which these are those at `place`; the others have none."""

    def spread(values: NDArray[Any], missing: Any) -> NDArray[Any]:
        found = np.full((rows, *values.shape[1:]), missing, dtype=values.dtype)
        found[place] = values
        return found

    start, end, time = (spread(getattr(targets, name), _NAT) for name in ("label_start", "label_end", "target_time"))
    return Targets(spread(targets.values, np.nan), start, end, time, spread(targets.origin, np.nan))


def _last_row_until(observations: Observations, until: NDArray[np.datetime64], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """int64, [rows]: the entity's last row at or before each time; the row itself where the time is not known."""
    moments = np.unique(observations.time)
    width = len(moments) + 1
    keys = observations.entity * width + np.searchsorted(moments, observations.time)
    wanted = observations.entity * width + np.searchsorted(moments, until, side="right") - 1
    return np.where(known, np.searchsorted(keys, wanted, side="right") - 1, np.arange(len(keys)))
