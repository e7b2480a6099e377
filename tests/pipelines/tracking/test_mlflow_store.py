"""The MLflow store: made once, quiet, shared by several writers, and replaceable by a server."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.registry.versions import load_version, register, repair_aliases
from finflow.pipelines.tracking.store import experiment_of, prepare_store, store_client
from tests.support import REPOSITORY, left_by_a_killed_process, warm
from tests.support.pipelines.training_support import Trained, promote

_PREPARE = (
    "import sys; from pathlib import Path; from finflow.pipelines.core.home import Home; from finflow.pipelines.tracking.store import *\n"
    "root = Path(sys.argv[1]); home = Home(root, '', f\"sqlite:///{root / 'mlflow' / 'mlflow.db'}\", None)\n"
)


def test_two_processes_make_one_store_and_one_experiment(home: Home) -> None:
    program = _PREPARE + "client = store_client(home); print(experiment_of(home, client, '指数'))"
    command = [sys.executable, "-c", program, str(home.root)]
    running = [warm.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) for _ in range(2)]
    answers = [process.communicate(timeout=240)[0].strip() for process in running]
    assert [process.returncode for process in running] == [0, 0]
    assert answers[0] == answers[1] != ""
    found = [experiment.name for experiment in store_client(home).search_experiments()]
    assert sorted(found) == ["Default", "指数"]


def test_nobody_is_called_and_nothing_is_said(trained: Trained) -> None:
    """With every connection and name look-up of the process seen, and none of the variables set that switch telemetry off."""
    program = _PREPARE + (
        "seen = []\n"
        "sys.addaudithook(lambda name, values: seen.append((name, values)) if name in ('socket.connect', 'socket.getaddrinfo') else None)\n"
        "client = store_client(home); experiment = experiment_of(home, client, 'quiet'); run = client.create_run(experiment)\n"
        "client.log_batch(run.info.run_id); client.set_terminated(run.info.run_id)\n"
        "import atexit, time; time.sleep(1.5); atexit.register(lambda: print('calls', seen))\n"
    )
    switches = ("DO_NOT_TRACK", "MLFLOW_DISABLE_TELEMETRY", "MLFLOW_ENABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in switches}
    command = [sys.executable, "-c", program, str(trained.home.root)]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.strip() == "calls []"
    assert done.stderr == ""


def test_a_deleted_experiment_comes_back(trained: Trained) -> None:
    client = store_client(trained.home)
    first = experiment_of(trained.home, client, "tiny")
    client.delete_experiment(first)
    assert experiment_of(trained.home, client, "tiny") == first
    assert client.get_experiment(first).lifecycle_stage == "active"


def test_a_store_that_was_cut_short_is_made_anew(home: Home) -> None:
    home.mlflow.mkdir(parents=True)
    left_by_a_killed_process(home.mlflow / "mlflow.db").write_bytes(b"half a database")
    prepare_store(home)
    assert [path.name for path in home.mlflow.iterdir() if path.suffix != ".lock"] == ["mlflow.db"]
    assert [experiment.name for experiment in store_client(home).search_experiments()] == ["Default"]


def test_two_trainings_log_and_register_at_once(trained: Trained) -> None:
    from finflow.pipelines.training.tracking import log_training

    def one(key: str) -> int:
        evaluation = replace(trained.evaluation, run_key=key)
        logged = log_training(trained.context, evaluation, trained.fits, trained.samples)
        members = trained.production["noisy"]
        return register(trained.context, evaluation, "noisy", members, trained.samples, logged.children["noisy"]).version

    with ThreadPoolExecutor(3) as pool:
        versions = list(pool.map(one, ["first", "second", "first"]))
    assert versions[0] == versions[2] != versions[1]
    client = store_client(trained.home)
    assert len(client.search_model_versions("name = 'tiny'")) == 2


@pytest.mark.slow
def test_a_server_takes_the_place_of_the_local_store(trained: Trained, tmp_path: Path) -> None:
    from finflow.pipelines.training.tracking import log_training

    port = _free_port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}", "--artifacts-destination", str(tmp_path / "store")]
    with (tmp_path / "server.log").open("wb") as log:
        server = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env={**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true"})
    try:
        _wait_for(f"http://127.0.0.1:{port}/health")
        remote = replace(trained, home=replace(trained.home, tracking_uri=f"http://127.0.0.1:{port}"))
        logged = log_training(remote.context, remote.evaluation, remote.fits, remote.samples)
        made = register(remote.context, remote.evaluation, "noisy", remote.production["noisy"], remote.samples, logged.children["noisy"])
        promote(remote, made, "noisy")
        repair_aliases(remote.context)
        assert load_version(remote.context, made.version).manifest_digest == made.manifest_digest
        assert store_client(remote.home).get_model_version_by_alias("tiny", "champion").version in ("1", 1)
        again = register(remote.context, remote.evaluation, "noisy", (), remote.samples, "")
        assert again == made
    finally:
        import psutil

        for process in [*psutil.Process(server.pid).children(recursive=True), psutil.Process(server.pid)]:
            process.kill()
        server.wait()


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def _wait_for(address: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.3)
    raise AssertionError(f"{address} does not answer")
