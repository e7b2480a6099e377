"""Dates of a command line: those that times in nanoseconds cannot hold are refused, not turned into others."""

from __future__ import annotations

import pandas as pd
import pytest

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.options import check_year, parse_date, parse_range


@pytest.mark.parametrize("text", ["9999-12-31", "2262-12-31", "1600-01-03"])
def test_a_date_beyond_all_data_is_refused(text: str) -> None:
    with pytest.raises(FinflowError, match=rf"--end {text}: expected a date of the years 1700 to 2200"):
        parse_date("--end", text)
    with pytest.raises(FinflowError, match="as-of"):
        check_year("as-of", pd.Timestamp(text).as_unit("us"))


@pytest.mark.parametrize("text", ["", "foo", "2018-13-01", "2018-12-31T10:00", "2018-12-31T00:00Z"])
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(FinflowError, match=r"--start .*expected a date such as 2018-12-31"):
        parse_date("--start", text)


def test_a_range_the_wrong_way_round() -> None:
    assert parse_range("2018-01-02", "2018-01-02") == (pd.Timestamp("2018-01-02"),) * 2
    with pytest.raises(FinflowError, match="lies after"):
        parse_range("2018-01-03", "2018-01-02")
