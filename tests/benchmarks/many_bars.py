"""A made-up market of many symbols, for what is measured by its size."""

from __future__ import annotations

import numpy as np
import pandas as pd


def many_bars(symbols: int, days: pd.DatetimeIndex) -> pd.DataFrame:
    """Bars of every symbol (S000, S001, ...) on every day, symbol after symbol."""
    random = np.random.default_rng(0)
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, (symbols, len(days))), axis=1)).ravel()
    opened = close * np.exp(random.normal(0, 0.002, len(close)))
    return pd.DataFrame(
        {
            "entity": pd.array(np.repeat([f"S{number:03d}" for number in range(symbols)], len(days)), dtype="str"),
            "time": np.tile(days.as_unit("us"), symbols),
            "open": opened,
            "high": np.maximum(opened, close) * 1.003,
            "low": np.minimum(opened, close) * 0.997,
            "close": close,
            "volume": random.uniform(1e5, 2e5, len(close)),
        }
    )
