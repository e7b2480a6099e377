"""A portfolio's risk through the whole pipeline: train, gate with backtests, score, backfill."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from tests.support import write_definition
from tests.support.risk_support import risk_values


def test_risk_from_file_to_backfill(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> None:
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    from finflow.flows.backfill import backfill_flow
    from finflow.flows.command_line.pages import training_lines
    from finflow.flows.score import score_flow
    from finflow.flows.train import train_flow

    path = str(write_definition(tmp_path / "risk.yaml", risk_values()))
    trained = train_flow(path, "2017-04-28")
    rows = {row["candidate"]: row for row in trained["leaderboard"]}
    assert set(rows) == {"dense", "historical-simulation", "garch-t"}
    assert all([check["name"] for check in row["checks"]] == ["kupiec", "traffic_light", "expected_shortfall"] for row in rows.values())
    assert all(np.isfinite(row["metrics"]["fz0_97_5"]["value"]) for row in rows.values())
    champion = trained["decision"]["champion"]["candidate"]
    assert all(check["passed"] for check in rows[champion]["checks"])
    printed = "\n".join(training_lines(trained))
    assert "backtests: garch-t" in printed
    text = Path(trained["report"]).with_suffix(".md").read_text(encoding="utf-8")
    assert "## Backtests" in text
    assert "Kupiec's test of coverage" in text
    assert "losses beyond the value at risk" in Path(trained["report"]).read_text(encoding="utf-8")
    assert train_flow(path, "2017-04-28")["decision"] == trained["decision"]

    scored = score_flow(path, "2017-05-19")
    assert (scored["rows"], scored["written"], scored["in_sample"]) == (1, 1, 0)
    filled = backfill_flow(path, "2017-05-01", "2017-05-31")
    assert filled["ok"]
    assert {row["after"] for row in filled["dates"]} == {"done"}
    assert backfill_flow(path, "2017-05-01", "2017-05-31")["written"] == 0
    kept = Lake(home.lake).read("predictions/tiny-risk")
    assert set(kept["entity"]) == {"BOOK"}
    assert (kept["es_99"] > kept["var_99"]).all()
    assert (kept["var_99"] > kept["var_95"]).all()
    assert ((kept["es_97_5"] > 0) & (kept["es_97_5"] < 0.2)).all()


@pytest.mark.slow
def test_what_is_red_is_never_promoted(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> None:
    """All of them know only the calm before a crisis: the 99 % value at risk is exceeded time and again."""
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    from finflow.flows.score import score_flow
    from finflow.flows.train import train_flow

    dates = np.busday_offset("2014-01-06", np.arange(900), roll="forward")
    random = np.random.default_rng(7)
    width = np.where(np.arange(900) < 650, 0.004, 0.02)
    lines = ["date,name,open,high,low,close,volume"]
    for name in ("S1", "S2"):
        close = 100 * np.exp(np.cumsum(width * random.standard_normal(900)))
        lines += [
            f"{day},{name},{price:.6f},{price * 1.001:.6f},{price * 0.999:.6f},{price:.6f},1000"
            for day, price in zip(dates, close, strict=True)
        ]
    table = tmp_path / "crisis.csv"
    table.write_text("\n".join(lines) + "\n", encoding="utf-8")
    columns = {name: name for name in ("open", "high", "low", "close", "volume")}
    source = {"kind": "csv", "path": str(table), "columns": {"entity": "name", "time": "date", **columns}}
    values = risk_values(source=source, calendar=None)
    values["gate"]["backtests"] = ["traffic_light"]
    path = str(write_definition(tmp_path / "crisis.yaml", values))
    trained = train_flow(path, None)
    rows = {row["candidate"]: row for row in trained["leaderboard"]}
    for row in rows.values():
        assert not row["checks"][0]["passed"]
        assert "red zone" in row["checks"][0]["words"]
    assert trained["decision"]["verdict"] == "refused"
    assert trained["decision"]["champion"]["version"] is None
    assert "no baseline passes its checks" in trained["decision"]["reason"]
    assert Lake(home.lake).version("promotions/tiny-risk") is not None
    with pytest.raises(FinflowError, match="passed its backtests, or the leakage check failed, in the last training"):
        score_flow(path, None)
