"""The whole pipeline as a person runs it: the command line in processes of its own, over small data."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from tests.support import Finflow, comparable_state, tiny_values, write_definition


def lake_versions(home: Home) -> dict[str, int | None]:
    tables = ("raw", "clean", "quarantine", "predictions", "ledger", "promotions")
    return {table: Lake(home.lake).version(f"{table}/tiny") for table in tables}


def test_from_raw_data_to_a_scored_model_and_nothing_twice(finflow: Finflow, home: Home, tiny_definition: Path) -> None:
    name = str(tiny_definition)
    first = finflow.json("train", name, "--as-of", "2017-06-30")
    assert first["definition"] == "tiny"
    assert first["as_of"].startswith("2017-06-30")
    assert set(first["data"]) >= {"table", "version", "digest"}
    assert {row["candidate"] for row in first["leaderboard"]} == {"dense", "random-walk", "ridge"}
    assert first["decision"]["promoted"] is True
    assert first["decision"]["champion"]["version"] == 1
    assert first["decision"]["reason"]
    assert first["fitted"] > 0
    assert first["reused"] == 0

    second = finflow.json("train", name, "--as-of", "2017-06-30")
    assert second["fitted"] == 0
    assert second["leaderboard"] == first["leaderboard"]
    assert second["decision"] == first["decision"]
    assert second["run_id"] == first["run_id"]

    scored = finflow.json("score", name, "--as-of", "2017-07-14")
    assert (scored["rows"], scored["written"], scored["in_sample"]) == (4, 4, 0)
    filled = finflow.json("backfill", name, "--start", "2017-07-01", "--end", "2017-07-31")
    sessions = [str(day.date()) for day in pd.bdate_range("2017-07-03", "2017-07-31") if day != pd.Timestamp("2017-07-04")]
    assert [row["date"] for row in filled["dates"]] == sessions
    assert {row["after"] for row in filled["dates"]} == {"done"}

    before = lake_versions(home)
    assert finflow.json("score", name, "--as-of", "2017-07-14")["written"] == 0
    again = finflow.json("backfill", name, "--start", "2017-07-01", "--end", "2017-07-31")
    assert again["written"] == 0
    assert lake_versions(home) == before

    rows = Lake(home.lake).read("predictions/tiny")
    assert not rows.duplicated(["entity", "time", "horizon", "version"]).any()
    status = finflow.json("status", name)
    assert status["champion"]["version"] == 1
    assert len(finflow.json("history", name)["decisions"]) == 1


def test_the_same_seed_gives_the_same_bits_in_another_home(
    finflow: Finflow, home: Home, tiny_definition: Path, tmp_path: Path, prefect_api: str
) -> None:
    first = finflow.json("train", str(tiny_definition), "--as-of", "2017-06-30")
    root = tmp_path / "other"
    other_home = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)
    other = Finflow(other_home, prefect_api).json("train", str(tiny_definition), "--as-of", "2017-06-30")
    assert other["leaderboard"] == first["leaderboard"]
    assert comparable_state(other_home, "tiny") == comparable_state(home, "tiny")


def test_one_more_day_refits_only_what_it_touches(finflow: Finflow, tiny_definition: Path) -> None:
    first = finflow.json("train", str(tiny_definition), "--as-of", "2017-06-29")
    later = finflow.json("train", str(tiny_definition), "--as-of", "2017-06-30")
    assert first["fitted"] > 4
    # The new day lengthens the test part of the newest fold and the champion's own training: the folds' fits stay.
    assert later["reused"] >= first["fitted"] - 2
    assert later["fitted"] <= 2


def test_a_mistake_is_one_message_and_changes_nothing(finflow: Finflow, home: Home, tmp_path: Path) -> None:
    path = write_definition(tmp_path / "bad.yaml", tiny_values(source={"kind": "csv", "path": "nowhere.csv"}))
    done = finflow.run("train", str(path))
    assert done.returncode == 1
    assert "nowhere.csv" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert Lake(home.lake).version("raw/tiny") is None


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"unknown": 1}, "unknown"),
        ({"seeds": "many"}, "seeds"),
        ({"name": "../../etc"}, "name"),
        ({"name": "a\u202eb"}, "name"),
        ({"reference": "nobody"}, "nobody"),
        ({"candidates": {"dense": {"model": "dense", "settings": {"learning_rate": 0}}}}, "learning_rate"),
        ({"candidates": {"dense": {"model": "dense", "settings": {"learning_rate": -1}}}}, "learning_rate"),
        ({"candidates": {"dense": {"model": "dense", "settings": {"learning_rate": 1e9}}}}, "learning_rate"),
        ({"candidates": {"tree": {"model": "no_such_model"}}}, "no_such_model"),
        ({"features": [{"kind": "no_such_feature"}]}, "no_such_feature"),
    ],
)
def test_a_wrong_definition_names_its_fault(changes: dict, expected: str, tmp_path: Path) -> None:
    from finflow.pipelines.core.errors import DefinitionError
    from finflow.pipelines.definitions.loading import load_definition
    from finflow.pipelines.features.kinds import check_features

    path = write_definition(tmp_path / "bad.yaml", tiny_values(**changes))
    with pytest.raises(DefinitionError, match=expected):
        check_features(load_definition(str(path)).features)
