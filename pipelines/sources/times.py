"""Dates and times as files write them, read in one way only."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from finflow.pipelines.core.calendars import end_of_days
from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.redaction import cell

DATE = (
    r"(?P<year>\d{4})(?:(?P<mark>[-/.])(?P<month>\d{1,2})(?P=mark)(?P<day>\d{1,2})"
    r"|年(?P<month2>\d{1,2})月(?P<day2>\d{1,2})日|(?P<month3>\d\d)(?P<day3>\d\d))"
)
CLOCK = r"(?:[T ]+(?P<clock>\d{1,2}:\d\d(?::\d\d)?(?P<fraction>\.\d{1,9})?) ?(?P<offset>Z|UTC|[+-]\d\d(?::?\d\d)?)?)?"
PATTERN = re.compile(DATE + CLOCK)
FIRST, LAST = np.datetime64("1700-01-01", "us"), np.datetime64("2200-01-01", "us")


def parse_times(
    texts: pd.Series, label: str, column: str, date_format: str | None, timezone: str | None, *, day_zone: str | None = None
) -> pd.Series:
    """Text to times.

    Dates, and times that all stand at midnight of their zone, are session dates; anything else is an instant and needs an offset or a zone.

    Args:
        texts: str; missing allowed and stays NaT.
        label, column: for messages.
        day_zone: of a column of instants (known_at): the IANA zone of days in which a date alone counts from its end; naive instants are
            of `timezone`, or UTC.

    Returns:
        datetime64[us]: naive session dates or naive UTC instants; with a `day_zone` datetime64[us, UTC].

    Raises:
        SourceError: text that is no date or may be read in two ways, mixed or missing time zones, a date out of range.
    """
    unique = pd.Series(texts.dropna().unique(), dtype="str")
    local, offset, clock = _by_format(unique, date_format) if date_format else _by_pattern(unique)
    if local.isna().any():
        bad = str(unique[local.isna().to_numpy()].iloc[0])
        raise _no_date(label, column, bad, _row(texts, bad), date_format)
    outside = (local < FIRST) | (local >= LAST)
    if outside.any():
        bad = str(unique[outside.to_numpy()].iloc[0])
        raise SourceError(
            f"{label}, data row {_row(texts, bad)}, column {column!r}: {cell(bad)} lies outside the years 1700 to 2199; mend the date."
        )
    if day_zone is not None:
        times = _to_instants(local, offset, clock, label, column, timezone, day_zone)
    else:
        times = _to_times(unique, texts, local, offset, label, column, timezone)
    return (
        texts.map(pd.Series(times.to_numpy(), index=unique.to_numpy())).astype(times.dtype) if len(unique) else times.reindex(texts.index)
    )


def localise(times: pd.Series, timezone: str, label: str, column: str) -> pd.Series:
    """Naive local times to UTC.

    Raises:
        SourceError: a time that the zone's clocks skip or show twice.
    """
    for kind, words in (("nonexistent", "the clocks skip"), ("ambiguous", "the clocks show twice")):
        shifted = times.dt.tz_localize(
            timezone, nonexistent="NaT", ambiguous="NaT" if kind == "ambiguous" else np.zeros(len(times), dtype=bool)
        )
        lost = shifted.isna() & times.notna()
        if lost.any():
            bad = times[lost].iloc[0]
            raise SourceError(
                f"{label}, column {column!r}: {bad} is a time that {words} in {timezone}; give times in UTC or with their offset."
            )
    return pd.Series(shifted.dt.tz_convert("UTC"))


def session_dates(times: pd.Series, aware: bool, timezone: str | None, label: str, column: str) -> pd.Series:
    """Typed times to naive session dates where all stand at local midnight, else to naive UTC instants; see `parse_times`."""
    if aware:
        local = times.dt.tz_convert(timezone or "UTC").dt.tz_localize(None)
        if _midnight(local):
            return local.dt.as_unit("us")
        return times.dt.tz_convert("UTC").dt.tz_localize(None).dt.as_unit("us")
    if _midnight(times):
        return times.dt.as_unit("us")
    if timezone is None:
        bad = times[times != times.dt.normalize()].iloc[0]
        raise SourceError(
            f"{label}, column {column!r}: {bad} has a clock time and no time zone; say `timezone: UTC`, or the exchange's zone."
        )
    return localise(times, timezone, label, column).dt.tz_localize(None).dt.as_unit("us")


def _by_pattern(unique: pd.Series) -> tuple[pd.Series, pd.Series, pd.Series]:
    """Local time (NaT where no date), offset (text or missing) and clock (text or missing) of texts that can be read in one way only."""
    parts = unique.str.extract(f"^{PATTERN.pattern}$")
    for name in ("month", "day"):
        parts[name] = parts[name].fillna(parts[name + "2"]).fillna(parts[name + "3"]).str.zfill(2)
    date = parts["year"] + "-" + parts["month"] + "-" + parts["day"]
    plain = parts["clock"].fillna("00:00").str.replace(r"\.\d+$", "", regex=True)
    plain = plain.where(plain.str.count(":") == 2, plain + ":00").str.zfill(8)
    local = pd.to_datetime(date + " " + plain, format="%Y-%m-%d %H:%M:%S", errors="coerce").astype("datetime64[us]")
    fraction = (pd.to_numeric(parts["fraction"]).fillna(0.0) * 1e6).round()
    return local + pd.to_timedelta(fraction, unit="us"), parts["offset"], parts["clock"]


def _by_format(unique: pd.Series, date_format: str) -> tuple[pd.Series, pd.Series, pd.Series]:
    none = pd.Series([None] * len(unique), dtype="str")
    if "%z" not in date_format:
        return pd.to_datetime(unique, format=date_format, errors="coerce").astype("datetime64[us]"), none, none
    instants = pd.to_datetime(unique, format=date_format, errors="coerce", utc=True)
    given = pd.Series(["Z"] * len(unique), dtype="str")
    return instants.dt.tz_localize(None).astype("datetime64[us]"), given, given


def _to_times(
    unique: pd.Series,
    texts: pd.Series,
    local: pd.Series,
    offset: pd.Series,
    label: str,
    column: str,
    timezone: str | None,
) -> pd.Series:
    with_offset = offset.notna()
    if with_offset.any() and not with_offset.all():
        first, second = str(unique[with_offset].iloc[0]), str(unique[~with_offset].iloc[0])
        raise SourceError(
            f"{label}, column {column!r}: {cell(first)} (data row {_row(texts, first)}) names its time zone and {cell(second)} (data row "
            f"{_row(texts, second)}) does not; write all of them in one way."
        )
    if not with_offset.any():
        return session_dates(local, False, timezone, label, column)
    minutes = offset.map(_offset_minutes)
    if timezone is None and (minutes != 0).any():
        bad = str(unique[minutes != 0].iloc[0])
        raise SourceError(
            f"{label}, data row {_row(texts, bad)}, column {column!r}: {cell(bad)} is not in UTC; say `timezone: America/New_York` "
            "or the like, so that its session date is known."
        )
    utc = (local - pd.to_timedelta(minutes, unit="m")).dt.tz_localize("UTC").dt.as_unit("us")
    return session_dates(utc, True, timezone, label, column)


def _to_instants(
    local: pd.Series, offset: pd.Series, clock: pd.Series, label: str, column: str, timezone: str | None, day_zone: str
) -> pd.Series:
    """Instants (datetime64[us, UTC]), each cell by its own form: with an offset, with a clock time alone, a date alone."""
    told = offset.notna()
    naive = known_instants(local[~told & clock.notna()], timezone, day_zone, label, column)
    days = end_of_days(local[clock.isna()], day_zone)
    minutes = pd.to_timedelta(offset[told].map(_offset_minutes), unit="m")
    return pd.concat([naive, days, (local[told] - minutes).dt.tz_localize("UTC")]).astype("datetime64[us, UTC]").reindex(local.index)


def known_instants(local: pd.Series, timezone: str | None, day_zone: str, label: str, column: str) -> pd.Series:
    """Naive times at which rows became known to UTC: where all stand at midnight they are dates, each known as it ends in `day_zone`."""
    return end_of_days(local, day_zone) if _midnight(local) else localise(local, timezone or "UTC", label, column).dt.as_unit("us")


def _offset_minutes(offset: str) -> int:
    if offset in ("Z", "UTC"):
        return 0
    digits = offset[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return -minutes if offset[0] == "-" else minutes


def _midnight(times: pd.Series) -> bool:
    known = times.dropna()
    return bool((known == known.dt.normalize()).all())


def _row(texts: pd.Series, text: str) -> int:
    return int(np.flatnonzero((texts == text).to_numpy())[0]) + 1


def _no_date(label: str, column: str, bad: str, row: int, date_format: str | None) -> SourceError:
    where = f"{label}, data row {row}, column {column!r}: {cell(bad)}"
    if date_format:
        return SourceError(f"{where} is no date of the form {date_format!r}; mend the cell or `date_format`.")
    if re.fullmatch(r"\d{1,2}[-/. ]\d{1,2}[-/. ]\d{2,4}.*", bad):
        return SourceError(f"{where} may be read in two ways; say `date_format: '%d/%m/%Y'` (day first) or '%m/%d/%Y' (month first).")
    return SourceError(f"{where} is no date; expected 2018-01-31, 20180131 or 2018/01/31, or say `date_format`.")
