"""Scheduled runs on a real server with a worker of one place: forty missed sessions make one run, which holds no place while it awaits
its data, and catches up."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finflow.flows.deployments.alerts import read_alerts
from finflow.flows.runs.awaiting_data import AWAITING
from finflow.pipelines.core.calendars import published_at, sessions
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.operating.schedules import session_at
from finflow.pipelines.settings.timing import Cron
from tests.support import Finflow, tiny_values, write_definition
from tests.support.flows.served import Served, served, until

MISSED = 40
LAG_MINUTES = 60
ZOMBIE_SECONDS, POLL_SECONDS = 40, 90


def quiet_exchange(now: pd.Timestamp) -> str:
    """An exchange of which no session is published within half an hour: the newest session stays the newest while the test runs."""
    for exchange in ("XNYS", "XLON", "XTKS"):
        days = sessions(exchange, now.tz_localize(None) - pd.Timedelta(days=4), now.tz_localize(None) + pd.Timedelta(days=4))
        instants = published_at(exchange, LAG_MINUTES, days)
        if not ((instants > now) & (instants < now + pd.Timedelta(minutes=30))).any():
            return exchange
    raise AssertionError("three exchanges that close hours apart all publish within half an hour")


@functools.cache
def quiet_hour() -> int:
    """An hour of the day (UTC) far from now, on both sides; the same for the whole test."""
    return int((pd.Timestamp.now("UTC") - pd.Timedelta(hours=8)).hour)


def replayed(folder: Path, name: str, exchange: str, start: pd.Timestamp, **schedule: Any) -> dict[str, Any]:
    """A tiny definition whose simulated sessions reach into the coming month, released by the clock file NAME.txt."""
    today = pd.Timestamp.now("UTC").tz_localize(None).normalize()
    first = today - pd.Timedelta(days=700)
    stored = {
        **tiny_values()["source"],
        "days": len(sessions(exchange, first, today + pd.Timedelta(days=30))),
        "start": f"{first:%Y-%m-%d}",
        "calendar": exchange,
    }
    source = {"kind": "replay", "source": stored, "start": f"{start:%Y-%m-%d}", "clock": f"{name}.txt"}
    folds = {"first_test": f"{today - pd.Timedelta(days=300):%Y-%m-%d}", "months": 6, "validation_months": 3, "embargo": 2}
    schedule = {"score": f"0 {quiet_hour()} * * 1-5", "poll_seconds": 1, **schedule}
    return tiny_values(name=name, calendar=exchange, source=source, folds=folds, schedule=schedule)


def schedule_runs(server: Served, name: str, count: int, later: int = 0) -> None:
    """Let the server make the runs of the last days that it would have made had it been up, but for the `later` newest."""
    now = pd.Timestamp.now("UTC")
    identity = server.deployment(name)["id"]
    server.post(f"/deployments/{identity}/resume_deployment")
    evenings = pd.bdate_range(end=now.normalize(), periods=count + later + 2) + pd.Timedelta(hours=quiet_hour())
    start = evenings[evenings <= now][-count - later] - pd.Timedelta(minutes=1)
    body = {"start_time": start.isoformat(), "end_time": now.isoformat(), "min_runs": count, "max_runs": count}
    server.post(f"/deployments/{identity}/schedule", body)


def due_runs(server: Served, deployment: str) -> list[dict[str, Any]]:
    """The runs of a deployment whose time has come, by the time they were planned for."""
    identity = server.deployment(deployment)["id"]
    now = pd.Timestamp.now("UTC")
    return [run for run in server.runs() if run["deployment_id"] == identity and pd.Timestamp(run["expected_start_time"]) <= now]


def states(server: Served, deployment: str) -> dict[str, int]:
    """How many due runs of a deployment are in each state."""
    found = due_runs(server, deployment)
    return {state: sum(run["state_name"] == state for run in found) for state in {run["state_name"] for run in found}}


def awaiting(server: Served, deployment: str) -> list[dict[str, Any]]:
    return [run for run in due_runs(server, deployment) if run["state_name"] == AWAITING]


@pytest.mark.slow
def test_forty_missed_sessions_make_one_run_that_waits_and_catches_up(tmp_path: Path) -> None:
    now = pd.Timestamp.now("UTC")
    exchange = quiet_exchange(now)
    any_day = parse_definition(tiny_values(calendar=exchange, publication_lag_minutes=LAG_MINUTES))
    newest = pd.Timestamp(session_at(any_day, Cron("* * * * *"), now).session)  # type: ignore[union-attr]
    days = sessions(exchange, newest - pd.Timedelta(days=100), newest)
    last_seen = days[-1 - MISSED]
    patience = {"late_minutes": 60 * 24 * 30, "poll_seconds": POLL_SECONDS}
    path = write_definition(tmp_path / "live.yaml", replayed(tmp_path, "live", exchange, last_seen, **patience))
    tardy = write_definition(tmp_path / "tardy.yaml", replayed(tmp_path, "tardy", exchange, last_seen, late_minutes=0))
    with served(tmp_path, PREFECT_SERVER_DEPLOYMENTS_CONCURRENCY_SLOT_WAIT_SECONDS="12") as server:
        finflow = Finflow(server.home, server.api)
        finflow.json("train", str(path))
        finflow.json("score", str(path))
        server.register(str(path), str(tardy), FINFLOW_ZOMBIE_SECONDS=str(ZOMBIE_SECONDS))
        schedule_runs(server, "score/live", MISSED)
        assert sum(states(server, "score/live").values()) >= MISSED - 2
        with server.worker("--limit", "1"):
            (waiting,) = until(lambda: awaiting(server, "score/live"), 180)
            superseded = states(server, "score/live")["Superseded"]
            assert superseded >= MISSED - 3, "before the worker asked for any"
            said = f"session {newest:%Y-%m-%d}: waiting for its rows until "
            assert waiting["state"]["message"].startswith(said)
            assert pd.Timestamp(waiting["next_scheduled_start_time"]) > now
            schedule_runs(server, "score/tardy", 1)
            (late,) = until(lambda: [run for run in server.runs() if run["state_name"] == "Late data"], 150)
            assert late["state_type"] == "FAILED"
            assert f"tardy: late: no row of session {newest:%Y-%m-%d} had come" in late["state"]["message"]
            assert awaiting(server, "score/live")[0]["run_count"] == 1, "whose place and slot were free meanwhile"
            schedule_runs(server, "score/live", 2, later=MISSED)  # older than the one that waits: they meet the worker, and give way
            until(lambda: states(server, "score/live")["Superseded"] >= superseded + 2, 90)
        # down and up again; the silence is longer than that of a run which has died
        ended = pd.Timestamp(waiting["state"]["timestamp"]) + pd.Timedelta(seconds=ZOMBIE_SECONDS + 15)
        until(lambda: pd.Timestamp.now("UTC") > ended, ZOMBIE_SECONDS + 20)
        assert [run["id"] for run in awaiting(server, "score/live")] == [waiting["id"]]
        (tmp_path / "live.txt").write_text(f"{newest:%Y-%m-%d}")
        with server.worker("--limit", "1"):
            until(lambda: states(server, "score/live").get("Completed"), 120)
        found = {run["state_name"]: run for run in due_runs(server, "score/live")}
        assert set(found) == {"Completed", "Superseded"}
        assert found["Completed"]["id"] == waiting["id"]
        assert found["Completed"]["auto_scheduled"]
        ended_early = [run for run in server.runs() if run["state_name"] == "Superseded"]
        assert all("one run catches up" in run["state"]["message"] for run in ended_early)
        assert 1 <= sum(run["run_count"] for run in ended_early) <= 2, "the missed ones never started"
        logs = server.post("/logs/filter", {"logs": {"flow_run_id": {"any_": [waiting["id"]]}, "level": {"ge_": 30}}})
        assert [one["message"][: len(said)] for one in logs if "waiting for" in one["message"]] == [said], "one line for all looks"

        rows = Predictions(Lake(server.home.lake), "live").read(last_seen, newest)
        live = rows[rows["backfill_id"].isna()]
        assert sorted(set(live["time"])) == [last_seen, newest]
        filled = rows[rows["backfill_id"].notna()]
        assert sorted(set(filled["time"])) == list(days[-MISSED:-1])
        assert any(alert["alert"] == "late" and "tardy: late" in alert["text"] for alert in read_alerts(server.home, 50))
