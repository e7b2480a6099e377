"""Many at once want to be champion, and a database that somebody else holds: one after the other decides, and nobody's word is lost.

Everything is real but the fits, which are made once: the tables, the conditional commits, MLflow's store and the registered versions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import Promotions
from finflow.pipelines.registry.versions import load_version
from finflow.pipelines.tracking.store import store_client
from tests.support import REPOSITORY, warm
from tests.support.pipelines.fit_support import market
from tests.support.pipelines.training_support import Trained

REQUESTS, AT_ONCE = 24, 8

#: what both programs share: the small training of the test's home, found again in a process of its own
PROGRAM = """
import json, pickle, sys, time
from pathlib import Path
from finflow.models.zoo import ZOO
from tests.support import warm
from tests.support.pipelines.fit_support import MODELS
from tests.support.pipelines.training_support import Trained
ZOO.update(MODELS)
folder, process, requests, at_once = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
trained = pickle.loads((folder / "trained").read_bytes())
import mlflow, finflow.pipelines.training.conclusion, finflow.pipelines.registry.versions, finflow.pipelines.operating.approval
(folder / f"ready-{process}").touch()
while not (folder / "go").exists():
    time.sleep(0.001)
for request in range(process, requests, at_once):
"""
TRAIN = """
    done = trained.conclude(f"request-{request}")
    print(json.dumps({"verdict": done.decision.verdict, "reason": done.decision.reason, **done.outcome["decision"]}), flush=True)
"""
APPROVE = """
    from finflow.pipelines.operating.approval import approve
    from finflow.pipelines.core.errors import FinflowError
    from finflow.pipelines.definitions.context import open_context
    try:
        decision = approve(open_context(trained.definition, trained.home), 1, f"Person {request}", "me first")
        print(json.dumps({"verdict": decision.verdict, "reason": decision.reason}), flush=True)
    except FinflowError as error:
        print(json.dumps({"verdict": "refused", "reason": str(error)}), flush=True)
"""


def race(trained: Trained, folder: Path, body: str, requests: int = REQUESTS) -> list[dict[str, Any]]:
    """The answers to all requests: AT_ONCE processes start together, and each works off its share."""
    import pickle

    (folder / "trained").write_bytes(pickle.dumps(trained))
    environment = {**os.environ, "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
    processes = [
        warm.Popen(
            [sys.executable, "-c", PROGRAM + body, str(folder), str(number), str(requests), str(AT_ONCE)],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(AT_ONCE)
    ]
    try:
        deadline = time.monotonic() + 240
        while len(list(folder.glob("ready-*"))) < AT_ONCE:
            assert time.monotonic() < deadline, "the processes did not start"
            assert all(process.poll() is None for process in processes), "one of them ended early"
            time.sleep(0.05)
        (folder / "go").touch()
        ended = [(process, *process.communicate(timeout=300)) for process in processes]
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
                process.wait()
    for process, _, errors in ended:
        assert process.returncode == 0, errors[-3000:]
    return [json.loads(line) for _, output, _ in ended for line in output.splitlines()]


def aliases(home: Home) -> dict[str, int]:
    return {alias: int(version) for alias, version in store_client(home).get_registered_model("tiny").aliases.items()}


@pytest.mark.slow
def test_of_24_promotions_at_once_one_wins_and_the_others_are_told_why(trained: Trained, tmp_path: Path) -> None:
    answers = race(trained, tmp_path, TRAIN)
    rows = Promotions(Lake(trained.home.lake), "tiny").rows()
    assert [row.sequence for row in rows] == list(range(1, REQUESTS + 1))
    assert {row.run_key for row in rows} == {f"request-{number}" for number in range(REQUESTS)}
    moved = [row for row in rows if row.moves]
    assert len(moved) == 1
    assert rows[0] == moved[0], "the first to commit is the one that won"
    assert sorted(answer["verdict"] for answer in answers) == ["kept"] * (REQUESTS - 1) + ["reference"]
    for answer in answers:
        assert answer["champion"] == {"name": "tiny", "version": moved[0].version, "candidate": "random-walk"}
        if answer["verdict"] == "kept":
            assert "No refresh: 0 test dates since its version was made" in answer["reason"]
    assert aliases(trained.home) == {"champion": moved[0].version}
    there = [int(found.version) for found in store_client(trained.home).search_model_versions("name = 'tiny'")]
    assert there == [moved[0].version], "what the others registered for a decision that was forestalled is withdrawn"
    assert load_version(trained.context, int(moved[0].version or 0)).version == moved[0].version


@pytest.mark.slow
def test_where_many_win_the_alias_agrees_with_the_last(trained: Trained, tmp_path: Path) -> None:
    """Every refresh is accepted: 24 versions become champion one after the other, in whatever order."""
    gate = trained.definition.gate.model_copy(update={"refresh_dates": 1, "minimum_dates": 10_000})
    body = """
    from dataclasses import replace
    import finflow.pipelines.training.decisions as decisions
    import finflow.pipelines.training.gate as gate
    decisions._after = lambda dates, last: 5  # every training has newer dates than the champion
    definition = trained.definition.model_copy(update={"gate": trained.definition.gate.model_copy(update=GATE)})
    done = trained.conclude(f"request-{request}", definition)
    print(json.dumps({"verdict": done.decision.verdict}), flush=True)
""".replace("GATE", repr({"refresh_dates": gate.refresh_dates, "minimum_dates": gate.minimum_dates}))
    answers = race(trained, tmp_path, body)
    rows = Promotions(Lake(trained.home.lake), "tiny").rows()
    assert [row.verdict for row in rows] == ["reference"] + ["refreshed"] * (REQUESTS - 1)
    assert len({row.version for row in rows}) == len(answers) == REQUESTS
    assert [row.previous_version for row in rows[1:]] == [row.version for row in rows[:-1]]
    assert aliases(trained.home) == {"champion": rows[-1].version, "previous": rows[-2].version}


@pytest.mark.slow
def test_of_24_approvals_at_once_one_counts(trained: Trained, tmp_path: Path) -> None:
    frame = market()
    frame["known_at"] = (frame["time"] + pd.Timedelta(hours=21)).dt.tz_localize("UTC")
    Lake(trained.home.lake).append("raw/tiny", frame.assign(period=frame["time"].dt.strftime("%Y")))
    asking = trained.definition.model_copy(update={"gate": trained.definition.gate.model_copy(update={"approval": "required"})})
    trained.conclude("proposed", asking)
    answers = race(trained, tmp_path, APPROVE)
    rows = Promotions(Lake(trained.home.lake), "tiny").rows()
    assert [row.verdict for row in rows] == ["pending", "approved"]
    (winner,) = [answer for answer in answers if answer["verdict"] == "approved"]
    assert winner["reason"] == rows[-1].reason
    told = {answer["reason"].partition(" on ")[0] for answer in answers if answer["verdict"] == "refused"}
    assert len(answers) == REQUESTS
    assert told == {f"version 1 of tiny was approved by {rows[-1].evidence['by']}"}
    assert aliases(trained.home) == {"champion": 1}


HOLD = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("COMMIT")
"""


def hold(home: Home, seconds: float) -> subprocess.Popen[str]:
    """A process that keeps everybody else out of MLflow's database for a while; it holds it when this returns."""
    command = [sys.executable, "-c", HOLD, str(home.mlflow / "mlflow.db"), str(seconds)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


@pytest.mark.slow
def test_a_database_that_another_process_holds_is_waited_for(trained: Trained) -> None:
    """Longer than SQLite's own five seconds, from the first connection on."""
    trained.home.mlflow.mkdir(exist_ok=True)
    program = (
        "import sys; from finflow.pipelines.core.home import Home; from finflow.pipelines.tracking.store import *; "
        "from pathlib import Path\n"
        "root = Path(sys.argv[1]); home = Home(root, '', f\"sqlite:///{root / 'mlflow' / 'mlflow.db'}\", None)\n"
        "client = store_client(home); run = client.create_run(experiment_of(home, client, 'tiny')); print(run.info.run_id)"
    )
    holder = hold(trained.home, 8)
    started = time.monotonic()
    command = [sys.executable, "-c", program, str(trained.home.root)]
    done = warm.run(command, cwd=REPOSITORY, timeout=120)
    assert time.monotonic() - started > 5, "it was let in at once: the test proves nothing"
    assert done.returncode == 0, done.stderr[-2000:]
    assert len(done.stdout.strip()) == 32
    assert holder.wait() == 0


def test_a_database_that_stays_locked_is_named(trained: Trained) -> None:
    from finflow.flows.servers.diagnostics import diagnose

    assert diagnose(trained.home) is None
    holder = hold(trained.home, 60)
    try:
        said = diagnose(trained.home)
        assert said is not None
        assert "mlflow.db cannot be written (database is locked): another process has held it for over 20 seconds" in said
    finally:
        holder.kill()
        holder.wait()
    assert diagnose(trained.home) is None
