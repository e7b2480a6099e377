"""A kind of problem that is one file of the tests and one line of registration: from the table to the report, to scores and a backfill."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from finflow.flows.servers.environment import prepare_environment
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.problems import PROBLEMS
from finflow.pipelines.training.report import newest_report
from tests.support import write_definition
from tests.support.plain_rows import PlainRows, plain_values, write_plain_rows


def test_plain_rows_from_file_to_backfill(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefect_api: str) -> None:
    monkeypatch.setitem(PROBLEMS, "plain-rows", PlainRows)
    monkeypatch.setenv("FINFLOW_HOME", str(home.root))
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    prepare_environment(home)
    from finflow.flows.backfill import backfill_flow
    from finflow.flows.score import score_flow
    from finflow.flows.train import train_flow

    table = tmp_path / "rows.csv"
    write_plain_rows(table)
    path = str(write_definition(tmp_path / "plain.yaml", plain_values(table)))
    definition = load_definition(path)
    dates = sorted({str(time.date()) for time in definition.source.read()["time"]})
    as_of, later = dates[-40], dates[-20]
    trained = train_flow(path, as_of)
    assert trained["decision"]["champion"]["version"] == 1
    assert {row["candidate"] for row in trained["leaderboard"]} == set(definition.recipes)
    _check_report(definition, home)
    again = train_flow(path, as_of)
    assert again["fitted"] == 0
    assert again["decision"] == trained["decision"]
    scored = score_flow(path, later)
    assert scored["rows"] > 0
    assert scored["written"] == scored["rows"]
    assert scored["in_sample"] == 0
    first = dates[-90]
    filled = backfill_flow(path, first, later)
    assert filled["ok"]
    assert {row["after"] for row in filled["dates"]} == {"done"}
    # A loan's loss is known after 30 days: the model learnt from loans whose loss was known at its as-of, and from no later ones.
    learnt = str((pd.Timestamp(as_of) - pd.Timedelta(days=31)).date())
    assert {row["in_sample"] > 0 for row in filled["dates"] if row["date"] <= learnt} == {True}
    assert {row["in_sample"] for row in filled["dates"] if row["date"] > as_of} == {0}
    assert backfill_flow(path, first, later)["written"] == 0
    assert len(Lake(home.lake).read(f"predictions/{definition.name}")) >= scored["rows"]


def _check_report(definition: Definition, home: Home) -> None:
    """The problem's own metric, section and pictures are in the report, and pictures of other problems are not."""
    report = newest_report(open_context(definition, home))
    board = report["text"].partition("## Leaderboard")[2].strip().splitlines()
    header, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in board if line.startswith("|"))
    assert header[3:5] == ["crps", "above_median"]
    assert all(0.0 < float(row[4]) < 1.0 for row in rows[1 : 1 + len(definition.recipes)])
    assert "## Reserves" in report["text"]
    assert all(f"| {name} |" in report["text"].partition("## Reserves")[2] for name in definition.recipes)
    page = Path(report["html"]).read_text(encoding="utf-8")
    assert "dense: losses against what was said of them" in page
    assert "dense: coverage" in page
    drawn = {path.name for path in home.evaluations.rglob("plots/dense/*.svg")}
    assert drawn == {"losses.svg", "skill.svg", "coverage.svg", "said.svg"}
    assert any("loss that came" in path.read_text(encoding="utf-8") for path in home.evaluations.rglob("plots/ridge/said.svg"))
