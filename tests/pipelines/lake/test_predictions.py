"""The predictions table: rows once, whoever writes at the same time; and the view of the newest."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pandas as pd
import pytest

from finflow.pipelines.core.errors import ConflictError
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.predictions import KEY, Predictions
from tests.support.pipelines.prediction_rows import rows


@pytest.fixture
def predictions(tmp_path: Path) -> Predictions:
    return Predictions(Lake(str(tmp_path / "lake")), "x")


def test_only_absent_keys_are_appended(predictions: Predictions) -> None:
    assert predictions.version is None
    first = predictions.append_new(rows(["2020-01-30", "2020-02-03"]))
    assert (first.rows, first.table_version) == (4, 0)
    second = predictions.append_new(rows(["2020-02-03", "2020-02-04"]))
    assert (second.rows, second.table_version) == (2, 1)
    third = predictions.append_new(rows(["2020-01-30", "2020-02-03", "2020-02-04"]))
    assert (third.rows, third.table_version) == (0, 1)
    assert predictions.append_new(rows(["2020-02-04"], version=2)).rows == 2
    assert predictions.append_new(rows(["2020-02-04"], digest="bb")).rows == 2
    assert len(predictions.read("2020-01-01", "2020-02-29")) == 10
    assert len(predictions.read("2020-02-03", "2020-02-03")) == 2
    assert predictions.append_new(pd.DataFrame()).rows == 0


def test_the_same_key_twice_in_one_batch_is_one_row(predictions: Predictions) -> None:
    twice = pd.concat([rows(["2020-01-30"]), rows(["2020-01-30"])], ignore_index=True)
    assert predictions.append_new(twice).rows == 2


def test_latest_is_live_before_backfill_and_new_before_old(predictions: Predictions) -> None:
    predictions.append_new(rows(["2020-01-30"], version=1, value=1.0))
    predictions.append_new(rows(["2020-01-30", "2020-01-31"], version=2, value=2.0, backfill_id="b1"))
    predictions.append_new(rows(["2020-01-31"], version=3, value=3.0, backfill_id="b2"))
    latest = predictions.latest("2020-01-01", "2020-01-31")
    assert latest["q50"].tolist() == [1.0, 1.0, 3.0, 3.0]
    assert latest["entity"].tolist() == ["A", "B", "A", "B"]
    predictions.append_new(rows(["2020-01-30"], version=2, digest="bb", value=4.0))
    assert predictions.latest("2020-01-30", "2020-01-30")["q50"].tolist() == [4.0, 4.0]
    assert predictions.latest("2021-01-01", "2021-12-31").empty


def test_a_row_that_another_run_wrote_in_between_is_not_written_twice(predictions: Predictions, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other run commits after this one has looked and before it writes."""
    original = Predictions._absent
    others = [rows(["2020-01-30"]), rows(["2020-01-31"])]

    def absent(self: Predictions, given: pd.DataFrame, version: int | None) -> pd.DataFrame:
        found = original(self, given, version)
        if others:
            self.lake.append(self.table, others.pop(0))
        return found

    monkeypatch.setattr(Predictions, "_absent", absent)
    assert predictions.append_new(rows(["2020-01-30", "2020-01-31", "2020-02-03"])).rows == 2
    assert not predictions.read("2020-01-01", "2020-12-31").duplicated(list(KEY)).any()


def test_endless_conflicts_end_in_one_message(predictions: Predictions, monkeypatch: pytest.MonkeyPatch) -> None:
    def lost(*_: object, **__: object) -> int:
        raise ConflictError("lost")

    monkeypatch.setattr(Lake, "append", lost)
    monkeypatch.setattr("finflow.pipelines.lake.conflicts.LONGEST_WAIT", 0.001)
    with pytest.raises(ConflictError, match="other runs kept writing"):
        predictions.append_new(rows(["2020-01-30"]))


def _write(location: str, barrier: object, number: int) -> None:
    barrier.wait()  # type: ignore[attr-defined]
    for month in range(1, 4):
        Predictions(Lake(location), "x").append_new(rows([f"2020-{month:02d}-03", f"2020-{month:02d}-04"], backfill_id=f"b{number}"))


def test_processes_that_write_the_same_rows_at_once_leave_one_set(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(3)
    location = str(tmp_path / "lake")
    writers = [context.Process(target=_write, args=(location, barrier, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0]
    found = Predictions(Lake(location), "x").read("2020-01-01", "2020-12-31")
    assert len(found) == 12
    assert not found.duplicated(list(KEY)).any()
