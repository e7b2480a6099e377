"""Automations: the file, and what a real server does with it: alerts to log and webhook, a training on drift, silent runs ended."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from finflow.flows.deployments.alerts import read_alerts
from finflow.flows.deployments.automations import FILE, fill, read_automations, webhook_url
from finflow.pipelines.core.errors import FinflowError
from tests.support import write_definition
from tests.support.flows.deployed import live_values
from tests.support.flows.hook import SECRET, Hook
from tests.support.flows.served import Served, served, until

WORDS = {
    "alerts": "0190a1b2-0000-7000-8000-000000000001",
    "zombie_seconds": 600,
    "definition": "tiny",
    "train": "0190a1b2-0000-7000-8000-000000000002",
}
QUICK = {
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "2",
    "PREFECT_SERVER_SERVICES_LATE_RUNS_LOOP_SECONDS": "1",
    "PREFECT_SERVER_EVENTS_PROACTIVE_GRANULARITY": "PT2S",
}


def test_every_entry_is_an_automation_that_prefect_takes() -> None:
    from prefect.events.schemas.automations import AutomationCore

    entries = read_automations()
    names = [entry["name"] for entry in entries]
    assert len(set(names)) == len(names) == 11
    for entry in entries:
        filled = fill({key: value for key, value in entry.items() if key != "for_each_definition"}, WORDS)
        assert "$" not in str(filled)
        automation = AutomationCore.model_validate({**filled, "trigger": {"type": "event", "posture": "Reactive", **filled["trigger"]}})
        assert automation.description
        assert automation.trigger.expect


def test_words_keep_their_types_and_unknown_ones_are_refused() -> None:
    assert fill({"within": "$seconds", "text": "for $seconds s", "list": ["$name"]}, {"seconds": 600, "name": "x"}) == {
        "within": 600,
        "text": "for 600 s",
        "list": ["x"],
    }
    with pytest.raises(FinflowError, match=r"\$who is none of the words \$name"):
        fill({"a": ["$who"]}, {"name": 1})
    assert FILE.is_file()


def test_a_webhook_that_is_no_address_is_refused_unseen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINFLOW_ALERT_WEBHOOK", raising=False)
    assert webhook_url() is None
    monkeypatch.setenv("FINFLOW_ALERT_WEBHOOK", " https://hooks.example/abc ")
    assert webhook_url() == "https://hooks.example/abc"
    for wrong in (f"hooks.example/{SECRET}", f"ftp://{SECRET}", "https://", f"http://[{SECRET}"):
        monkeypatch.setenv("FINFLOW_ALERT_WEBHOOK", wrong)
        with pytest.raises(FinflowError, match="FINFLOW_ALERT_WEBHOOK") as caught:
            webhook_url()
        assert SECRET not in str(caught.value)


def automations(server: Served) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in server.post("/automations/filter")}


def told(server: Served, kind: str) -> list[str]:
    """The texts of the alerts of a kind, each once: a busy server delivers an event at least once, and now and then again."""
    return list(dict.fromkeys(alert["text"] for alert in read_alerts(server.home, 100) if alert["alert"] == kind))


@pytest.mark.slow
def test_what_happens_reaches_log_and_webhook_and_drift_trains(tmp_path: Path) -> None:
    path = write_definition(tmp_path / "live.yaml", live_values(schedule={}))
    with Hook().listening() as hook, served(tmp_path, **QUICK) as server:
        names = server.register(str(path), FINFLOW_ALERT_WEBHOOK=hook.url)["automations"]
        assert {"finflow: a run failed", "finflow: drift trains live", "finflow: drift trains index-price"} <= set(names)
        off = automations(server)["finflow: a version waits"]["id"]
        server.patch(f"/automations/{off}", {"enabled": False})
        before = automations(server)
        server.register(str(path), FINFLOW_ALERT_WEBHOOK=hook.url)
        assert automations(server) == before, "applied again: nothing changes, and what was switched off stays off"

        live = {"prefect.resource.id": "finflow.definition.live"}
        other = {"prefect.resource.id": "finflow.definition.index-price"}
        drift = {"as_of": "2018-03-12", "alarms": ["psi of log_return 0.61", "ks 0.4"], "report": "monitor.html"}
        server.emit(
            ("finflow.late-data", live, {"text": "live: late: no row of session 2018-03-12"}),
            ("finflow.quarantine", live, {"text": "live: 40 rows were put into quarantine, 20.0% of those that came."}),
            ("finflow.promotion-refused", live, {"text": "live: kept. dense does not beat ridge"}),
            ("finflow.approval-needed", live, {"text": "switched off"}),
            ("finflow.drift", {**live, "finflow.retrain": "on-drift", "finflow.new": "true", "finflow.new-drift": "true"}, drift),
            ("finflow.drift", {**other, "finflow.retrain": "never", "finflow.new": "true", "finflow.new-drift": "true"}, drift),
            ("finflow.drift", {**other, "finflow.retrain": "on-drift", "finflow.new": "false", "finflow.new-drift": "false"}, drift),
        )
        score = server.deployment("score/live")["id"]
        server.post(f"/deployments/{score}/create_flow_run", {"state": {"type": "SCHEDULED"}, "name": "the late one"})
        broken = server.post("/flow_runs/", {"flow_id": server.deployment("score/live")["flow_id"], "name": "the broken one"})
        failed = {"type": "FAILED", "name": "Failed", "message": "no answer from postgresql://ann:Secret99@db/prices"}
        server.post(f"/flow_runs/{broken['id']}/set_state", {"state": failed})
        gone = server.post("/flow_runs/", {"flow_id": server.deployment("score/live")["flow_id"], "name": "the lost one"})
        server.post(f"/flow_runs/{gone['id']}/set_state", {"state": {"type": "CRASHED", "name": "Crashed", "message": "no sign of life"}})

        wanted = {"late", "quarantine", "refused", "drift", "not-started", "failed"}
        several = {"drift": 2, "failed": 2, "not-started": 2}
        counts = {kind: several.get(kind, 1) for kind in wanted}
        found: dict[str, int] = {}

        def all_told() -> bool:
            found.update({kind: len(told(server, kind)) for kind in counts})
            return all(found[kind] >= count for kind, count in counts.items())

        try:
            until(all_told, 180)
        except AssertionError as error:
            raise AssertionError(f"alerts told: {found}") from error
        assert told(server, "late") == ["live: late: no row of session 2018-03-12"]
        assert told(server, "quarantine") == ["live: 40 rows were put into quarantine, 20.0% of those that came."]
        assert told(server, "refused") == ["live: kept. dense does not beat ridge"]
        drifted = "as of 2018-03-12: psi of log_return 0.61; ks 0.4. Report: monitor.html"
        assert set(told(server, "drift")) == {f"live {drifted}", f"index-price {drifted}"}
        assert any(text.startswith("score live: the run the late one should have started at") for text in told(server, "not-started"))
        assert {text.partition(" http")[0] for text in told(server, "failed")} == {
            "the broken one: Failed. no answer from postgresql://***@db/prices",
            "the lost one: Crashed. no sign of life",
        }
        assert not told(server, "approval")
        until(lambda: {alert["alert"] for alert in hook.got} >= wanted, 30)
        assert {alert["text"] for alert in hook.got if alert["alert"] == "late"} == set(told(server, "late"))
        assert SECRET not in server.log.read_text()
        assert "Secret99" not in server.log.read_text()

        trained = until(lambda: [run for run in server.runs() if run["deployment_id"] == server.deployment("train/live")["id"]], 30)
        assert [run["parameters"] for run in trained] == [{"name": str(path)}]
        untouched = server.deployment("train/index-price")["id"]
        assert not [run for run in server.runs() if run["deployment_id"] == untouched], "drift that may not train, or that is no news"


@pytest.mark.slow
def test_a_run_whose_worker_died_with_it_is_marked_and_its_place_is_free(tmp_path: Path) -> None:
    """Worker and flow are killed together in the middle of a training, so that nobody can say what became of it."""
    endless = {"dense": {"model": "dense", "settings": {"hidden": [8], "epochs": 100_000, "patience": 100_000, "batch": 8}}}
    path = write_definition(tmp_path / "live.yaml", live_values(candidates=endless))
    with served(tmp_path, **QUICK) as server:
        server.register(str(path), FINFLOW_ZOMBIE_SECONDS="40")
        with server.worker() as worker:
            run = server.post(f"/deployments/{server.deployment('train/live')['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
            until(lambda: server.get(f"/flow_runs/{run['id']}")["state_type"] == "RUNNING", 120)
            until(lambda: server.post("/task_runs/filter", {"flow_runs": {"id": {"any_": [run["id"]]}}}), 30)
            kill_all(worker)
        assert server.deployment("train/live")["global_concurrency_limit"]["active_slots"] == 1

        def marked() -> dict[str, Any] | None:
            found: dict[str, Any] = server.get(f"/flow_runs/{run['id']}")
            return found if found["state_type"] == "CRASHED" else None

        crashed = until(marked, 110, every=2)
        assert "No sign of life for 40 s" in crashed["state"]["message"]
        assert server.deployment("train/live")["global_concurrency_limit"]["active_slots"] == 0


def kill_all(worker: subprocess.Popen[bytes]) -> None:
    """SIGKILL for a worker and everything below it, at once."""
    everyone = [psutil.Process(worker.pid), *psutil.Process(worker.pid).children(recursive=True)]
    assert len(everyone) > 1
    for process in everyone:
        os.kill(process.pid, signal.SIGKILL)
    psutil.wait_procs(everyone, 20)
