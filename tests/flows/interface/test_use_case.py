"""A notebook's cells, run as a person would write them: they do what the commands do, and read what those left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import finflow as package
from finflow.flows.command_line import pages
from finflow.flows.program import version_text
from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.loading import DEFINITIONS, keep_mapping, load_definition
from tests.support import REPOSITORY, Finflow, tiny_values

#: cells run in an event loop, as Jupyter's do, after libraries that the person has loaded already
CELLS = """
import asyncio, json, os, sys
import mlflow, numpy as np, prefect, torch
import finflow

torch.set_num_threads(2)

async def cells(values, folder):
    tiny = finflow.load(values)
    shown = [repr(tiny)]
    validated = tiny.validate("2017-06-30")
    tried = tiny.try_candidates("2017-06-30", candidates=["dense"])
    shown.append(repr(tiny))
    trained = tiny.train(as_of="2017-06-30")
    shown[1:1] = [repr(trained), repr(tiny)]
    again = finflow.load("tiny").train(as_of="2017-06-30")
    os.chdir("/")  # the home stays
    scored = tiny.score("2017-07-14")
    planned = tiny.backfill("2017-07-03", "2017-07-14", dry_run=True)
    filled = tiny.backfill("2017-07-03", "2017-07-14")
    tiny.predictions("2017-07-05", "2017-07-14").to_parquet(f"{folder}/predictions.parquet")
    tiny.losses().to_parquet(f"{folder}/losses.parquet")
    tiny.leaderboard().to_parquet(f"{folder}/leaderboard.parquet")
    model, samples = tiny.model(), tiny.samples("2017-06-30")
    shown.append(repr(model))
    windows = samples.gather(slice(-8, None), model.context)
    alone = mlflow.pyfunc.load_model("models:/tiny@champion").predict(windows)
    rows = {"entity": np.repeat(["a", "b"], 20)} | {name: np.tile(windows[0, -20:, n], 2) for n, name in enumerate(samples.columns)}
    framed = model.predict(__import__("pandas").DataFrame(rows))
    errors = []
    for call in (lambda: finflow.load("nobody"), lambda: tiny.score(version=7), lambda: tiny.train(candidates=["x"]),
                 lambda: tiny.leaderboard("x"), lambda: tiny.model(3), lambda: tiny.backfill("2017-07-14", "2017-07-03")):
        try:
            call()
        except finflow.FinflowError as error:
            errors.append(str(error))
    home, os.environ["FINFLOW_HOME"] = os.environ["FINFLOW_HOME"], folder
    try:
        finflow.load("tiny")
    except finflow.FinflowError as error:
        errors.append(str(error))
    os.environ["FINFLOW_HOME"] = home
    decisions = tiny.decisions()
    return {
        "shown": shown, "validated": validated, "trained": trained, "again": again, "scored": scored, "planned": planned, "filled": filled,
        "tried": tried,
        "model": model.predict(windows).tolist(), "alone": alone.tolist(), "framed": [list(framed.index), list(framed.columns)],
        "errors": errors, "decisions": decisions.astype(str).to_dict("records"), "status": tiny.status(), "report": tiny.report(),
        "kinds": [str(decisions[name].dtype) for name in ("version", "effective_as_of", "recorded_at")], "threads": torch.get_num_threads(),
        "definitions": len(finflow.definitions()), "samples": [len(samples), list(samples.gather().shape)],
    }

print(json.dumps(asyncio.run(cells(json.loads(sys.argv[1]), sys.argv[2])), default=str))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cells")


def test_cells_do_what_the_commands_do(finflow: Finflow, folder: Path) -> None:
    done = finflow.run(json.dumps(tiny_values()), str(folder), program=("-c", CELLS))
    assert done.returncode == 0, done.stderr[-4000:]
    assert "never awaited" not in done.stderr
    cells: dict[str, Any] = json.loads(done.stdout)

    # The same words and values as the commands, which find the mapping by its name.
    commanded = finflow.json("train", "tiny", "--as-of", "2017-06-30")
    assert cells["shown"][1] == "\n".join(pages.train({**commanded, "fitted": 8, "reused": 0}))
    assert commanded["data"].pop("digest") == cells["trained"]["data"]["digest"]
    ran = ("fitted", "reused", "data")  # what says how this run went, not what it found
    assert {name: commanded[name] for name in commanded if name not in ran} == {
        name: cells["trained"][name] for name in commanded if name not in ran
    }
    assert (cells["trained"]["fitted"], cells["again"]["fitted"], commanded["fitted"]) == (8, 0, 0)
    assert cells["status"] == finflow.json("status", "tiny")
    assert cells["report"]["html"] == finflow.json("report", "tiny")["html"]
    assert cells["validated"]["rules"] == finflow.json("validate", "tiny", "--as-of", "2017-06-30")["rules"]
    assert (cells["scored"]["written"], cells["planned"]["written"], cells["filled"]["written"]) == (4, 0, 32)
    assert cells["definitions"] == len(finflow.json("list")["definitions"])

    # A trial of the same candidates, now that there is a champion: another run, of the same fits.
    tried = finflow.json("try", "tiny", "--as-of", "2017-06-30", "--candidates", "dense")
    assert (cells["tried"]["fitted"], tried["fitted"]) == (8, 0)
    assert [fold["test_start"] for fold in tried["folds"]] == ["2015-07-01", "2016-01-01"]
    assert tried["leaderboard"] == cells["tried"]["leaderboard"]

    # What an object shows, and what changes with a training.
    head = "tiny: A tiny simulated series (SIMULATED data)\n  forecast; candidates dense; baselines random-walk, ridge\n  champion: "
    assert cells["shown"][0] == head + "none yet"
    assert cells["shown"][3] == cells["shown"][0], "a trial makes no champion"
    assert cells["shown"][2] == head + "random-walk, version 1, as of 2017-06-30"
    assert cells["shown"][4].startswith("tiny version 1: random-walk, as of 2017-06-30\n  reads ")

    # The model answers as MLflow's own loading does, and a notebook's threads are its own again afterwards.
    assert np.shape(cells["model"]) == (8, 2, 5)
    assert cells["model"] == cells["alone"]
    assert cells["framed"][0] == ["a", "b"]
    assert cells["framed"][1][:2] == ["h1_q05", "h1_q25"]
    assert cells["samples"] == [1236, [1236, 10, 4]]
    assert cells["threads"] == 2

    # A mistake is said in the words of the command.
    commands = (
        ("show", "nobody"),
        ("score", "tiny", "--version", "7"),
        ("train", "tiny", "--candidates", "x"),
    )
    assert cells["errors"][:3] == [json.loads(finflow.run(*command, "--json").stdout)["error"] for command in commands]
    assert cells["errors"][3] == "tiny has no decision with the run key 'x': the column run_key of its decisions holds them all."
    assert cells["errors"][4] == "version 3 of tiny is not in the promotions table: finflow history tiny lists the versions there are."
    assert (
        cells["errors"][5]
        == json.loads(finflow.run("backfill", "tiny", "--start", "2017-07-14", "--end", "2017-07-03", "--json").stdout)["error"]
    )
    assert cells["errors"][6] == (
        f"FINFLOW_HOME is {folder} now, and was {finflow.home.root}: one Python process works with one home. Restart the kernel."
    )

    # Decisions, row for row what `finflow history` says.
    told = finflow.json("history", "tiny")["decisions"]
    assert [row["reason"] for row in cells["decisions"]] == [row["reason"] for row in told]
    assert cells["kinds"][0] == "Int64"
    assert all(kind.endswith(", UTC]") for kind in cells["kinds"][1:])

    # Frames: predictions are those of the export, the leaderboard and the losses those of the training.
    finflow.json("export", "tiny", "--start", "2017-07-05", "--end", "2017-07-14", "--to", str(folder / "exported.parquet"))
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "predictions.parquet"), pd.read_parquet(folder / "exported.parquet"))
    leaderboard, losses = pd.read_parquet(folder / "leaderboard.parquet"), pd.read_parquet(folder / "losses.parquet")
    assert list(leaderboard.index) == [row["candidate"] for row in commanded["leaderboard"]]
    for row in commanded["leaderboard"]:
        shown = leaderboard.loc[row["candidate"]]
        assert (shown["mae"], shown["mae_low"], shown["mae_high"]) == tuple(row["metrics"]["mae"].values())
        against = {name: shown[f"p_value_{name}"] for name in ("random-walk", "ridge") if name != row["candidate"]}
        assert against == row["p_value"]
        assert np.isclose(losses[losses["candidate"] == row["candidate"]]["mae"].mean(), shown["mae"])


@pytest.mark.parametrize("name", ["leaderboard", "losses"])
def test_before_the_first_training_there_is_nothing_to_read(finflow: Finflow, tiny_definition: Path, name: str) -> None:
    program = f"import finflow, sys; tiny = finflow.load(sys.argv[1]); print(len(tiny.predictions()), len(tiny.decisions())); tiny.{name}()"
    done = finflow.run(str(tiny_definition), program=("-c", program))
    assert done.stdout == "0 0\n"
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("FinflowError: No decision has been made for tiny: finflow train tiny")


def test_importing_finflow_imports_nothing_else() -> None:
    program = "import sys, finflow; dir(finflow), finflow.__version__; print([name for name in sys.modules if name.startswith('finflow')])"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "['finflow']\n"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'finflow' has no attribute 'lode'"):
        _ = package.lode
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None


def test_the_version_is_the_one_that_the_command_prints() -> None:
    assert version_text() == f"finflow {package.__version__}"


@pytest.mark.parametrize("path", sorted(DEFINITIONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_mapping_is_the_definition_that_its_file_would_be(path: Path, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    kept = keep_mapping(yaml.safe_load(path.read_text(encoding="utf-8")), home)
    assert kept == home.root / "definitions" / path.name
    assert load_definition(str(kept)).model_dump() == load_definition(str(path)).model_dump()


def test_a_mapping_with_a_fault_is_refused_and_not_kept(home: Home) -> None:
    with pytest.raises(DefinitionError, match=r"^definition: .*folds"):
        keep_mapping({**tiny_values(), "folds": {}}, home)
    assert not (home.root / "definitions").exists()


def test_the_paths_of_a_mapping_are_of_the_working_folder(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    values = tiny_values(source={"kind": "csv", "path": "prices.csv", "columns": {"time": "Date", "close": "Close"}})
    assert load_definition(str(keep_mapping(values, home))).source.path == str(tmp_path / "prices.csv")
