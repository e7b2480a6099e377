"""The simulator of card transactions: what it promises of its rows, its fraud and its late labels."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.sources.simulated.card_transactions import CardTransactionsSource


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return CardTransactionsSource(customers=600, terminals=900, days=90, seed=3).read()


def test_the_rows_and_their_share_of_fraud(rows: pd.DataFrame) -> None:
    assert list(rows.columns) == ["entity", "time", "terminal", "category", "channel", "amount", "fraud", "reported_at"]
    assert 0.9 < len(rows) / (600 * 90 * 2.2) < 1.1
    assert not rows.duplicated(["entity", "time"]).any()
    assert (rows["time"] == rows["time"].dt.floor("s")).all()
    days = rows["time"].dt.normalize()
    assert days.min() == pd.Timestamp("2024-01-01")
    assert days.nunique() == 90
    assert 0.002 < rows["fraud"].mean() < 0.006
    assert (rows["amount"] == rows["amount"].round(2)).all()
    assert (rows["amount"] > 0).all()


def test_labels_arrive_late_by_one_law_for_both_classes_and_not_after_the_last_day(rows: pd.DataFrame) -> None:
    known = rows["reported_at"].notna()
    assert known.equals(rows["fraud"].notna())
    assert rows["reported_at"].max() < pd.Timestamp("2024-03-31")
    delay = (rows["reported_at"] - rows["time"]).dt.total_seconds()[known] / 86_400
    early = rows["time"] < "2024-02-01"
    assert delay.min() > 0
    assert abs(delay[early].median() - 4.0) < 0.1
    by_class = delay[early].groupby(rows["fraud"][known & early]).median()
    assert abs(by_class[1.0] - by_class[0.0]) < 1.5
    last = rows["time"] >= "2024-03-30"
    assert rows["fraud"][last].isna().mean() > 0.8
    assert abs(rows["fraud"][early].isna().mean() - 0.02) < 0.01


def test_more_days_begin_with_the_same_days(rows: pd.DataFrame) -> None:
    shorter = CardTransactionsSource(customers=600, terminals=900, days=60, seed=3).read()
    first = rows[: len(shorter)]
    columns = ["entity", "time", "terminal", "category", "channel", "amount"]
    pd.testing.assert_frame_equal(shorter[columns], first[columns])
    then = first["reported_at"] < pd.Timestamp("2024-03-01")
    pd.testing.assert_series_equal(shorter["fraud"], first["fraud"].where(then))
    other = CardTransactionsSource(customers=600, terminals=900, days=2, seed=4).read()
    assert not other["amount"].head(500).equals(rows["amount"].head(500))


def test_the_scenarios_leave_their_traces(rows: pd.DataFrame) -> None:
    fraud, genuine = rows[rows["fraud"] == 1], rows[rows["fraud"] == 0]
    assert fraud["amount"].mean() > 1.5 * genuine["amount"].mean()
    by_terminal = fraud.groupby("terminal").size()
    alone = np.random.default_rng(0).choice(rows["terminal"].to_numpy(), len(fraud))
    assert by_terminal.max() > 2 * pd.Series(alone).value_counts().max(), "compromised terminals hold many"
    assert CardTransactionsSource(customers=300, terminals=300, days=20, fraud=0.0).read()["fraud"].sum() == 0


def test_busy_customers_have_seconds_of_their_own() -> None:
    busy = CardTransactionsSource(customers=300, terminals=40, days=3, daily=50).read()
    assert not busy.duplicated(["entity", "time"]).any()
    assert (busy["time"].dt.normalize().nunique()) == 3


def test_labels_as_revisions_say_in_the_end_what_rows_with_labels_say() -> None:
    settings = {"customers": 100, "terminals": 100, "days": 30, "seed": 1}
    plain = CardTransactionsSource(**settings).read().sort_values(["entity", "time"], ignore_index=True)
    revised = CardTransactionsSource(**settings, revisions=True).read()
    assert not revised.duplicated(["entity", "time", "known_at"]).any()
    last = (
        revised.sort_values("known_at").drop_duplicates(["entity", "time"], keep="last").sort_values(["entity", "time"], ignore_index=True)
    )
    pd.testing.assert_frame_equal(last.drop(columns="known_at"), plain)
    early = revised.sort_values("known_at").drop_duplicates(["entity", "time"])
    known = early["reported_at"].dropna().dt.tz_localize("UTC")
    assert (known <= early["known_at"][known.index]).all()
