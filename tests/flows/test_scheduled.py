"""Scheduled runs on a real server with a worker: forty missed sessions make one run, which waits for its data and catches up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from flows.alerts import read_alerts
from pipelines.calendars import sessions
from pipelines.definition import load_definition
from pipelines.lake import Lake
from pipelines.predictions import Predictions
from pipelines.schedules import Cron, session_at
from tests.flows.served import Served, served, until
from tests.support import Finflow, tiny_values, write_definition

MISSED = 40
SUPERSEDE = "from flows.missed_runs import supersede_missed; print(supersede_missed())"


def replayed(folder: Path, name: str, start: pd.Timestamp, **schedule: Any) -> dict[str, Any]:
    """A tiny definition whose simulated sessions reach into the coming month, released by the clock file NAME.txt."""
    today = pd.Timestamp.now("UTC").tz_localize(None).normalize()
    first = today - pd.Timedelta(days=700)
    stored = {**tiny_values()["source"], "days": len(sessions("XNYS", first, today + pd.Timedelta(days=30))), "start": f"{first:%Y-%m-%d}"}
    source = {"kind": "replay", "source": stored, "start": f"{start:%Y-%m-%d}", "clock": f"{name}.txt"}
    folds = {"first_test": f"{today - pd.Timedelta(days=300):%Y-%m-%d}", "months": 6, "validation_months": 3, "embargo": 2}
    return tiny_values(name=name, source=source, folds=folds, schedule={"score": "0 23 * * 1-5", "poll_seconds": 1, **schedule})


def schedule_runs(server: Served, name: str, count: int, later: int = 0) -> None:
    """Let the server make the runs of the last days that it would have made had it been up, but for the `later` newest."""
    now = pd.Timestamp.now("UTC")
    identity = server.deployment(name)["id"]
    server.post(f"/deployments/{identity}/resume_deployment")
    evenings = pd.bdate_range(end=now.normalize(), periods=count + later + 2) + pd.Timedelta(hours=23)
    start = evenings[evenings <= now][-count - later] - pd.Timedelta(minutes=1)
    body = {"start_time": start.isoformat(), "end_time": now.isoformat(), "min_runs": count, "max_runs": count}
    server.post(f"/deployments/{identity}/schedule", body)


def states(server: Served, deployment: str) -> dict[str, int]:
    """How many due runs of a deployment are in each state."""
    identity = server.deployment(deployment)["id"]
    now = pd.Timestamp.now("UTC")
    found = [run for run in server.runs() if run["deployment_id"] == identity and pd.Timestamp(run["expected_start_time"]) <= now]
    return {state: sum(run["state_name"] == state for run in found) for state in {run["state_name"] for run in found}}


@pytest.mark.slow
def test_forty_missed_sessions_make_one_run_that_waits_and_catches_up(tmp_path: Path) -> None:
    now = pd.Timestamp.now("UTC")
    newest = pd.Timestamp(session_at(load_definition("index-price"), Cron("* * * * *"), now).session)  # type: ignore[union-attr]
    days = sessions("XNYS", newest - pd.Timedelta(days=100), newest)
    last_seen = days[-1 - MISSED]
    path = write_definition(tmp_path / "live.yaml", replayed(tmp_path, "live", last_seen, late_minutes=60 * 24 * 30))
    tardy = write_definition(tmp_path / "tardy.yaml", replayed(tmp_path, "tardy", last_seen, late_minutes=0))
    with served(tmp_path, PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS="12") as server:
        server.register(str(path), str(tardy))
        finflow = Finflow(server.home, server.api)
        finflow.json("train", str(path))
        finflow.json("score", str(path))
        schedule_runs(server, "score/live", MISSED)
        schedule_runs(server, "score/tardy", 1)
        assert sum(states(server, "score/live").values()) >= MISSED - 2
        superseded = int(server.python(SUPERSEDE).splitlines()[-1])
        assert superseded >= MISSED - 3, "as `finflow up` does before it starts the worker"
        schedule_runs(server, "score/live", 3, later=MISSED)  # these meet the worker, and give way by themselves
        with server.worker():
            waiting = {
                "task_runs": {"name": {"like_": f"wait for the rows of {newest:%Y-%m-%d}"}, "state": {"type": {"any_": ["RUNNING"]}}}
            }
            until(lambda: server.post("/task_runs/filter", waiting), 180)
            late = until(lambda: [run for run in server.runs() if run["state_name"] == "Late data"], 90)[0]
            assert late["state_type"] == "FAILED"
            assert f"tardy: late: no row of session {newest:%Y-%m-%d} had come" in late["state"]["message"]
            (tmp_path / "live.txt").write_text(f"{newest:%Y-%m-%d}")
            until(lambda: states(server, "score/live").get("Completed"), 90)
        found = states(server, "score/live")
        assert found["Completed"] == 1
        assert set(found) == {"Completed", "Superseded"}
        assert found["Superseded"] >= MISSED - 3
        ended = [run for run in server.runs() if run["state_name"] == "Superseded"]
        assert all("one run catches up" in run["state"]["message"] for run in ended)
        assert sum(run["run_count"] for run in ended) <= 4, "those that still waited never started"

        rows = Predictions(Lake(server.home.lake), "live").read(last_seen, newest)
        live = rows[rows["backfill_id"].isna()]
        assert sorted(set(live["time"])) == [last_seen, newest]
        filled = rows[rows["backfill_id"].notna()]
        assert sorted(set(filled["time"])) == list(days[-MISSED:-1])
        assert any(alert["alert"] == "late" and "tardy: late" in alert["text"] for alert in read_alerts(server.home, 50))
