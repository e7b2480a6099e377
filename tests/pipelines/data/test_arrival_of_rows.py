"""What enters the lake: noise that is none, rows that vanish, a name over two sources, knowledge before it happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from finflow.pipelines.core.errors import ContractError, SourceError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import RawManifest
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.data.origin import Origin, other_source
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.lake.as_of import read_as_of
from finflow.pipelines.lake.lake import Lake
from tests.support import tiny_values

NOW = pd.Timestamp("2018-03-01 12:00", tz="UTC")
LATER = pd.Timestamp("2018-03-05 12:00", tz="UTC")
LAST = pd.Timestamp("2018-03-06 12:00", tz="UTC")
DAYS = [f"2018-01-{day:02}" for day in (2, 3, 4, 5, 8, 9, 10, 11, 12)]


def context(path: Path, home: Home, rows: list[str] | None, header: str = "entity,date,close", **changes: Any) -> Context:
    """The definition over a file at `path`, which gets these rows."""
    if rows is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *rows]) + "\n")
    source = {"kind": "csv", "path": str(path), **changes.pop("source", {})}
    features = [{"kind": "log_return", "column": "close", "name": "log_return"}]
    contract = {"kind": "bars", "minimum_history": 2}
    return open_context(parse_definition(tiny_values(**{"source": source, "features": features, "contract": contract, **changes})), home)


def panel(entities: str = "ab", days: list[str] = DAYS, factor: float = 1.0) -> list[str]:
    return [f"{entity},{day},{(100 + int(day[-2:])) * factor!r}" for entity in entities for day in days]


def read(home: Home, as_of: pd.Timestamp, table: str = "raw/tiny") -> list[tuple[str, str]]:
    return [(row.entity, f"{row.time:%m-%d}") for row in read_as_of(Lake(home.lake), table, as_of).itertuples()]


# --- noise


def test_float_noise_is_no_restatement_and_does_not_move_the_as_of(tmp_path: Path, home: Home) -> None:
    ingest(context(tmp_path / "p.csv", home, panel()), now=NOW)
    noisy = context(tmp_path / "p.csv", home, panel(factor=1 + 1e-9))
    found = ingest(noisy, now=LATER)
    assert (found.version, found.added, found.rows) == (0, 0, 18)
    assert resolve_as_of(noisy, None) == pd.Timestamp("2018-01-12 22:00", tz="UTC")
    assert ingest(context(tmp_path / "p.csv", home, panel(factor=1 + 1e-6)), now=LATER).added == 18, "beyond the tolerance it is one"


def test_a_drift_in_steps_below_the_tolerance_is_written_once_it_is_beyond_it(tmp_path: Path, home: Home) -> None:
    steps = [ingest(context(tmp_path / "p.csv", home, panel("a", factor=1 + step * 4e-8)), now=NOW).added for step in range(6)]
    assert steps == [9, 0, 0, 9, 0, 0]


def test_a_tolerance_is_of_a_column_and_a_table_has_none_unless_it_says_so(tmp_path: Path, home: Home) -> None:
    noise = panel("a", factor=1 + 1e-9)
    ingest(context(tmp_path / "p.csv", home, panel("a")), now=NOW)
    assert ingest(context(tmp_path / "p.csv", home, noise, tolerance={"close": 0.0}), now=LATER).added == 9
    table = {"contract": {"kind": "table"}, "name": "rows"}
    ingest(context(tmp_path / "q.csv", home, panel("a"), **table), now=NOW)
    assert ingest(context(tmp_path / "q.csv", home, noise, **table), now=LATER).added == 9
    with pytest.raises(SourceError, match="tolerance names 'clsoe', and the source gives no such column of numbers: there are 'close'"):
        ingest(context(tmp_path / "p.csv", home, noise, tolerance={"clsoe": 1e-6}), now=LAST)


def test_noise_under_a_vintage_is_none_and_a_correction_is_one(tmp_path: Path, home: Home) -> None:
    def rows(first: float, second: float) -> list[str]:
        return [f"a,2018-01-02,{first!r},2018-01-03T00:00Z", f"a,2018-01-02,{second!r},2018-02-01T00:00Z"]

    header = "entity,date,close,known_at"
    assert ingest(context(tmp_path / "p.csv", home, rows(1.0, 2.0), header), now=NOW).added == 2
    assert ingest(context(tmp_path / "p.csv", home, rows(1.0 + 1e-9, 2.0 - 1e-9), header), now=LATER).added == 0
    assert ingest(context(tmp_path / "p.csv", home, rows(1.0, 2.5), header), now=LATER).added == 1
    assert ingest(context(tmp_path / "p.csv", home, rows(1.0, 2.5 + 1e-9), header), now=LAST).added == 0


# --- rows that vanish


def test_rows_that_the_source_gives_no_more_are_counted_and_kept(tmp_path: Path, home: Home) -> None:
    ingest(context(tmp_path / "p.csv", home, panel()), now=NOW)
    rows = [line for line in panel("a") if "2018-01-05" not in line]
    shrunk = context(tmp_path / "p.csv", home, rows)
    found = ingest(shrunk, now=LATER)
    assert (found.read, found.added, found.rows, found.version) == (8, 0, 18, 0)
    assert found.missing is not None
    assert (found.missing.rows, found.missing.held, found.missing.named, found.missing.withdrawn) == (10, 18, ("b",), 0)
    assert "10 of the 18 rows that the lake holds from 2018-01-02 on" in found.missing.text
    assert "nothing at all of b" in found.missing.text
    assert "MORE THAN HALF" in found.missing.text
    assert ingest(shrunk, now=LAST).missing == found.missing, "it is said each time"
    clean = validate(shrunk, found, LATER, now=LATER)
    assert clean.rows == 18
    assert clean.raw.missing == found.missing


def test_a_file_cut_off_at_its_end_is_missed_and_a_source_of_the_newest_days_is_not(tmp_path: Path, home: Home) -> None:
    ingest(context(tmp_path / "p.csv", home, panel()), now=NOW)
    cut = ingest(context(tmp_path / "p.csv", home, panel(days=DAYS[:3])), now=LATER).missing
    assert cut is not None
    assert (cut.rows, cut.earlier) == (12, 0)
    newest = ingest(context(tmp_path / "p.csv", home, panel(days=[*DAYS[-2:], "2018-01-16"]), missing_rows="withdraw"), now=LATER)
    assert newest.missing is not None
    assert (newest.added, newest.missing.rows, newest.missing.earlier, newest.missing.withdrawn) == (2, 0, 14, 0)
    assert "14 rows before 2018-01-11, where the source begins now, are kept" in newest.missing.text


def test_withdrawn_rows_are_gone_from_then_on_and_there_before(tmp_path: Path, home: Home) -> None:
    ingest(context(tmp_path / "p.csv", home, panel()), now=NOW)
    changes: dict[str, Any] = {"missing_rows": "withdraw"}
    shrunk = context(tmp_path / "p.csv", home, panel("a"), **changes)
    found = ingest(shrunk, now=LATER)
    assert found.missing is not None
    assert (found.missing.rows, found.missing.withdrawn, found.added) == (9, 9, 0)
    assert resolve_as_of(shrunk, None, version=found.version) == LATER, "a run reads what is known by the withdrawal"
    for table in ("raw/tiny", "clean/tiny"):
        clean = validate(shrunk, found, LATER, now=LATER)
        assert (clean.rows, clean.entities, clean.quarantined) == (9, 1, 0)
        assert {entity for entity, _ in read(home, LATER, table)} == {"a"}
        assert {entity for entity, _ in read(home, LATER - pd.Timedelta(seconds=1), table)} == {"a", "b"}
        assert "withdrawn" not in read_as_of(Lake(home.lake), table, LATER)
    again = ingest(shrunk, now=LAST)
    assert (again.added, again.version, again.missing) == (0, found.version, None)
    back = ingest(context(tmp_path / "p.csv", home, panel(), **changes), now=LAST)
    assert (back.added, back.missing) == (9, None)
    assert {entity for entity, _ in read(home, LAST)} == {"a", "b"}
    assert {entity for entity, _ in read(home, LATER)} == {"a"}, "what was known then stays"
    clean = validate(shrunk, back, LAST, now=LAST)
    assert (clean.rows, clean.entities) == (18, 2)


def test_a_row_of_vintages_that_was_withdrawn_comes_back(tmp_path: Path, home: Home) -> None:
    header, changes = "entity,date,close,known_at", {"missing_rows": "withdraw"}
    rows = ["a,2018-01-02,1,2018-01-03T00:00Z", "a,2018-01-03,2,2018-01-04T00:00Z", "a,2018-01-03,3,2018-02-01T00:00Z"]
    ingest(context(tmp_path / "p.csv", home, rows, header, **changes), now=NOW)
    assert ingest(context(tmp_path / "p.csv", home, rows[:1], header, **changes), now=LATER).missing is not None
    assert read(home, LATER) == [("a", "01-02")]
    assert ingest(context(tmp_path / "p.csv", home, rows, header, **changes), now=LAST).added == 1
    frame = read_as_of(Lake(home.lake), "raw/tiny", LAST)
    assert frame["close"].tolist() == [1.0, 3.0]
    assert ingest(context(tmp_path / "p.csv", home, rows, header, **changes), now=LAST).added == 0


def test_a_delivery_that_broke_off_withdraws_nothing(tmp_path: Path, home: Home) -> None:
    ingest(context(tmp_path / "p.csv", home, panel()), now=NOW)
    with pytest.raises(SourceError, match=r"gives 1 of the 18 rows.*`maximum_withdrawn` \(0\.75\).*Nothing was written"):
        ingest(context(tmp_path / "p.csv", home, panel()[:1], missing_rows="withdraw"), now=LATER)
    assert Lake(home.lake).version("raw/tiny") == 0


# --- a name over two sources


def test_a_name_belongs_to_one_source(tmp_path: Path, home: Home) -> None:
    ingest(context(tmp_path / "desk1" / "p.csv", home, panel("a")), now=NOW)
    with pytest.raises(StateError) as caught:
        ingest(context(tmp_path / "desk2" / "p.csv", home, panel("z")), now=LATER)
    told = str(caught.value)
    assert str(tmp_path / "desk1" / "p.csv") in told
    assert str(tmp_path / "desk2" / "p.csv") in told
    assert "gives 0 of the 9 rows there unchanged" in told
    assert "A name belongs to one source" in told
    assert {entity for entity, _ in read(home, LATER)} == {"a"}
    same_entity = context(tmp_path / "desk2" / "p.csv", home, panel("a", factor=1.3))
    with pytest.raises(StateError, match="A name belongs to one source"):
        ingest(same_entity, now=LATER)
    moved = context(tmp_path / "desk2" / "p.csv", home, None, moved_from=str(tmp_path / "desk1" / "p.csv"))
    assert ingest(moved, now=LATER).added == 9, "a person may say so"
    assert ingest(same_entity, now=LAST).added == 0, "and says it once"


def test_the_same_rows_from_another_place_are_the_same_source_moved(tmp_path: Path, home: Home) -> None:
    ingest(context(tmp_path / "old" / "p.csv", home, panel()), now=NOW)
    assert ingest(context(tmp_path / "new" / "p.csv", home, panel(days=[*DAYS, "2018-01-16"])), now=LATER).added == 2
    assert ingest(context(tmp_path / "new" / "p.csv", home, panel(factor=2.0)), now=LAST).added == 18, (
        "what stands at its place is replaced"
    )


def test_the_same_file_mapped_otherwise_is_another_source(tmp_path: Path, home: Home) -> None:
    header = "entity,date,Close,Adjusted"
    rows = [f"{line},{50 + place}" for place, line in enumerate(panel("a"))]
    plain = {"source": {"columns": {"close": "Close"}, "ignore": ["Adjusted"]}}
    ingest(context(tmp_path / "p.csv", home, rows, header, **plain), now=NOW)
    with pytest.raises(StateError, match="its columns mapped otherwise"):
        ingest(context(tmp_path / "p.csv", home, None, source={"columns": {"close": "Adjusted"}, "ignore": ["Close"]}), now=LATER)
    more = {"source": {"columns": {"close": "Close", "adjusted": "Adjusted"}}}
    assert ingest(context(tmp_path / "p.csv", home, None, **more), now=LATER).added == 9, "a further column is news"


def test_a_folder_that_is_copied_whole_goes_on(tmp_path: Path) -> None:
    def home_in(folder: Path) -> Home:
        return Home(folder / "home", str(folder / "home" / "lake"), "", None)

    first, second = tmp_path / "first", tmp_path / "second"
    ingest(context(first / "p.csv", home_in(first), panel()), now=NOW)
    first.rename(second)
    assert ingest(context(second / "p.csv", home_in(second), panel(factor=2.0)), now=LATER).added == 18


# --- knowledge before it happened

HEADER = "date,close,known_at"


def known(tmp_path: Path, home: Home, cells: list[str], **changes: Any) -> tuple[Context, RawManifest]:
    """Bars of New York, each with what stands under known_at."""
    days = [f"{day:%Y-%m-%d}" for day in pd.bdate_range("2018-12-10", periods=len(cells)) if day != pd.Timestamp("2018-12-25")]
    rows = [f"{day},{100 + place},{cell.format(day=day)}" for place, (day, cell) in enumerate(zip(days, cells, strict=False))]
    made = context(tmp_path / "a.csv", home, rows, HEADER, **changes)
    return made, ingest(made, now=pd.Timestamp("2019-03-01", tz="UTC"))


def instants(home: Home) -> list[str]:
    return [f"{one:%m-%d %H:%M}" for one in Lake(home.lake).read("raw/tiny").sort_values("time")["known_at"]]


def test_rows_known_before_their_session_closes_are_quarantined_and_many_of_them_stop_the_run(tmp_path: Path, home: Home) -> None:
    made, raw = known(tmp_path, home, ["{day}T22:00Z"] * 9 + ["{day}T20:59Z", "{day}T17:59Z"])  # 24 December is a half day
    clean = validate(made, raw, NOW + pd.Timedelta(days=400), now=NOW + pd.Timedelta(days=400))
    assert clean.quarantined == 2
    rule = next(rule for rule in clean.rules if rule.rule == "known_after_close")
    assert (rule.severity, rule.unexpected) == ("row", 2)
    assert "known at 2018-12-24 17:59 UTC, it ends at 2018-12-24 18:00 UTC" in rule.detail


def test_a_file_known_days_before_is_refused(tmp_path: Path, home: Home) -> None:
    made, raw = known(tmp_path, home, ["2018-12-03T12:00Z"] * 11)
    told = r"few_quarantined: 11 of 11 rows.*Rows were broken by known_after_close .*; to do: .*known_after_close: off"
    with pytest.raises(ContractError, match=told):
        validate(made, raw, NOW + pd.Timedelta(days=400), now=NOW + pd.Timedelta(days=400))


@pytest.mark.parametrize("place", ["/desk 1/prices.csv", 'the yahoo source {"kind": "yahoo", "tickers": {"A": "^GSPC"}}'])
def test_the_old_place_is_told_as_it_can_be_written_into_a_definition(place: str) -> None:
    told = str(other_source("tiny", Origin("{}", "", place, ""), Origin("[]", "", "/desk2/p.csv", ""), 0, 10))
    assert yaml.safe_load(told[told.index("moved_from: ") :]) == {"moved_from": place}


@pytest.mark.parametrize(
    ("cells", "changes", "expected"),
    [
        (["{day}", "{day}"], {}, ["12-11 05:00", "12-12 05:00"]),
        (["{day} 00:00:00", "{day} 00:00:00"], {}, ["12-11 05:00", "12-12 05:00"]),
        (["{day}", "{day}"], {"calendar": "XSHG"}, ["12-10 16:00", "12-11 16:00"]),
        (["{day}", "{day}"], {"source": {"timezone": "Europe/Berlin"}}, ["12-10 23:00", "12-11 23:00"]),
        (["{day}", "{day}"], {"calendar": None}, ["12-11 00:00", "12-12 00:00"]),
        (["{day}", "{day}T17:30-05:00"], {}, ["12-11 05:00", "12-11 22:30"]),
        (["{day}", "{day} 22:00"], {}, ["12-11 05:00", "12-11 22:00"]),
        (["{day}T00:00Z", "{day}T22:00Z"], {}, ["12-10 00:00", "12-11 22:00"]),
        (["", "{day}"], {}, ["12-10 22:00", "12-12 05:00"]),
    ],
)
def test_a_date_alone_is_the_end_of_that_day(
    tmp_path: Path, home: Home, cells: list[str], changes: dict[str, Any], expected: list[str]
) -> None:
    known(tmp_path, home, cells, **changes)
    assert instants(home) == expected


def test_rows_without_a_calendar_are_bars_of_a_day_or_events_in_it(tmp_path: Path, home: Home) -> None:
    cells = ["{day}T15:00Z"] * 11
    made, raw = known(tmp_path, home, cells, calendar=None)
    with pytest.raises(ContractError, match="known_after_close"):
        validate(made, raw, NOW + pd.Timedelta(days=400), now=NOW + pd.Timedelta(days=400))
    made, raw = known(tmp_path, home, cells, calendar=None, name="events", contract={"kind": "table"})
    assert validate(made, raw, NOW + pd.Timedelta(days=400), now=NOW + pd.Timedelta(days=400)).quarantined == 0


def test_a_macro_series_known_weeks_after_its_period_is_left_alone(tmp_path: Path, home: Home) -> None:
    months = pd.date_range("2015-01-01", periods=24, freq="MS")
    rows = [f"{day:%Y-%m-%d},{100 + place},{day + pd.Timedelta(days=45):%Y-%m-%d}" for place, day in enumerate(months)]
    made = context(tmp_path / "m.csv", home, rows, HEADER, calendar="month-start")
    clean = validate(made, ingest(made, now=NOW), NOW, now=NOW)
    assert (clean.rows, clean.quarantined) == (24, 0)
    assert np.array_equal([rule.passed for rule in clean.rules if rule.rule == "known_after_close"], [True])
