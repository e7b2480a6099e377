"""Rules about series and whole batches."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.expectations.batch import prepare
from finflow.expectations.rule import BatchRule, Rule
from finflow.expectations.rules.constant import NotConstant
from finflow.expectations.rules.empty import NoEmptyColumn
from finflow.expectations.rules.gaps import NoGaps
from finflow.expectations.rules.history import EnoughHistory, ShortHistory
from finflow.expectations.rules.jumps import NoJumps
from finflow.expectations.rules.outcomes import BothClasses, as_text
from finflow.expectations.rules.quarantined import FewQuarantined
from finflow.expectations.rules.shape import BarColumns, Columns, NotEmpty, Types
from finflow.expectations.rules.stale import NotStale
from tests.support.expectations.bars import bars, batch

SERIES_RULES: tuple[Rule, ...] = (
    NotEmpty(),
    Columns(("close",)),
    Types(("close", "volume")),
    BarColumns(),
    EnoughHistory(250),
    ShortHistory(250),
    NoGaps(5),
    NotStale(10),
    NoJumps(0.6, 5),
    NoJumps(0.6, 5, 0.1),
    NotConstant(by_entity=True),
    NotConstant(by_entity=False),
    FewQuarantined(5, 10, 0.05),
    NoEmptyColumn(("close", "volume")),
    BothClasses("known_class", ("1",)),
)


@pytest.mark.parametrize("rule", SERIES_RULES, ids=lambda rule: rule.name)
def test_faultless_bars_keep_every_rule(rule: Rule) -> None:
    finding = rule.check(batch(bars()))
    assert (finding.count, finding.detail) == (0, "")


@pytest.mark.parametrize("rule", SERIES_RULES, ids=lambda rule: rule.name)
def test_rules_can_be_asked_about_an_empty_batch(rule: Rule) -> None:
    finding = rule.check(batch(bars()).iloc[:0])
    assert (finding.count == 0) == (rule.name not in ("not_empty", "enough_history", "bar_columns"))


def test_missing_columns_are_named_with_those_there_are() -> None:
    fault = Columns(("close", "turnover")).fault(batch(bars().drop(columns="close")))
    assert fault == "no column close, turnover; there are entity, time, open, high, low, volume, known_at"


def test_text_where_numbers_belong_is_named() -> None:
    frame = bars().assign(close="12,5")
    said = "close is str, not a number (600 of 600 values are words, first '12,5' of AAA 2018-01-01)"
    assert Types(("close",)).fault(batch(frame)) == said
    assert Types(("close",)).fault(batch(frame.assign(close="12.5"))) == "close is str, not a number"
    assert Types(("close",)).fault(batch(frame.assign(close=pd.array([None] * 600, dtype="str")))) is None


def test_rules_about_numbers_leave_text_alone() -> None:
    frame = batch(bars().assign(close="12,5"))
    for rule in SERIES_RULES:
        if rule.name not in ("types", "bar_columns") and rule != NotConstant(by_entity=False):
            assert rule.check(frame).count == 0, rule.name


def test_a_column_without_values_counts_as_absent() -> None:
    fault = BarColumns().fault(batch(bars().assign(volume=np.nan).drop(columns="open")))
    assert fault == "no values in open, volume: the rules about them were not checked"


def test_too_little_history_says_how_much_is_needed() -> None:
    fault = EnoughHistory(400).fault(batch(bars(days=300)))
    assert fault == "400 sessions are needed, and the longest history (AAA) has 300: 100 more are needed"


def test_a_young_entity_beside_an_old_one_is_named_and_no_more() -> None:
    frame = batch(pd.concat([bars(("OLD",)), bars(("YOUNG",), days=20)], ignore_index=True))
    assert EnoughHistory(250).check(frame).count == 0
    finding = ShortHistory(250).check(frame)
    assert finding.count == 20
    assert finding.detail == "250 sessions wanted: YOUNG has 20"


@pytest.mark.parametrize(("missing", "found"), [(5, 0), (6, 1)])
def test_gaps_are_counted_in_sessions(missing: int, found: int) -> None:
    frame = bars(("AAA",))
    gappy = prepare(frame.drop(index=range(100, 100 + missing)), pd.DatetimeIndex(frame["time"]).to_numpy())
    finding = NoGaps(5).check(gappy)
    assert finding.count == found
    assert finding.detail == ("" if not found else "1 gaps, the longest: 6 sessions before AAA 2018-05-29")


def test_holidays_and_other_entities_are_no_gaps() -> None:
    frame = bars()
    without_may = frame[(frame["time"] < "2018-05-01") | (frame["time"] >= "2018-06-01")]
    assert NoGaps(5).check(prepare(without_may, None)).count == 0
    late = pd.concat([bars(("AAA",)), bars(("BBB",)).iloc[200:]], ignore_index=True)
    assert NoGaps(5).check(batch(late)).count == 0


@pytest.mark.parametrize(("length", "found"), [(9, 0), (10, 10), (40, 40)])
def test_stale_prices_are_runs_of_equal_closes(length: int, found: int) -> None:
    frame = bars()
    frame.loc[50 : 50 + length - 1, "close"] = 77.0
    finding = NotStale(10).check(batch(frame))
    assert finding.count == found
    if found:
        assert f"AAA 2018-03-12 and the next {length - 1} at 77" in finding.detail
        assert np.flatnonzero(finding.rows).tolist() == list(range(50, 50 + length))


def test_equal_closes_of_two_entities_are_no_run() -> None:
    frame = bars(days=8).assign(close=5.0)
    assert NotStale(10).check(batch(frame)).count == 0


def test_a_suspension_is_no_stale_price() -> None:
    frame = bars()
    frame.loc[50:120, ["open", "high", "low", "close"]] = frame.loc[49, "close"]
    frame.loc[50:120, "volume"] = 0.0
    assert NotStale(10).check(batch(frame)).count == 0


def test_an_index_without_volume_can_still_be_stale() -> None:
    frame = bars()
    frame.loc[50:70, "close"] = 77.0
    for volume in (0.0, np.nan):
        assert NotStale(10).check(batch(frame.assign(volume=volume))).count == 21
    assert NotStale(10).check(batch(frame.drop(columns="volume"))).count == 21


@pytest.mark.parametrize("factor", [0.5, 2.0, 100.0, 0.01])
def test_a_split_or_a_change_of_unit_is_a_jump(factor: float) -> None:
    frame = bars()
    frame.loc[100:299, ["open", "high", "low", "close"]] *= factor
    finding = NoJumps(0.6, 5).check(batch(frame))
    assert np.flatnonzero(finding.rows).tolist() == [100]
    assert "AAA 2018-05-21 (close " in finding.detail


def test_the_first_row_of_the_next_entity_is_no_jump() -> None:
    frame = bars()
    frame.loc[300:, ["open", "high", "low", "close"]] *= 1000
    assert NoJumps(0.6, 5).check(batch(frame)).count == 0


def test_prices_that_are_not_positive_have_no_return() -> None:
    frame = bars()
    frame.loc[100, ["open", "high", "low", "close"]] = -36.98
    assert NoJumps(0.6, 5).check(batch(frame)).count == 0


def test_a_return_over_a_suspension_is_not_judged() -> None:
    frame = bars()
    frame.loc[100:299, ["open", "high", "low", "close"]] *= 3
    suspended = frame.copy()
    suspended.loc[60:99, "volume"] = 0.0
    assert NoJumps(0.6, 5).check(batch(suspended)).count == 0
    absent = frame.drop(index=range(60, 100))
    assert NoJumps(0.6, 5).check(batch(absent)).count == 0
    assert NoJumps(0.6, 5).check(batch(frame)).count == 1


def test_limit_days_are_no_jumps_and_a_small_split_is() -> None:
    """Shanghai: ten days at the limit of 10 %, up and down; then three shares for ten (a fall of 23 %)."""
    frame = bars(("000001",), days=200)
    steps = np.full(200, 0.001)
    steps[50:60], steps[60:70] = np.log(1.1), np.log(0.9)
    steps[120] = np.log(10 / 13)
    close = np.round(10 * np.exp(np.cumsum(steps)), 2)
    frame[["open", "high", "low", "close"]] = np.column_stack([close] * 4)
    finding = NoJumps(0.6, 5, 0.1).check(batch(frame))
    assert np.flatnonzero(finding.rows).tolist() == [120]
    assert NoJumps(0.6, 5).check(batch(frame)).count == 0
    assert NotStale(10).check(batch(frame)).count == 0


def test_the_first_sessions_of_a_listing_are_free_under_a_limit() -> None:
    frame = bars(("688001",), days=50)
    frame.loc[1:, ["open", "high", "low", "close"]] *= 1.44
    assert NoJumps(0.6, 5, 0.1).check(batch(frame)).count == 0
    assert NoJumps(0.3, 5).check(batch(frame)).count == 1


def test_a_column_that_never_changes_is_named() -> None:
    fault = NotConstant(by_entity=True).fault(batch(bars().assign(volume=0.0)))
    assert fault == "volume is 0 throughout in 2 of 2 entities (AAA ...)"


def test_constant_within_one_entity_is_found_and_across_all_is_another_question() -> None:
    frame = bars()
    frame.loc[frame["entity"] == "BBB", "volume"] = 7.0
    assert NotConstant(by_entity=True).fault(batch(frame)) == "volume is 7 throughout in 1 of 2 entities (BBB ...)"
    assert NotConstant(by_entity=False).fault(batch(frame)) is None


@pytest.mark.parametrize(("lost", "rows", "broken"), [(5, 10, False), (6, 10, True), (50, 1000, False), (51, 1000, True)])
def test_quarantine_may_take_a_share_or_a_handful(lost: int, rows: int, broken: bool) -> None:
    assert bool(FewQuarantined(lost, rows, 0.05).check(batch(bars())).count) is broken


def test_every_batch_rule_is_graded_critical_or_warning() -> None:
    for rule in Rule.known.values():
        if issubclass(rule, BatchRule):
            assert rule.severity != "row"


@pytest.mark.parametrize(
    ("values", "positive", "said"),
    [
        ([0.0, 1.0, np.nan], ("1",), None),
        (["paid", "late", None], ("late", "lost"), None),
        ([True, False], ("1",), None),
        ([0.0, 0.0, np.nan], ("1",), "every known outcome is of one class: x holds '0', none of the last class ('1')"),
        (["paid", "open", None], ("1",), "every known outcome is of one class: x holds 'open', 'paid', none of the last class ('1')"),
        ([1.0, 2.0], ("1", "2"), "every known outcome is of one class: x holds '1', '2', all of the last class"),
        ([0.5, 1.5, 2.5, 3.5, 4.5, 5.5], ("9",), "x holds '0.5', '1.5', '2.5', '3.5', '4.5' and 1 more, none of the last class ('9')"),
        ([np.nan, np.nan], ("1",), "no outcome is known: x is empty in all 2 rows"),
    ],
)
def test_an_outcome_of_one_class_is_named(values: list[object], positive: tuple[str, ...], said: str | None) -> None:
    frame = bars(("AAA",), len(values)).assign(x=values)
    fault = BothClasses("x", positive).fault(batch(frame))
    assert fault is None if said is None else said in (fault or "")


def test_cells_are_named_as_the_problem_names_them() -> None:
    from finflow.pipelines.core.category_texts import distinct_texts

    for column in (pd.Series([1.0, 2.5, -0.0, 1e20]), pd.Series(["1", "a"]), pd.Series([3, 4]), pd.Series([True, False])):
        assert [as_text(value) for value in column.unique()] == distinct_texts(column)[1]


def test_empty_columns_are_named() -> None:
    frame = batch(bars().assign(close=np.nan, volume=pd.array([None] * 600, dtype="str")))
    assert NoEmptyColumn(("open", "close", "volume", "absent")).fault(frame) == "close, volume are empty in all 600 rows"


def test_constant_text_is_named_and_missing_text_is_none() -> None:
    frame = bars().assign(grade="A", note=["A", None] * 300, gone=pd.array([None] * 600, dtype="str"))
    assert NotConstant(by_entity=False).fault(batch(frame)) == "grade is 'A' throughout"
    assert NotConstant(by_entity=True).fault(batch(frame)) is None


def test_ten_thousand_columns_make_no_message_of_ten_thousand_names() -> None:
    names = tuple(f"c{place}" for place in range(10_000))
    frame = batch(bars(("AAA",), 3).join(pd.DataFrame(1.0, index=range(3), columns=list(names))))
    for rule in (NotConstant(by_entity=False), Columns(tuple(f"d{name}" for name in names)), Types(names)):
        assert len(rule.fault(frame) or "") < 1000
        assert len(rule.statement) < 1000
    assert "and 9,980 more" in (NoEmptyColumn(names).fault(frame.assign(**dict.fromkeys(names, np.nan))) or "")
