"""Guessing how a table of rows with an outcome is written: with a header or without, and what each of its columns holds."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.drafts.sniff import (
    DELIMITERS,
    FORMATS,
    HEADERS,
    SAMPLE_LINES,
    date_format_of,
    delimiter_of,
    encoding_of,
    local_files,
    number_marks,
)
from finflow.pipelines.sources.files import MISSING, CsvSource, ParquetSource
from finflow.pipelines.sources.listing import DataFile
from finflow.pipelines.sources.times import PATTERN
from finflow.pipelines.sources.values import check_type, from_text, from_typed, is_textual

Kind = Literal["number", "text", "time"]
#: cells that stand for a number that is missing in many a file, and that a text column may hold as a value
UNKNOWN = ("?", ".", "unknown")
_NUMBER = re.compile(r"[+-]?(\d[\d.,]*|[.,]\d+)([eE][+-]?\d+)?")
_LEADING_NOUGHT = re.compile(r"0[0-9]+")
_EVERY = {"maximum_columns": 100_000}


@dataclass(frozen=True, eq=False)
class Column:
    """One column of a file.

    Attributes:
        header: as in the file, or as `names` calls it.
        values: float64 of numbers, str of texts and times; missing where empty.
    """

    header: str
    kind: Kind
    values: pd.Series


@dataclass(frozen=True, eq=False)
class Table:
    """A file of rows.

    Attributes:
        settings: of a source that reads it, without its columns.
        times: by header, settings of a source whose time it is: `date_format`, and `timezone` for times of the day.
        unreadable: headers of columns that hold lists or structures.
    """

    settings: dict[str, Any]
    columns: tuple[Column, ...]
    times: dict[str, dict[str, str]]
    unreadable: tuple[str, ...] = ()


def sniff_rows(path: Path, outcome: str) -> Table:
    """What the file holds, every row of it read.

    Args:
        outcome: the header of the outcome; where the first line holds it, that line is the header. A file whose first line holds numbers
            has none, and its columns are called column_1, column_2 ...

    Raises:
        SourceError: the file cannot be read.
    """
    return _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path, outcome)


def _csv(path: Path, outcome: str) -> Table:
    content = DataFile(str(path), path.stem, local_files(), str(path)).unpacked()
    encoding = encoding_of(content, path, (outcome,))
    lines = [line for line in io.StringIO(content.decode(encoding), newline="") if line.strip()][:SAMPLE_LINES]
    comments = next((number for number, line in enumerate(lines) if not line.startswith("#")), 0)
    delimiter = delimiter_of(lines[comments:], (*DELIMITERS, " "))
    try:
        first = [cell.strip().removeprefix("\ufeff") for cell in next(csv.reader(lines[comments:], delimiter=delimiter))]
    except csv.Error as error:
        raise SourceError(f"{path}: its first line cannot be cut into cells by {delimiter!r} ({error}).") from None
    settings: dict[str, Any] = {"kind": "csv", "path": str(path)}
    settings |= {"encoding": encoding} if encoding not in ("utf-8", "utf-8-sig") else {}
    settings |= {"delimiter": delimiter} if delimiter != "," else {}
    settings |= {"skip_rows": comments} if comments else {}
    headers = first
    if outcome not in first and any(_NUMBER.fullmatch(cell) for cell in first):
        headers = [f"column_{place + 1}" for place in range(len(first))]
        settings |= {"names": headers}
    while headers and not headers[-1]:
        headers = headers[:-1]
    names = {f"c{place}": header for place, header in enumerate(headers)}
    frame = CsvSource.model_validate(
        {**settings, **_EVERY, "columns": names, "text": list(names), "numbered": "row", "date": "2000-01-01"}
    ).read()
    texts = [frame[name] for name in names]
    marks = number_marks([cells for cells in (_distinct(column) for column in texts) if all(map(_NUMBER.fullmatch, _known(cells)))])
    settings |= {key: value for key, value in marks.items() if value != delimiter}
    columns, times, unknown = [], {}, set[str]()
    for header, column in zip(headers, texts, strict=True):
        typed, more = _typed(header, column, settings, path)
        unknown |= more
        if typed.kind == "time":
            times[header] = _settings(_known(_distinct(column)), header, path)
        columns.append(typed)
    settings |= {"missing": [*MISSING, *sorted(unknown)]} if unknown else {}
    return Table(settings, tuple(columns), times)


def _typed(header: str, texts: pd.Series, settings: dict[str, Any], path: Path) -> tuple[Column, set[str]]:
    """The column, and the words that mean in it that a number is missing."""
    import pyarrow as pa

    cells = _known(_distinct(texts))
    if cells and _are_times(header, cells, path):
        return Column(header, "time", texts), set()
    if _are_codes(cells):
        return Column(header, "text", texts), set()
    words = {cell for cell in cells if cell.casefold() in UNKNOWN}
    if words and len(words) < len(cells) and not all(_NUMBER.fullmatch(cell) for cell in cells if cell not in words):
        words = set()
    reader = CsvSource.model_validate({**settings, "missing": [*MISSING, *sorted(words)]})
    try:
        numbers = from_text(reader, "value", pa.array(texts, pa.string(), from_pandas=True), str(path))
    except SourceError:
        return Column(header, "text", texts), set()
    if not pd.notna(numbers).any():
        return Column(header, "text", texts), set()
    return Column(header, "number", numbers), words


def _are_codes(texts: Sequence[str]) -> bool:
    """Whether the cells are digits that name something, as the zip 00042: nobody writes a number with noughts before it."""
    cells = [cell for cell in texts if cell.casefold() not in UNKNOWN]
    return any(map(_LEADING_NOUGHT.fullmatch, cells)) and all(re.fullmatch("[0-9]+", cell) for cell in cells)


def _are_times(header: str, cells: Sequence[str], path: Path) -> bool:
    """Whether all cells (one at least) are dates. Eight digits alone are one only where the header says so."""
    named = re.sub(r"[\W_]", "", header.casefold()) in HEADERS["time"]
    if all(PATTERN.fullmatch(cell) and (named or not cell.isdigit()) for cell in cells):
        return True
    if not cells or len(re.findall(r"[^\W_]+", cells[0])) != len(("day", "month", "year")):
        return False  # which spares numbers twelve slow questions

    few = pd.Series(cells[:SAMPLE_LINES], dtype="str")
    return any(pd.to_datetime(few, format=form, errors="coerce").notna().all() for form in FORMATS)


def _distinct(texts: pd.Series) -> list[str]:
    return [str(text) for text in texts.dropna().unique()]


def _known(cells: Sequence[str]) -> list[str]:
    return [cell for cell in cells if cell not in MISSING]


def _parquet(path: Path) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        table = parquet.ParquetFile(path).read(use_threads=False)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: not a whole Parquet file ({str(error).splitlines()[0][:200]}).") from None
    settings: dict[str, Any] = {"kind": "parquet", "path": str(path)}
    columns, times, unreadable = [], {}, []
    for header, column in zip(table.column_names, table.columns, strict=True):
        textual = is_textual(column.type)
        source = ParquetSource.model_validate({**settings, "columns": {"value": header}, "text": ["value"] if textual else []})
        try:
            if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
                stamps = column.cast(pa.timestamp("us", tz=getattr(column.type, "tz", None))).to_pandas(use_threads=False)
                naive = stamps.dt.tz is None and (stamps != stamps.dt.normalize()).any()
                times[header] = {"timezone": "UTC"} if naive else {}
                columns.append(Column(header, "time", stamps.astype("str")))
                continue
            check_type(source, "value", column.type, str(path))
            values = from_typed(source, "value", column, str(path))
        except (FinflowError, pa.ArrowException):
            unreadable.append(header)
            continue
        cells = _known(_distinct(values)) if textual else []
        if cells and _are_times(header, cells, path):
            times[header] = _settings(cells, header, path)
            columns.append(Column(header, "time", values))
        else:
            columns.append(Column(header, "text" if textual else "number", values))
    return Table(settings, tuple(columns), times, tuple(unreadable))


def _settings(cells: Sequence[str], header: str, path: Path) -> dict[str, str]:
    form = date_format_of(cells, path, header)
    return ({"date_format": form} if form else {}) | ({"timezone": "UTC"} if any(":" in cell for cell in cells) else {})
