"""Made-up bars for tests of samples, folds and leakage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from finflow.pipelines.definitions.definition import Definition, parse_definition


def bars(days: int = 300, entities: tuple[str, ...] = ("A", "B"), start: str = "2015-01-05", seed: int = 0) -> pd.DataFrame:
    """Clean bars on weekdays: `entity`, `time`, open, high, low, close, volume."""
    random = np.random.default_rng(seed)
    frames = []
    for entity in entities:
        close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, days)))
        opening = close * np.exp(random.normal(0, 0.003, days))
        frames.append(
            pd.DataFrame(
                {
                    "entity": entity,
                    "time": pd.bdate_range(start, periods=days).astype("datetime64[us]"),
                    "open": opening,
                    "high": np.maximum(opening, close) * 1.002,
                    "low": np.minimum(opening, close) * 0.997,
                    "close": close,
                    "volume": random.integers(1000, 2000, days).astype(float),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)


def definition(**changes: Any) -> Definition:
    """A small forecast definition without a calendar; keyword arguments replace top-level keys."""
    values: dict[str, Any] = {
        "name": "small",
        "source": {"kind": "simulated", "process": "random_walk", "entities": 2, "days": 300, "start": "2015-01-05", "seed": 0},
        "features": [{"kind": "log_return", "name": "log_return"}],
        "window": {"length": 5, "horizon": 2},
        "problem": {"kind": "forecast", "levels": [0.05, 0.5, 0.95]},
        "folds": {"first_test": "2015-09-01", "months": 2, "validation_months": 1},
        "candidates": {"dense": {"model": "dense", "settings": {"hidden": [4], "epochs": 1}}},
        "baselines": {"random-walk": {"model": "random_walk"}},
        "reference": "random-walk",
    }
    return parse_definition({**values, **changes})


def planted(wanted: Definition, name: str, shift: int) -> Definition:
    """The definition with its feature `name` moved by `shift`, past the check that refuses a negative one: what leaks on purpose."""
    features = [feature.model_copy(update={"shift": shift}) if feature.label == name else feature for feature in wanted.features]
    return wanted.model_copy(update={"features": tuple(features)})
