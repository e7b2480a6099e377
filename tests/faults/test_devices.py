"""Two devices train as one through the command line; one of their processes killed fails the fit, and the same command again succeeds."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from finflow.pipelines.core.home import Home
from tests.support import REPOSITORY, Finflow, tiny_values, write_definition
from tests.support.pipelines.fit_support import listing

EPOCHS = 150
SETTINGS = {"hidden": [8], "epochs": EPOCHS, "patience": EPOCHS, "batch": 99, "dropout": 0.1}
TOGETHER = ("--devices", "2", "--strategy", "ddp")


def one_fit(path: Path) -> Path:
    """One network, one seed, one test period: one fit over two devices, and its production fit is none, because nothing is promoted."""
    values = tiny_values(candidates={"dense": {"model": "dense", "settings": SETTINGS}}, seeds=1)
    return write_definition(path, {**values, "folds": {**values["folds"], "count": 1}})


def begin(finflow: Finflow, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "finflow.flows", *arguments]
    return subprocess.Popen(command, cwd=REPOSITORY, env=finflow.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def ranks_of(command: subprocess.Popen[str], seconds: float = 120) -> list[psutil.Process]:
    """The two processes of a fit, children of one job, once both have worked a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and command.poll() is None:
        for job in descendants(command.pid):
            try:
                below = sorted(job.children(), key=lambda process: process.pid)
                if job.ppid() != command.pid and len(below) == 2 and all(sum(one.cpu_times()[:2]) > 0.2 for one in below):
                    return below
            except psutil.NoSuchProcess:
                continue
        time.sleep(0.02)
    raise AssertionError("no fit began two processes")


def descendants(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def gone(processes: list[psutil.Process], seconds: float) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def losses(outcome: dict[str, Any]) -> dict[str, float]:
    return {row["candidate"]: row["metrics"]["mae"]["value"] for row in outcome["leaderboard"]}


@pytest.mark.slow
def test_a_killed_rank_fails_the_fit_and_the_next_try_ends_as_one_device_does(finflow: Finflow, home: Home, tmp_path: Path) -> None:
    from mlflow import MlflowClient

    path = one_fit(tmp_path / "tiny.yaml")
    first = begin(finflow, "train", str(path), *TOGETHER)
    ranks = ranks_of(first)
    below = descendants(first.pid)
    ranks[1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    printed, _ = first.communicate(timeout=120)
    assert time.monotonic() - killed < 60
    assert first.returncode == 1
    assert "dense, fold 2017-07, seed 1: the process of rank 1, one of 2 that trained together, was ended by SIGKILL" in " ".join(
        printed.split()
    )
    assert "Nothing was decided, and the fits that ended are kept: run the command again" in " ".join(printed.split())
    assert gone(below, 10), "a process outlived the command"
    kept = listing(home.fits)
    assert len(kept) == 4, f"the two baselines' fits and predictions, and no half folder: {kept}"

    together = finflow.json("train", str(path), *TOGETHER)
    assert set(kept) < set(listing(home.fits)), "what was finished is taken as it was"
    root = tmp_path / "alone"
    apart = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)
    alone = Finflow(apart, finflow.environment["PREFECT_API_URL"]).json("train", str(path))
    assert losses(together) == pytest.approx(losses(alone), rel=1e-5)
    assert together["decision"]["verdict"] == alone["decision"]["verdict"]
    assert set(kept) < set(listing(apart.fits)), "what needs no second device is fitted as ever"

    client = MlflowClient(home.tracking_uri)
    runs = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert sorted(run.info.run_name for run in runs if "mlflow.parentRunId" in run.data.tags) == ["dense", "random-walk", "ridge"]
    (network,) = (run for run in runs if run.info.run_name == "dense")
    curves = [name for name in network.data.metrics if "validation_loss" in name]
    assert curves
    for name in curves:
        steps = [point.step for point in client.get_metric_history(network.info.run_id, name)]
        assert sorted(steps) == sorted(set(steps)), "an epoch was logged twice"
        assert len(steps) == EPOCHS


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["command", "job"])
def test_ranks_end_with_what_began_them(victim: str, finflow: Finflow, home: Home, tmp_path: Path) -> None:
    path = one_fit(tmp_path / "tiny.yaml")
    command = begin(finflow, "train", str(path), *TOGETHER)
    ranks = ranks_of(command)
    below = descendants(command.pid)
    (psutil.Process(command.pid) if victim == "command" else ranks[0].parent()).kill()  # type: ignore[union-attr]
    command.communicate(timeout=120)
    assert gone(below, 20), "a process outlived what began it"
