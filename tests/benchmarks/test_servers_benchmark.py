"""What the servers cost: how long `finflow up` takes, a requested run's way to its first task, and a run there against one without them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from finflow.pipelines.core.home import Home
from tests.benchmarks.figures import record
from tests.support import Finflow, tiny_values, write_definition
from tests.support.faults.stack import Site, wait_for

AS_OF = "2017-06-30"


def home_at(root: Path) -> Home:
    return Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)


@pytest.mark.benchmark
def test_what_the_servers_cost(tmp_path: Path, prefect_api: str) -> None:
    """Both trainings are of the same definition in empty homes; the run counts from its start to its end, the command with its imports."""
    path = write_definition(tmp_path / "tiny.yaml", tiny_values())
    finflow = Finflow(home_at(tmp_path / "served"), "")
    del finflow.environment["PREFECT_API_URL"]
    site = Site(finflow.home, finflow, [path])
    try:
        began = time.perf_counter()
        ready = site.up()
        up_seconds = time.perf_counter() - began
        began = time.perf_counter()
        again = site.up()
        again_seconds = time.perf_counter() - began
        asked = time.perf_counter()
        run = site.request("train/tiny", {"as_of": AS_OF})
        wait_for("the first task", lambda: site.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}}), 120, 0.1)
        first_task_seconds = time.perf_counter() - asked
        assert site.settled(run, 300) == "COMPLETED"
        served_seconds = float(site.ask(f"flow_runs/{run}")["total_run_time"])
    finally:
        site.down()

    alone = Finflow(home_at(tmp_path / "alone"), prefect_api)
    began = time.perf_counter()
    alone.json("train", str(path), "--as-of", AS_OF)
    alone_seconds = time.perf_counter() - began
    assert ready["started"] == ["prefect", "mlflow", "worker"]
    assert again["started"] == []
    record(
        "servers: a training as a deployment's run against the command without them",
        ratio=served_seconds / alone_seconds,
        served_seconds=served_seconds,
        command_seconds=alone_seconds,
        seconds_from_request_to_first_task=first_task_seconds,
        seconds_from_up_to_ready=up_seconds,
        seconds_of_a_second_up=again_seconds,
    )
