"""Rules about single rows: what each one finds, and what it leaves alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.expectations.rule import RowRule, Rule
from finflow.expectations.rules.dates import NoFutureDates, TradingDays
from finflow.expectations.rules.keys import KeyNotNull, UniqueKey
from finflow.expectations.rules.prices import BarOrder, PositivePrices
from finflow.expectations.rules.values import Finite, NotMissing
from finflow.expectations.rules.volume import VolumeNotNegative
from tests.support.expectations.bars import bars, batch

ROW_RULES: tuple[RowRule, ...] = (
    KeyNotNull(),
    UniqueKey(),
    NoFutureDates("2026-01-01T00:00:00"),
    TradingDays("weekdays"),
    NotMissing(("close", "volume")),
    Finite(),
    PositivePrices(),
    BarOrder(),
    VolumeNotNegative(),
)


@pytest.mark.parametrize("rule", ROW_RULES, ids=lambda rule: rule.name)
def test_faultless_bars_keep_every_rule(rule: Rule) -> None:
    finding = rule.check(batch(bars()))
    assert (finding.count, finding.detail) == (0, "")


@pytest.mark.parametrize("rule", ROW_RULES, ids=lambda rule: rule.name)
def test_an_empty_batch_breaks_no_rule_about_rows(rule: Rule) -> None:
    assert rule.check(batch(bars()).iloc[:0]).count == 0


@pytest.mark.parametrize(
    ("rule", "column", "value", "said"),
    [
        (NotMissing(("close",)), "close", np.nan, "AAA 2018-01-08 (close)"),
        (Finite(), "close", np.inf, "close inf"),
        (Finite(), "open", -np.inf, "open -inf"),
        (Finite(), "volume", 1e308, "volume 1e+308"),
        (PositivePrices(), "low", 0.0, "low 0"),
        (PositivePrices(), "close", -36.98, "close -36.98"),
        (BarOrder(), "high", 1.0, "high 1"),
        (BarOrder(), "low", 1e6, "low 1e+06"),
        (BarOrder(), "close", 1e6, "close 1e+06"),
        (BarOrder(), "open", 0.5, "open 0.5"),
        (VolumeNotNegative(), "volume", -1.0, "volume -1"),
        (NoFutureDates("2026-01-01T00:00:00"), "time", pd.Timestamp("2099-01-02"), "AAA 2099-01-02"),
        (TradingDays("weekdays"), "time", pd.Timestamp("2018-01-06"), "Saturday"),
        (KeyNotNull(), "entity", None, "entity missing 2018-01-08"),
        (KeyNotNull(), "entity", " ", "2018-01-08"),
        (KeyNotNull(), "time", pd.NaT, "AAA (time missing)"),
    ],
)
def test_one_bad_cell_is_one_broken_row_and_is_named(rule: RowRule, column: str, value: object, said: str) -> None:
    frame = bars()
    frame.loc[5, column] = value
    prepared = batch(frame)
    finding = rule.check(prepared)
    assert finding.count == 1
    assert said in finding.detail
    assert finding.rows is not None
    assert np.count_nonzero(finding.rows) == 1
    shown = prepared.loc[finding.rows, column].iloc[0]
    assert shown == value or (pd.isna(shown) and pd.isna(value))


def test_a_missing_value_is_not_the_business_of_the_other_rules() -> None:
    frame = bars()
    frame.loc[5, ["open", "high", "low", "close", "volume"]] = np.nan
    for rule in (Finite(), PositivePrices(), BarOrder(), VolumeNotNegative()):
        assert rule.check(batch(frame)).count == 0


def test_rounding_apart_is_no_disorder() -> None:
    frame = bars()
    frame.loc[5, "high"] = frame.loc[5, ["open", "close"]].max() * (1 - 1e-8)
    assert BarOrder().check(batch(frame)).count == 0


def test_bar_order_judges_the_columns_there_are() -> None:
    frame = bars().drop(columns=["open", "low"])
    assert BarOrder().check(batch(frame)).count == 0
    frame.loc[3, "high"] = 1.0
    assert BarOrder().check(batch(frame)).count == 1


def test_negative_prices_stand_in_order_too() -> None:
    frame = bars()
    frame.loc[5, ["open", "high", "low", "close"]] = [-30.0, -20.0, -40.0, -36.98]
    assert BarOrder().check(batch(frame)).count == 0
    frame.loc[5, "high"] = -39.0
    assert BarOrder().check(batch(frame)).count == 1


def test_of_equal_copies_the_first_is_kept() -> None:
    frame = bars()
    prepared = batch(pd.concat([frame, frame.iloc[[7, 7]]], ignore_index=True))
    finding = UniqueKey().check(prepared)
    assert finding.count == 2
    kept = prepared.loc[~finding.rows]
    assert len(kept) == len(frame)
    assert not kept.duplicated(["entity", "time"]).any()


def test_of_contradicting_copies_none_is_believed_whatever_their_order() -> None:
    frame = bars()
    other = frame.iloc[[7]].assign(volume=1.0)
    for parts in ([frame, other], [other, frame], [frame, frame.iloc[[7]], other]):
        prepared = batch(pd.concat(parts, ignore_index=True))
        finding = UniqueKey().check(prepared)
        kept = prepared.loc[~finding.rows]
        assert len(kept) == len(frame) - 1
        assert not ((kept["entity"] == "AAA") & (kept["time"] == frame["time"][7])).any()


def test_copies_agree_in_missing_values_too() -> None:
    frame = bars().assign(volume=np.nan)
    prepared = batch(pd.concat([frame, frame.iloc[[7]]], ignore_index=True))
    assert UniqueKey().check(prepared).count == 1


def test_a_revision_is_no_copy() -> None:
    frame = bars()
    later = frame.iloc[[7]].assign(close=1.0, known_at=frame["known_at"].iloc[[7]] + pd.Timedelta(days=3))
    assert UniqueKey().check(batch(pd.concat([frame, later], ignore_index=True))).count == 0


def test_a_message_stays_one_line_whatever_the_entity_is_called() -> None:
    frame = bars(("A\nB\u202e",))
    frame.loc[5, "close"] = np.nan
    detail = NotMissing(("close",)).check(batch(frame)).detail
    assert "\n" not in detail
    assert "\u202e" not in detail


def test_a_rule_comes_back_from_its_name_and_settings() -> None:
    from finflow.expectations.great import restore

    for rule in ROW_RULES:
        assert restore(rule.name, rule.settings) == rule
