"""Runs whose process died: the settings, and the next command that marks them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from finflow.flows.runs.zombies import _is_gone, _process_tag, heartbeat_seconds, zombie_seconds
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from tests.support import REPOSITORY

LOOK = """
import json, sys
from finflow.flows.servers.environment import prepare_environment
from finflow.flows.servers.server import prefect_server
from finflow.pipelines.core.home import Home
home = Home.from_environment()
prepare_environment(home)
with prefect_server(home):
    from prefect import get_client
    with get_client(sync_client=True) as client:
        runs = client.read_flow_runs()
        tasks = client.read_task_runs()
        print(json.dumps({"runs": [[r.name, r.state.name] for r in runs], "tasks": sorted({t.state.name for t in tasks})}))
"""


def test_the_time_after_which_a_silent_run_counts_as_crashed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FINFLOW_ZOMBIE_SECONDS", raising=False)
    assert (zombie_seconds(), heartbeat_seconds()) == (600, 180)
    for seconds, beat in (("40", 30), ("120", 40), ("3600", 180)):
        monkeypatch.setenv("FINFLOW_ZOMBIE_SECONDS", seconds)
        assert (zombie_seconds(), heartbeat_seconds()) == (int(seconds), beat)
    for wrong in ("39", "ten", "-5", "60.5"):
        monkeypatch.setenv("FINFLOW_ZOMBIE_SECONDS", wrong)
        with pytest.raises(FinflowError, match="FINFLOW_ZOMBIE_SECONDS"):
            zombie_seconds()


def test_a_tag_names_a_process_of_this_machine() -> None:
    host = socket.gethostname()
    assert not _is_gone(_process_tag())
    assert _is_gone(f"process {os.getpid()} of 1.00 on {host}"), "an id that is used again is another process"
    assert not _is_gone(f"process {os.getpid()} of 1.00 on another-{host}"), "of another machine nothing is known"
    assert not _is_gone("command-line")


@pytest.mark.slow
def test_the_next_command_marks_the_run_of_a_killed_one(home: Home, tiny_definition: Path) -> None:
    environment = {**os.environ, "FINFLOW_HOME": str(home.root), "PYTHONPATH": str(REPOSITORY)}
    environment.pop("PREFECT_API_URL", None)
    killed = subprocess.run(
        [
            sys.executable,
            "tests/support/faults/kill_at.py",
            "finflow.pipelines.data.contract:validate",
            "delivered",
            "validate",
            str(tiny_definition),
        ],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr[-2000:]
    looked = subprocess.run(
        [sys.executable, "-c", LOOK], cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert looked.returncode == 0, looked.stderr[-2000:]
    seen = json.loads(looked.stdout)
    assert seen["runs"] == [["validate tiny", "Crashed"]]
    assert "Running" not in seen["tasks"]
    assert "Crashed" in seen["tasks"]
