"""Scenarios through the whole pipeline: train, gate, plots, score, backfill, monitor, what leaks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.lake.lake import Lake
from tests.support import write_definition
from tests.support.scenario_support import scenario_values


def test_paths_from_simulation_to_backfill(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> None:
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    from finflow.flows.backfill import backfill_flow
    from finflow.flows.monitor import monitor_flow
    from finflow.flows.score import score_flow
    from finflow.flows.train import train_flow

    values = scenario_values(monitoring={"minimum_dates": 10, "sessions": 20})
    path = str(write_definition(tmp_path / "scenarios.yaml", values))
    trained = train_flow(path, "2017-04-28")
    rows = {row["candidate"]: row for row in trained["leaderboard"]}
    assert set(rows) == {"gan", "bootstrap", "gjr-garch"}
    for row in rows.values():
        assert row["invalid"] is None
        assert {"path_crps", "energy", "diversity", "wasserstein", "kurtosis", "clustering_error", "tstr_r2"} <= set(row["metrics"])
        assert [check["name"] for check in row["checks"]] == ["diversity"]
    # of independent normal steps a bootstrap and a GARCH say the truth
    assert rows["bootstrap"]["metrics"]["diversity"]["value"] == pytest.approx(1.0, abs=0.15)
    assert rows["bootstrap"]["metrics"]["membership_auc"]["value"] > rows["gjr-garch"]["metrics"]["membership_auc"]["value"] + 0.1
    assert trained["decision"]["champion"]["version"] == 1
    (plots,) = home.evaluations.glob("*/plots")
    for name in ("paths.svg", "facts.svg", "skill.svg"):
        assert (plots / "gan" / name).read_text(encoding="utf-8").startswith("<?xml")
    assert "gan: stylised facts" in Path(trained["report"]).read_text(encoding="utf-8")
    assert train_flow(path, "2017-04-28")["fitted"] == 0

    scored = score_flow(path, "2017-05-17")  # a Wednesday: any day is scored, though weeks are learnt from
    assert (scored["rows"], scored["written"], scored["in_sample"]) == (16, 16, 0)
    filled = backfill_flow(path, "2017-05-01", "2017-07-31")
    assert {row["after"] for row in filled["dates"]} == {"done"}
    kept = Lake(home.lake).read("predictions/tiny-scenarios")
    assert set(kept["horizon"]) == set(range(1, 9))
    assert (kept["stressed_es_95"] >= kept["stressed_var_95"]).all()
    last = kept[kept["horizon"] == 8]
    assert 0.0 < last["es_95"].mean() < 0.12
    assert last["path_001"].between(0.5 * last["path_002"], 2.0 * last["path_002"]).all()
    assert backfill_flow(path, "2017-05-01", "2017-07-31")["written"] == 0

    watched = monitor_flow(path, "2017-08-31")
    assert isinstance(watched, dict)
    (loss,) = [check for check in watched["checks"] if check["check"] == "path_crps"]
    assert np.isfinite(loss["value"])


def test_paths_do_not_see_the_future(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    prepare_environment(home)
    from finflow.pipelines.definitions.loading import load_definition
    from finflow.pipelines.leakage.check import check_leakage

    path = str(write_definition(tmp_path / "scenarios.yaml", scenario_values()))
    found = check_leakage(open_context(load_definition(path), home), "2017-04-28")
    assert [check.name for check in found.checks if not check.passed] == []
