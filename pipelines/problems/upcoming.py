"""The dates that a label is about: an entity's own next observations, and the calendar's next sessions where there are none yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.core.calendars import next_sessions, sessions
from finflow.pipelines.features.panel import first_rows

if TYPE_CHECKING:
    import pandas as pd

_NAT = np.datetime64("NaT", "ns")


def upcoming_times(clean: pd.DataFrame, horizon: int, calendar: str | None) -> NDArray[np.datetime64]:
    """datetime64[ns], [rows, horizon]: when each of the next observations was, or (the k-th missing one) the calendar's k-th session after
    the entity's last.

    Args:
        clean: sorted by entity and time, as `Problem.targets` gets it; nothing is looked for across a forbidden gap.
    """
    first, rows = first_rows(clean), len(clean)
    time = clean["time"].to_numpy().astype("datetime64[ns]")
    last = np.repeat(first[1:] - 1, np.diff(first))
    upcoming = np.full((rows, horizon), _NAT)
    for step in range(1, horizon + 1):
        reached = np.flatnonzero(np.arange(rows) + step <= last)
        upcoming[reached, step - 1] = time[reached + step]
    _fill_from_calendar(upcoming, time, last, calendar)
    return upcoming


def _fill_from_calendar(
    target_time: NDArray[np.datetime64], time: NDArray[np.datetime64], last: NDArray[np.int64], calendar: str | None
) -> None:
    """Write the dates after each entity's last observation, in place: the k-th missing one is the calendar's k-th session after it."""
    horizon = target_time.shape[1]
    ends = np.unique(last)
    moments, place = np.unique(time[ends], return_inverse=True)
    if not len(moments):
        return
    coming = np.asarray(sessions(calendar, moments[0], next_sessions(calendar, moments[-1], horizon)[-1])).astype("datetime64[ns]")
    after = np.searchsorted(coming, moments.astype("datetime64[D]"), side="right")
    ahead = coming[after[:, None] + np.arange(horizon)]
    for observed in range(horizon):
        rows = ends - observed
        last_rows = rows >= 0
        last_rows[last_rows] = last[rows[last_rows]] == ends[last_rows]
        target_time[rows[last_rows], observed:] = ahead[place[last_rows], : horizon - observed]
