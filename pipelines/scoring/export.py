"""Predictions as a file that other programs read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.names import begins_formula, check_name
from finflow.pipelines.core.options import parse_range
from finflow.pipelines.core.whole_files import whole_file
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.lake.predictions import Predictions


def export(context: Context, start: str, end: str, to: Path) -> dict[str, Any]:
    """Write the newest view of the predictions of a range of as-of dates, both included, to a .csv or .parquet file.

    One row for each entity, date and horizon: what was served live, else the newest backfill. The file appears whole or not at all; text
    cells of a CSV that a spreadsheet would run as a formula get an apostrophe in front.

    Returns:
        path, rows, entities, first and last date, and the version of the predictions table that was read.

    Raises:
        FinflowError: another ending, a folder that is not there, a file that cannot be written, or no prediction in the range.
    """
    first, last = parse_range(start, end)
    path = Path(to)
    check_name(path.name, "the file's name (--to)")
    write = _writer(path)
    if not path.parent.is_dir():
        raise FinflowError(f"--to {str(path)!a}: the folder {str(path.parent)!a} does not exist; make it, or give another.")
    version, rows = _predictions(context, first, last)
    try:
        with whole_file(path) as part:
            write(rows, part)
    except OSError as error:
        raise FinflowError(f"--to {str(path)!a} cannot be written ({error.strerror or error}); give another file.") from None
    return {
        "definition": context.name,
        "path": str(path),
        "rows": len(rows),
        "entities": int(rows["entity"].nunique()),
        "first": f"{rows['time'].min():%Y-%m-%d}",
        "last": f"{rows['time'].max():%Y-%m-%d}",
        "table_version": version,
    }


def _predictions(context: Context, first: pd.Timestamp, last: pd.Timestamp) -> tuple[int | None, pd.DataFrame]:
    """The version of the predictions table, and its newest view of a range.

    Raises:
        FinflowError: it has no row.
    """
    predictions = Predictions(context.lake, context.name)
    version = predictions.version
    rows = predictions.latest(first, last).drop(columns="period", errors="ignore")
    if rows.empty:
        raise FinflowError(
            f"{context.name} has no predictions from {first:%Y-%m-%d} to {last:%Y-%m-%d}: "
            f"finflow backfill {context.name} --start {first:%Y-%m-%d} --end {last:%Y-%m-%d}"
        )
    return version, rows


def safe_for_spreadsheets(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with an apostrophe before text cells, and column names, that a spreadsheet would run; numbers are left alone."""
    safe = frame.rename(columns={name: _safe(str(name)) for name in frame.columns})
    for name in safe.columns:
        if pd.api.types.is_string_dtype(safe[name].dtype) or safe[name].dtype == object:
            safe[name] = safe[name].map(lambda cell: _safe(cell) if isinstance(cell, str) else cell)
    return safe


def _safe(text: str) -> str:
    return f"'{text}" if begins_formula(text) else text


def _writer(path: Path) -> Callable[[pd.DataFrame, Path], None]:
    """How to write a file of this ending.

    Raises:
        FinflowError: neither .csv nor .parquet.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        return lambda frame, file: safe_for_spreadsheets(frame).to_csv(file, index=False, encoding="utf-8", lineterminator="\n")
    if ending == ".parquet":
        return lambda frame, file: frame.to_parquet(file, index=False)
    raise FinflowError(f"--to {str(path)!a}: expected a file ending in .csv or .parquet.")
