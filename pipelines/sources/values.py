"""Cells of text to numbers, and typed columns to those of a raw table."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.redaction import cell
from finflow.pipelines.sources.times import known_instants, parse_times, session_dates

if TYPE_CHECKING:
    import pyarrow as pa

    from finflow.pipelines.sources.files import CsvSource
    from finflow.pipelines.sources.mapping import TableSource

TEXT = "entity"
TIMES = ("time", "known_at")


def from_text(settings: CsvSource, name: str, cells: pa.Array, label: str) -> pd.Series:
    """One column of a text file, in the type of finflow's column `name`.

    Raises:
        SourceError: naming the row, the column and what stands there.
    """
    import pyarrow as pa
    import pyarrow.compute as compute

    cells = compute.utf8_trim_whitespace(cells)
    is_text = name == TEXT or name in settings.text
    # A stock code may well be NA; for text only an empty cell is missing.
    missing = [""] if is_text else list(settings.missing)
    cells = compute.if_else(compute.is_in(cells, value_set=pa.array(missing, pa.string())), pa.scalar(None, pa.string()), cells)
    if is_text or name in TIMES:
        texts = pd.Series(cells.to_pandas(), dtype="str")
        if is_text:
            return texts
        return _read_times(settings, name, texts, label)
    return pd.Series(_numbers(settings, name, cells, label), dtype="float64")


def _read_times(settings: TableSource, name: str, texts: pd.Series, label: str) -> pd.Series:
    if name == "known_at":
        return parse_times(texts, label, name, None, settings.timezone, day_zone=settings.day_zone)
    return parse_times(texts, label, name, settings.date_format, settings.timezone)


def _numbers(settings: CsvSource, name: str, cells: pa.Array, label: str) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as compute

    plain = cells
    if settings.thousands is not None:
        # Taking the character away blindly would read 1.5 as 15 where the dot stands between thousands.
        group, point = re.escape(settings.thousands), re.escape(settings.decimal)
        grouped = compute.match_substring_regex(cells, rf"^[+-]?\d{{1,3}}({group}\d{{3}})+({point}\d*)?$")
        plain = compute.if_else(compute.fill_null(grouped, False), compute.replace_substring(cells, settings.thousands, ""), cells)
    if settings.decimal == ",":
        plain = compute.replace_substring(compute.replace_substring(plain, ".", "?"), ",", ".")
    try:
        numbers: np.ndarray = compute.cast(plain, pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        raise _no_number(settings, name, cells, plain, label) from None
    return numbers


def _no_number(settings: CsvSource, name: str, cells: pa.Array, plain: pa.Array, label: str) -> SourceError:
    import pyarrow as pa
    import pyarrow.compute as compute

    def readable(place: int) -> bool:
        try:
            compute.cast(plain[place], pa.float64())
        except pa.ArrowInvalid:
            return False
        return True

    first = next(place for place in range(len(plain)) if not readable(place))
    text = str(cells[first])
    hint = "Mend the cell, add it to `missing` if it means no value, or list the column under `text`."
    if settings.decimal == "." and re.fullmatch(r"[+-]?\d+,\d+", text):
        hint = "If the comma is the decimal mark, say `decimal: ','`; if it stands between thousands, `thousands: ','`."
    elif settings.decimal == "," and re.fullmatch(r"[+-]?\d+\.\d+", text):
        hint = "The definition says `decimal: ','`; if this dot stands between thousands, say `thousands: '.'`."
    elif re.fullmatch(r"[+-]?[\d.,' \u00a0]+\d", text):
        hint = "Say which character stands between thousands (`thousands`) and which before the decimals (`decimal`)."
    return SourceError(f"{label}, data row {first + 1}, column {name!r}: {cell(text)} is no number. {hint}")


def from_typed(settings: TableSource, name: str, column: pa.ChunkedArray, label: str) -> pd.Series:
    """One column of a typed file, in the type of finflow's column `name`.

    Raises:
        SourceError: naming the column and the type that it should have.
    """
    import pyarrow as pa

    check_type(settings, name, column.type, label)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if name == TEXT or name in settings.text:
        return pd.Series(column.cast(pa.string()).to_pandas(use_threads=False), dtype="str")
    if name in TIMES:
        if is_textual(kind) or pa.types.is_integer(kind):
            texts = pd.Series(column.cast(pa.string()).to_pandas(use_threads=False), dtype="str")
            return _read_times(settings, name, texts, label)
        return _typed_times(settings, name, column, label)
    numbers = column.cast(pa.uint8()) if pa.types.is_boolean(kind) else column
    return pd.Series(numbers.cast(pa.float64(), safe=False).to_pandas(use_threads=False), dtype="float64")


def check_type(settings: TableSource, name: str, kind: pa.DataType, label: str) -> None:
    """Refuse a type that finflow's column `name` is not made of; no list or structure, of any size, is among those that it is.

    Raises:
        SourceError: naming the column and the type that it should have.
    """
    import pyarrow as pa

    given = kind
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if name == TEXT or name in settings.text:
        fits, expected = is_textual(kind) or pa.types.is_integer(kind), "text"
    elif name in TIMES:
        fits = is_textual(kind) or pa.types.is_integer(kind) or pa.types.is_timestamp(kind) or pa.types.is_date(kind)
        expected = "a timestamp, a date or text"
    else:
        fits = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind) or pa.types.is_decimal(kind)
        expected = "numbers; list it under `text` if it is meant to stay text"
    if not fits:
        raise SourceError(f"{label}, column {name!r}: holds {given}, expected {expected}.")


def is_textual(kind: pa.DataType) -> bool:
    """Text in any of Arrow's forms, also as codes into a dictionary."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _typed_times(settings: TableSource, name: str, column: pa.ChunkedArray, label: str) -> pd.Series:
    import pyarrow as pa

    zone = getattr(column.type, "tz", None)
    try:
        # Nanoseconds below a microsecond are cut off: no market publishes by them.
        times = pd.Series(column.cast(pa.timestamp("us", tz=zone), safe=False).to_pandas(use_threads=False))
    except (pa.ArrowInvalid, ValueError, KeyError) as error:
        raise SourceError(f"{label}, column {name!r}: holds times that cannot be read ({error}).") from None
    utc = times.dt.tz_convert("UTC").dt.tz_localize(None) if zone else times
    low, high = np.datetime64("1700-01-01"), np.datetime64("2200-01-01")
    outside = (utc < low) | (utc >= high)
    if outside.any():
        row = int(np.flatnonzero(outside)[0]) + 1
        raise SourceError(f"{label}, data row {row}, column {name!r}: {utc[row - 1]} lies outside the years 1700 to 2199; mend the date.")
    if name == "known_at":
        return times.dt.tz_convert("UTC") if zone else known_instants(times, settings.timezone, settings.day_zone, label, name)
    if zone is not None and settings.timezone is None and zone not in ("UTC", "Etc/UTC", "+00:00", "Z"):
        times = times.dt.tz_convert(zone)
        return session_dates(times, True, zone, label, name)
    return session_dates(times, zone is not None, settings.timezone, label, name)
