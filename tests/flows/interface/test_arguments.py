"""What a person passes in Python."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd
import pytest

from finflow.flows.interface.arguments import date_text, definition_source, names, version_number
from finflow.pipelines.core.errors import FinflowError


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("2018-12-31", "2018-12-31"),
        (datetime.date(2018, 12, 31), "2018-12-31"),
        (datetime.datetime(2018, 12, 31), "2018-12-31"),
        (pd.Timestamp("2018-12-31"), "2018-12-31"),
        (pd.Timestamp("2018-12-31 16:00", tz="America/New_York"), "2018-12-31T16:00:00-05:00"),
        (None, None),
    ],
)
def test_a_date_may_be_text_or_a_date(given: str | datetime.date | None, text: str | None) -> None:
    assert date_text(given) == text


def test_one_name_is_a_list_of_one() -> None:
    assert names("cnn", "candidates") == ["cnn"]
    assert names(("cnn", "lstm"), "candidates") == ["cnn", "lstm"]
    assert names([], "candidates") is None


def test_a_definition_may_be_a_path() -> None:
    assert definition_source(Path("desk") / "prices.yaml") == "desk/prices.yaml"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: date_text(5, "start"), r"start: expected a date such as '2018-12-31', got int\."),
        (lambda: names(["cnn", 5], "candidates"), r"candidates: expected a list of names, got \['cnn', 5\]\."),
        (lambda: version_number("1"), r"version: expected a number such as 1 \(or nothing, for the champion\), got '1'\."),
        (lambda: version_number(True), "version: expected a number"),
        (lambda: definition_source(5), r"load: expected a definition's name, a path ending in \.yaml or a mapping, got int\."),
    ],
)
def test_what_is_none_of_these_is_named(call, message: str) -> None:
    with pytest.raises(FinflowError, match=message):
        call()
