"""MLflow away at the start, in the middle, at registration; answers lost after the server did what was asked."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from finflow.flows.servers.server import free_port
from finflow.pipelines.core.errors import UnreachableError
from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import Promotions
from finflow.pipelines.tracking.store import store_client
from tests.support import Finflow
from tests.support.faulty_proxy import Fault, FaultyProxy
from tests.support.pipelines.training_support import Trained

pytestmark = pytest.mark.slow

# Each kind of request that a training sends, in the order of their first.
STAGES = (
    "GET /api/2.0/mlflow/experiments/get-by-name",
    "POST /api/2.0/mlflow/experiments/create",
    "POST /api/2.0/mlflow/runs/create",
    "POST /api/2.0/mlflow/runs/log-batch",
    "POST /api/2.0/mlflow/runs/log-inputs",
    "PUT /api/2.0/mlflow-artifacts/artifacts",
    "POST /api/2.0/mlflow/runs/update",
    "POST /api/2.0/mlflow/registered-models/create",
    "POST /api/2.0/mlflow/logged-models",
    "POST /api/2.0/mlflow/model-versions/create",
    "POST /api/2.0/mlflow/registered-models/alias",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The port of a real MLflow server over SQLite."""
    import psutil

    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder / "store")]
    with (folder / "server.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield port
    finally:
        for one in [*psutil.Process(process.pid).children(recursive=True), process]:
            one.kill()
        process.wait()


@pytest.fixture
def proxy(server: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[FaultyProxy]:
    """Before the server, which holds nothing of other tests."""
    import mlflow

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
    monkeypatch.setattr("finflow.pipelines.tracking.patience.FIRST_WAIT", 0.05)
    client = mlflow.MlflowClient(f"http://127.0.0.1:{server}")
    for model in client.search_registered_models():
        client.delete_registered_model(model.name)
    for experiment in client.search_experiments():
        if experiment.name == "tiny":
            client.rename_experiment(experiment.experiment_id, f"before-{experiment.experiment_id}")
    running = FaultyProxy(server)
    running.open()
    yield running
    running.close()


@pytest.fixture
def remote(trained: Trained, proxy: FaultyProxy) -> Trained:
    """A training that has its evaluation, whose MLflow is behind the proxy."""
    return replace(trained, home=replace(trained.home, tracking_uri=proxy.address))


def wait_for(address: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{address} does not answer")


def picture(remote: Trained, port: int) -> dict[str, Any]:
    """What the server holds, asked past the proxy."""
    import mlflow

    client = mlflow.MlflowClient(f"http://127.0.0.1:{port}")
    experiment = client.get_experiment_by_name(remote.definition.name)
    runs = client.search_runs([experiment.experiment_id]) if experiment else []
    versions = client.search_model_versions(f"name = '{remote.definition.name}'")
    models = client.search_registered_models()
    logged = client.search_logged_models([experiment.experiment_id]) if experiment else []
    return {
        "runs": sorted((run.info.run_name or "", run.info.status) for run in runs),
        "versions": [int(version.version) for version in versions],
        "aliases": {alias: int(version) for model in models for alias, version in model.aliases.items()},
        "logged": [model.status.value for model in logged],
        "metrics": sorted((run.info.run_name or "", len(run.data.metrics)) for run in runs),
    }


def decisions(home: Home) -> int:
    return len(Promotions(Lake(home.lake), "tiny").rows())


def test_every_answer_lost_once_makes_nothing_twice(remote: Trained, proxy: FaultyProxy, server: int) -> None:
    proxy.faults = [Fault(where, "swallow", times=1) for where in STAGES]
    remote.conclude()
    assert {fault.where for fault in proxy.faults if not fault.met} <= {"POST /api/2.0/mlflow/experiments/create"}
    seen = picture(remote, server)
    assert [status for _, status in seen["runs"]] == ["FINISHED"] * len(seen["runs"])
    assert len({name for name, _ in seen["runs"]}) == len(seen["runs"]) == len(remote.evaluation.candidates) + 1
    assert (len(seen["versions"]), len(seen["logged"]), decisions(remote.home)) == (1, 1, 1)
    assert seen["aliases"]["champion"] == seen["versions"][0]
    metrics = dict(seen["metrics"])
    proxy.faults = []
    remote.conclude()
    assert picture(remote, server) == seen
    assert min(metrics.values()) > 0


def test_away_from_any_stage_on_it_fails_clearly_and_the_next_try_goes_on(remote: Trained, proxy: FaultyProxy, server: int) -> None:
    for number, where in enumerate(STAGES):
        proxy.faults = [Fault(where, "unavailable" if number % 2 else "drop")]
        with pytest.raises(UnreachableError, match=f"MLflow at {proxy.address} does not answer .* 3 tries|MLflow at .* 1 try") as told:
            remote.conclude()
        assert "the same command again goes on" in str(told.value)
        recorded = where.endswith("alias")
        assert decisions(remote.home) == int(recorded), where
        assert len(picture(remote, server)["versions"]) == int(recorded), where
    proxy.faults = []
    remote.conclude()
    seen = picture(remote, server)
    assert [status for _, status in seen["runs"]] == ["FINISHED"] * (len(remote.evaluation.candidates) + 1)
    assert (len(seen["versions"]), len(seen["logged"]), decisions(remote.home)) == (1, 1, 1)
    assert seen["aliases"]["champion"] == seen["versions"][0]


def test_refused_and_silent_servers_end_in_time_and_without_a_password(
    remote: Trained, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    monkeypatch.setattr("finflow.pipelines.tracking.patience.FIRST_WAIT", 0.5)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setattr("finflow.pipelines.tracking.patience.WHOLE_SECONDS", 4.0)
    home = replace(remote.home, tracking_uri=proxy.address.replace("//", "//ann:hunter2@"))
    proxy.faults = [Fault("/api/", "silent")]
    began = time.monotonic()  # MLflow itself would wait for sixteen minutes
    with pytest.raises(UnreachableError, match=r"\(.*timed out; [234] tries") as told:
        store_client(home).search_experiments()
    assert time.monotonic() - began < 90
    assert "hunter2" not in str(told.value)
    proxy.close()
    began = time.monotonic()
    with pytest.raises(UnreachableError, match=r"\(Connection refused; [2345] tries") as told:
        store_client(home).search_experiments()
    assert time.monotonic() - began < 90
    assert "hunter2" not in str(told.value)
    assert os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES") is None


def test_the_command_fails_in_one_line_and_then_logs_the_fits_it_kept(
    finflow: Finflow, home: Home, tiny_definition: Path, proxy: FaultyProxy, server: int
) -> None:
    train = ("train", str(tiny_definition), "--as-of", "2017-06-30", "--json")
    finflow.environment.update(MLFLOW_TRACKING_URI=proxy.address, MLFLOW_HTTP_REQUEST_MAX_RETRIES="2")
    proxy.close()
    done = finflow.run(*train)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)
    assert f"MLflow at {proxy.address} does not answer" in json.loads(done.stdout)["error"]
    assert "Traceback" not in done.stderr
    assert not home.fits.is_dir() or not [path for path in home.fits.iterdir() if not path.name.startswith(".")]
    proxy.open()
    proxy.faults = [Fault("POST /api/2.0/mlflow/runs/create", "drop")]
    done = finflow.run(*train)
    assert (done.returncode, json.loads(done.stdout)["ok"]) == (1, False)
    assert decisions(home) == 0
    proxy.faults = []
    made = finflow.json(*train[:-1])
    assert (made["fitted"], decisions(home)) == (0, 1)
    assert made["reused"] > 0
