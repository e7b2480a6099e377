"""`finflow init FILE`: a definition drafted from a person's file, which loads and trains as it stands."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finflow.pipelines.core.calendars import PERIODS, sessions
from finflow.pipelines.core.errors import FinflowError, NotEnoughHistoryError, SourceError
from finflow.pipelines.core.names import check_identifier
from finflow.pipelines.drafts.rows import draft_rows
from finflow.pipelines.drafts.sniff import ignored, name_columns, sniff_csv
from finflow.pipelines.drafts.spacing import FOLDS, periods_to_test
from finflow.pipelines.settings.yaml_text import commented, one_line
from finflow.pipelines.sources import SOURCES

if TYPE_CHECKING:
    import pandas as pd

CALENDARS = ("XNYS", "XSHG", "XHKG", "XLON", "XTKS", "24/7")
MINIMUM_ROWS = 300
HEADER = """\
# Drafted by `finflow init` from {path}: {rows:,} rows of {entities} ({first} to {last}).
# Read it through before you trust it: the calendar and the test periods are guesses. `finflow schema` lists every key.
"""


def draft_definition(path: Path, name: str | None, outcome: str | None = None, positive: str | None = None) -> str:
    """YAML text of a definition for a CSV or Parquet file of prices, or of rows with an outcome.

    Args:
        path: the file.
        name: the definition's name; by default made from the file's.
        outcome, positive: of rows, see `finflow.pipelines.drafts.rows.draft_rows`.

    Raises:
        SourceError: the file cannot be read, or its columns, dates or numbers cannot be told.
        NotEnoughHistoryError: too few rows to train and test on.
        FinflowError: `name` is none, or there is a `positive` without an `outcome`.
    """
    if path.is_dir():
        raise SourceError(f"{path}: is a folder; draft from one of its files, and set source.path of the draft to the folder or a glob.")
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; give a CSV or Parquet file.")
    path = path.resolve()
    if any(ord(character) < 32 for character in str(path)):  # which a source refuses
        raise SourceError(f"{str(path)!r}: holds a control character, and no definition may name such a path; rename it.")
    if outcome is not None:
        return draft_rows(path, name or _slug(path), outcome, positive)
    if positive is not None:
        raise FinflowError("--positive is a value of the outcome: say which column that is, by --outcome.")
    source = _parquet(path) if path.suffix.lower() in (".parquet", ".pq") else _csv(path)
    frame = SOURCES[source["kind"]].model_validate(source).read()
    repeated = float(frame.duplicated(["entity", "time"]).mean())
    if repeated > 0.05:
        raise SourceError(
            f"{path}: {repeated:.0%} of the rows share entity and date with another; say which column tells them apart, by `columns`."
        )
    values = _definition(path, name or _slug(path), source, frame)
    top = HEADER.format(
        path=one_line(path.name),
        rows=len(frame),
        entities=f"{frame['entity'].nunique():,} entities" if frame["entity"].nunique() > 1 else one_line(frame["entity"].iloc[0]),
        first=f"{frame['time'].min():%Y-%m-%d}",
        last=f"{frame['time'].max():%Y-%m-%d}",
    )
    return top + commented(values, {})


def _csv(path: Path) -> dict[str, Any]:
    return {"kind": "csv", "path": str(path), **sniff_csv(path)}


def _parquet(path: Path) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        headers = list(parquet.ParquetFile(path).schema_arrow.names)
    except (pa.ArrowException, OSError) as error:
        raise SourceError(f"{path}: not a whole Parquet file ({str(error).splitlines()[0][:200]}).") from None
    columns = name_columns(headers, path)
    return {"kind": "parquet", "path": str(path), "columns": columns, **ignored(headers, columns)}


def _slug(path: Path) -> str:
    text = unicodedata.normalize("NFKC", path.name.split(".")[0]).lower()
    slug = re.sub(r"[^\w]+", "-", text).strip("-_")
    try:
        return check_identifier(slug[:60], "definition name")
    except FinflowError:
        raise FinflowError(f"{path.name}: no name for a definition can be made from this; give one with --name.") from None


def _definition(path: Path, name: str, source: dict[str, Any], frame: pd.DataFrame) -> dict[str, Any]:
    times = frame["time"].drop_duplicates().sort_values(ignore_index=True)
    rows = int(frame.groupby("entity").size().max())
    if rows < MINIMUM_ROWS:
        raise NotEnoughHistoryError(f"{path}: {rows} rows of one entity; a draft needs at least {MINIMUM_ROWS} to train and to test on.")
    calendar = _calendar(times)
    spacing = _spacing(times)
    missing = 2 * spacing if calendar is None and spacing > 1 else 0
    dense = rows >= 1000
    positive = bool((frame["close"].dropna() > 0).all())
    return {
        "name": check_identifier(name, "definition name"),
        "title": f"{path.stem}, the next {'5 observations' if dense else 'observation'}",
        "source": source,
        **({"calendar": calendar} if calendar else {}),
        "contract": _contract(rows, missing, positive, calendar),
        "features": _features(frame, positive, spacing),
        "window": {"length": 60 if dense else 20, "horizon": 5 if dense else 1, "maximum_gap": max(5, missing)},
        "problem": {
            "kind": "forecast",
            "column": "close",
            "transform": "log" if positive else "none",
            "levels": [0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95],
        },
        **_folds(times, 5 if dense else 1),
        "candidates": {
            "dense": {"model": "dense", "settings": {"hidden": [64, 32], "epochs": 10, "dropout": 0.1}},
            "lstm": {"model": "recurrent", "settings": {"cell": "lstm", "hidden": [24], "epochs": 8, "dropout": 0.1}},
        },
        "baselines": {
            "random-walk": {"model": "random_walk"},
            "historical-mean": {"model": "historical_mean"},
            "ridge": {"model": "ridge"},
        },
        "reference": "random-walk",
        "seed": 1,
        "seeds": 2,
    }


def _contract(rows: int, missing: int, positive: bool, calendar: str | None) -> dict[str, Any]:
    contract: dict[str, Any] = {"kind": "bars", "minimum_history": min(250, rows // 2)}
    contract |= {"maximum_gap": missing} if missing else {}
    contract |= {} if positive else {"allow_negative": True}
    contract |= {"price_limit": 0.1} if calendar == "XSHG" else {}
    return contract


def _features(frame: pd.DataFrame, positive: bool, spacing: int) -> list[dict[str, Any]]:
    cycle = "weekday" if spacing == 1 else "month"
    season: list[dict[str, Any]] = [{"kind": f"{cycle}_sin"}, {"kind": f"{cycle}_cos"}]
    if not positive:
        return [{"kind": "change", "column": "close", "name": "change"}, *season]
    features: list[dict[str, Any]] = [{"kind": "log_return", "column": "close", "name": "log_return"}]
    if {"high", "low"} <= set(frame.columns):
        features += [{"kind": "log_range", "name": "log_range"}, {"kind": "close_location", "name": "close_location"}]
    if "open" in frame:
        features += [{"kind": "overnight_return", "name": "overnight_return"}]
    if "volume" in frame and frame["volume"].gt(0).any():
        features += [{"kind": "log_change", "column": "volume", "name": "volume_change"}]
    return [
        *features,
        {"kind": "rolling_volatility", "window": 20, "name": "volatility_20"},
        *season,
    ]


def _spacing(times: pd.Series) -> int:
    """Weekdays from one observation to the next, as a rule: 1 for daily data, 5 for weekly, about 21 for monthly."""
    days = times.to_numpy().astype("datetime64[D]")
    return max(1, round(float(np.median(np.busday_count(days[:-1], days[1:])))))


def _calendar(times: pd.Series) -> str | None:
    """The exchange (or kind of period) whose sessions the dates are, if one fits: nearly all of its sessions, and nearly nothing else."""
    best: tuple[float, str | None] = (0.0, None)
    for code in (*CALENDARS, *PERIODS):
        expected = sessions(code, times.iloc[0], times.iloc[-1])
        inside = float(times.isin(expected).mean())
        there = float(expected.isin(times).mean())
        if inside >= 0.995 and there >= 0.97 and inside + there > best[0]:
            best = (inside + there, code)
    return best[1]


def _folds(times: pd.Series, horizon: int) -> dict[str, Any]:
    folds, dates = periods_to_test(times)
    return {
        "folds": {**folds, "embargo": horizon},
        "gate": {"loss": "mae", "minimum_dates": max(20, min(250, int(0.8 * FOLDS * dates)))},
    }
