"""Reading as of an instant, a person's dates, and digests of frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.digest import digest_frame
from finflow.pipelines.core.errors import FinflowError, StateError
from finflow.pipelines.core.home import Home
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.lake.as_of import latest_revisions, read_as_of
from finflow.pipelines.lake.lake import Lake
from tests.support import tiny_values


def write(tmp_path: Path, last: str, **changes: object) -> Definition:
    days = pd.bdate_range("2018-12-03", last)
    (tmp_path / "a.csv").write_text("date,close\n" + "".join(f"{day:%Y-%m-%d},{changes.get(f'{day:%m%d}', 1)}\n" for day in days))
    source = {"kind": "csv", "path": str(tmp_path / "a.csv")}
    features = [{"kind": "log_return", "column": "close"}]
    return parse_definition(tiny_values(source=source, features=features, calendar="XNYS", publication_lag_minutes=30))


def test_a_date_is_the_instant_at_which_its_session_is_published(tmp_path: Path, home: Home) -> None:
    made = write(tmp_path, "2018-12-28")
    ingest(open_context(made, home))
    friday = pd.Timestamp("2018-12-28 21:30", tz="UTC")
    assert resolve_as_of(open_context(made, home), None) == friday
    assert resolve_as_of(open_context(made, home), "2018-12-28") == friday
    assert resolve_as_of(open_context(made, home), " 2018-12-24 ") == pd.Timestamp("2018-12-24 18:30", tz="UTC")  # a half day
    assert resolve_as_of(open_context(made, home), "2018-12-30") == pd.Timestamp(
        "2018-12-31 00:30", tz="UTC"
    )  # the weekend after the last session
    assert resolve_as_of(open_context(made, home), "2018-12-08") == pd.Timestamp("2018-12-09 00:30", tz="UTC")
    assert resolve_as_of(open_context(made, home), "2018-12-20T15:00:00+01:00") == pd.Timestamp("2018-12-20 14:00", tz="UTC")
    assert str(resolve_as_of(open_context(made, home), "2018-12-28").tz) == "UTC"


@pytest.mark.parametrize(
    ("date", "told"),
    [
        ("2018-12-31", "after the last complete session.*from 2018-12-03 to 2018-12-28"),
        ("2099-01-01", "after the last complete session"),
        ("2018-11-30", "before the first session"),
        ("tomorrow", "'tomorrow' is no date"),
        ("2018-02-30", "is no date"),
        ("31.12.2018", "is no date"),
        ("", "is no date"),
        ("2018-12-28\u202e", "is no date"),
    ],
)
def test_a_date_that_means_nothing_is_refused(tmp_path: Path, home: Home, date: str, told: str) -> None:
    made = write(tmp_path, "2018-12-28")
    ingest(open_context(made, home))
    with pytest.raises(FinflowError, match=told):
        resolve_as_of(open_context(made, home), date)


def test_by_default_a_later_correction_is_known_too(tmp_path: Path, home: Home) -> None:
    ingest(open_context(write(tmp_path, "2018-12-28"), home), now=pd.Timestamp("2019-01-05", tz="UTC"))
    corrected = write(tmp_path, "2018-12-28", **{"1205": 2})
    arrival = pd.Timestamp("2019-02-01 08:00", tz="UTC")
    ingest(open_context(corrected, home), now=arrival)
    as_of = resolve_as_of(open_context(corrected, home), None)
    assert as_of == arrival
    assert read_as_of(Lake(home.lake), "raw/tiny", as_of)["close"].sum() == 21
    before = resolve_as_of(open_context(corrected, home), "2018-12-28")
    assert read_as_of(Lake(home.lake), "raw/tiny", before)["close"].sum() == 20


def test_a_run_keeps_to_the_version_that_it_ingested(tmp_path: Path, home: Home) -> None:
    made = write(tmp_path, "2018-12-27")
    raw = ingest(open_context(made, home), now=pd.Timestamp("2019-01-05", tz="UTC"))
    ingest(open_context(write(tmp_path, "2018-12-28"), home), now=pd.Timestamp("2019-01-05", tz="UTC"))
    assert resolve_as_of(open_context(made, home), None, version=raw.version) == pd.Timestamp("2018-12-27 21:30", tz="UTC")
    assert resolve_as_of(open_context(made, home), None) == pd.Timestamp("2018-12-28 21:30", tz="UTC")


def test_a_session_that_lies_ahead_is_not_complete(tmp_path: Path, home: Home) -> None:
    made = write(tmp_path, "2018-12-28")
    with (tmp_path / "a.csv").open("a") as stream:
        stream.write("2150-01-05,9\n")
    ingest(open_context(made, home), now=pd.Timestamp("2018-12-28 10:00", tz="UTC"))
    assert resolve_as_of(open_context(made, home), None) == pd.Timestamp("2018-12-28 21:30", tz="UTC")


def test_without_data_the_message_says_what_to_do(tmp_path: Path, home: Home) -> None:
    made = write(tmp_path, "2018-12-28")
    for date in (None, "2018-12-28"):
        with pytest.raises(FinflowError, match="finflow validate tiny"):
            resolve_as_of(open_context(made, home), date)
    with pytest.raises(StateError, match="nothing has been ingested"):
        read_as_of(Lake(home.lake), "raw/tiny", pd.Timestamp("2018-12-28", tz="UTC"))


def revisions() -> pd.DataFrame:
    rows = [("b", 2, 1, 1.0), ("a", 3, 5, 2.0), ("a", 3, 9, 3.0), ("a", 2, 1, 4.0), ("a", 3, 9, 2.5), ("b", 1, 1, np.nan)]
    frame = pd.DataFrame(rows, columns=["entity", "time", "known_at", "x"])
    days = pd.Timestamp("2018-01-01")
    return frame.assign(
        entity=frame["entity"].astype("str"),
        time=days + pd.to_timedelta(frame["time"], unit="D"),
        known_at=(days + pd.to_timedelta(frame["known_at"], unit="D")).dt.tz_localize("UTC"),
    )


def test_the_latest_revision_of_each_key_stands_whatever_the_order() -> None:
    frame = revisions()
    expected = latest_revisions(frame)
    assert [(row.entity, row.time.day) for row in expected.itertuples()] == [("a", 3), ("a", 4), ("b", 2), ("b", 3)]
    assert expected["x"].tolist()[:2] == [4.0, 2.5]
    kept = latest_revisions(frame, duplicates=True)
    assert kept["x"].tolist()[:3] == [4.0, 2.5, 3.0]
    random = np.random.default_rng(0)
    for _ in range(10):
        shuffled = frame.iloc[random.permutation(len(frame))]
        pd.testing.assert_frame_equal(latest_revisions(shuffled), expected)
        pd.testing.assert_frame_equal(latest_revisions(shuffled, duplicates=True), kept)


def test_a_digest_is_of_content_alone() -> None:
    frame = latest_revisions(revisions())
    digest = digest_frame(frame)
    assert digest == digest_frame(frame.copy())
    assert digest == digest_frame(frame[["x", "known_at", "time", "entity"]])
    assert digest == digest_frame(frame.assign(time=frame["time"].astype("datetime64[ns]"), entity=frame["entity"].astype("object")))
    assert digest == digest_frame(frame.assign(known_at=frame["known_at"].dt.tz_convert("Asia/Shanghai")))
    assert digest == digest_frame(frame.set_axis([5, 6, 7, 8]))
    changes = [
        frame.assign(x=frame["x"].fillna(0.0)),
        frame.assign(x=frame["x"] + 1e-12),
        frame.assign(entity=["a", "a", "b", "c"]),
        frame.assign(entity=["a", "a", "b", None]),
        frame.assign(time=frame["time"] + pd.Timedelta(microseconds=1)),
        frame.rename(columns={"x": "y"}),
        frame.iloc[::-1],
        frame.iloc[:3],
        frame.iloc[:0],
        frame.drop(columns="x"),
    ]
    digests = [digest_frame(change) for change in changes]
    assert len({digest, *digests}) == len(changes) + 1
