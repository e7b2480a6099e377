"""The embedded Prefect server: one a home, shared, ended by the last user, found again after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from finflow.flows.servers.server import ServerRecord, prefect_server
from finflow.pipelines.core.home import Home
from tests.support import REPOSITORY

USE = """
import json, sys, time
from finflow.flows.servers.environment import prepare_environment
from finflow.flows.servers.server import prefect_server
from finflow.pipelines.core.home import Home
home = Home.from_environment()
prepare_environment(home)
with prefect_server(home):
    print(json.loads((home.prefect / "server.json").read_text())["pid"], flush=True)
    time.sleep(float(sys.argv[1]))
"""


def user(home: Home, seconds: float) -> subprocess.Popen[str]:
    environment = {**os.environ, "FINFLOW_HOME": str(home.root)}
    environment.pop("PREFECT_API_URL", None)
    return subprocess.Popen([sys.executable, "-c", USE, str(seconds)], cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, text=True)


def first_line(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    return int(process.stdout.readline())


@pytest.mark.slow
def test_shared_then_ended_and_found_after_a_kill(home: Home) -> None:
    one = user(home, 600)
    pid = first_line(one)
    two = user(home, 0)
    assert first_line(two) == pid, "the second command uses the server of the first"
    assert two.wait(60) == 0
    assert psutil.pid_exists(pid), "the first command still uses it"
    one.send_signal(signal.SIGKILL)
    one.wait(30)
    assert psutil.pid_exists(pid), "a killed command leaves its server behind"
    three = user(home, 0)
    assert first_line(three) == pid, "the next command finds it"
    assert three.wait(60) == 0
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not psutil.pid_exists(pid), "and ends it, being its last user"
    assert not (home.prefect / "server.json").exists()


def test_a_server_of_somebody_else_is_used_as_it_is(home: Home) -> None:
    other = Home(home.root, home.lake, home.tracking_uri, "http://127.0.0.1:1/api")
    with prefect_server(other) as api:
        assert api == "http://127.0.0.1:1/api"
    assert not (home.prefect / "server.json").exists()


def test_a_process_id_used_again_is_not_the_server(home: Home) -> None:
    assert not ServerRecord(pid=os.getpid(), created=1.0, port=1).alive
    assert ServerRecord(pid=os.getpid(), created=psutil.Process().create_time(), port=1).alive


@pytest.mark.slow
def test_a_flow_and_a_cron_schedule_on_a_real_server(home: Home, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`pip check` is clean in two states in which nothing is scheduled or served; so a schedule is made and its runs are waited for."""
    program = tmp_path / "smoke.py"
    program.write_text(
        """
import asyncio, os, time
from finflow.flows.servers.environment import prepare_environment
from finflow.flows.servers.server import prefect_server
from finflow.pipelines.core.home import Home
home = Home.from_environment()
prepare_environment(home)
with prefect_server(home):
    from prefect import flow, task, get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import CronSchedule

    @task
    def double(number: int) -> int:
        return 2 * number

    @flow
    def smoke(number: int = 21) -> int:
        return double(number)

    assert smoke() == 42

    async def schedule() -> int:
        async with get_client() as client:
            identity = await client.create_flow(smoke)
            cron = DeploymentScheduleCreate(schedule=CronSchedule(cron="0 6 * * *", timezone="UTC"), active=True)
            deployment = await client.create_deployment(flow_id=identity, name="nightly", schedules=[cron])
            for _ in range(120):
                runs = await client.read_flow_runs()
                planned = [run for run in runs if run.deployment_id == deployment and run.state.is_scheduled()]
                if planned:
                    return len(planned)
                await asyncio.sleep(0.5)
        return 0

    print(asyncio.run(schedule()))
"""
    )
    environment = {
        **os.environ,
        "FINFLOW_HOME": str(home.root),
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "true",
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "2",
        "PYTHONPATH": str(REPOSITORY),
    }
    environment.pop("PREFECT_API_URL", None)
    done = subprocess.run(
        [sys.executable, str(program)], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout.split()[-1]) > 0
