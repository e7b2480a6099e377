"""Samples: which windows there are, what they hold, and how they are kept."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finflow.models.base import Task
from finflow.models.samples import Samples
from finflow.pipelines.core.errors import ContractError, DefinitionError, NotEnoughHistoryError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.samples.store import open_samples, read_facts, write_samples
from finflow.pipelines.samples.windows import (
    build_samples,
    count_dropped,
    require_samples,
    store_samples,
    task_of,
)
from tests.support import left_by_a_killed_process
from tests.support.pipelines.bars import bars, definition

UTC = "UTC"


def ends(samples: Samples, entity: str = "A") -> list[str]:
    """The dates of an entity's samples."""
    code = samples.observations.entities.index(entity)
    return [str(time)[:10] for time in samples.index.time[samples.index.entity == code]]


def test_windows_are_the_last_observations_of_one_entity() -> None:
    frame = bars(12)
    samples = build_samples(definition(), frame)
    assert samples.columns == ("log_return", "__increment", "__level")
    assert samples.observations.values.dtype == np.float32
    assert samples.observations.values.flags.c_contiguous
    assert samples.observations.entities == ("A", "B")
    # the first return is missing, so the first window of five ends at the sixth row
    assert samples.index.row.tolist() == [*range(5, 12), *range(17, 24)]
    windows = samples.gather()
    assert windows.shape == (14, 5, 3)
    close = np.log(frame["close"].to_numpy())
    np.testing.assert_allclose(windows[0, :, 0], np.diff(close[:6]), rtol=1e-4)
    np.testing.assert_allclose(windows[7, :, 0], np.diff(close[12:18]), rtol=1e-4)
    np.testing.assert_allclose(samples.targets[0], close[6:8] - close[5], rtol=1e-4)
    # the newest are there without labels: they are what is scored
    assert samples.index.labelled.tolist() == ([True] * 5 + [False] * 2) * 2


def test_rows_in_any_order_give_the_same_samples() -> None:
    frame = bars(40)
    ordered = build_samples(definition(), frame)
    shuffled = build_samples(definition(), frame.sample(frac=1, random_state=1))
    assert ordered.observations.values.tobytes() == shuffled.observations.values.tobytes()
    np.testing.assert_array_equal(ordered.index.row, shuffled.index.row)
    np.testing.assert_array_equal(ordered.targets, shuffled.targets)


def test_two_rows_of_one_key_are_refused() -> None:
    frame = bars(10)
    with pytest.raises(ContractError, match="entity 'A' has two rows of 2015-01-05"):
        build_samples(definition(), pd.concat([frame, frame[:1]]))


def test_a_missing_value_forbids_every_window_that_would_hold_it() -> None:
    frame = bars(30, entities=("A",))
    frame.loc[15, "close"] = np.nan
    samples = build_samples(definition(), frame)
    # level missing at 15, returns at 15 and 16: windows that end at 15 to 20 are gone, and labels that need row 15
    assert sorted(set(range(5, 30)) - set(samples.index.row.tolist())) == [15, 16, 17, 18, 19, 20]
    labelled = dict(zip(samples.index.row.tolist(), samples.index.labelled.tolist(), strict=True))
    assert [row for row, known in labelled.items() if not known] == [13, 14, 28, 29]


@pytest.mark.parametrize("bad", [np.inf, -np.inf, 1e308])
def test_values_beyond_float32_are_missing(bad: float) -> None:
    wide = definition(features=[{"kind": "value", "column": "close"}], problem={"kind": "forecast", "transform": "none"})
    frame = bars(30, entities=("A",))
    frame.loc[15, "close"] = bad
    samples = build_samples(wide, frame)
    assert np.isfinite(samples.gather()).all()
    assert not set(range(15, 20)) & set(samples.index.row.tolist())


def gapped(missing: int) -> pd.DataFrame:
    """One entity of 30 weekdays without the sessions 15, 16 ... ."""
    frame = bars(30, entities=("A",))
    return frame.drop(index=range(15, 15 + missing)).reset_index(drop=True)


def test_a_window_never_crosses_a_gap_longer_than_allowed() -> None:
    allowed = definition(window={"length": 5, "horizon": 2, "maximum_gap": 3}, calendar="XNYS", folds={"first_test": "2015-09-01"})
    small, large = build_samples(allowed, gapped(3)), build_samples(allowed, gapped(4))
    assert small.index.row.tolist() == list(range(5, 27))
    # row 15 is the first behind the gap, and has no return as an entity's first has none; the first full window there ends at 20
    assert large.index.row.tolist() == [*range(5, 15), *range(20, 26)]


def test_no_feature_and_no_increment_reaches_across_a_forbidden_gap() -> None:
    allowed = definition(
        features=[{"kind": "value", "column": "close"}, {"kind": "rolling_mean_return", "window": 3, "name": "mean"}],
        window={"length": 2, "horizon": 2, "maximum_gap": 3},
        calendar="XNYS",
    )
    observations = build_samples(allowed, gapped(4)).observations
    missing = {name: np.flatnonzero(np.isnan(observations.values[:, number])).tolist() for number, name in enumerate(observations.columns)}
    assert missing == {"value_close": [], "mean": [0, 1, 2, 15, 16, 17], "__increment": [0, 15], "__level": []}


def test_a_label_across_a_forbidden_gap_is_none() -> None:
    allowed = definition(window={"length": 5, "horizon": 2, "maximum_gap": 3}, calendar="XNYS")
    samples = build_samples(allowed, gapped(4))
    unlabelled = samples.index.row[~samples.index.labelled].tolist()
    assert unlabelled == [13, 14, 24, 25]
    assert np.isnan(samples.targets[samples.index.row == 14]).all()
    assert build_samples(allowed, gapped(3)).index.labelled.sum() == 20


def test_holidays_are_no_gap() -> None:
    none = definition(window={"length": 2, "horizon": 1, "maximum_gap": 0}, calendar="XNYS")
    frame = bars(10, entities=("A",), start="2015-06-29")
    holiday = frame[frame["time"] != pd.Timestamp("2015-07-03")].reset_index(drop=True)  # Independence Day, observed
    assert len(build_samples(none, holiday)) == 7
    assert len(build_samples(none, frame[frame["time"] != pd.Timestamp("2015-07-06")].reset_index(drop=True))) < 7


def test_without_a_calendar_a_session_is_a_date_of_the_data() -> None:
    none = definition(window={"length": 2, "horizon": 1, "maximum_gap": 0})
    frame = bars(10)
    suspended = frame.drop(index=[4]).reset_index(drop=True)
    assert "2015-01-12" not in ends(build_samples(none, suspended), "A"), "B traded on the 9th, A did not"
    alone = suspended[suspended["entity"] == "A"].reset_index(drop=True)
    assert "2015-01-12" in ends(build_samples(none, alone)), "nothing says that the 9th was a session"


def test_a_label_that_ends_after_the_as_of_is_not_known() -> None:
    frame = bars(20, entities=("A",))
    as_of = pd.Timestamp("2015-01-23 22:00", tz=UTC)  # row 14
    samples = build_samples(definition(), frame, as_of)
    known = samples.index.row[samples.index.labelled]
    assert known.tolist() == list(range(5, 13))
    assert np.isnan(samples.targets[samples.index.row > 12]).all()


def test_every_dropped_row_is_counted_under_one_reason() -> None:
    frame = gapped(10)
    frame.loc[3, "volume"] = np.nan
    counted = count_dropped(definition(features=[{"kind": "value", "column": "volume"}], calendar="XNYS"), frame)
    built = build_samples(definition(features=[{"kind": "value", "column": "volume"}], calendar="XNYS"), frame)
    assert counted.too_young + counted.gap + counted.missing + len(built) == len(frame)
    # missing: volume of row 3 in windows that end at 4 to 7, the increment of row 15 in the one that ends at 19
    assert (counted.too_young, counted.gap, counted.missing) == (4, 4, 5)
    assert counted.missing_by_column == {"value_volume": 1, "__increment": 2}
    assert "4 windows would cross a gap" in counted.sentence
    assert "value_volume (1 rows)" in counted.sentence


def test_too_little_history_says_how_much_is_needed() -> None:
    needy = definition(features=[{"kind": "rolling_volatility", "window": 20, "name": "v"}])
    frame = bars(15)
    samples = build_samples(needy, frame)
    with pytest.raises(NotEnoughHistoryError, match=r"the longest entity has 15.*v \(30 rows\).*needs 27 observations"):
        require_samples(needy, samples, count_dropped(needy, frame))
    enough = build_samples(needy, bars(27, entities=("A",)))
    assert enough.index.labelled.sum() == 1, "the number in the message is exact"


def test_an_empty_frame_has_no_samples() -> None:
    empty = bars(3)[:0]
    assert len(build_samples(definition(), empty)) == 0
    with pytest.raises(NotEnoughHistoryError):
        require_samples(definition(), build_samples(definition(), empty), count_dropped(definition(), empty))


def test_missing_columns_are_named() -> None:
    with pytest.raises(DefinitionError, match="no column 'close'"):
        build_samples(definition(), bars(5).drop(columns="close"))


def test_the_task_names_columns_and_features() -> None:
    task = task_of(definition(), build_samples(definition(), bars(10)).columns)
    assert task.features == ("log_return",)
    assert (task.increment, task.level, task.outputs, task.length) == ("__increment", "__level", 2, 5)
    assert task.from_dict(json.loads(json.dumps(task.to_dict()))) == task


@st.composite
def panels(draw: st.DrawFn) -> pd.DataFrame:
    """Entities with holes, missing values, and lives of their own."""
    frames = []
    for entity in draw(st.lists(st.sampled_from("ABC"), min_size=1, max_size=3, unique=True)):
        days = sorted(draw(st.sets(st.integers(0, 40), min_size=1, max_size=30)))
        values = draw(st.lists(st.sampled_from([1.0, 2.0, 3.0, np.nan]), min_size=len(days), max_size=len(days)))
        frames.append(
            pd.DataFrame({"entity": entity, "time": pd.Timestamp("2020-01-01") + pd.to_timedelta(days, unit="D"), "close": values})
        )
    return pd.concat(frames, ignore_index=True)


def wanted_rows(frame: pd.DataFrame, length: int, gap: int) -> set[tuple[str, pd.Timestamp]]:
    """The samples there ought to be, one row after the other."""
    dates = sorted(frame["time"].unique())
    found = set()
    for entity, rows in frame.groupby("entity"):
        rows = rows.sort_values("time").reset_index(drop=True)
        for last in range(length - 1, len(rows)):
            part = rows[last - length + 1 : last + 1]
            # the first row's change needs the observation before it
            read = rows[max(last - length, 0) : last + 1]
            places = [dates.index(time) for time in read["time"]]
            steps = all(right - left - 1 <= gap for left, right in itertools.pairwise(places))
            if last >= length and steps and read["close"].notna().all():
                found.add((str(entity), part["time"].iloc[-1]))
    return found


@settings(max_examples=60, deadline=None)
@given(frame=panels(), length=st.integers(1, 6), gap=st.integers(0, 4))
def test_the_samples_are_exactly_the_valid_windows(frame: pd.DataFrame, length: int, gap: int) -> None:
    one = definition(
        features=[{"kind": "value", "column": "close"}],
        window={"length": length, "horizon": 1, "maximum_gap": gap},
        problem={"kind": "forecast", "transform": "none"},
    )
    samples = build_samples(one, frame)
    names = [samples.observations.entities[code] for code in samples.index.entity]
    assert set(zip(names, pd.DatetimeIndex(samples.index.time), strict=True)) == wanted_rows(frame, length, gap)
    assert np.isfinite(samples.gather()).all()


def saved(tmp_path: Path, wanted: Definition | None = None) -> tuple[Samples, Path]:
    samples = build_samples(wanted or definition(), bars(30))
    folder = tmp_path / "samples" / "abc"
    write_samples(samples, folder, {"samples": len(samples)})
    return samples, folder


def test_stored_samples_open_as_a_memory_map_of_the_same_bits(tmp_path: Path) -> None:
    samples, folder = saved(tmp_path)
    opened = open_samples(folder)
    assert isinstance(opened.observations.values, np.memmap)
    assert not opened.observations.values.flags.writeable
    assert opened.observations.values.tobytes() == samples.observations.values.tobytes()
    assert opened.columns == samples.columns
    assert opened.observations.entities == ("A", "B")
    for name in ("row", "time", "label_start", "label_end", "entity", "target", "target_time", "origin"):
        left, right = getattr(opened.index, name), getattr(samples.index, name)
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(opened.gather(), samples.gather())


def test_a_second_writer_leaves_what_is_there_and_no_litter(tmp_path: Path) -> None:
    samples, folder = saved(tmp_path)
    before = (folder / "values.npy").stat().st_mtime_ns
    write_samples(samples, folder, {})
    assert (folder / "values.npy").stat().st_mtime_ns == before
    assert [path.name for path in folder.parent.iterdir()] == ["abc"]


def test_what_a_killed_writer_left_is_swept(tmp_path: Path) -> None:
    left = left_by_a_killed_process(tmp_path / "samples" / "x")
    left.mkdir(parents=True)
    saved(tmp_path)
    assert not left.exists()


def test_damaged_or_foreign_samples_are_refused(tmp_path: Path) -> None:
    _, folder = saved(tmp_path)
    (folder / "index-row.npy").write_bytes(b"no array")
    with pytest.raises(StateError, match="damaged"):
        open_samples(folder)
    content = json.loads((folder / "samples.json").read_text())
    (folder / "samples.json").write_text(json.dumps({**content, "schema": 99}))
    with pytest.raises(StateError, match="schema 99, expected 2"):
        open_samples(folder)
    with pytest.raises(StateError, match="holds no samples"):
        open_samples(tmp_path)


def test_a_clean_batch_is_windowed_once(home: Home) -> None:
    source = {"kind": "simulated", "process": "random_walk", "entities": 2, "days": 200, "start": "2015-01-05", "seed": 0}
    wanted = definition(source=source, calendar="XNYS", contract={"kind": "bars", "minimum_history": 50})
    raw = ingest(open_context(wanted, home))
    instants = [resolve_as_of(open_context(wanted, home), date) for date in ("2015-09-01", "2015-09-02")]
    first = store_samples(open_context(wanted, home), validate(open_context(wanted, home), raw, instants[0]))
    written = (Path(first.folder) / "values.npy").stat().st_mtime_ns
    again = store_samples(open_context(wanted, home), validate(open_context(wanted, home), raw, instants[0]))
    assert again.folder == first.folder
    assert again.digest == first.digest
    assert (Path(first.folder) / "values.npy").stat().st_mtime_ns == written
    later = store_samples(open_context(wanted, home), validate(open_context(wanted, home), raw, instants[1]))
    assert later.folder != first.folder
    assert later.samples == first.samples + 2
    other = store_samples(open_context(definition(**{**wanted.model_dump(mode="json"), "window": {"length": 6}}), home), first.clean)
    assert other.folder != first.folder
    opened = open_samples(first.folder)
    assert (len(opened), int(opened.index.labelled.sum()), len(opened.observations.values)) == (
        first.samples,
        first.labelled,
        first.observations,
    )
    assert Task.from_dict(first.task) == task_of(wanted, opened.columns)
    assert read_facts(Path(first.folder))["dropped"]["too_young"] == 8
    assert json.loads(json.dumps(first.to_dict()))["digest"] == first.digest
