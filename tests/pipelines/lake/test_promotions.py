"""The promotions table: conditional appends, who is champion and was, and what a crash leaves."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from finflow.pipelines.core.errors import ConflictError, FinflowError, StateError
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import PromotionRow, Promotions
from tests.support import REPOSITORY, warm
from tests.support.pipelines.promotion_rows import row


@pytest.fixture
def promotions(tmp_path: Path) -> Promotions:
    return Promotions(Lake(str(tmp_path / "lake")), "tiny")


def fill(promotions: Promotions, *rows: PromotionRow) -> None:
    for one in rows:
        promotions.record(one, promotions.snapshot()[1])


def test_an_empty_table_has_no_champion(promotions: Promotions) -> None:
    assert promotions.snapshot() == ((), None)
    assert promotions.champion() is None
    assert promotions.champion_recipe() is None
    assert promotions.effective("2030-01-01") is None
    assert promotions.find("a") is None


def test_a_row_comes_back_as_it_went_in(promotions: Promotions) -> None:
    made = row("a", "reference", "2015-06-30", 1)
    assert promotions.record(made, None) == 0
    (found,) = promotions.rows()
    assert found.sequence == 1
    assert pd.Timestamp(found.recorded_at).tzinfo is not None
    assert replace(found, sequence=0, recorded_at="", previous_digest="", digest="") == made
    assert found.evidence == made.evidence
    assert found.decision.promoted
    assert found.decision.reason == made.reason


def test_the_champion_is_the_last_that_moved(promotions: Promotions) -> None:
    fill(
        promotions,
        row("a", "reference", "2015-06-30", 1),
        row("b", "kept", "2015-07-31", 1),
        row("c", "promoted", "2015-12-31", 2, candidate="lstm", recipe={"model": "recurrent", "settings": {}}),
        row("d", "historical", "2014-12-31", 2),
        row("e", "kept", "2016-01-31", 2),
    )
    champion = promotions.champion()
    assert champion is not None
    assert (champion.version, champion.candidate, champion.run_key, champion.manifest_digest) == (2, "lstm", "c", "m2")
    assert champion.effective_as_of == "2015-12-31T22:00:00+00:00"
    assert promotions.champion_recipe() == {"model": "recurrent", "settings": {}}
    assert [one.sequence for one in promotions.rows()] == [1, 2, 3, 4, 5]
    assert promotions.find("d") == promotions.rows()[3]


def test_effective_goes_by_what_was_known(promotions: Promotions) -> None:
    fill(
        promotions,
        row("a", "reference", "2015-06-30", 1),
        row("b", "refreshed", "2015-12-31", 2),
        row("c", "historical", "2015-01-31", 2),
        row("d", "rolled-back", "2016-03-31", 1),
    )
    expected = {"2015-06-29": None, "2015-06-30": 1, "2015-12-30": 1, "2015-12-31": 2, "2016-03-30": 2, "2016-03-31": 1, "2020-01-01": 1}
    assert {date: promotions.effective(date) for date in expected} == expected
    assert promotions.effective(pd.Timestamp("2015-12-31T21:59:00", tz="UTC")) == 1
    assert promotions.effective(pd.Timestamp("2015-12-31T22:00:00", tz="UTC")) == 2
    assert promotions.effective(pd.Timestamp("2015-12-31")) == 2


def test_a_stale_reader_may_not_write(promotions: Promotions) -> None:
    promotions.record(row("a", "reference", "2015-06-30", 1), None)
    with pytest.raises(ConflictError, match="another run wrote first"):
        promotions.record(row("b", "reference", "2015-06-30", 2), None)
    _, version = promotions.snapshot()
    promotions.record(row("c", "kept", "2015-07-01", 1), version)
    with pytest.raises(ConflictError):
        promotions.record(row("d", "kept", "2015-07-02", 1), version)
    assert [one.run_key for one in promotions.rows()] == ["a", "c"]


def test_one_run_is_recorded_once(promotions: Promotions) -> None:
    promotions.record(row("a", "reference", "2015-06-30", 1), None)
    with pytest.raises(StateError, match="recorded already"):
        promotions.record(row("a", "kept", "2015-07-30", 1), 0)
    assert len(promotions.rows()) == 1


def test_the_champion_never_moves_back_in_time_or_to_nothing(promotions: Promotions) -> None:
    promotions.record(row("a", "reference", "2015-06-30", 1), None)
    with pytest.raises(FinflowError, match="historical"):
        promotions.record(row("b", "promoted", "2015-06-29", 2), 0)
    with pytest.raises(FinflowError, match="needs the version"):
        promotions.record(row("c", "promoted", "2015-07-29"), 0)
    assert len(promotions.rows()) == 1


def test_another_definition_has_its_own(promotions: Promotions) -> None:
    promotions.record(row("a", "reference", "2015-06-30", 1), None)
    assert Promotions(promotions.lake, "other").rows() == []


RACE = """
import sys, time
from tests.support.pipelines.promotion_rows import row
from finflow.pipelines.core.errors import ConflictError
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import Promotions
from pathlib import Path
folder, name = sys.argv[1:]
promotions = Promotions(Lake(folder + "/lake"), "tiny")
Path(folder, "ready-" + name).touch()
while not Path(folder, "go").exists():
    time.sleep(0.001)
lost = 0
for number in range(2):
    while True:
        rows, version = promotions.snapshot()
        try:
            promotions.record(row(f"{name}-{number}", "kept" if rows else "reference", "2015-06-30", 1), version)
            break
        except ConflictError:
            lost += 1
print(lost)
"""


def test_processes_at_once_lose_nothing_and_write_one_after_the_other(tmp_path: Path, promotions: Promotions) -> None:
    names = ["a", "b", "c"]
    processes = [warm.Popen([sys.executable, "-c", RACE, str(tmp_path), name], cwd=REPOSITORY, stdout=subprocess.PIPE) for name in names]
    while not all(
        (tmp_path / f"ready-{name}").exists() or process.poll() is not None for name, process in zip(names, processes, strict=True)
    ):
        pass
    (tmp_path / "go").touch()
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0]
    assert all(output.strip().isdigit() for output in outputs)
    rows = promotions.rows()
    assert [one.sequence for one in rows] == list(range(1, 7))
    assert {one.run_key for one in rows} == {f"{name}-{number}" for name in names for number in range(2)}
    assert [one.verdict for one in rows] == ["reference"] + ["kept"] * 5
