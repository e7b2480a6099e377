"""Two trainings of one definition at once: one decision after the other, each recorded, nothing corrupted."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from tests.support import REPOSITORY, Finflow, comparable_state, warm


def test_two_trainings_at_once(finflow: Finflow, home: Home, tiny_definition: Path) -> None:
    processes = [
        warm.Popen(
            [sys.executable, "-m", "finflow.flows", "train", str(tiny_definition), "--as-of", as_of, "--json"],
            cwd=REPOSITORY,
            env=finflow.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for as_of in ("2017-05-31", "2017-06-30")
    ]
    ended = [(process, *process.communicate(timeout=300)) for process in processes]
    for process, output, errors in ended:
        assert process.returncode == 0, errors[-3000:]
        assert json.loads(output)["decision"]["reason"]
    decisions = Lake(home.lake).read("promotions/tiny").sort_values("sequence")
    assert decisions["sequence"].tolist() == [1, 2]
    assert decisions["run_key"].nunique() == 2
    state = comparable_state(home, "tiny")
    live = decisions[decisions["verdict"] != "historical"].iloc[-1]
    assert state["aliases"]["champion"] == live["version"]
    assert len(state["versions"]) == len(set(state["versions"]))
