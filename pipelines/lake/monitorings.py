"""The table of monitorings: a row a check; the same as-of, champion, data and findings are never there twice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.pipelines.lake.conflicts import kept_writing, retry_conflicts
from finflow.pipelines.lake.monitoring_checks import MonitoringCheck

if TYPE_CHECKING:
    from finflow.pipelines.lake.lake import Lake

_TEXT = ("monitoring_key", "part", "check", "subject", "status", "detail", "data_digest")
_NUMBERS = ("value", "threshold", "low", "high")


class Monitorings:
    """The monitorings of one definition.

    A row is a check (see `MonitoringCheck`) with `as_of`, `recorded_at` (UTC), `champion_version` (null while there was none),
    `data_version` (of the clean table), `data_digest` (of the rows known at the as-of) and `monitoring_key`.
    """

    def __init__(self, lake: Lake, definition: str) -> None:
        self.lake = lake
        self.table = f"monitoring/{definition}"

    def record(self, key: str, as_of: pd.Timestamp, version: int | None, data: tuple[int, str], checks: Sequence[MonitoringCheck]) -> int:
        """Append a monitoring in one commit, unless it is there; the number of rows written.

        Args:
            data: version and digest of the clean rows.

        Raises:
            ConflictError: others kept writing.
        """

        def attempt() -> int:
            current = self.lake.version(self.table)
            if current is not None and key in set(
                self.lake.read(self.table, version=current, columns=["monitoring_key"])["monitoring_key"]
            ):
                return 0
            frame = _frame(key, as_of, version, data, checks)
            self.lake.append(self.table, frame, expected_version=current)
            return len(frame)

        return retry_conflicts(attempt, kept_writing(self.table))

    def alarms_before(self, as_of: pd.Timestamp, version: int | None) -> set[tuple[str, str, str]]:
        """Part, check and subject of what alarmed at the last as-of before this one, under the same champion."""
        rows = self.lake.read(self.table)
        if rows.empty:
            return set()
        same = rows["champion_version"].isna() if version is None else (rows["champion_version"] == version).fillna(False)
        rows = rows[(rows["as_of"] < as_of) & same.astype(bool)]
        rows = rows[(rows["as_of"] == rows["as_of"].max()) & rows["alarm"].astype(bool)]
        return set(zip(rows["part"], rows["check"], rows["subject"], strict=True))

    def last(self) -> dict[str, Any] | None:
        """The monitoring recorded last: as_of, recorded_at, champion_version, alarms (in words) and how many checks were measured."""
        rows = self.lake.read(self.table)
        if rows.empty:
            return None
        newest = rows[rows["recorded_at"] == rows["recorded_at"].max()]
        first = newest.iloc[0]
        version = first["champion_version"]
        alarms = newest[newest["alarm"].astype(bool)]
        return {
            "as_of": first["as_of"].isoformat(),
            "recorded_at": first["recorded_at"].isoformat(),
            "champion_version": None if pd.isna(version) else int(version),
            "alarms": [f"{row['subject']}: {row['detail']}" for _, row in alarms.iterrows()],
            "measured": int((newest["status"] == "measured").sum()),
        }


def _frame(key: str, as_of: pd.Timestamp, version: int | None, data: tuple[int, str], checks: Sequence[MonitoringCheck]) -> pd.DataFrame:
    frame = pd.DataFrame([one.to_dict() for one in checks])
    frame["monitoring_key"] = key
    frame["as_of"] = pd.Series([as_of] * len(frame), dtype="datetime64[us, UTC]")
    frame["recorded_at"] = pd.Series([pd.Timestamp.now("UTC")] * len(frame)).astype("datetime64[us, UTC]")
    frame["champion_version"] = pd.array([version] * len(frame), dtype="Int64")
    frame["data_version"], frame["data_digest"] = data
    for name in _NUMBERS:
        frame[name] = frame[name].astype("float64")
    for name in _TEXT:
        frame[name] = frame[name].astype("str")
    return frame
