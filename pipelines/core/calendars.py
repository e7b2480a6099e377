"""Sessions, of an exchange or of months and quarters, and when a session's row becomes known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.errors import DefinitionError

# One fixed range, whatever today is: exchange_calendars' own default is a window around today, so that the same data would mean other
# sessions next year. Building this range takes about 0.3 s, once a process.
FIRST = pd.Timestamp("1960-01-01")
LAST = pd.Timestamp("2079-12-31")
DAY = np.timedelta64(1, "D")
# Data of a month or a quarter: one session a period, on its first or its last day as the data have it. Either way it closes as the period
# ends (UTC): what is dated 1 March and speaks of all March is not known in March.
PERIODS = {"month-start": ("M", "start"), "month-end": ("M", "end"), "quarter-start": ("Q", "start"), "quarter-end": ("Q", "end")}


@dataclass(frozen=True, eq=False)
class _Calendar:
    """Sessions (datetime64[ns], midnight) with their closes (datetime64[ns], UTC), ascending, where the exchange's holidays are known."""

    sessions: NDArray[np.datetime64]
    closes: NDArray[np.datetime64]
    first: np.datetime64
    last: np.datetime64
    zone: str = "UTC"


@lru_cache(maxsize=32)
def _calendar(code: str) -> _Calendar:
    if code in PERIODS:
        return _periods(*PERIODS[code])
    import exchange_calendars
    from exchange_calendars.errors import InvalidCalendarName

    try:
        kind = exchange_calendars.calendar_utils.global_calendar_dispatcher.resolve_alias(code)
        # Some exchanges announce their holidays year by year; the class knows from when and until when it can say.
        factory: Any = exchange_calendars.calendar_utils._default_calendar_factories[kind]
        first = max(FIRST, factory.bound_min() or FIRST)
        last = min(LAST, factory.bound_max() or LAST)
        found = exchange_calendars.get_calendar(code, start=first, end=last)
    except (InvalidCalendarName, KeyError, TypeError, AttributeError):
        raise DefinitionError(
            f"calendar: exchange_calendars has no {code!r}: use an exchange's code (XNYS New York, XLON London, XSHG Shanghai, XHKG Hong "
            f"Kong, XTKS Tokyo, 24/7 for crypto), {', '.join(PERIODS)} for data of months and quarters, or leave the calendar out."
        ) from None
    sessions = found.sessions.to_numpy().astype("datetime64[ns]")
    closes = found.closes.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy().astype("datetime64[ns]")
    return _Calendar(sessions, closes, np.datetime64(first, "ns"), np.datetime64(last, "ns"), str(found.tz))


def _periods(unit: str, stamp: str) -> _Calendar:
    """Every period of the years that sources may speak of."""
    periods = pd.period_range("1700-01-01", "2199-12-31", freq=unit)
    starts = periods.start_time.to_numpy().astype("datetime64[ns]")
    following = (periods + 1).start_time.to_numpy().astype("datetime64[ns]")
    days: NDArray[np.datetime64] = starts if stamp == "start" else np.subtract(following, DAY)
    return _Calendar(days, following, starts[0], following[-1] - DAY)


def _midnight(moment: Any) -> np.datetime64:
    return pd.Timestamp(moment).normalize().to_datetime64().astype("datetime64[ns]")


def sessions(calendar: str | None, start: Any, end: Any) -> pd.DatetimeIndex:
    """The sessions from `start` to `end`, both included.

    Args:
        calendar: an exchange_calendars code, or one of PERIODS. None: Monday to Friday, since nothing better is known of the series'
            holidays; so it is for dates outside the years for which the exchange's holidays are known (Shanghai's are announced a year
            ahead).

    Returns:
        datetime64[ns], naive midnights, ascending.

    Raises:
        DefinitionError: no such calendar.
    """
    first, last = _midnight(start), _midnight(end)
    if last < first:
        return pd.DatetimeIndex([], dtype="datetime64[ns]")
    if calendar is None:
        return pd.DatetimeIndex(_weekdays(first, last))
    known = _calendar(calendar)
    inside = known.sessions[np.searchsorted(known.sessions, first) : np.searchsorted(known.sessions, last, side="right")]
    before = _weekdays(first, min(last, known.first - DAY))
    after = _weekdays(max(first, known.last + DAY), last)
    return pd.DatetimeIndex(np.concatenate([before, inside, after]))


def next_sessions(calendar: str | None, time: Any, count: int) -> NDArray[np.datetime64]:
    """The `count` sessions after `time` (not including its own): datetime64[ns], [count]."""
    first = _midnight(time) + DAY
    days = max(10, count * 2 + 15)
    while True:
        found = sessions(calendar, first, first + days * DAY).to_numpy()
        if len(found) >= count:
            return found[:count]
        days *= 2


def published_at(calendar: str | None, lag_minutes: int, times: Any) -> pd.DatetimeIndex:
    """When the rows of these times become known: `lag_minutes` after the session's close.

    A time that is no session's date (no calendar, a holiday, an instant within a day) counts as known so long after the end of its
    UTC day.

    Args:
        times: naive datetimes, any number and order, repeats welcome.

    Returns:
        datetime64[us, UTC], one for each of `times`; NaT where the time is NaT.
    """
    wanted = pd.DatetimeIndex(times).to_numpy().astype("datetime64[us]")
    dates = wanted.astype("datetime64[D]")
    ends = (dates + DAY).astype("datetime64[us]")
    if calendar is not None and len(wanted):
        known = _calendar(calendar)
        unique, inverse = np.unique(wanted, return_inverse=True)
        moments = (unique.astype("datetime64[D]") + DAY).astype("datetime64[us]")
        session_times = known.sessions.astype("datetime64[us]")
        place = np.minimum(np.searchsorted(session_times, unique), len(session_times) - 1)
        matches = session_times[place] == unique
        moments[matches] = known.closes[place[matches]].astype("datetime64[us]")
        ends = moments[inverse]
    return pd.DatetimeIndex(ends + np.timedelta64(lag_minutes, "m")).tz_localize("UTC").as_unit("us")


def time_zone(calendar: str | None) -> str:
    """The IANA zone in which days of the calendar begin and end: the exchange's; UTC of periods and without a calendar.

    Raises:
        DefinitionError: no such calendar.
    """
    return "UTC" if calendar is None else _calendar(calendar).zone


def end_of_days(dates: pd.Series, zone: str) -> pd.Series:
    """The instants (datetime64[us, UTC]) at which these days (naive midnights) are over in an IANA zone; NaT stays."""
    following = dates + pd.Timedelta(days=1)
    # A midnight that the clocks skip is the first instant after it; of one that they show twice, the second.
    ends = following.dt.tz_localize(zone, nonexistent="shift_forward", ambiguous=np.zeros(len(dates), dtype=bool))
    return pd.Series(ends.dt.tz_convert("UTC").dt.as_unit("us"))


def _weekdays(first: np.datetime64, last: np.datetime64) -> NDArray[np.datetime64]:
    if last < first:
        return np.array([], dtype="datetime64[ns]")
    days = np.arange(first.astype("datetime64[D]"), last.astype("datetime64[D]") + DAY)
    return days[np.is_busday(days)].astype("datetime64[ns]")


def ranges(days: pd.DatetimeIndex, present: Any) -> list[dict[str, Any]]:
    """Runs of consecutive `days` that are not `present`: start, end, and the number of dates."""
    found: list[dict[str, Any]] = []
    open_run = False
    for day, there in zip(days, present, strict=True):
        if there:
            open_run = False
        elif open_run:
            found[-1]["end"] = f"{day:%Y-%m-%d}"
            found[-1]["dates"] += 1
        else:
            found.append({"start": f"{day:%Y-%m-%d}", "end": f"{day:%Y-%m-%d}", "dates": 1})
            open_run = True
    return found
