"""When a definition's deployments run: cron lines, and words that follow an exchange's sessions."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pipelines.errors import DefinitionError

if TYPE_CHECKING:
    import pandas as pd

    from pipelines.definition import Definition

Every = Literal["session", "week", "month"]

_WORDS = re.compile(r"(?:(weekly|monthly) )?after the close of (\S+)")
_EVERY: dict[str | None, Every] = {None: "session", "weekly": "week", "monthly": "month"}
_PERIOD = {"week": "W-SUN", "month": "M"}

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
#: of each field of a cron line: its name, lowest and highest value, and the names that stand for values
_FIELDS: tuple[tuple[str, int, int, dict[str, int]], ...] = (
    ("minute", 0, 59, {}),
    ("hour", 0, 23, {}),
    ("day of the month", 1, 31, {}),
    ("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    ("day of the week", 0, 7, {name: number for number, name in enumerate(_DAYS)}),
)
_PART = re.compile(r"(?:\*|([0-9a-z]+)(?:-([0-9a-z]+))?)(?:/([0-9]+))?")


@dataclass(frozen=True)
class Cron:
    """A cron line of five fields, read in the schedule's time zone."""

    line: str


@dataclass(frozen=True)
class AfterClose:
    """After each session of an exchange, or the last one of each week (Monday to Sunday) or month."""

    exchange: str
    every: Every


Timing = Cron | AfterClose


@dataclass(frozen=True)
class Due:
    """A run that a schedule asks for: `session` (ISO date) whose rows it reads, and the instant (UTC) `at` which it begins."""

    session: str
    at: pd.Timestamp


def parse_timing(text: str) -> Timing:
    """What a line of a definition's schedule says.

    Raises:
        DefinitionError: neither such words nor a cron line, or an exchange that exchange_calendars does not know.
    """
    cleaned = " ".join(text.split())
    found = _WORDS.fullmatch(cleaned)
    if found:
        _check_exchange(found[2])
        return AfterClose(found[2], _EVERY[found[1]])
    fields = cleaned.split(" ")
    if len(fields) != len(_FIELDS) or not re.match(r"[0-9*]", cleaned):
        raise DefinitionError(
            f"{text[:60]!r} is no schedule: write `after the close of XNYS`, `weekly after the close of XNYS`, `monthly after the close of "
            "XNYS`, or a cron line of five fields such as `30 22 * * 1-5`"
        )
    for field, (name, low, high, names) in zip(fields, _FIELDS, strict=True):
        for part in field.lower().split(","):
            if not _fits(part, low, high, names):
                raise DefinitionError(f"cron line {cleaned!r}: {part[:20]!r} is no {name} ({low} to {high}, a range, a list, * or */n)")
    return Cron(cleaned)


def planned(definition: Definition, timing: AfterClose, start: pd.Timestamp, end: pd.Timestamp) -> list[Due]:
    """The runs that begin from `start` to `end` (aware, both included), in order.

    A run begins when its session's rows are published: the definition's lag after the exchange's close (and not before its own
    calendar's, if that is another one). Beyond the years for which an exchange has announced its holidays, weekdays stand in.
    """
    import pandas as pd

    margin = pd.Timedelta(days=45) + pd.Timedelta(minutes=definition.publication_lag_minutes)
    days = _sessions(timing, start - margin, end + margin)
    return [Due(f"{day:%Y-%m-%d}", at) for day, at in zip(days, _instants(definition, timing, days), strict=True) if start <= at <= end]


def session_at(definition: Definition, timing: Timing, instant: pd.Timestamp) -> Due | None:
    """The newest session whose rows are published by `instant` (aware): the one that a run begun then is about.

    None where the definition says nothing of sessions: a cron line, and no calendar.
    """
    import pandas as pd

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
    import pandas as pd

    from pipelines.calendars import sessions

    days = sessions(timing.exchange, _date(start), _date(end))
    if timing.every == "session":
        return days
    last = pd.Series(days, index=days).groupby(days.to_period(_PERIOD[timing.every])).max()
    return pd.DatetimeIndex(last)


def _instants(definition: Definition, timing: AfterClose, days: pd.DatetimeIndex) -> pd.DatetimeIndex:
    import numpy as np
    import pandas as pd

    from pipelines.calendars import published_at

    closed = published_at(timing.exchange, definition.publication_lag_minutes, days)
    published = published_at(definition.calendar, definition.publication_lag_minutes, days)
    return pd.DatetimeIndex(np.maximum(closed, published))


def _date(instant: pd.Timestamp) -> pd.Timestamp:
    return instant.tz_convert("UTC").tz_localize(None).normalize()


def _check_exchange(code: str) -> None:
    from exchange_calendars.calendar_utils import global_calendar_dispatcher

    if not global_calendar_dispatcher.has_calendar(code):
        raise DefinitionError(
            f"exchange_calendars has no exchange {code[:20]!r}: use a code such as XNYS (New York), XLON (London), XSHG (Shanghai), XHKG "
            "(Hong Kong), XTKS (Tokyo), or 24/7 for crypto"
        )


def _fits(part: str, low: int, high: int, names: dict[str, int]) -> bool:
    """Whether one part of a cron field (`*`, `*/5`, `7`, `1-5`, `mon-fri`, `0-30/10`) is of that field."""
    found = _PART.fullmatch(part)
    if not found:
        return False
    first, last, step = found.groups()
    if step is not None and not 1 <= int(step) <= high:
        return False
    values = []
    for text in (first, last):
        if text is None:
            continue
        if text not in names and not text.isdigit():
            return False
        values.append(names[text] if text in names else int(text))
    return all(low <= value <= high for value in values) and values == sorted(values)
