"""The simulators of rows keep what they promise: late outcomes, a cycle, reject bias, drift, missing fields."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.sources import SOURCES, SourceSettings
from finflow.pipelines.sources.simulated.loan_book import LoanBookSource


@pytest.fixture(scope="module")
def book() -> pd.DataFrame:
    return LoanBookSource(rejected=True, truth=True, seed=1).read()


def test_outcomes_are_of_the_accepted_and_a_year_old(book: pd.DataFrame) -> None:
    assert not book.duplicated(["entity"]).any()
    known = book["defaulted"].notna()
    old = book["time"] + pd.Timedelta(days=365) <= pd.Timestamp("2022-01-01")
    assert known.equals((book["accepted"] == 1) & old)
    assert 0.75 < book["accepted"].mean() < 0.95
    assert 0.06 < book["defaulted"].mean() < 0.12
    plain = LoanBookSource(seed=1).read()
    assert len(plain) == book["accepted"].sum()
    assert set(book) - set(plain) == {"chance", "accepted"}


def test_defaults_are_drawn_by_their_chance(book: pd.DataFrame) -> None:
    known = book[book["defaulted"].notna()]
    deviation = np.sqrt((known["chance"] * (1 - known["chance"])).sum())
    assert abs(known["defaulted"].sum() - known["chance"].sum()) < 4 * deviation
    tenth = pd.qcut(known["chance"], 10, labels=False)
    by_tenth = known.groupby(tenth)[["chance", "defaulted"]].mean()
    assert (abs(by_tenth["chance"] - by_tenth["defaulted"]) < 0.03).all()


def test_the_cycle_moves_defaults_and_is_not_known_beforehand(book: pd.DataFrame) -> None:
    by_year = book.groupby(book["time"].dt.year)["chance"].mean()
    assert by_year.max() > 1.6 * by_year.min()
    calm = LoanBookSource(truth=True, cycle=0, seed=1).read()
    still = calm.groupby(calm["time"].dt.year)["chance"].mean()
    assert still.max() < 1.25 * still.min()


def test_the_accepted_are_better_than_their_columns_say() -> None:
    """At equal columns (those that the policy reads) the rejected are worse: the officer saw something."""
    book = LoanBookSource(rejected=True, truth=True, cycle=0, seed=2).read()
    alike = book[(book["bureau_score"].between(555, 575)) & (book["debt_ratio"] < 0.4)]
    chance = alike.groupby("accepted")["chance"].mean()
    assert chance[0.0] > 1.3 * chance[1.0]


def test_the_mix_drifts_and_a_purpose_is_new(book: pd.DataFrame) -> None:
    year = book["time"].dt.year
    online = (book["channel"] == "online").groupby(year).mean()
    assert online.is_monotonic_increasing
    assert book.loc[book["purpose"] == "electric car", "time"].min() >= pd.Timestamp("2018-01-01")


def test_missing_fields_tell_something(book: pd.DataFrame) -> None:
    gone = book[["income", "bureau_score", "months_employed", "housing"]].isna().mean()
    assert ((gone > 0.02) & (gone < 0.2)).all()
    assert book.loc[book["income"].isna(), "chance"].mean() > 1.15 * book.loc[book["income"].notna(), "chance"].mean()
    assert book.loc[book["employment"] == "unemployed", "months_employed"].isna().all()
    assert (book["months_employed"].dropna() <= 12 * (book["age"] - 16)[book["months_employed"].notna()]).all()


@pytest.mark.parametrize(
    ("kind", "outcome", "after"), [("loan_book", "defaulted", 365), ("insurance_claims", "fraud", 120), ("account_days", "reported", 60)]
)
def test_more_days_begin_with_the_same_days(kind: str, outcome: str, after: int) -> None:
    source: type[SourceSettings] = SOURCES[kind]
    short, long = (source.model_validate({"kind": kind, "days": days, "seed": 4}).read() for days in (500, 760))
    head = long.iloc[: len(short)]
    pd.testing.assert_frame_equal(short.drop(columns=outcome), head.drop(columns=outcome))
    known = short[outcome].notna()
    assert known.any()
    assert short.loc[known, outcome].equals(head.loc[known, outcome])
    end = short["time"].min().normalize() + pd.Timedelta(days=500)
    assert short.loc[known, "time"].max() + pd.Timedelta(days=after) <= end
    other = source.model_validate({"kind": kind, "days": 500, "seed": 5}).read()
    assert not other.equals(short)
    assert not short.duplicated(["entity", "time"]).any()


def test_claims_and_alerts_have_something_to_find() -> None:
    claims = SOURCES["insurance_claims"].model_validate({"kind": "insurance_claims"}).read()
    assert 0.03 < claims["fraud"].mean() < 0.05
    crooked = claims["garage"].isin([f"G{number:02d}" for number in range(1, 7)])
    assert claims.loc[crooked, "fraud"].mean() > 2 * claims.loc[~crooked, "fraud"].mean()
    alerts = SOURCES["account_days"].model_validate({"kind": "account_days"}).read()
    assert 0.01 < alerts["reported"].mean() < 0.03
    assert alerts.groupby("reported")["below_limit"].mean().diff().iloc[-1] > 0.5
    assert (alerts.groupby("entity").size() > 1).mean() > 0.8, "accounts have histories"
