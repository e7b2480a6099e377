"""Schedules in words, against the exchange's own dates: literal instants that anybody can look up."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from pydantic import ValidationError

from finflow.pipelines.core.errors import DefinitionError
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.operating.schedules import planned, session_at
from finflow.pipelines.settings.operations import Schedule
from finflow.pipelines.settings.timing import AfterClose, Cron, parse_timing
from tests.support import tiny_values


def definition(**changes: Any) -> Definition:
    return parse_definition(tiny_values(**changes))


def instant(text: str) -> pd.Timestamp:
    return pd.Timestamp(text, tz="UTC")


def runs(words: str, start: str, end: str, **changes: Any) -> list[tuple[str, str]]:
    timing = parse_timing(words)
    assert isinstance(timing, AfterClose)
    found = planned(definition(**changes), timing, instant(start), instant(end))
    return [(due.session, f"{due.at:%Y-%m-%d %H:%M}") for due in found]


def test_half_days_holidays_and_weekends_of_a_thanksgiving() -> None:
    assert runs("after the close of XNYS", "2018-11-20", "2018-11-28") == [
        ("2018-11-20", "2018-11-20 22:00"),  # 16:00 in New York is 21:00, and an hour of lag
        ("2018-11-21", "2018-11-21 22:00"),
        ("2018-11-23", "2018-11-23 19:00"),  # closed on Thanksgiving; 13:00 on the day after
        ("2018-11-26", "2018-11-26 22:00"),
        ("2018-11-27", "2018-11-27 22:00"),
    ]
    assert runs("after the close of XNYS", "2018-12-24", "2018-12-27") == [
        ("2018-12-24", "2018-12-24 19:00"),
        ("2018-12-26", "2018-12-26 22:00"),
    ]


def test_changes_of_summer_time() -> None:
    assert runs("after the close of XNYS", "2018-03-09", "2018-03-13") == [
        ("2018-03-09", "2018-03-09 22:00"),
        ("2018-03-12", "2018-03-12 21:00"),  # the first session in summer time
    ]
    assert runs("after the close of XNYS", "2018-11-02", "2018-11-06") == [
        ("2018-11-02", "2018-11-02 21:00"),
        ("2018-11-05", "2018-11-05 22:00"),  # and the first one out of it
    ]
    assert runs("after the close of XSHG", "2018-02-14", "2018-02-23", calendar="XSHG", publication_lag_minutes=30) == [
        ("2018-02-14", "2018-02-14 07:30"),  # then the week of the Spring Festival
        ("2018-02-22", "2018-02-22 07:30"),
    ]


def test_the_last_session_of_a_week_and_of_a_month() -> None:
    assert runs("weekly after the close of XNYS", "2018-03-22", "2018-04-14") == [
        ("2018-03-23", "2018-03-23 21:00"),
        ("2018-03-29", "2018-03-29 21:00"),  # a Thursday: Good Friday is a holiday
        ("2018-04-06", "2018-04-06 21:00"),
        ("2018-04-13", "2018-04-13 21:00"),
    ]
    assert runs("monthly after the close of XNYS", "2018-02-01", "2018-04-30T23:00") == [
        ("2018-02-28", "2018-02-28 22:00"),
        ("2018-03-29", "2018-03-29 21:00"),
        ("2018-04-30", "2018-04-30 21:00"),
    ]


def test_the_edges_belong_to_the_range_and_a_long_lag_moves_the_run_on() -> None:
    assert runs("after the close of XNYS", "2018-11-20T22:00", "2018-11-21T22:00") == [
        ("2018-11-20", "2018-11-20 22:00"),
        ("2018-11-21", "2018-11-21 22:00"),
    ]
    assert runs("after the close of XNYS", "2018-11-20", "2018-11-20T12:00", publication_lag_minutes=840) == [
        ("2018-11-19", "2018-11-20 11:00")
    ]


def test_a_run_waits_for_the_definitions_own_calendar_too() -> None:
    without = runs("after the close of XNYS", "2018-11-20", "2018-11-21T12:00", calendar=None)
    assert without == [("2018-11-19", "2018-11-20 01:00"), ("2018-11-20", "2018-11-21 01:00")], "rows count as known from the day's end on"


def test_the_session_that_a_run_is_about() -> None:
    daily, weekly, cron = parse_timing("after the close of XNYS"), parse_timing("weekly after the close of XNYS"), parse_timing("0 6 * * *")

    def session(timing: AfterClose | Cron, at: str, **changes: Any) -> str | None:
        found = session_at(definition(**changes), timing, instant(at))
        return None if found is None else found.session

    assert session(daily, "2018-11-20T22:00") == "2018-11-20"
    assert session(daily, "2018-11-20T21:59") == "2018-11-19"
    assert session(daily, "2018-11-22T22:00") == "2018-11-21"
    assert session(daily, "2018-12-25T12:00") == "2018-12-24"
    assert session(weekly, "2018-03-29T21:00") == "2018-03-29"
    assert session(weekly, "2018-04-03T12:00") == "2018-04-02", "a run after downtime is about the newest session of all"
    assert session(cron, "2018-11-23T06:00") == "2018-11-21"
    assert session(cron, "2018-11-23T06:00", calendar=None) is None
    months = {"calendar": "month-start", "publication_lag_minutes": 5 * 24 * 60}
    assert session(cron, "2018-11-05T06:00", **months) == "2018-09-01", "October's row is out five days after October"
    assert session(cron, "2018-11-06T06:00", **months) == "2018-10-01"


@pytest.mark.parametrize("line", ["30 22 * * 1-5", "*/5 * * * *", "0 6 1,15 jan-jun mon", "0 0 * * 7", "0-30/10 8-18 * * MON-FRI"])
def test_cron_lines(line: str) -> None:
    assert parse_timing(line) == Cron(line)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("after the close of XXXX", "no exchange 'XXXX'"),
        ("after the open of XNYS", "no schedule"),
        ("hourly after the close of XNYS", "no schedule"),
        ("After the close of XNYS", "no schedule"),
        ("", "no schedule"),
        ("@daily", "no schedule"),
        ("0 6 * *", "no schedule"),
        ("60 6 * * *", "'60' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 6 0 * *", "'0' is no day of the month"),
        ("0 6 * 13 *", "'13' is no month"),
        ("0 6 * * funday", "'funday' is no day of the week"),
        ("0 6 * * fri-mon", "'fri-mon' is no day of the week"),
        ("*/0 6 * * *", "is no minute"),
        ("0 6 * * 1;2", "is no day of the week"),
    ],
)
def test_what_is_no_schedule_is_refused_in_the_definitions_words(text: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        parse_timing(text)
    with pytest.raises(DefinitionError, match=rf"schedule\.score: .*{told}"):
        definition(schedule={"score": text})


def test_the_schedule_of_a_definition() -> None:
    schedule = Schedule(train="weekly after the close of XNYS", score="30 22 * * 1-5", timezone="America/New_York")
    assert schedule.timing("train") == AfterClose("XNYS", "week")
    assert schedule.timing("score") == Cron("30 22 * * 1-5")
    assert schedule.timing("monitor") is None
    assert schedule.timing("backfill") is None
    with pytest.raises(ValidationError, match="no time zone 'New York'"):
        Schedule(timezone="New York")
