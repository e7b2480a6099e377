"""The table of predictions: what was served stays, and the same rows are never there twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.errors import StateError
from finflow.pipelines.lake.conflicts import kept_writing, retry_conflicts
from finflow.pipelines.lake.lake import literal

if TYPE_CHECKING:
    from finflow.pipelines.lake.lake import Lake

#: a prediction row is the answer of one version to one input; the same key is never written twice
KEY = ("entity", "time", "horizon", "version", "input_digest", "restated")
#: the columns beside the value columns of the problem (q05, q50 ...)
COLUMNS = (
    "entity",
    "time",
    "target_time",
    "horizon",
    "version",
    "input_digest",
    "in_sample",
    "restated",
    "scored_at",
    "backfill_id",
    "period",
)
#: beside them where the problem asks for reasons: JSON text, the features that moved the score most and by how much
REASONS = "reasons"


@dataclass(frozen=True)
class Written:
    """What an append did: `rows` new rows (0: all were there), and the table's version after it."""

    rows: int
    table_version: int | None


class Predictions:
    """The predictions of one definition.

    A row is: `entity` (str), `time` (as-of date), `target_time`, `horizon` (int64, from 1), the problem's value columns (float64),
    `version` (int64, the model's), `input_digest` (str, of the window that was read), `in_sample` (bool), `restated` (bool; made from
    rows as corrected since, no history), `scored_at` (UTC), `backfill_id` (str; null for rows served live), and `period` (YYYY-MM, the
    partition). Rows written before there was a column `restated` are not restated.
    """

    def __init__(self, lake: Lake, definition: str) -> None:
        self.lake = lake
        self.table = f"predictions/{definition}"

    @property
    def version(self) -> int | None:
        """The table's version, or None while there is none."""
        return self.lake.version(self.table)

    def read(
        self,
        start: str | pd.Timestamp = "1700-01-01",
        end: str | pd.Timestamp = "2200-12-31",
        columns: list[str] | None = None,
        *,
        restated: bool = False,
    ) -> pd.DataFrame:
        """Rows whose as-of date lies from `start` to `end`, both included; an empty frame where the table does not exist.

        Args:
            restated: the restated rows instead of those made from what was known then; the two are never mixed.
        """
        wanted = None if columns is None or "restated" in columns else [*columns, "restated"]
        rows = self._read(start, end, columns if wanted is None else wanted, None)
        if rows.empty:
            return rows
        rows = rows[rows["restated"] == restated].reset_index(drop=True)
        return rows if wanted is None else rows.drop(columns="restated")

    def latest(self, start: str | pd.Timestamp, end: str | pd.Timestamp, *, restated: bool = False) -> pd.DataFrame:
        """One row for each entity, date and horizon: what was served live, else the newest backfill; sorted by date and entity.

        A live row stays in view when a later backfill answers the same date with another version: it is what a user acted upon.

        Args:
            restated: see `read`.
        """
        rows = self.read(start, end, restated=restated)
        if rows.empty:
            return rows
        live = rows["backfill_id"].isna()
        order = rows.assign(__live=live).sort_values(["__live", "scored_at", "version", "input_digest"], kind="stable")
        newest = order.drop_duplicates(["entity", "time", "horizon"], keep="last").drop(columns="__live")
        return newest.sort_values(["time", "entity", "horizon"], kind="stable").reset_index(drop=True)

    def append_new(self, rows: pd.DataFrame) -> Written:
        """Append the rows whose key is not in the table; all of them, or none, in one commit.

        Another writer's commit in between is read before the next try, so that two runs of the same command leave one set of rows.

        Raises:
            ConflictError: others kept writing.
            StateError: a value column differs from the table's.
        """
        if rows.empty:
            return Written(0, self.version)

        def attempt() -> Written:
            version = self.version
            new = self._absent(rows, version)
            if new.empty:
                return Written(0, version)
            return Written(len(new), self.lake.append(self.table, new, expected_version=version))

        return retry_conflicts(attempt, kept_writing(self.table))

    def _absent(self, rows: pd.DataFrame, version: int | None) -> pd.DataFrame:
        if rows.duplicated(["input_digest", "horizon", "version"]).any():  # else no whole key is there twice, and three columns are quicker
            rows = rows.drop_duplicates(list(KEY))
        if version is None:
            return rows
        there = self._read(rows["time"].min(), rows["time"].max(), list(KEY), version)
        if there.empty:
            return rows
        known = pd.MultiIndex.from_frame(there[list(KEY)])
        shared = rows["time"].isin(there["time"].unique()).to_numpy()  # the other dates have no row yet
        absent = ~shared
        absent[shared] = ~pd.MultiIndex.from_frame(rows.loc[shared, list(KEY)]).isin(known)
        return rows[absent]

    def _read(self, start: str | pd.Timestamp, end: str | pd.Timestamp, columns: list[str] | None, version: int | None) -> pd.DataFrame:
        first, last = pd.Timestamp(start).normalize(), pd.Timestamp(end).normalize() + pd.Timedelta(days=1)
        where = f"period >= '{first:%Y-%m}' AND period <= '{last:%Y-%m}' AND time >= {literal(first)} AND time < {literal(last)}"
        frame = self.lake.read(self.table, version=version, columns=columns, where=where, optional=["restated"])
        if columns is None or "restated" in columns:
            frame["restated"] = _marks(frame)
        missing = sorted(set(columns or COLUMNS) - {"period"} - set(frame.columns)) if len(frame) else []
        if missing:
            raise StateError(f"{self.table} lacks the columns {missing}: it was not written by this finflow; use another FINFLOW_HOME.")
        return frame


def _marks(frame: pd.DataFrame) -> NDArray[np.bool_]:
    """bool, [rows]: restated. Rows from before there was such a column are not."""
    if "restated" not in frame:
        return np.zeros(len(frame), dtype=bool)
    return frame["restated"].astype("boolean").fillna(False).to_numpy(dtype=bool)
