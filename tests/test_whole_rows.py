"""The whole pipeline over rows: applicants with missing values and categories, from a file to scores with reasons, as a person runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.lake import Lake
from tests.support import Finflow, write_definition
from tests.support.row_support import loan_rows, loan_values, write_loans


@pytest.fixture
def loans(tmp_path: Path) -> Path:
    return write_definition(tmp_path / "loans.yaml", loan_values(write_loans(tmp_path / "loans.csv", loan_rows(4000))))


def test_from_a_file_of_loans_to_scores_with_reasons(finflow: Finflow, home: Home, loans: Path) -> None:
    trained = finflow.json("train", str(loans))
    board = {row["candidate"]: row for row in trained["leaderboard"]}
    assert set(board) == {"boosting", "base-rate", "logistic"}
    assert trained["decision"]["champion"]["candidate"] == "logistic", "what drew the outcomes is linear in the logarithms"
    assert finflow.json("train", str(loans))["fitted"] == 0
    report = Path(trained["report"]).with_suffix(".md").read_text(encoding="utf-8")
    for part in ("## Differences", "## Calibration", "## Costs", "## Fairness", "## Stability", "| category purpose |"):
        assert part in report, part
    page = Path(trained["report"]).read_text(encoding="utf-8")
    assert all(f"<h3>{caption}</h3>" in page for caption in ("Calibration of every candidate", "Ranking", "Costs", "Fairness", "Stability"))

    scored = finflow.json("score", str(loans))
    assert scored["written"] == scored["rows"] > 0
    filled = finflow.json("backfill", str(loans), "--start", "2021-06-01", "--end", "2021-06-30")
    assert filled["written"] > 0
    assert finflow.json("backfill", str(loans), "--start", "2021-06-01", "--end", "2021-06-30")["written"] == 0

    rows = Lake(home.lake).read("predictions/loans")
    assert np.allclose(rows["p_good"] + rows["p_bad"], 1)
    assert set(rows["threshold"]) == {1 / 6}
    reasons = [json.loads(text) for text in rows["reasons"]]
    assert {len(found) for found in reasons} <= {1, 2}
    assert {one["feature"] for found in reasons for one in found} <= {"amount", "income", "age", "purpose", "region"}
    chance = loan_rows(4000).set_index("entity")["chance"]
    assert np.corrcoef(rows["p_bad"], chance.loc[rows["entity"]])[0, 1] > 0.8
    checks = finflow.json("monitor", str(loans))["checks"]
    assert {check["part"] for check in checks if check["status"] == "measured"} >= {"data", "features"}, checks
    assert [check for check in checks if check["alarm"] and check["part"] != "data"] == [], "the same loans as in training"


@pytest.mark.slow
def test_generated_rows_are_tried_fold_by_fold_and_the_report_says_what_became_of_them(finflow: Finflow, tmp_path: Path) -> None:
    settings = {"rounds": 20, "augmentation": {"seeds": 3, "steps": 20}}
    values = loan_values(
        write_loans(tmp_path / "loans.csv", loan_rows(3000)), candidates={"boosting": {"model": "boosting", "settings": settings}}
    )
    trained = finflow.json("train", str(write_definition(tmp_path / "loans.yaml", values)))
    report = Path(trained["report"]).with_suffix(".md").read_text(encoding="utf-8")
    section = report.partition("## Generated rows of the rare class")[2].partition("##")[0]
    rows = [line for line in section.splitlines() if line.startswith("| boosting")]
    assert len(rows) == len(trained["folds"]) > 1
    assert all("the average precision is no higher" in row or "may be an accident" in row for row in rows), rows


@pytest.mark.slow
def test_nothing_leaks_and_a_column_from_afterwards_is_named(finflow: Finflow, loans: Path, tmp_path: Path) -> None:
    found = finflow.json("check-leakage", str(loans))
    assert found["ok"], found
    assert [check["name"] for check in found["checks"]][-1] == "shuffled labels give no skill"

    frame = loan_rows(4000)
    frame["collections"] = np.where(frame["defaulted"] == 1, 3.0, 0.0) + np.random.default_rng(0).normal(0, 1.3, len(frame))
    values = loan_values(write_loans(tmp_path / "late.csv", frame), name="late")
    values["source"]["columns"]["collections"] = "collections"
    values["features"].append({"kind": "value", "column": "collections", "name": "collections"})
    done = finflow.run("check-leakage", str(write_definition(tmp_path / "late.yaml", values)), "--json")
    told = json.loads(done.stdout)
    assert not told["ok"]
    (check,) = [check for check in told["checks"] if not check["passed"]]
    assert check["columns"] == ["collections"]
    assert "is it known before the outcome?" in check["detail"]


@pytest.mark.slow
def test_rows_without_a_time_are_split_by_class_and_the_report_says_so(finflow: Finflow, home: Home, tmp_path: Path) -> None:
    frame = loan_rows(1500).assign(time="2020-01-01")
    frame["time"] = frame["time"].astype("datetime64[s]")
    values = loan_values(write_loans(tmp_path / "loans.csv", frame), folds={"kind": "stratified", "parts": 3, "repeats": 2})
    values["problem"]["known_after_days"] = 0
    path = write_definition(tmp_path / "loans.yaml", values)
    trained = finflow.json("train", str(path))
    assert trained["decision"]["champion"]["candidate"] == "logistic"
    report = next((home.reports / "loans").glob("*.md")).read_text(encoding="utf-8")
    assert (
        "NOT walk-forward, for the rows of SIMULATED data have no time: 6 folds, stratified by class, 3 parts in each of 2 repeats"
        in report
    )
    assert "Decided on 1,500 entities, in stratified splits without a time by log_loss" in report
    assert finflow.json("check-leakage", str(path))["ok"]
    assert finflow.run("backfill", str(path), "--start", "2020-01-01", "--end", "2020-01-01", "--retrain", "monthly").returncode == 1
