"""Prediction rows for tests."""

from __future__ import annotations

import pandas as pd


def rows(
    dates: list[str], version: int = 1, digest: str = "aa", backfill_id: str | None = None, value: float = 1.0, restated: bool = False
) -> pd.DataFrame:
    """Two entities a date, one horizon."""
    time = pd.DatetimeIndex(dates).repeat(2).as_unit("us")
    frame = pd.DataFrame(
        {"entity": pd.array(["A", "B"] * len(dates), dtype="str"), "time": time, "target_time": time + pd.Timedelta(days=1)}
    )
    frame["horizon"], frame["q50"], frame["version"] = 1, value, version
    frame["input_digest"] = pd.array([digest] * len(frame), dtype="str")
    frame["in_sample"], frame["restated"] = False, restated
    frame["scored_at"] = pd.Timestamp.now("UTC").as_unit("us")
    frame["backfill_id"] = pd.array([backfill_id] * len(frame), dtype="str")
    frame["period"] = time.strftime("%Y-%m").astype("str")
    return frame
