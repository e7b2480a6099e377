"""Suites carried out by Great Expectations, their pages, and what they must not do."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from finflow.expectations.examine import examine
from finflow.expectations.page import render_page
from finflow.expectations.rule import RowRule, Rule, grade
from finflow.expectations.suites import suites
from tests.support.expectations.bars import bars, batch, tuning

REPOSITORY = Path(__file__).resolve().parents[2]


def test_a_faultless_batch_passes_every_rule_of_its_suite() -> None:
    for name, build in suites().items():
        rules = grade(build(tuning()), {})
        examination = examine(batch(bars()), rules, name)
        assert [outcome.graded for outcome in examination.outcomes] == rules
        assert all(outcome.passed for outcome in examination.outcomes)
        assert examination.result["success"] is True


def test_a_broken_rule_is_found_by_great_expectations_and_its_rows_are_known() -> None:
    frame = bars()
    frame.loc[[5, 9], "close"] = [np.nan, np.inf]
    prepared = batch(frame)
    examination = examine(prepared, grade(suites()["bars"](tuning()), {}), "prices")
    assert [outcome.graded.rule.name for outcome in examination.failed("row")] == ["not_missing", "finite", "bar_order"]
    rows, by_rule = examination.quarantine(len(prepared))
    assert np.flatnonzero(rows).tolist() == [5, 9]
    assert [(name, np.flatnonzero(mask).tolist()) for name, mask in by_rule] == [
        ("not_missing", [5]),
        ("finite", [9]),
        ("bar_order", [9]),
    ]
    said = {result["expectation_config"]["meta"]["rule"]: result for result in examination.result["results"] if not result["success"]}
    assert set(said) == {"not_missing", "finite", "bar_order", "no_jumps"}
    assert said["not_missing"]["expectation_config"]["type"] == "expect_column_values_to_not_be_null"
    assert said["not_missing"]["result"]["unexpected_count"] == 1
    assert "AAA 2018-01-08" in said["not_missing"]["meta"]["finding"]
    assert "AAA 2018-01-12" in said["bar_order"]["result"]["observed_value"]


def test_what_great_expectations_has_words_for_is_in_its_words() -> None:
    suite = examine(batch(bars()), grade(suites()["bars"](tuning()), {}), "prices").suite
    said: dict[str, list[str]] = {}
    for one in suite["expectations"]:
        said.setdefault(one["meta"]["rule"], []).append(one["type"])
    assert said["not_empty"] == ["expect_table_row_count_to_be_between"]
    assert said["columns"] == ["expect_table_columns_to_match_set"]
    assert said["key_not_null"] == [*["expect_column_values_to_not_be_null"] * 2, "expect_rule_to_hold"]
    assert said["unique_key"] == ["expect_compound_columns_to_be_unique"]
    assert said["not_missing"] == ["expect_column_values_to_not_be_null"] * 4
    assert said["positive_prices"] == ["expect_column_values_to_be_between"] * 4
    assert said["no_jumps"] == ["expect_rule_to_hold"]
    wide = examine(batch(bars().assign(**{f"x{number}": 1.5 for number in range(30)})), grade(suites()["bars"](tuning()), {}), "wide").suite
    assert [one["type"] for one in wide["expectations"] if one["meta"]["rule"] == "finite"] == ["expect_rule_to_hold"]


@pytest.mark.parametrize("seed", range(12))
def test_the_core_expectations_find_what_the_rules_find(seed: int) -> None:
    random = np.random.default_rng(seed)
    frame = bars(("$A", "<b>B</b>"), 40)
    for column in random.choice(["open", "close", "volume"], random.integers(0, 3)):
        values = [np.nan, np.inf, -np.inf, 0.0, -1.0, 1e18, 2e18, 1e-300]
        frame.loc[random.integers(0, len(frame), 2), column] = random.choice(values, 2)
    if seed % 3 == 0:
        frame = frame.iloc[[*range(len(frame)), *random.integers(0, len(frame), 2)]].reset_index(drop=True)
    if seed % 4 == 0:
        frame.loc[random.integers(0, len(frame), 2), "entity"] = [None, " "]
    if seed % 5 == 0:
        frame.loc[random.integers(0, len(frame)), "time"] = pd.NaT
    prepared = batch(frame.rename(columns={"volume": "<b>v</b>"}) if seed % 2 else frame)
    examination = examine(prepared, grade(suites()["bars"](tuning()), {}), "prices")
    for outcome in examination.outcomes:
        assert outcome.finding.count == outcome.graded.rule.check(prepared).count, outcome.graded.rule.name
    page = render_page([examination], "prices")
    assert "<b>" not in page
    assert all(outcome.graded.rule.name in page for outcome in examination.outcomes)


def test_suite_and_result_are_json_and_hold_severity_and_settings() -> None:
    examination = examine(batch(bars()), grade(suites()["bars"](tuning()), {"no_jumps": "critical"}), "prices")
    suite = json.loads(json.dumps(examination.suite))
    jump = next(one for one in suite["expectations"] if one["meta"]["rule"] == "no_jumps")
    assert jump["meta"]["severity"] == jump["severity"] == "critical"
    assert jump["kwargs"]["settings"] == {"size": 0.6, "maximum_gap": 5, "price_limit": None}
    json.dumps(examination.result)


def test_severities_are_overridden_and_rules_switched_off() -> None:
    graded = grade(suites()["bars"](tuning()), {"positive_prices": "warning", "not_stale": "off"})
    severities = {one.rule.name: one.severity for one in graded}
    assert severities["positive_prices"] == "warning"
    assert "not_stale" not in severities


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ({"stale": "off"}, "not_stale"),
        ({"enough_history": "row"}, "the batch as a whole"),
        ({"not_stale": "row"}, "rows after it"),
        ({"no_short_history": "row"}, "rows after it"),
    ],
)
def test_severities_that_mean_nothing_are_refused(override: dict[str, str], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        grade(suites()["bars"](tuning()), override)


def test_a_rule_that_cannot_run_is_no_pass() -> None:
    class Defective(RowRule):
        name = "defective"
        severity = "row"
        remedy = ""
        statement = "it runs"
        settings: dict[str, object] = {}  # noqa: RUF012

        def broken(self, batch: object) -> np.ndarray:
            raise ZeroDivisionError("on purpose")

    try:
        with pytest.raises(Exception, match="on purpose"):
            examine(batch(bars()), grade([Defective()], {}), "prices")
    finally:
        del Rule.known["defective"]


def test_negative_prices_may_be_allowed() -> None:
    names = [rule.name for rule in suites()["bars"](tuning(allow_negative=True))]
    assert "positive_prices" not in names


def test_the_page_stands_alone_and_shows_every_rule_and_finding() -> None:
    frame = bars(("贵州茅台",))
    frame.loc[5, "close"] = np.nan
    rules = grade(suites()["bars"](tuning()), {})
    examination = examine(batch(frame), rules, "prices")
    page = render_page([examination], "价格 <prices>")
    assert "http" not in page
    assert "<script" not in page
    assert "价格 &lt;prices&gt;" in page
    assert "贵州茅台 2018-01-08" in page
    for graded in rules:
        assert graded.rule.name in page


def test_names_from_the_data_are_text_on_the_page() -> None:
    frame = bars(("<script>alert(1)</script>",))
    frame.loc[5, "close"] = np.nan
    page = render_page([examine(batch(frame), grade(suites()["bars"](tuning()), {}), "prices")], "prices")
    assert "<script" not in page


def test_nothing_calls_home_or_draws_progress() -> None:
    """In a process of its own, where any connection is refused and reported."""
    program = """
import socket, sys
def refuse(self, address, *rest):
    print("CONNECTED", address, file=sys.stderr)
    raise OSError("no network in this test")
socket.socket.connect = socket.socket.connect_ex = refuse
def lookup(*arguments, **named):
    print("LOOKED UP", arguments, file=sys.stderr)
    raise OSError("no network in this test")
socket.getaddrinfo = lookup
from finflow.expectations.examine import examine
from finflow.expectations.page import render_page
from finflow.expectations.rule import grade
from finflow.expectations.suites import suites
from tests.support.expectations.bars import bars, batch, tuning
found = examine(batch(bars()), grade(suites()["bars"](tuning()), {}), "prices")
print(len(render_page([found], "prices")) > 1000)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
    assert done.stderr == ""
