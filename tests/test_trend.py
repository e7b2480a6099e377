"""A trend problem through the whole pipeline: train, gate, plots, score, backfill, monitor."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from tests.support import write_definition
from tests.support.class_support import class_values


def test_classes_from_simulation_to_backfill(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> None:
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    from finflow.flows.backfill import backfill_flow
    from finflow.flows.monitor import monitor_flow
    from finflow.flows.score import score_flow
    from finflow.flows.train import train_flow

    values = class_values(monitoring={"minimum_dates": 20, "sessions": 20})
    path = str(write_definition(tmp_path / "trend.yaml", values))
    trained = train_flow(path, "2017-04-28")
    rows = {row["candidate"]: row["metrics"] for row in trained["leaderboard"]}
    assert set(rows) == {"dense", "class-frequency", "majority", "logistic"}
    assert rows["class-frequency"]["auc"]["value"] == pytest.approx(0.5, abs=0.05)
    assert rows["majority"]["log_loss"]["value"] > 3 * rows["class-frequency"]["log_loss"]["value"]
    assert rows["class-frequency"]["log_loss"]["value"] == pytest.approx(np.log(3), rel=0.1)
    assert trained["decision"]["champion"]["version"] == 1
    (plots,) = home.evaluations.glob("*/plots")
    for name in ("calibration.svg", "confusion.svg", "skill.svg"):
        assert (plots / "dense" / name).read_text(encoding="utf-8").startswith("<?xml")
    assert not (plots / "dense" / "forecasts.svg").exists()
    page = Path(trained["report"]).read_text(encoding="utf-8")
    assert "dense: calibration" in page
    assert "dense: confusion matrix" in page
    assert train_flow(path, "2017-04-28")["fitted"] == 0

    scored = score_flow(path, "2017-05-19")
    assert (scored["rows"], scored["written"], scored["in_sample"]) == (2, 2, 0)
    filled = backfill_flow(path, "2017-05-01", "2017-07-31")
    assert {row["after"] for row in filled["dates"]} == {"done"}
    kept = Lake(home.lake).read("predictions/tiny-trend")
    assert set(kept["horizon"]) == {3}
    np.testing.assert_allclose(kept[["p_down", "p_flat", "p_up"]].sum(axis=1), 1.0, rtol=1e-6)
    assert backfill_flow(path, "2017-05-01", "2017-07-31")["written"] == 0

    watched = monitor_flow(path, "2017-07-31")
    assert isinstance(watched, dict)
    (loss,) = [check for check in watched["checks"] if check["check"] == "log_loss"]
    assert 0.9 < loss["value"] < 1.4
    assert {"flat", "up"} <= {check["subject"] for check in watched["checks"] if check["part"] == "predictions"}, [
        check["detail"] for check in watched["checks"] if check["part"] == "predictions"
    ]
