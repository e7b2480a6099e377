"""A volatility problem from file to backfill: a realised measure that the user brings, networks that stand on HAR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.leakage.check import check_rows
from tests.support import write_definition
from tests.support.models.variance_cases import stochastic_volatility


def write_measures(path: Path, days: int = 750) -> Path:
    """A CSV of two indices: a date, a close, and the day's realised variance."""
    parts = []
    for number, name in enumerate(("AEX", "DAX")):
        log_variance, returns = stochastic_volatility(days, 40 + number)
        close = 100 * np.exp(np.cumsum(returns))
        time = pd.bdate_range("2015-01-05", periods=days).strftime("%Y-%m-%d")
        parts.append(pd.DataFrame({"index": name, "date": time, "close": close, "rv5": np.exp(log_variance)}))
    pd.concat(parts).to_csv(path, index=False)
    return path


def volatility_values(path: Path, **changes: Any) -> dict[str, Any]:
    """The values of a definition over the file of `write_measures`."""
    network = {"hidden": [4], "epochs": 2, "batch": 128, "loss": "qlike", "residual": "log_har_leverage"}
    values: dict[str, Any] = {
        "name": "realised",
        "simulated": True,
        "source": {"kind": "csv", "path": str(path), "columns": {"entity": "index", "time": "date", "close": "close", "rv5": "rv5"}},
        "contract": {"kind": "table"},
        "features": [{"kind": "log_value", "column": "rv5", "name": "log_variance"}, {"kind": "standardised_return", "window": 22}],
        "window": {"length": 10, "horizon": 2},
        "problem": {"kind": "volatility", "estimator": "column", "column": "rv5"},
        "folds": {"first_test": "2016-07-01", "months": 6, "validation_months": 3, "embargo": 2},
        "candidates": {"dense": {"model": "dense", "settings": network}},
        "baselines": {
            "last-value": {"model": "last_variance"},
            "gjr-garch": {"model": "garch", "settings": {"context": 100}},
            "log-har-leverage": {"model": "har"},
        },
        "reference": "last-value",
        "seed": 1,
        "seeds": 2,
        "gate": {"loss": "qlike", "minimum_dates": 50},
    }
    return {**values, **changes}


def test_a_realised_measure_from_file_to_backfill(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> None:
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    from finflow.flows.backfill import backfill_flow
    from finflow.flows.score import score_flow
    from finflow.flows.train import train_flow

    path = str(write_definition(tmp_path / "realised.yaml", volatility_values(write_measures(tmp_path / "rv.csv"))))
    trained = train_flow(path, "2017-06-30")
    loss = {row["candidate"]: row["metrics"]["qlike"]["value"] for row in trained["leaderboard"]}
    assert set(loss) == {"dense", "last-value", "gjr-garch", "log-har-leverage"}
    assert loss["log-har-leverage"] < loss["last-value"]
    assert loss["dense"] == pytest.approx(loss["log-har-leverage"], rel=0.2), "two epochs move it little from where it stands"
    assert trained["decision"]["champion"]["version"] == 1
    (plots,) = home.evaluations.glob("*/plots")
    assert (plots / "dense" / "forecasts.svg").is_file()
    assert not (plots / "dense" / "coverage.svg").exists(), "a point forecast covers nothing"
    assert train_flow(path, "2017-06-30")["fitted"] == 0

    scored = score_flow(path, "2017-07-14")
    assert (scored["rows"], scored["written"], scored["in_sample"]) == (4, 4, 0)
    filled = backfill_flow(path, "2017-07-03", "2017-08-31")
    assert {row["after"] for row in filled["dates"]} == {"done"}
    rows = Lake(home.lake).read("predictions/realised")
    assert set(rows["horizon"]) == {1, 2}
    np.testing.assert_allclose(rows["volatility"], np.sqrt(252 * rows["variance"]), rtol=1e-6)
    assert rows["variance"].between(1e-6, 1e-2).all()
    assert backfill_flow(path, "2017-07-03", "2017-08-31")["written"] == 0


@pytest.mark.slow
def test_no_future_leaks_into_index_volatility() -> None:
    definition = load_definition("index-volatility")
    clean = definition.source.read()
    clean = clean[clean["time"] >= "2011-01-01"].reset_index(drop=True)
    report = check_rows(definition, clean, pd.Timestamp("2018-12-31 22:00", tz="UTC"))
    assert [check.detail for check in report.checks if not check.passed] == []


QUANTILES = {
    "problem": {"kind": "volatility", "estimator": "column", "column": "rv5", "levels": [0.1, 0.5, 0.9]},
    "candidates": {
        "dense": {"model": "dense", "settings": {"hidden": [4], "epochs": 2, "batch": 128}},
        "gan": {
            "model": "gan",
            "settings": {"hidden": 4, "noise": 2, "epochs": 2, "batch": 128, "paths": 32, "residual": "log_har_leverage"},
        },
    },
    "gate": {"loss": "crps", "minimum_dates": 50},
}


@pytest.mark.parametrize("changes", [{}, QUANTILES], ids=["expected", "quantiles"])
def test_no_future_leaks_into_a_realised_measure(changes: dict[str, Any], tmp_path: Path) -> None:
    definition = parse_definition(volatility_values(write_measures(tmp_path / "rv.csv"), **changes))
    clean = definition.source.read()
    report = check_rows(definition, clean, pd.Timestamp("2017-11-20 22:00", tz="UTC"))
    assert [check.detail for check in report.checks if not check.passed] == []
    assert "no model peeks" in {check.name for check in report.checks}
