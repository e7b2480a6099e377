"""Samples of a million rows of which 1 % were revised up to 15 days later, over those of the same rows unrevised: a ratio, in one run."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from finflow.models.samples import Samples
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.samples.windows import build_samples
from tests.benchmarks.figures import record
from tests.support.pipelines.bars import definition
from tests.support.pipelines.revised import latest_of, revised

DAYS, ENTITIES = 5000, 200
FEATURES = [
    {"kind": "log_return", "name": "return"},
    {"kind": "rolling_volatility", "window": 20, "name": "volatility"},
    {"kind": "moving_average_ratio", "window": 50, "name": "average"},
    {"kind": "value", "column": "volume", "name": "volume"},
]


def seconds(build: Callable[[], Samples]) -> float:
    """The better of two."""
    found = []
    for _ in range(2):
        begun = time.perf_counter()
        build()
        found.append(time.perf_counter() - begun)
    return min(found)


@pytest.mark.benchmark
def test_samples_of_a_million_rows_of_which_some_were_revised() -> None:
    made = definition(features=FEATURES, window={"length": 30, "horizon": 1})
    random = np.random.default_rng(0)
    days = pd.bdate_range("2000-01-03", periods=DAYS).astype("datetime64[us]")
    rows = pd.DataFrame(
        {
            "entity": pd.array(np.repeat([f"E{number:03d}" for number in range(ENTITIES)], DAYS), dtype="str"),
            "time": np.tile(days.to_numpy(), ENTITIES),
            "close": 100 * np.exp(random.normal(0, 0.1, DAYS * ENTITIES)),
            "volume": random.integers(1, 2000, DAYS * ENTITIES).astype(float),
        }
    )
    plain = rows.assign(known_at=published(made, pd.DatetimeIndex(rows["time"])))
    history = revised(made, rows, ("close",), seed=0, share=0.01)
    latest = latest_of(made, history)
    without = seconds(lambda: build_samples(made, plain, None, plain))
    with_revisions = seconds(lambda: build_samples(made, latest, None, history))
    record(
        "samples of a million rows of which 1 % were revised, over samples of the same without",
        ratio=with_revisions / without,
        at_most=2.0,
        seconds=with_revisions,
    )
    assert with_revisions < 2.0 * without
