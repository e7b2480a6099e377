"""Corrected rows: which dates they make stale, to the date; and restated rows, which never mix with history."""

from __future__ import annotations

import pandas as pd
import pytest

from finflow.pipelines.backfill.plan import BackfillPlan
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import plan_backfill
from finflow.pipelines.core.calendars import published_at, sessions
from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.operating.status import _predictions
from finflow.pipelines.scoring.export import export
from tests.support.pipelines.backfill_support import DATES, END, START, market, registry, rows_of, run, statuses
from tests.support.pipelines.serving_support import Market, Registry

__all__ = ["market", "registry"]

#: a row of this date is in the windows of ten returns that end on its own date and the ten sessions after it (the return after it)
ROW = "2017-06-06"
TOUCHED = DATES[DATES.index(ROW) : DATES.index(ROW) + 11]


def stale(market: Market, **options: bool) -> list[str]:
    plan = planned(market, **options)
    assert plan.selected == tuple(one.date for one in plan.dates if one.before == "stale")
    return list(plan.selected)


def planned(market: Market, **options: bool) -> BackfillPlan:
    clean = now(market) if options.get("restated") else market.clean(END)
    return plan_backfill(market.context, BackfillRequest(START, END, only="stale", **options), clean)


def now(market: Market) -> object:
    """The batch with every correction known by today."""
    from dataclasses import replace

    return replace(market.clean(END), as_of=pd.Timestamp.now("UTC").isoformat())


def correct(market: Market, known: pd.Timestamp) -> None:
    """Another close for ALPHA on ROW, known from an instant on."""
    row = market.frame[(market.frame["entity"] == "ALPHA") & (market.frame["time"] == pd.Timestamp(ROW))].copy()
    row["close"] *= 1.2
    row["known_at"] = known.as_unit("us")
    market.write(row)


def published(date: str) -> pd.Timestamp:
    return pd.Timestamp(published_at("XNYS", 60, [pd.Timestamp(date)])[0])


def test_a_correction_that_arrives_today_changes_no_history(market: Market, registry: Registry) -> None:
    run(market)
    correct(market, pd.Timestamp.now("UTC"))
    assert stale(market) == []
    assert run(market, only="stale").written == 0


@pytest.mark.parametrize("known", ["2017-06-06", "2017-06-09", "2017-06-20", "2017-06-21"])
def test_a_vintage_makes_stale_the_touched_dates_from_it_on(known: str, market: Market, registry: Registry) -> None:
    """Known a minute before that date's as-of: the date itself sees it, the one before does not."""
    run(market)
    moment = published(known) - pd.Timedelta(minutes=1) if known != ROW else published(known) + pd.Timedelta(microseconds=1)
    correct(market, moment)
    expected = [date for date in TOUCHED if published(date) >= moment]
    assert stale(market) == expected
    # June 20 is the last touched date; a correction of the day after touches none
    assert len(expected) == {"2017-06-06": 10, "2017-06-09": 8, "2017-06-20": 1, "2017-06-21": 0}[known]
    result = run(market, only="stale")
    assert [one.date for one in result.dates if one.in_sample is not None] == expected
    assert result.written == 2 * len(expected)
    assert set(statuses(run(market)).values()) == {("done", "done")}


def test_a_vintage_at_the_instant_of_an_as_of_is_known_to_it(market: Market, registry: Registry) -> None:
    run(market)
    correct(market, published("2017-06-12"))
    assert stale(market) == [date for date in TOUCHED if date >= "2017-06-12"]


def test_a_correction_makes_the_touched_restated_dates_stale(market: Market, registry: Registry) -> None:
    run(market, restated=True, clean=now(market))
    correct(market, pd.Timestamp.now("UTC"))
    assert stale(market, restated=True) == TOUCHED
    result = run(market, only="stale", restated=True, clean=now(market))
    assert result.written == 2 * len(TOUCHED)
    assert stale(market, restated=True) == []


def test_restated_dates_read_no_row_of_a_later_date(market: Market, registry: Registry) -> None:
    """Cut off after any date, the table gives the same restated rows up to it."""
    correct(market, pd.Timestamp.now("UTC"))
    run(market, restated=True, clean=now(market))
    whole = rows_of(market)
    for cut in ("2017-06-06", "2017-06-15"):
        home = Home(market.home.root, str(market.home.root / f"cut-{cut}"), "", None)
        short = Market(home, market.definition, market.frame)
        for table in ("raw", "clean"):
            rows = market.lake.read(f"{table}/tiny")
            short.lake.append(f"{table}/tiny", rows[rows["time"] <= pd.Timestamp(cut)])
        run(short, START, cut, restated=True, clean=now(short))
        pd.testing.assert_frame_equal(rows_of(short), whole[whole["time"] <= pd.Timestamp(cut)].reset_index(drop=True), check_like=True)


def test_restated_rows_stay_out_of_history(market: Market, registry: Registry, tmp_path: object) -> None:
    from pathlib import Path

    run(market)
    correct(market, pd.Timestamp.now("UTC"))
    before = Predictions(market.lake, "tiny").latest(START, END)
    result = run(market, restated=True, clean=now(market))
    assert statuses(result) == dict.fromkeys(DATES, ("missing", "done")), "a ledger of its own"
    assert result.restated
    assert "restated" in result.summary
    assert list(result.changes.dates) == TOUCHED, "how much the correction matters, against what was known then"
    predictions = Predictions(market.lake, "tiny")
    pd.testing.assert_frame_equal(predictions.latest(START, END), before)
    restated = predictions.latest(START, END, restated=True)
    assert len(restated) == len(before)
    assert restated["restated"].all()
    assert not before["restated"].any()
    differs = before.merge(restated, on=["entity", "time", "horizon"]).query("q50_x != q50_y")
    assert sorted(differs["time"].dt.strftime("%Y-%m-%d").unique()) == TOUCHED
    assert set(differs["entity"]) == {"ALPHA"}
    assert export(market.context, START, END, Path(str(tmp_path)) / "x.parquet")["rows"] == len(before)
    counted = _predictions(market.context, END)
    assert counted is not None
    assert counted["rows"] == len(before)


def test_rows_from_before_there_was_the_mark_are_not_restated(market: Market, registry: Registry) -> None:
    run(market)
    rows = market.lake.read("predictions/tiny").drop(columns="restated")
    old = Market(Home(market.home.root, str(market.home.root / "old"), "", None), market.definition, market.frame)
    old.write()
    old.lake.append("predictions/tiny", rows)
    predictions = Predictions(old.lake, "tiny")
    assert len(predictions.latest(START, END)) == len(rows)
    assert predictions.latest(START, END, restated=True).empty
    assert run(old).written == 0, "the same rows again, by a run that marks them"
    assert run(old, restated=True, clean=now(old)).written == len(rows)
    assert len(predictions.latest(START, END)) == len(rows) == len(predictions.latest(START, END, restated=True))


def test_dates_before_the_first_touched_session_are_never_stale(market: Market, registry: Registry) -> None:
    """A whole history corrected on one day: nothing before that day moves."""
    run(market)
    vintage = published("2017-06-13")
    rows = market.frame[(market.frame["entity"] == "BETA") & (market.frame["time"] < pd.Timestamp("2017-06-13"))].copy()
    rows["close"] *= 1.0 + 0.001 * pd.Series(range(len(rows)), index=rows.index) / len(rows)
    rows["known_at"] = vintage.as_unit("us")
    market.write(rows)
    reach = [f"{day:%Y-%m-%d}" for day in sessions("XNYS", "2017-06-13", END)]
    assert stale(market) == reach[:10], "the return of the 13th starts from a corrected close, and is in ten windows"
