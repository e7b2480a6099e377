"""500 simulated symbols of 2,500 days, some of them late, ended or with gaps, through the whole flow within 4 GiB."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from tests.support import Finflow, write_definition
from tests.support.memory import measure
from tests.support.pipelines.uneven_panel import check_samples, expected_symbols, panel_values

LIMIT = 4 * 1024**3
SYMBOLS, DAYS, SPECIAL = 500, 2_500, 40
FOLDS = {"first_test": "2024-01-01", "months": 12, "validation_months": 12, "embargo": 2, "count": 1}


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.skipif(not hasattr(psutil.Process().memory_full_info(), "pss"), reason="this system does not tell the memory of processes")
def test_a_large_panel_trains_scores_and_backfills_within_four_gibibytes(finflow: Finflow, home: Home, tmp_path: Path) -> None:
    from finflow.pipelines.samples.store import open_samples

    dense = {"model": "dense", "settings": {"hidden": [8], "epochs": 1, "batch": 2048}}
    path = write_definition(tmp_path / "panel.yaml", panel_values(SYMBOLS, DAYS, SPECIAL, folds=FOLDS, candidates={"dense": dense}))
    definition = load_definition(str(path))
    rows = definition.source.read()
    train = measure(finflow, "train", str(path))
    last = train.outcome["as_of"][:10]
    score = measure(finflow, "score", str(path))
    first = f"{rows['time'].drop_duplicates().sort_values().iloc[-20]:%Y-%m-%d}"
    backfill = measure(finflow, "backfill", str(path), "--start", first, "--end", last)
    found = {"train": train, "score": score, "backfill": backfill}
    assert {name: one.peak for name, one in found.items() if one.peak > LIMIT} == {}

    (folder,) = (one for one in home.samples.iterdir() if not one.name.startswith("."))
    check_samples(definition, rows, open_samples(folder))
    horizon = definition.window.horizon
    symbols = expected_symbols(definition, rows, last)
    assert len(symbols) == SYMBOLS - SPECIAL, "those that ended are not scored"
    assert score.outcome["rows"] == len(symbols) * horizon
    assert backfill.outcome["counts"] == {"done": 20}
    kept = Lake(home.lake).read("predictions/panel")
    assert len(kept) == 20 * len(symbols) * horizon
    assert set(kept["entity"]) == symbols
