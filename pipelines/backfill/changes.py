"""How far the answers of a backfill differ from what stood before: served live, or by the newest backfill."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from finflow.pipelines.core.manifests import JsonRecord
from finflow.pipelines.lake.predictions import COLUMNS

_ROW = ["entity", "time", "horizon"]
MEDIAN = "q50"


@dataclass(frozen=True)
class Changes(JsonRecord):
    """What differs from before.

    Attributes:
        compared: how many dates had answers before.
        dates: ISO dates of which at least one answer differs from the one that stood before; a date without one is not among them.
        column: the value that was compared: the median, or the problem's first value.
        absolute: the largest absolute difference, 0.0 if nothing differs.
        relative: the largest difference as a share of the value before; None where one of those is zero.
    """

    compared: int = 0
    dates: tuple[str, ...] = ()
    column: str = MEDIAN
    absolute: float = 0.0
    relative: float | None = 0.0

    @property
    def words(self) -> str:
        """In a sentence's end."""
        if not self.compared:
            return "nothing stood there before"
        if not self.dates:
            return "no date changed against what stood before"
        size = f"{self.absolute:.4g} (absolute" if self.relative is None else f"{100 * self.relative:.3g} % (relative"
        plural = "date" if len(self.dates) == 1 else "dates"
        return f"{len(self.dates)} {plural} changed against what stood before, by at most {size}, of {self.column})"


def compare(before: pd.DataFrame, rows: pd.DataFrame) -> Changes:
    """New rows against the view before.

    Args:
        before: as `Predictions.latest` gives it: one row for each entity, date and horizon.
        rows: those of the backfill; answers of both are compared where both have one.
    """
    if before.empty or rows.empty:
        return Changes()
    column = MEDIAN if MEDIAN in rows else next(str(name) for name in rows.columns if name not in COLUMNS)
    shared = rows["time"].isin(before["time"].unique())
    rows = rows[shared]
    places = pd.MultiIndex.from_frame(before[_ROW]).get_indexer(pd.MultiIndex.from_frame(rows[_ROW]))
    both = places >= 0
    days = pd.DatetimeIndex(rows["time"][both]).strftime("%Y-%m-%d").to_numpy()
    old = before[column].to_numpy(dtype=np.float64)[places[both]]
    new = rows[column].to_numpy(dtype=np.float64)[both]
    differs = old != new
    compared = len(set(days))
    if not differs.any():
        return Changes(compared, column=column)
    size, scale = np.abs(new - old)[differs], np.abs(old)[differs]
    relative = float((size / scale).max()) if (scale > 0).all() else None
    return Changes(compared, tuple(sorted(set(days[differs]))), column, float(size.max()), relative)


def together(parts: Iterable[Changes]) -> Changes:
    """The changes of several groups of dates as one."""
    parts = list(parts)
    compared = sum(part.compared for part in parts)
    changed = [part for part in parts if part.dates]
    if not changed:
        return Changes(compared)
    shares = [part.relative for part in changed]
    measured = [share for share in shares if share is not None]
    return Changes(
        compared=compared,
        dates=tuple(sorted({date for part in changed for date in part.dates})),
        column=changed[0].column,
        absolute=max(part.absolute for part in changed),
        relative=max(measured) if len(measured) == len(shares) else None,
    )
