"""What lands in the raw table, and when it counts as known."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finflow.pipelines.core.errors import SourceError
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.as_of import read_as_of
from finflow.pipelines.lake.lake import Lake
from tests.support import REPOSITORY, tiny_values, warm

NOW = pd.Timestamp("2018-03-01 12:00", tz="UTC")
LATER = pd.Timestamp("2018-03-05 12:00", tz="UTC")
RAW = "raw/tiny"


def definition(tmp_path: Path, text: str, **changes: Any) -> Definition:
    (tmp_path / "data.csv").write_text(text)
    source = {"kind": "csv", "path": str(tmp_path / "data.csv"), **changes}
    features = [{"kind": "log_return", "column": "close", "name": "log_return"}]
    return parse_definition(tiny_values(source=source, features=features, calendar="XNYS"))


def table(*lines: str, header: str = "entity,date,close") -> str:
    return "\n".join([header, *lines]) + "\n"


def known(home: Home, as_of: str | pd.Timestamp, **options: Any) -> list[tuple[str, str, float]]:
    frame = read_as_of(Lake(home.lake), RAW, pd.Timestamp(as_of), **options)
    return [(row.entity, f"{row.time:%m-%d}", row.close) for row in frame.itertuples()]


def stored(home: Home) -> pd.DataFrame:
    return Lake(home.lake).read(RAW).sort_values(["entity", "time", "known_at"], ignore_index=True)


def test_history_is_published_by_rule_and_nothing_new_writes_nothing(tmp_path: Path, home: Home) -> None:
    made = definition(tmp_path, table("a,2018-01-02,1", "a,2018-01-03,2", "b,2018-01-02,3"))
    first = ingest(open_context(made, home), now=NOW)
    assert (first.table, first.version, first.added, first.rows) == (RAW, 0, 3, 3)
    assert (first.first_time, first.last_time) == ("2018-01-02T00:00:00", "2018-01-03T00:00:00")
    found = stored(home)
    assert found["known_at"].tolist() == [pd.Timestamp(f"2018-01-0{day} 22:00", tz="UTC") for day in (2, 3, 2)]
    assert found["period"].tolist() == ["2018"] * 3
    again = ingest(open_context(made, home), now=LATER)
    assert (again.version, again.added, again.rows) == (0, 0, 3)
    assert again.last_time == first.last_time


def test_a_new_day_is_added_and_a_changed_row_is_known_from_its_arrival(tmp_path: Path, home: Home) -> None:
    ingest(open_context(definition(tmp_path, table("a,2018-01-02,1", "a,2018-01-03,2")), home), now=NOW)
    made = definition(tmp_path, table("a,2018-01-02,1.5", "a,2018-01-03,2", "a,2018-01-04,3"))
    assert ingest(open_context(made, home), now=LATER).added == 2
    assert known(home, "2018-01-04 22:00Z") == [("a", "01-02", 1.0), ("a", "01-03", 2.0), ("a", "01-04", 3.0)]
    assert known(home, LATER) == [("a", "01-02", 1.5), ("a", "01-03", 2.0), ("a", "01-04", 3.0)]
    assert known(home, "2018-01-03 21:59Z") == [("a", "01-02", 1.0)]
    assert known(home, LATER, version=0) == [("a", "01-02", 1.0), ("a", "01-03", 2.0)]
    assert ingest(open_context(made, home), now=LATER).added == 0
    # Back to what it was: a revision like any other.
    assert (
        ingest(open_context(definition(tmp_path, table("a,2018-01-02,1", "a,2018-01-03,2", "a,2018-01-04,3")), home), now=LATER).added == 1
    )
    assert known(home, LATER + pd.Timedelta(seconds=1))[0] == ("a", "01-02", 1.0)


def test_a_value_that_vanishes_is_a_revision_and_one_that_stays_missing_is_none(tmp_path: Path, home: Home) -> None:
    ingest(open_context(definition(tmp_path, table("a,2018-01-02,1", "a,2018-01-03,NA")), home), now=NOW)
    assert ingest(open_context(definition(tmp_path, table("a,2018-01-02,", "a,2018-01-03,")), home), now=LATER).added == 1


def test_a_hole_filled_later_was_not_known_before_and_an_end_continued_was(tmp_path: Path, home: Home) -> None:
    ingest(open_context(definition(tmp_path, table("a,2018-01-03,1", "a,2018-01-05,2")), home), now=NOW)
    ingest(
        open_context(definition(tmp_path, table(*(f"a,2018-01-0{day},1" for day in (2, 3, 4)), "a,2018-01-05,2", "b,2018-01-04,9")), home),
        now=LATER,
    )
    assert known(home, "2018-02-01 00:00Z") == [("a", "01-02", 1.0), ("a", "01-03", 1.0), ("a", "01-05", 2.0), ("b", "01-04", 9.0)]
    assert ("a", "01-04", 1.0) in known(home, LATER)


def test_a_bar_that_changes_before_its_close_ends_with_its_last_values(tmp_path: Path, home: Home) -> None:
    for hour, close in ((15, 1), (16, 2), (23, 3)):
        made = definition(tmp_path, table("a,2018-03-01,5", f"a,2018-03-02,{close}"))
        ingest(open_context(made, home), now=pd.Timestamp(f"2018-03-02 {hour}:00", tz="UTC"))
    assert known(home, "2018-03-02 21:59Z") == [("a", "03-01", 5.0)]
    assert known(home, "2018-03-02 22:01Z")[1] == ("a", "03-02", 2.0)
    assert known(home, "2018-03-02 23:00Z")[1] == ("a", "03-02", 3.0)


def test_a_row_that_lies_ahead_is_known_at_once_for_the_contract_to_see(tmp_path: Path, home: Home) -> None:
    ingest(open_context(definition(tmp_path, table("a,2018-01-02,1", "a,2150-01-04,2")), home), now=NOW)
    assert [row[1] for row in known(home, NOW)] == ["01-02", "01-04"]


def test_the_order_of_rows_makes_no_difference(tmp_path: Path, home: Home) -> None:
    lines = [f"{entity},2018-01-{day:02},{day}" for entity in "ab" for day in (2, 3, 4)] + ["a,2018-01-03,7"]
    ingest(open_context(definition(tmp_path, table(*lines)), home), now=NOW)
    other = Home(tmp_path / "other", str(tmp_path / "other" / "lake"), "", None)
    ingest(open_context(definition(tmp_path, table(*reversed(lines))), other), now=NOW)
    for duplicates in (False, True):
        assert known(home, NOW, duplicates=duplicates) == known(other, NOW, duplicates=duplicates)
    assert ingest(open_context(definition(tmp_path, table(*reversed(lines))), home), now=LATER).added == 0


def test_rows_that_share_a_key_are_kept_together_as_one_revision(tmp_path: Path, home: Home) -> None:
    twice = table("a,2018-01-02,2", "a,2018-01-02,1", "a,2018-01-03,5", "a,2018-01-03,5")
    assert ingest(open_context(definition(tmp_path, twice), home), now=NOW).added == 4
    assert ingest(open_context(definition(tmp_path, twice), home), now=LATER).added == 0
    assert known(home, NOW, duplicates=True) == [("a", "01-02", 1.0), ("a", "01-02", 2.0), ("a", "01-03", 5.0), ("a", "01-03", 5.0)]
    assert known(home, NOW) == [("a", "01-02", 1.0), ("a", "01-03", 5.0)]
    mended = table("a,2018-01-02,2", "a,2018-01-03,5")
    assert ingest(open_context(definition(tmp_path, mended), home), now=LATER).added == 2
    assert known(home, LATER, duplicates=True) == [("a", "01-02", 2.0), ("a", "01-03", 5.0)]


def test_a_source_may_give_its_vintages(tmp_path: Path, home: Home) -> None:
    header = "entity,date,close,known_at"
    first = ["a,2018-01-02,1,2018-01-03", "a,2018-01-02,2,2018-02-01"]
    assert ingest(open_context(definition(tmp_path, table(*first, header=header)), home), now=NOW).added == 2
    assert known(home, "2018-01-15 00:00Z") == [("a", "01-02", 1.0)]
    assert known(home, "2018-02-15 00:00Z") == [("a", "01-02", 2.0)]
    assert ingest(open_context(definition(tmp_path, table(*first, header=header)), home), now=LATER).added == 0
    third = [*first, "a,2018-01-02,3,2018-02-20", "a,2018-01-03,4,"]
    assert ingest(open_context(definition(tmp_path, table(*third, header=header)), home), now=LATER).added == 2
    assert known(home, "2018-02-15 00:00Z") == [("a", "01-02", 2.0), ("a", "01-03", 4.0)]
    assert known(home, LATER) == [("a", "01-02", 3.0), ("a", "01-03", 4.0)]
    # A correction under the newest vintage counts from its arrival, once; an older vintage is history and cannot change.
    corrected = [*first, "a,2018-01-02,3.5,2018-02-20", "a,2018-01-03,4,"]
    assert ingest(open_context(definition(tmp_path, table(*corrected, header=header)), home), now=LATER).added == 1
    assert ingest(open_context(definition(tmp_path, table(*corrected, header=header)), home), now=LATER).added == 0
    assert known(home, LATER)[0] == ("a", "01-02", 3.5)
    assert known(home, "2018-02-25 00:00Z")[0] == ("a", "01-02", 3.0)
    with pytest.raises(SourceError, match=r"'a' on 2018-01-02.*cannot change"):
        ingest(open_context(definition(tmp_path, table("a,2018-01-02,9,2018-01-03", *corrected[1:], header=header)), home), now=LATER)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("entity,date,last\na,2018-01-02,1\n", "does not name column 'last'"),
        ("entity,date\na,2018-01-02\n", r"data\.csv: no column 'close', which tiny reads"),
        ("entity,date,close\na,2018-01-02,1\n,2018-01-03,1\n", r"column 'entity' is empty in 1 rows, first in data row 2"),
        ("entity,date,close\na,2018-01-02,1\na,,1\n", r"column 'time' is empty in 1 rows, first in data row 2"),
        ("entity,date,close\n../a,2018-01-02,1\n", "entity"),
        ("entity,date,close\na\u202eb,2018-01-02,1\n", r"entity 'a\\u202eb'"),
    ],
)
def test_a_batch_that_cannot_be_taken_leaves_nothing(tmp_path: Path, home: Home, text: str, told: str) -> None:
    with pytest.raises(SourceError, match=told):
        ingest(open_context(definition(tmp_path, text), home), now=NOW)
    assert not home.root.exists()


def test_a_column_that_vanishes_is_an_error_and_a_new_one_is_news(tmp_path: Path, home: Home) -> None:
    ingest(open_context(definition(tmp_path, table("a,2018-01-02,1,5", header="entity,date,close,volume")), home), now=NOW)
    with pytest.raises(SourceError, match="'volume' is missing, and earlier batches had it"):
        ingest(open_context(definition(tmp_path, table("a,2018-01-02,1")), home), now=LATER)
    wider = definition(tmp_path, table("a,2018-01-02,1,5,7", header="entity,date,close,volume,open"))
    assert ingest(open_context(wider, home), now=LATER).added == 1
    assert read_as_of(Lake(home.lake), RAW, LATER)["open"].tolist() == [7.0]


def test_two_processes_that_ingest_the_same_rows_write_them_once(tmp_path: Path, home: Home) -> None:
    days = pd.bdate_range("2010-01-01", "2017-12-29")
    definition(tmp_path, table(*(f"{entity},{day:%Y-%m-%d},1" for entity in "ab" for day in days)))
    program = f"""
import sys, time
from pathlib import Path
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from tests.support import tiny_values
import deltalake, finflow.pipelines.data.contract_rules, pyarrow.csv
source = {{"kind": "csv", "path": {str(tmp_path / "data.csv")!r}}}
made = parse_definition(tiny_values(source=source, features=[{{"kind": "log_return", "column": "close"}}]))
home = Home(Path({str(home.root)!r}), {home.lake!r}, "", None)
Path({str(tmp_path)!r}, "ready" + sys.argv[1]).touch()
while len(list(Path({str(tmp_path)!r}).glob("ready*"))) < 3:
    time.sleep(0.001)
print(ingest(open_context(made, home)).added)
"""
    started = [
        warm.Popen([sys.executable, "-c", program, str(number)], cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(3)
    ]
    said = [process.communicate(timeout=120) for process in started]
    assert [process.returncode for process in started] == [0, 0, 0], said
    assert sorted(int(out) for out, _ in said) == [0, 0, 2 * len(days)]
    assert Lake(home.lake).version(RAW) == 0


def test_simulated_days_arrive_one_by_one(home: Home) -> None:
    def made(days: int) -> Definition:
        values = tiny_values()
        return parse_definition({**values, "source": {**values["source"], "days": days}})

    assert ingest(open_context(made(60), home)).added == 120
    assert ingest(open_context(made(61), home)).added == 2
    assert ingest(open_context(made(61), home)).added == 0
