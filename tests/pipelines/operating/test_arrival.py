"""A scheduled run's session: looking for it, being late, seeing late rows, catching up. A replay over a clock file makes the days."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.home import Home
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.definitions.loading import load_definition
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.ledger import Ledger, LedgerRow
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.operating.arrival import (
    SHORTEST_REST,
    Arrived,
    Awaited,
    LateDataError,
    look_for_session,
    missed_sessions,
    session_as_of,
)
from finflow.pipelines.operating.schedules import Due
from tests.support import tiny_values, write_definition

DUE = Due("2017-03-14", pd.Timestamp("2017-03-14T21:00", tz="UTC"))


class Clock:
    """The wall clock and the replay's: after `rests[n]`-th rest the replay stands at that date."""

    def __init__(self, file: Path, start: str, then: dict[int, str]) -> None:
        self.file, self.then = file, then
        self.present = datetime.datetime.fromisoformat(start).replace(tzinfo=datetime.UTC)
        self.rested: list[float] = []
        self.said: list[str] = []

    def now(self) -> datetime.datetime:
        return self.present

    def look(self, definition: Definition, home: Home, due: Due = DUE) -> Arrived:
        """Look, rest as long as is said, and look again, until it is over."""
        while isinstance(found := look_for_session(open_context(definition, home), due, now=self.now), Awaited):
            wanted = datetime.datetime.fromisoformat(found.next_look)
            self.rested.append((wanted - self.present).total_seconds())
            self.said.append(found.text)
            self.present = wanted
            if len(self.rested) in self.then:
                self.file.write_text(self.then[len(self.rested)])
        return found


def replayed(tmp_path: Path, clock: str = "2017-03-13", **schedule: Any) -> Definition:
    (tmp_path / "clock.txt").write_text(clock)
    source = {"kind": "replay", "source": tiny_values()["source"], "start": "2017-03-01", "clock": "clock.txt"}
    path = write_definition(
        tmp_path / "tiny.yaml", tiny_values(source=source, schedule={"poll_seconds": 600, "late_minutes": 60, **schedule})
    )
    return load_definition(str(path))


def test_rows_that_come_late_are_looked_for_until_they_are_there(tmp_path: Path, home: Home) -> None:
    clock = Clock(tmp_path / "clock.txt", "2017-03-14T21:00:05", {3: "2017-03-14"})
    arrived = clock.look(replayed(tmp_path), home)
    assert clock.rested == [600, 600, 600]
    assert arrived.raw.last_time.startswith("2017-03-14")
    assert arrived.raw.added == 2
    assert arrived.missing == ()
    assert clock.said == ["session 2017-03-14: waiting for its rows until 2017-03-14 22:00 UTC. The newest row is of 2017-03-13."] * 3


def test_rows_that_are_there_are_not_waited_for(tmp_path: Path, home: Home) -> None:
    clock = Clock(tmp_path / "clock.txt", "2017-04-14T09:00", {})
    definition = replayed(tmp_path, "2017-03-15")
    assert clock.look(definition, home).raw.last_time.startswith("2017-03-15")
    assert clock.rested == []


def test_after_the_deadline_it_is_late_in_plain_words(tmp_path: Path, home: Home) -> None:
    clock = Clock(tmp_path / "clock.txt", "2017-03-14T21:25", {})
    with pytest.raises(LateDataError) as caught:
        clock.look(replayed(tmp_path), home)
    assert str(caught.value) == (
        "tiny: late: no row of session 2017-03-14 had come by 2017-03-14 22:00 UTC, 60 minutes after it was due. The newest row is of "
        "2017-03-13. Nothing was done; the next run catches up."
    )
    assert clock.rested == [600, 600, 600, 300], "to the deadline and no further"


def test_between_two_looks_there_is_time_for_a_process_to_end(tmp_path: Path, home: Home) -> None:
    clock = Clock(tmp_path / "clock.txt", "2017-03-14T21:59:15", {})
    with pytest.raises(LateDataError):
        clock.look(replayed(tmp_path, poll_seconds=1), home)
    assert clock.rested == [SHORTEST_REST] * 3, "and so the last look may be as much after the deadline"


def test_a_source_that_cannot_be_read_is_late_too(tmp_path: Path, home: Home) -> None:
    definition = replayed(tmp_path)
    (tmp_path / "clock.txt").write_text("soon")
    clock = Clock(tmp_path / "clock.txt", "2017-03-14T21:00", {2: "2017-03-14"})
    assert clock.look(definition, home).raw.last_time.startswith("2017-03-14")
    assert "holds 'soon'" in clock.said[0]
    (tmp_path / "clock.txt").write_text("soon")
    late = Clock(tmp_path / "clock.txt", "2017-03-15T21:00", {})
    with pytest.raises(LateDataError, match="holds 'soon'"):
        late.look(definition, home, Due("2017-03-15", DUE.at))


def test_an_entity_that_lags_is_waited_for_and_then_left_out(tmp_path: Path, home: Home) -> None:
    frame = pd.concat(
        [
            pd.DataFrame({"entity": entity, "time": pd.bdate_range("2017-03-01", last), "close": 1.0}).assign(
                **dict.fromkeys(("open", "high", "low"), 1.0), volume=1.0
            )
            for entity, last in (("A", "2017-03-14"), ("B", "2017-03-13"), ("OLD", "2017-03-06"))
        ]
    )
    file = tmp_path / "bars.csv"
    frame.to_csv(file, index=False)
    source = {"kind": "csv", "path": "bars.csv", "columns": {"entity": "entity", "time": "time"}}
    schedule = {"poll_seconds": 600, "late_minutes": 30}
    definition = load_definition(str(write_definition(tmp_path / "bars.yaml", tiny_values(source=source, schedule=schedule))))
    clock = Clock(file, "2017-03-14T21:00", {})
    arrived = clock.look(definition, home)
    assert arrived.missing == ("B",), "OLD had no row at the session before"
    assert sum(clock.rested) == 1800
    assert clock.said[0] == "session 2017-03-14: waiting for the rows of B until 2017-03-14 21:30 UTC."
    file.unlink()
    assert clock.look(definition, home).missing == ("B",), "what came stays, though the source cannot be read at the last look"


def test_the_as_of_sees_late_rows_and_nothing_of_the_next_session(tmp_path: Path, home: Home) -> None:
    definition = replayed(tmp_path, "2017-03-14")
    ingest(open_context(definition, home), now=pd.Timestamp("2017-03-14T23:00", tz="UTC"))
    assert session_as_of(open_context(definition, home), "2017-03-14") == pd.Timestamp("2017-03-14T21:00", tz="UTC"), (
        "published an hour after the close"
    )
    # a correction of an older row, learnt at 03:00 the next morning, is seen; the next session is not
    table = f"raw/{definition.name}"
    rows = Lake(home.lake).read(table)
    row = rows[rows["time"] == pd.Timestamp("2017-03-10")].head(1)
    assert len(row)
    Lake(home.lake).append(table, row.assign(close=row["close"] * 1.001, known_at=pd.Timestamp("2017-03-15T03:00", tz="UTC").as_unit("us")))
    assert session_as_of(open_context(definition, home), "2017-03-14") == pd.Timestamp("2017-03-15T03:00", tz="UTC")
    (tmp_path / "clock.txt").write_text("2017-03-15")
    ingest(
        open_context(definition, home), now=pd.Timestamp("2017-03-15T23:00", tz="UTC")
    )  # takes the correction back, and brings the next session
    assert session_as_of(open_context(definition, home), "2017-03-14") == pd.Timestamp("2017-03-15T20:59:59.999999", tz="UTC")
    assert session_as_of(open_context(definition, home), "2017-03-13") == pd.Timestamp("2017-03-14T20:59:59.999999", tz="UTC")
    assert session_as_of(open_context(definition, home), "2017-03-15") == pd.Timestamp("2017-03-15T23:00", tz="UTC")


def predicted(home: Home, *dates: str) -> None:
    rows = pd.DataFrame({"time": pd.to_datetime(list(dates)).astype("datetime64[us]")})
    rows = rows.assign(entity="A", target_time=rows["time"], horizon=1, version=1, input_digest=rows.index.astype(str), q50=0.0)
    rows = rows.assign(in_sample=False, scored_at=pd.Timestamp.now("UTC").as_unit("us"), backfill_id=None)
    rows = rows.assign(period=rows["time"].dt.strftime("%Y-%m"), horizon=np.int64(1), version=np.int64(1))
    Predictions(Lake(home.lake), "tiny").append_new(rows)


def test_the_sessions_that_were_missed(tmp_path: Path, home: Home) -> None:
    definition = replayed(tmp_path)
    assert missed_sessions(open_context(definition, home), "2017-03-14") == [], "nothing was ever predicted: nothing was missed"
    predicted(home, "2017-03-13")
    assert missed_sessions(open_context(definition, home), "2017-03-14") == []
    assert missed_sessions(open_context(definition, home), "2017-03-15") == [("2017-03-14", "2017-03-14")]
    assert missed_sessions(open_context(definition, home), "2017-04-17") == [("2017-03-14", "2017-04-13")], (
        "over Good Friday and the weekend"
    )
    predicted(home, "2017-04-18")
    assert missed_sessions(open_context(definition, home), "2017-04-17") == [("2017-03-14", "2017-04-13")], (
        "a later prediction does not count"
    )


def test_a_session_that_was_not_filled_is_found_again_behind_a_later_prediction(tmp_path: Path, home: Home) -> None:
    definition = replayed(tmp_path)
    predicted(home, "2017-03-13", "2017-03-16", "2017-03-20")
    gaps = [("2017-03-14", "2017-03-15"), ("2017-03-17", "2017-03-17")]
    assert missed_sessions(open_context(definition, home), "2017-03-21") == gaps, (
        "as after a kill between the live score and its catching up"
    )
    row = LedgerRow("2017-03-17", "as-of", "", "failed", 1, 0, "", 0, "no rows that day", "abc", 0.0)
    Ledger(Lake(home.lake), "tiny").record([row])
    assert missed_sessions(open_context(definition, home), "2017-03-21") == gaps[:1], "what a backfill settled is not tried every night"
