"""Made-up bars for the tests of rules."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from finflow.expectations.batch import prepare
from finflow.expectations.tuning import Tuning


def bars(entities: tuple[str, ...] = ("AAA", "BBB"), days: int = 300, *, seed: int = 1, start: str = "2018-01-01") -> pd.DataFrame:
    """Faultless daily bars on weekdays, sorted, with known_at."""
    random = np.random.default_rng(seed)
    dates = pd.bdate_range(start, periods=days).to_numpy("datetime64[us]")
    frames = []
    for entity in entities:
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, days)))
        opened = close * np.exp(random.normal(0, 0.003, days))
        spread = np.exp(np.abs(random.normal(0, 0.005, days)))
        values = {
            "open": opened,
            "high": np.maximum(opened, close) * spread,
            "low": np.minimum(opened, close) / spread,
            "close": close,
            "volume": random.integers(1_000, 9_000, days).astype(np.float64),
        }
        frames.append(pd.DataFrame({"entity": pd.array([entity] * days, dtype="str"), "time": dates, **values}))
    frame = pd.concat(frames, ignore_index=True)
    frame["known_at"] = (frame["time"] + pd.Timedelta(hours=24)).dt.tz_localize("UTC").dt.as_unit("us")
    return frame


def weekdays(frame: pd.DataFrame) -> np.ndarray:
    """Monday to Friday over the frame's span, as a calendar's sessions."""
    return pd.bdate_range(frame["time"].min(), frame["time"].max()).to_numpy("datetime64[D]")


def batch(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame prepared, with weekdays as sessions."""
    return prepare(frame, weekdays(frame))


def tuning(**changes: Any) -> Tuning:
    values: dict[str, Any] = {
        "may_be_missing": False,
        "columns": ("close",),
        "numbers": ("close",),
        "outcome": None,
        "present": ("open", "high", "low", "close", "volume"),
        "latest": "2026-01-01T00:00:00",
        "calendar": "XNYS",
        "minimum_history": 250,
        "maximum_gap": 5,
        "stale_days": 10,
        "jump": 0.6,
        "price_limit": None,
        "allow_negative": False,
    }
    return Tuning(**{**values, **changes})
