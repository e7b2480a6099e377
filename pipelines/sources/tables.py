"""Reading delimited text and Parquet into one frame, or into one clear error."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from finflow.pipelines.core.errors import FinflowError, SourceError
from finflow.pipelines.core.names import check_name
from finflow.pipelines.core.redaction import are_cells_hidden, cell, hidden_in_errors
from finflow.pipelines.sources.budget import check_cells, check_rows, check_width
from finflow.pipelines.sources.headers import listed, match_columns
from finflow.pipelines.sources.listing import DataFile, find_files
from finflow.pipelines.sources.parquet import read_parquet_file
from finflow.pipelines.sources.values import from_text

if TYPE_CHECKING:
    import pyarrow as pa

    from finflow.pipelines.sources.files import CsvSource, FileSource, ParquetSource
    from finflow.pipelines.sources.mapping import TableSource

CSV_SUFFIXES = (".csv", ".tsv", ".txt")
PARQUET_SUFFIXES = (".parquet", ".pq")


def read_csv(settings: CsvSource) -> pd.DataFrame:
    """Every row of the files, in the order of the files' names; see `SourceSettings.read`."""
    return _read_all(settings, CSV_SUFFIXES, lambda file, rows_left: _csv_file(settings, file, rows_left))


def read_parquet(settings: ParquetSource) -> pd.DataFrame:
    """As `read_csv`."""
    return _read_all(settings, PARQUET_SUFFIXES, lambda file, rows_left: read_parquet_file(settings, file, rows_left))


def _read_all(settings: FileSource, suffixes: tuple[str, ...], read: Callable[[DataFile, int], pd.DataFrame]) -> pd.DataFrame:
    with hidden_in_errors():
        return _all(settings, find_files(settings.path, suffixes, settings.folder), read)


def _all(settings: FileSource, files: list[DataFile], read: Callable[[DataFile, int], pd.DataFrame]) -> pd.DataFrame:
    frames: list[pd.DataFrame] = []
    rows_left = settings.maximum_rows
    named: dict[str, str] = {}
    for file in files:
        frame = read(file, rows_left)
        if settings.wide is not None:
            frame = long_rows(frame, settings.wide)
            check_rows(settings, file.label, len(frame), rows_left)
        if "entity" not in frame and settings.numbered is None:
            entity = settings.entity or _entity_of(file, named)
            frame.insert(0, "entity", pd.Series([entity], dtype="str").repeat(len(frame)).to_numpy())
        with_keys(settings, frame, settings.maximum_rows - rows_left)
        rows_left -= len(frame)
        if frames and set(frame.columns) != set(frames[0].columns):
            different = sorted(set(frame.columns) ^ set(frames[0].columns))
            raise SourceError(
                f"{file.label}: column {listed(different)} is either here or in {files[0].label}, not in both; mend one file."
            )
        frames.append(frame)
    if not rows_left < settings.maximum_rows:
        raise SourceError(f"{settings.path}: no row under the header; check how the file was exported.")
    return pd.concat(frames, ignore_index=True)


def with_keys(settings: TableSource, frame: pd.DataFrame, before: int = 0) -> None:
    """Put in place the entity and the time that the settings give to rows without them.

    Args:
        before: rows of the source before these.
    """
    if settings.numbered is not None:
        names = [f"{settings.numbered}-{number:06d}" for number in range(before + 1, before + len(frame) + 1)]
        frame.insert(0, "entity", pd.Series(names, dtype="str").to_numpy())
    if settings.date is not None:
        frame.insert(1, "time", np.full(len(frame), np.datetime64(settings.date, "us")))


def long_rows(frame: pd.DataFrame, value: str) -> pd.DataFrame:
    """A wide file's rows as one for each entity and time that has a value: entity, time, known_at where there is one, and `value`."""
    keys = [name for name in ("time", "known_at") if name in frame]
    rows = frame.melt(id_vars=keys, var_name="entity", value_name=value).dropna(subset=value, ignore_index=True)
    return rows.astype({"entity": "str"})[["entity", *keys, value]]


def _entity_of(file: DataFile, named: dict[str, str]) -> str:
    try:
        check_name(file.stem, "entity")
    except FinflowError as error:
        raise SourceError(f"{file.label}: without a column `entity` the file's name names it, and: {error}") from None
    if file.stem in named:
        raise SourceError(f"{file.label}: names the same entity {file.stem!r} as {named[file.stem]}; rename one, or map a column `entity`.")
    named[file.stem] = file.label
    return file.stem


def _csv_file(settings: CsvSource, file: DataFile, rows_left: int) -> pd.DataFrame:
    text = _decode(file.unpacked(), settings, file.label)
    headers, body = _header(text, settings, file.label)
    # Before the cells are made: a line of nothing but commas takes four times its size.
    check_cells(settings, file.label, body.count(settings.delimiter) + max(body.count("\n"), body.count("\r")), 1)
    headers, table = _rows(headers, body, settings, file.label)
    check_rows(settings, file.label, table.num_rows, rows_left)
    chosen = match_columns(settings, headers, file.label)
    return pd.DataFrame(
        {name: from_text(settings, name, table.column(place).combine_chunks(), file.label) for name, place in chosen.items()}
    )


def _decode(content: bytes, settings: CsvSource, label: str) -> str:
    if content[:2] in (b"\xff\xfe", b"\xfe\xff") and "16" not in settings.encoding:
        raise SourceError(f"{label}: is UTF-16 text; say `encoding: utf-16`.")
    if not content.strip():
        raise SourceError(f"{label}: is empty; expected a header line and rows.")
    encoding = "utf-8-sig" if settings.encoding.lower().replace("_", "-") in ("utf-8", "utf8") else settings.encoding
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SourceError(
            f"{label}, line {line}: byte {error.start} is not {settings.encoding} text; say the `encoding` (gb18030 for Chinese files, "
            "latin-1 or cp1252 for Western ones)."
        ) from None
    except (ValueError, LookupError) as error:
        raise SourceError(f"{label}: cannot be read as {settings.encoding} text ({error}).") from None
    if "\0" in text:
        raise SourceError(
            f"{label}, line {text.count(chr(10), 0, text.index(chr(0))) + 1}: holds a NUL character; this is no text file, or damaged."
        )
    return text.removeprefix("\ufeff")


def _header(text: str, settings: CsvSource, label: str) -> tuple[list[str], str]:
    """The first record (or the `names`) and the text after it."""
    consumed = 0

    def lines() -> Iterator[str]:
        nonlocal consumed
        for line in io.StringIO(text, newline=""):
            consumed += len(line)
            yield line

    stream = lines()
    for _ in range(settings.skip_rows):
        next(stream, None)
    if settings.names:
        check_width(settings, label, len(settings.names))
        return list(settings.names), text[consumed:]
    try:
        records = csv.reader(stream, delimiter=settings.delimiter, quotechar=settings.quote, strict=True)
        headers = next((record for record in records if record), [])
    except csv.Error as error:
        raise SourceError(f"{label}: its header cannot be read ({error}); check `delimiter` and `quote`.") from None
    if not headers:
        raise SourceError(f"{label}: no header line after {settings.skip_rows} skipped lines.")
    if len(headers) == 1:
        other = next((mark for mark in (";", "\t", ",", "|") if mark != settings.delimiter and mark in headers[0]), None)
        if other:
            raise SourceError(
                f"{label}: is one column with the delimiter {settings.delimiter!r}; its header {cell(headers[0])} asks for "
                f"`delimiter: {other!r}`."
            )
    check_width(settings, label, len(headers))
    return headers, text[consumed:]


def _rows(headers: list[str], body: str, settings: CsvSource, label: str) -> tuple[list[str], pa.Table]:
    """Every cell as text. Trailing columns without header and content, as some exports have, are dropped."""
    import pyarrow as pa
    import pyarrow.csv as arrow

    names = [str(place) for place in range(len(headers))]
    if not body.strip():
        return headers, pa.table({name: pa.array([], pa.string()) for name in names})
    faults: list[Any] = []

    def note(row: Any) -> str:
        faults.append(row)
        return "skip"

    try:
        table = arrow.read_csv(
            pa.BufferReader(body.encode("utf-8", "surrogatepass")),
            read_options=arrow.ReadOptions(column_names=names, use_threads=False, block_size=max(1 << 20, min(len(body) * 4 + 1, 1 << 30))),
            parse_options=arrow.ParseOptions(
                delimiter=settings.delimiter, quote_char=settings.quote, newlines_in_values=True, invalid_row_handler=note
            ),
            convert_options=arrow.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except (pa.ArrowInvalid, UnicodeEncodeError) as error:
        why = type(error).__name__ if are_cells_hidden() else error
        raise SourceError(f"{label}: its rows cannot be read ({why}); check `delimiter` and `quote`.") from None
    if faults:
        fault = faults[0]
        start = fault.text.splitlines()[0][:60] if fault.text else ""
        where = f"{label}, data row {fault.number}" if fault.number is not None else label
        of = "`names`" if settings.names else "headers"
        raise SourceError(
            f"{where}: has {fault.actual_columns} cells under {fault.expected_columns} {of}: {cell(start)}. Mend the row, or check "
            "`delimiter`, `quote` and `decimal`."
        )
    while headers and not headers[-1].strip() and not any(cell for cell in table.column(len(headers) - 1).unique().to_pylist()):
        headers = headers[:-1]
    return headers, table
