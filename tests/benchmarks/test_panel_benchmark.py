"""A panel of 500 simulated symbols x 2,500 days, some late, ended or with gaps, through the commands: seconds and memory of each.

Memory is that of the command and of all its processes together, sampled four times a second (see `tests.support.memory`); seconds hold
Python's start. Two networks, three classical models, two test periods, two epochs, one seed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks.figures import record
from tests.support import Finflow, write_definition
from tests.support.memory import measure
from tests.support.pipelines.uneven_panel import panel_values

GIBIBYTE = 1024**3
CANDIDATES = {
    "dense": {"model": "dense", "settings": {"hidden": [32], "epochs": 2, "batch": 1024}},
    "lstm": {"model": "recurrent", "settings": {"hidden": [8], "dense": [], "epochs": 2, "batch": 1024}},
}
FOLDS = {"first_test": "2023-01-01", "months": 12, "validation_months": 12, "embargo": 5, "count": 2}
FEATURES = [
    {"kind": "log_return", "column": "close", "name": "log_return"},
    {"kind": "log_range", "name": "log_range"},
    {"kind": "overnight_return", "name": "overnight_return"},
    {"kind": "log_change", "column": "volume", "name": "volume_change"},
    {"kind": "rolling_volatility", "window": 20, "name": "volatility_20"},
]


@pytest.mark.benchmark
def test_a_large_panel(finflow: Finflow, tmp_path: Path) -> None:
    window = {"length": 30, "horizon": 5}
    values = panel_values(500, 2_500, 40, folds=FOLDS, candidates=CANDIDATES, features=FEATURES, window=window)
    path = str(write_definition(tmp_path / "panel.yaml", values))
    train = measure(finflow, "train", path)
    score = measure(finflow, "score", path)
    backfill = measure(finflow, "backfill", path, "--start", "2024-09-01", "--end", train.outcome["as_of"][:10])
    days = backfill.outcome["counts"]["done"]
    for name, found in (("train", train), ("score", score), (f"backfill of {days} days", backfill)):
        record(
            f"panel of 500 symbols x 2,500 days: {name}",
            peak_gibibytes=found.peak / GIBIBYTE,
            at_most=4,
            seconds=found.seconds,
            samples=train.outcome["samples"],
        )
        assert found.peak < 4 * GIBIBYTE
