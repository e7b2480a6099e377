"""Monitoring from the flow down: a planted drift raises the event that starts a training, an undisturbed series the other one."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest

from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.problems import PROBLEMS
from tests.support import tiny_values, write_definition
from tests.support.plain_rows import PlainRows, plain_values, write_plain_rows

pytestmark = pytest.mark.slow
CUT = "2017-06-30"


@pytest.fixture
def server(home: Home, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> str:
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    return prefect_api


def write_turbulent(path: Path) -> Path:
    """The tiny series as a CSV whose returns are three times as large after the cut."""
    frame = parse_definition(tiny_values()).source.read().sort_values(["entity", "time"], ignore_index=True)
    change = np.log(frame["close"]).groupby(frame["entity"]).diff().fillna(0.0) * np.where(frame["time"] > pd.Timestamp(CUT), 3.0, 1.0)
    first = frame.groupby("entity")["close"].transform("first")
    factor = first * np.exp(change.groupby(frame["entity"]).cumsum()) / frame["close"]
    for name in ("open", "high", "low", "close"):
        frame[name] *= factor
    frame.to_csv(path, index=False)
    return path


def turbulent_values(path: Path, **monitoring: Any) -> dict[str, Any]:
    columns = {name: name for name in ("entity", "time", "open", "high", "low", "close", "volume")}
    source = {"kind": "csv", "path": str(path), "columns": columns}
    return tiny_values(source=source, monitoring={"sessions": 30, **monitoring})


def events_of(api: str, definition: str, count: int) -> list[dict[str, Any]]:
    """Our events about a definition, oldest first; the server takes a moment to store them."""
    wanted = {"event": {"name": ["finflow.drift", "finflow.monitored"]}, "resource": {"id": [f"finflow.definition.{definition}"]}}
    found: list[dict[str, Any]] = []
    for _ in range(60):
        answer = httpx.post(f"{api}/events/filter", json={"filter": {**wanted, "order": "ASC"}, "limit": 50}, timeout=20)
        answer.raise_for_status()
        found = answer.json()["events"]
        if len(found) >= count:
            break
        time.sleep(0.5)
    return found


def test_an_undisturbed_quarter_is_monitored_and_turbulence_after_it_is_drift(home: Home, tmp_path: Path, server: str) -> None:
    from finflow.flows.backfill import backfill_flow
    from finflow.flows.monitor import monitor_flow
    from finflow.flows.train import train_flow

    values = turbulent_values(write_turbulent(tmp_path / "bars.csv"), retrain="on-drift")
    path = str(write_definition(tmp_path / "turbulent.yaml", {**values, "name": "turbulent"}))
    before = monitor_flow(path, "2017-03-31")
    assert before["champion"] is None
    assert {one["part"] for one in before["checks"] if one["status"] == "not measured"} == {"features", "predictions", "loss", "coverage"}
    assert all("no champion" in one["detail"] for one in before["checks"] if one["status"] == "not measured")

    train_flow(path, "2017-03-31")
    nothing = monitor_flow(path, CUT)
    assert {one["part"] for one in nothing["checks"] if one["status"] == "not measured"} == {"predictions", "loss", "coverage"}

    assert backfill_flow(path, "2017-04-03", "2017-09-22")["ok"]
    quiet = monitor_flow(path, CUT)
    assert quiet["alarms"] == ()
    assert quiet["written"] == len(quiet["checks"])
    measured = {one["part"] for one in quiet["checks"] if one["status"] == "measured"}
    assert measured == {"data", "features", "predictions", "loss", "coverage"}
    table = Lake(home.lake).version("monitoring/turbulent")
    shutil.rmtree(home.evaluations)  # MLflow has the test predictions too
    again = monitor_flow(path, CUT)
    assert (again["written"], again["run_id"], again["key"]) == (0, quiet["run_id"], quiet["key"])
    assert Lake(home.lake).version("monitoring/turbulent") == table

    loud = monitor_flow(path, "2017-09-22")
    assert loud["drift"]
    assert any("log_return" in alarm for alarm in loud["alarms"])
    assert loud["new_alarms"] == loud["alarms"]
    # what came later does not change what was known at the quarter's end
    assert monitor_flow(path, CUT)["key"] == quiet["key"]

    events = events_of(server, "turbulent", 4)
    assert [event["event"] for event in events] == ["finflow.monitored"] * 3 + ["finflow.drift"], "a repeat is the same event"
    assert [event["resource"]["finflow.retrain"] for event in events] == ["never"] * 3 + ["on-drift"]
    assert events[-1]["payload"]["as_of"].startswith("2017-09-22")
    assert events[-1]["payload"]["alarms"] == list(loud["alarms"])

    report = Path(loud["report"])
    assert report.parent == home.reports / "turbulent" / "monitoring"
    assert "**Alarm**: log_return" in report.with_suffix(".md").read_text(encoding="utf-8")
    assert report.read_text(encoding="utf-8").count("data:image/svg+xml") >= 2
    run = mlflow.MlflowClient(home.tracking_uri).get_run(loud["run_id"])
    assert (run.data.tags["kind"], run.info.status) == ("monitoring", "FINISHED")
    assert run.data.metrics["alarms"] == len(loud["alarms"])
    rows = Lake(home.lake).read("monitoring/turbulent")
    assert not rows.duplicated(["monitoring_key", "part", "check", "subject", "detail"]).any()
    assert rows["champion_version"].isna().sum() == len(before["checks"])


def test_plain_rows_are_monitored_too(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: str) -> None:
    monkeypatch.setitem(PROBLEMS, "plain-rows", PlainRows)
    from finflow.flows.backfill import backfill_flow
    from finflow.flows.monitor import monitor_flow
    from finflow.flows.train import train_flow

    table = write_plain_rows(tmp_path / "loans.csv")
    path = str(write_definition(tmp_path / "loans.yaml", plain_values(table)))
    dates = sorted({str(day.date()) for day in load_definition(path).source.read()["time"]})
    as_of, last = dates[-160], dates[-1]
    train_flow(path, as_of)
    assert backfill_flow(path, dates[-159], last)["ok"]
    found = monitor_flow(path, last)
    checks = {(one["part"], one["check"], one["subject"]): one for one in found["checks"]}
    assert not found["alarms"], found["alarms"]
    assert ("predictions", "psi", "median") in checks
    excess = checks["loss", "excess loss", "historical-mean"]
    assert excess["high"] < -0.2, "the champion knows more than the mean"
    assert checks["coverage", "coverage", "coverage_80"]["value"] == pytest.approx(0.8, abs=0.15)
