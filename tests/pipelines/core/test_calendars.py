"""Sessions and publication instants, against dates that anybody can look up."""

from __future__ import annotations

import time

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.calendars import next_sessions, published_at, sessions
from finflow.pipelines.core.errors import DefinitionError


def texts(found: object) -> list[str]:
    return [str(pd.Timestamp(day).date()) for day in found]  # type: ignore[attr-defined]


def test_sessions_leave_out_weekends_and_holidays_and_include_both_ends() -> None:
    assert texts(sessions("XNYS", "2018-07-02", "2018-07-06")) == ["2018-07-02", "2018-07-03", "2018-07-05", "2018-07-06"]
    # New Year's Day, and the week of the Spring Festival in Shanghai
    assert texts(sessions("XSHG", "2018-02-12", "2018-02-23")) == ["2018-02-12", "2018-02-13", "2018-02-14", "2018-02-22", "2018-02-23"]
    assert texts(sessions(None, "2018-07-02", "2018-07-06")) == [f"2018-07-0{day}" for day in range(2, 7)]
    assert texts(sessions("24/7", "2018-07-06", "2018-07-09")) == [f"2018-07-0{day}" for day in range(6, 10)]
    assert len(sessions("XNYS", "2018-07-06", "2018-07-02")) == 0


def test_years_that_the_package_leaves_out_by_default_are_there() -> None:
    assert texts(sessions("XNYS", "1990-01-01", "1990-01-03")) == ["1990-01-02", "1990-01-03"]
    assert texts(sessions("XNYS", "1963-11-22", "1963-11-26")) == ["1963-11-22", "1963-11-26"]  # Kennedy's funeral
    assert texts(next_sessions("XNYS", "2045-07-03", 2)) == ["2045-07-05", "2045-07-06"]


def test_beyond_the_known_holidays_weekdays_stand_in() -> None:
    late = sessions("XSHG", "2090-01-02", "2090-01-09")
    assert texts(late) == ["2090-01-02", "2090-01-03", "2090-01-04", "2090-01-05", "2090-01-06", "2090-01-09"]
    assert texts(sessions("XSHG", "1980-01-04", "1980-01-07")) == ["1980-01-04", "1980-01-07"]
    across = sessions("XSHG", "1980-01-01", "2090-01-01")
    assert across.is_monotonic_increasing
    assert across.is_unique


def test_next_sessions_begin_after_the_time() -> None:
    assert texts(next_sessions("XNYS", pd.Timestamp("2018-12-31"), 3)) == ["2019-01-02", "2019-01-03", "2019-01-04"]
    assert texts(next_sessions("XNYS", np.datetime64("2018-12-29T15:00"), 1)) == ["2018-12-31"]
    assert texts(next_sessions(None, "2018-12-31", 2)) == ["2019-01-01", "2019-01-02"]
    assert next_sessions("XNYS", "2018-12-31", 3).dtype == "datetime64[ns]"
    assert len(next_sessions("XNYS", "2018-12-31", 700)) == 700


def test_months_and_quarters_are_sessions_too() -> None:
    assert texts(sessions("month-start", "2017-12-15", "2018-03-01")) == ["2018-01-01", "2018-02-01", "2018-03-01"]
    assert texts(sessions("month-end", "2016-02-01", "2016-03-31")) == ["2016-02-29", "2016-03-31"]
    assert texts(next_sessions("quarter-end", "2009-09-30", 2)) == ["2009-12-31", "2010-03-31"]
    assert texts(next_sessions("quarter-start", "1918-11-11", 1)) == ["1919-01-01"]
    assert len(sessions("month-start", "1919-01-01", "2018-12-31")) == 1200


def test_what_speaks_of_a_month_is_known_when_it_is_over() -> None:
    end_of_march = pd.Timestamp("2018-04-01", tz="UTC")
    for calendar, day in (("month-start", "2018-03-01"), ("month-end", "2018-03-31"), ("quarter-start", "2018-01-01")):
        assert published_at(calendar, 0, [day]).tolist() == [end_of_march], calendar
    assert published_at("quarter-end", 60 * 24 * 56, ["2009-09-30"]).tolist() == [pd.Timestamp("2009-11-26", tz="UTC")]
    assert published_at("month-start", 0, ["2018-03-15"]).tolist() == [pd.Timestamp("2018-03-16", tz="UTC")], (
        "no session: the end of its day"
    )


def test_a_row_is_known_so_long_after_the_close() -> None:
    times = [pd.Timestamp(text) for text in ("2018-12-31", "2018-07-03", "2018-07-02", "2018-07-04", "2018-07-03 12:30")]
    found = published_at("XNYS", 60, times)
    assert found.tolist() == [
        pd.Timestamp("2018-12-31 22:00", tz="UTC"),  # winter: 16:00 is 21:00
        pd.Timestamp("2018-07-03 18:00", tz="UTC"),  # a half day: 13:00 in summer is 17:00
        pd.Timestamp("2018-07-02 21:00", tz="UTC"),
        pd.Timestamp("2018-07-05 01:00", tz="UTC"),  # a holiday: the end of the day
        pd.Timestamp("2018-07-04 01:00", tz="UTC"),  # an instant
    ]
    assert published_at("XSHG", 30, ["2018-01-02"]).tolist() == [pd.Timestamp("2018-01-02 07:30", tz="UTC")]
    assert published_at(None, 0, ["2018-01-02"]).tolist() == [pd.Timestamp("2018-01-03", tz="UTC")]
    assert str(found.dtype) == "datetime64[us, UTC]"
    assert len(published_at("XNYS", 60, [])) == 0
    assert published_at("XNYS", 60, pd.to_datetime(["2018-01-02", None])).isna().tolist() == [False, True]


def test_a_million_rows_take_a_moment() -> None:
    times = np.tile(sessions("XNYS", "1980-01-01", "2019-12-31").to_numpy(), 100)
    began = time.process_time()
    assert len(published_at("XNYS", 60, times)) == len(times) > 1_000_000
    assert time.process_time() - began < 2


@pytest.mark.parametrize("code", ["XXXX", "", "xnys\n", "../XNYS"])
def test_an_unknown_calendar_is_named(code: str) -> None:
    with pytest.raises(DefinitionError, match="calendar"):
        sessions(code, "2018-01-01", "2018-01-31")
