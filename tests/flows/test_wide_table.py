"""A file of ten thousand columns through the whole flow, to scores with reasons, within 3 GiB."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from tests.support import Finflow, write_definition
from tests.support.memory import measure

LIMIT = 3 * 1024**3
ROWS, COLUMNS = 400, 10_000
NAMES = [f"x{place:05d}" for place in range(COLUMNS)]


def write_rows(path: Path) -> Path:
    """Three of the columns say something about the outcome; a value in a hundred is missing."""
    random = np.random.default_rng(5)
    values = random.normal(size=(ROWS, COLUMNS)).round(4)
    outcome = 2.5 * values[:, [17, 4_000, 9_999]].sum(axis=1) + random.normal(size=ROWS) > 0
    values[random.random(values.shape) < 0.01] = np.nan
    frame = pd.DataFrame(values, columns=NAMES)
    pd.concat([frame, pd.Series(np.where(outcome, "yes", "no"), name="answer")], axis=1).to_csv(path, index=False)
    return path


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(psutil.Process().memory_full_info(), "pss"), reason="this system does not tell the memory of processes")
def test_ten_thousand_columns_train_and_score_within_three_gibibytes(finflow: Finflow, home: Home, tmp_path: Path) -> None:
    columns = {**{name: name for name in NAMES}, "answer": "answer"}
    source = {"kind": "csv", "path": str(write_rows(tmp_path / "wide.csv")), "columns": columns, "text": ["answer"]}
    values = {
        "name": "wide",
        "simulated": True,
        "source": {**source, "numbered": "row", "date": "2020-01-01", "maximum_columns": 10_001},
        "contract": {"kind": "table"},
        "features": [{"kind": "value", "column": name, "name": name} for name in NAMES],
        "window": {"length": 1, "horizon": 1},
        "problem": {"kind": "outcome", "column": "answer", "positive": ["yes"], "reasons": 3},
        "folds": {"kind": "stratified", "parts": 2},
        "candidates": {"boosting": {"model": "boosting", "settings": {"rounds": 30, "calibration": {"method": "none"}}}},
        "baselines": {
            "base-rate": {"model": "class_frequency"},
            "logistic": {"model": "tabular_logistic", "settings": {"calibration": {"method": "none"}}},
        },
        "reference": "base-rate",
        "seeds": 1,
        "gate": {"loss": "log_loss", "minimum_dates": 50},
    }
    path = write_definition(tmp_path / "wide.yaml", values)
    train = measure(finflow, "train", str(path))
    assert {row["candidate"] for row in train.outcome["leaderboard"]} == {"boosting", "base-rate", "logistic"}
    assert train.outcome["decision"]["champion"]["candidate"] == "boosting"
    score = measure(finflow, "score", str(path))
    assert score.outcome["rows"] == ROWS
    assert {name: one.peak for name, one in {"train": train, "score": score}.items() if one.peak > LIMIT} == {}
    rows = Lake(home.lake).read("predictions/wide")
    named = pd.Series([one["feature"] for text in rows["reasons"] for one in json.loads(text)]).value_counts()
    assert set(named.index[:3]) == {"x00017", "x04000", "x09999"}
