"""When a definition's deployments run: cron lines, and words that follow an exchange's sessions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.pipelines.core.calendars import published_at, sessions
from finflow.pipelines.settings.timing import AfterClose, Cron, Timing

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

_PERIOD = {"week": "W-SUN", "month": "M"}


@dataclass(frozen=True)
class Due:
    """A run that a schedule asks for: `session` (ISO date) whose rows it reads, and the instant (UTC) `at` which it begins."""

    session: str
    at: pd.Timestamp


def planned(definition: Definition, timing: AfterClose, start: pd.Timestamp, end: pd.Timestamp) -> list[Due]:
    """The runs that begin from `start` to `end` (aware, both included), in order.

    A run begins when its session's rows are published: the definition's lag after the exchange's close (and not before its own
    calendar's, if that is another one). Beyond the years for which an exchange has announced its holidays, weekdays stand in.
    """
    margin = pd.Timedelta(days=45) + pd.Timedelta(minutes=definition.publication_lag_minutes)
    days = _sessions(timing, start - margin, end + margin)
    return [Due(f"{day:%Y-%m-%d}", at) for day, at in zip(days, _instants(definition, timing, days), strict=True) if start <= at <= end]


def session_at(definition: Definition, timing: Timing, instant: pd.Timestamp) -> Due | None:
    """The newest session whose rows are published by `instant` (aware): the one that a run begun then is about.

    None where the definition says nothing of sessions: a cron line, and no calendar.
    """
    if isinstance(timing, Cron):
        if definition.calendar is None:
            return None
        timing = AfterClose(definition.calendar, "session")
    each = AfterClose(timing.exchange, "session")
    days = 10 + definition.publication_lag_minutes // (24 * 60)
    while days < 800:
        found = planned(definition, each, instant - pd.Timedelta(days=days), instant)
        if found:
            return found[-1]
        days *= 2
    return None


def _sessions(timing: AfterClose, start: pd.Timestamp, end: pd.Timestamp) -> pd.DatetimeIndex:
    """The exchange's sessions in a range; of each week or month only the last, where that is asked for."""

    days = sessions(timing.exchange, _date(start), _date(end))
    if timing.every == "session":
        return days
    last = pd.Series(days, index=days).groupby(days.to_period(_PERIOD[timing.every])).max()
    return pd.DatetimeIndex(last)


def _instants(definition: Definition, timing: AfterClose, days: pd.DatetimeIndex) -> pd.DatetimeIndex:

    closed = published_at(timing.exchange, definition.publication_lag_minutes, days)
    published = published_at(definition.calendar, definition.publication_lag_minutes, days)
    return pd.DatetimeIndex(np.maximum(closed, published))


def _date(instant: pd.Timestamp) -> pd.Timestamp:
    return instant.tz_convert("UTC").tz_localize(None).normalize()
