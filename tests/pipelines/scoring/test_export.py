"""Exported files: whole, safe in a spreadsheet, and refused where they cannot be."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.scoring.export import export, safe_for_spreadsheets
from tests.support.pipelines.prediction_rows import rows
from tests.support.pipelines.serving_support import small_definition


@pytest.fixture
def filled(home: Home) -> Home:
    given = rows(["2020-01-30", "2020-01-31", "2020-02-03"], value=-1.5)
    given["entity"] = pd.array(["=cmd|x", "中国银行"] * 3, dtype="str")
    Predictions(Lake(home.lake), "tiny").append_new(given)
    return home


def test_csv_and_parquet_hold_the_range_and_csv_is_escaped(filled: Home, tmp_path: Path) -> None:
    definition = small_definition()
    written = export(open_context(definition, filled), "2020-01-31", "2020-02-28", tmp_path / "out.csv")
    assert (written["rows"], written["entities"], written["first"], written["last"]) == (4, 2, "2020-01-31", "2020-02-03")
    read = pd.read_csv(tmp_path / "out.csv")
    assert sorted(set(read["entity"])) == ["'=cmd|x", "中国银行"]
    assert set(read["q50"]) == {-1.5}
    export(open_context(definition, filled), "2020-01-31", "2020-02-28", tmp_path / "out.parquet")
    whole = pd.read_parquet(tmp_path / "out.parquet")
    assert sorted(set(whole["entity"])) == ["=cmd|x", "中国银行"]
    assert len(whole) == 4
    assert "period" not in whole
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["out.csv", "out.parquet"]


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1"])
def test_every_beginning_of_a_formula_is_escaped(cell: str) -> None:
    frame = safe_for_spreadsheets(pd.DataFrame({"a": [cell, "plain", None], cell: [1.0, -2.0, 3.0]}))
    assert frame["a"].tolist()[:2] == [f"'{cell}", "plain"]
    assert list(frame.columns) == ["a", f"'{cell}"]
    assert frame.iloc[:, 1].tolist() == [1.0, -2.0, 3.0]


@pytest.mark.parametrize(
    ("target", "start", "expected"),
    [
        ("out.xlsx", "2020-01-01", "ending in .csv or .parquet"),
        ("nowhere/out.csv", "2020-01-01", "does not exist"),
        ("out.csv", "2020-02-10", "finflow backfill tiny --start 2020-02-10"),
        ("out.csv", "soon", "expected a date"),
    ],
)
def test_what_cannot_be_exported_leaves_no_file(target: str, start: str, expected: str, filled: Home, tmp_path: Path) -> None:
    with pytest.raises(FinflowError, match=expected):
        export(open_context(small_definition(), filled), start, "2020-02-28", tmp_path / target)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and "lake" not in path.parts]


def test_a_failed_write_keeps_the_file_that_was_there(filled: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.csv").write_text("old")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(FinflowError, match="No space left"):
        export(open_context(small_definition(), filled), "2020-01-01", "2020-02-28", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["out.csv"]


def test_a_file_that_cannot_be_written_is_named_and_leaves_nothing(filled: Home, tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(FinflowError, match=r"--to '.*folder\.csv' cannot be written \(Is a directory\)"):
        export(open_context(small_definition(), filled), "2020-01-31", "2020-02-28", tmp_path / "folder.csv")
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == []
