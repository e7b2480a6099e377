"""How a backfill runs: exactly the dates of its dry run, several groups at a time, whole chunks for readers, and what it changed."""

from __future__ import annotations

import datetime
import random
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import pytest

import finflow.pipelines.backfill.plan
from finflow.pipelines.backfill.changes import Changes, compare, together
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import backfill, forget, plan_backfill, run_chunk, show_plan
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.lake.ledger import ALL_ENTITIES, Ledger, LedgerRow
from finflow.pipelines.lake.predictions import KEY, Predictions
from finflow.pipelines.scoring.export import export
from finflow.pipelines.scoring.score import score_clean
from tests.support.pipelines.backfill_support import DATES, END, START, market, ran, registry, registry_of, rows_of, run, statuses
from tests.support.pipelines.serving_support import Market, Registry, bars, make_market

__all__ = ["market", "registry"]


@pytest.mark.parametrize("seed", range(4))
def test_the_dates_that_run_are_those_of_the_dry_run(seed: int, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """From any mixture of states, for each choice of dates and either order."""
    chance = random.Random(seed)
    bad = chance.choice(DATES)
    frame = bars()
    market = make_market(home, frame[frame["time"] != pd.Timestamp(bad)])
    registry = registry_of(market, monkeypatch)
    monkeypatch.setattr(finflow.pipelines.backfill.plan, "CHUNK_DATES", 4)
    states = set()
    for _ in range(5):
        only, newest_first = chance.choice(["missing", "failed", "stale", "all"]), chance.random() < 0.5
        first, last = sorted(chance.sample(DATES, 2))
        request = BackfillRequest(first, last, only=only, newest_first=newest_first, max_active=chance.choice([1, 3]))
        shown = show_plan(market.context, request, clean=market.clean(END))
        status = show_plan(market.context, request, mode="status", clean=market.clean(END))
        assert status["will_run"] == []
        states |= set(status["counts"])
        result = backfill(market.context, request, market.clean(END))
        assert sorted(shown["will_run"]) == ran(result), (only, first, last)
        assert shown["will_run"] == sorted(shown["will_run"], reverse=newest_first)
        assert [one.before for one in result.dates] == [one["before"] for one in shown["dates"]]
        if chance.random() < 0.5:
            registry.promote(registry.rows[-1].version + 1, "2017-05-31", scale=chance.random())
    assert len(states) > 1


def test_several_groups_at_a_time_leave_the_same_rows(market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finflow.pipelines.backfill.plan, "CHUNK_DATES", 2)
    alone = run(market)
    expected = rows_of(market)
    beside = make_market(Home(market.home.root, str(market.home.root / "beside"), "", None))
    together = run(beside, max_active=8, newest_first=True)
    pd.testing.assert_frame_equal(rows_of(beside), expected)
    assert statuses(together) == statuses(alone)
    assert together.written == alone.written == len(expected)
    ledgers = [one.lake.read("ledger/tiny").drop(columns=["seconds", "recorded_at"]).sort_values("time") for one in (market, beside)]
    pd.testing.assert_frame_equal(*[ledger.reset_index(drop=True) for ledger in ledgers])


def test_a_reader_never_sees_half_of_a_chunk(market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """One commit a chunk: whoever reads meanwhile sees all dates of it with all rows, or none."""
    monkeypatch.setattr(finflow.pipelines.backfill.plan, "CHUNK_DATES", 3)
    plan = plan_backfill(market.context, BackfillRequest(START, END), clean=market.clean(END))
    chunks = plan.chunks()
    done, seen = threading.Event(), []

    def look() -> None:
        predictions = Predictions(market.lake, "tiny")
        while not done.is_set():
            rows = predictions.latest(START, END)
            seen.append(rows["time"].dt.strftime("%Y-%m-%d").value_counts().to_dict() if len(rows) else {})

    reader = threading.Thread(target=look)
    reader.start()
    try:
        for dates in chunks:
            run_chunk(market.context, plan, dates)
    finally:
        done.set()
        reader.join()
        forget()
    assert any(0 < len(counts) < len(DATES) for counts in seen), "the reader looked while the backfill ran"
    for counts in seen:
        assert set(counts.values()) <= {6}
        for dates in chunks:
            assert sum(date in counts for date in dates) in (0, len(dates))


def test_it_says_what_changed_against_what_stood_before(market: Market, registry: Registry) -> None:
    score_clean(market.context, market.clean("2017-06-15"))
    first = run(market)
    assert first.changes == Changes(compared=1), "the one date that was served live, and answered alike"
    assert first.changed == 0
    before = Predictions(market.lake, "tiny").latest(START, END)
    registry.promote(2, "2017-05-31", scale=0.02)
    second = run(market, only="stale")
    assert second.changed == len(DATES)
    after = market.lake.read("predictions/tiny", where="version = 2")
    both = before.merge(after, on=["entity", "time", "horizon"], suffixes=("_old", "_new"))
    assert len(both) == len(before)
    assert second.changes.relative == pytest.approx(float((np.abs(both["q50_new"] - both["q50_old"]) / both["q50_old"]).max()), rel=1e-12)
    assert f"{len(DATES)} dates changed against what stood before, by at most" in second.summary
    assert "% (relative, of q50)" in second.summary
    # what was served live is what the third is compared with on that date, and still in view
    view = Predictions(market.lake, "tiny").latest(START, END).set_index("time")
    assert set(view.loc[pd.Timestamp("2017-06-15"), "version"]) == {1}


def test_changes_from_zero_are_absolute() -> None:
    rows = pd.DataFrame({"entity": ["a", "b"], "time": pd.to_datetime(["2020-01-02"] * 2), "horizon": [1, 1], "q50": [0.0, 2.0]})
    moved = rows.assign(q50=[0.5, 3.0])
    assert compare(rows, moved) == Changes(1, ("2020-01-02",), "q50", 1.0, None)
    assert compare(rows, moved.iloc[1:]) == Changes(1, ("2020-01-02",), "q50", 1.0, 0.5)
    assert compare(rows, rows) == Changes(1)
    assert compare(rows.iloc[:0], moved) == Changes()
    joined = together([compare(rows, moved), Changes(3, ("2020-01-03",), "q50", 2.0, 0.1)])
    assert (joined.compared, joined.dates, joined.absolute, joined.relative) == (4, ("2020-01-02", "2020-01-03"), 2.0, None)
    assert "2 dates changed against what stood before, by at most 2 (absolute, of q50)" in joined.words


def test_a_date_whose_rows_are_all_in_quarantine_says_so(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = bars()
    bad = frame["time"] == pd.Timestamp("2017-06-14")
    market = make_market(home, frame[~bad])
    registry_of(market, monkeypatch)
    broken = frame[bad].assign(rules="high_not_below_low,positive", period="2017")
    market.lake.append("quarantine/tiny", broken)
    result = run(market)
    reason = "every row of that date is in quarantine (high_not_below_low, positive)"
    assert [(one.date, one.reason) for one in result.dates if one.after == "failed"] == [("2017-06-14", reason)]
    assert result.counts == {"done": len(DATES) - 1, "failed": 1}
    shown = show_plan(market.context, BackfillRequest(START, END), mode="status", clean=market.clean(END))
    assert [one["reason"] for one in shown["dates"] if one["before"] == "failed"] == [reason]


def test_a_session_that_is_not_over_is_not_complete(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    today = pd.Timestamp(datetime.datetime.now(datetime.UTC).date())
    frame = bars()
    days = sessions(None, today - pd.Timedelta(days=150), today - pd.Timedelta(days=1)).append(pd.DatetimeIndex([today]))
    kept = frame.groupby("entity").head(len(days)).copy()
    kept["time"] = np.tile(days.as_unit("us"), 3)
    kept["known_at"] = (kept["time"] + pd.Timedelta(days=1)).dt.tz_localize("UTC").dt.as_unit("us")
    kept.loc[kept["time"] == today, "known_at"] = pd.Timestamp.now("UTC").as_unit("us")
    market = make_market(home, kept, calendar=None)
    registry_of(market, monkeypatch)
    as_of = finflow.pipelines.backfill.plan.backfill_as_of(market.context, f"{today:%Y-%m-%d}")
    assert as_of == (days[-2] + pd.Timedelta(days=1, hours=1)).tz_localize("UTC")
    clean = market.clean(f"{days[-2]:%Y-%m-%d}")
    plan = plan_backfill(market.context, BackfillRequest(f"{days[-3]:%Y-%m-%d}", f"{today:%Y-%m-%d}"), clean=clean_as_of(clean, as_of))
    assert [(one.run, one.reason) for one in plan.dates] == [(True, ""), (True, ""), (False, "that session is not complete yet")]


def clean_as_of(clean: Any, as_of: pd.Timestamp) -> Any:
    from dataclasses import replace

    return replace(clean, as_of=as_of.isoformat())


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"retrain": "weekly"}, "--retrain 'weekly': expected monthly or quarterly"),
        ({"retrain": "monthly", "model": "3"}, "--model 3 names one: give one of the two"),
        ({"only": "done"}, "--only 'done'"),
    ],
)
def test_a_wrong_choice_is_named(options: dict[str, Any], expected: str, market: Market, registry: Registry) -> None:
    with pytest.raises(FinflowError, match=expected):
        plan_backfill(market.context, BackfillRequest(START, END, **options), market.clean(END))


def test_two_runs_that_settle_the_same_dates_leave_one_row_each(market: Market) -> None:
    rows = [LedgerRow(date, "champion", ALL_ENTITIES, "done", 1, 10, "ab" * 16, 6, "", "b", 0.1) for date in DATES]
    parts = [rows[:15], rows[5:], rows, rows[10:], rows[:3], rows]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda part: Ledger(market.lake, "tiny").record(part), parts))
    assert Ledger(market.lake, "tiny").record(rows) == 0
    table = market.lake.read("ledger/tiny")
    assert sorted(table["time"].dt.strftime("%Y-%m-%d")) == DATES


@pytest.mark.slow
def test_a_hundred_backfills_of_one_range_write_every_row_once(
    market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """Eight at a time, over real tables: predictions, ledger, and a sink."""
    monkeypatch.setattr(finflow.pipelines.backfill.plan, "CHUNK_DATES", 8)
    with_sink = market.definition.model_validate(
        {**market.definition.model_dump(), "sink": {"kind": "parquet", "path": str(tmp_path / "s")}}
    )
    wanted = Market(market.home, with_sink, market.frame)
    clean = market.clean(END)
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda number: run(wanted, clean=clean, newest_first=number % 2 == 1), range(100)))
    assert sum(result.written for result in results) == len(DATES) * 6
    rows = market.lake.read("predictions/tiny")
    assert len(rows) == len(DATES) * 6
    assert not rows.duplicated(list(KEY)).any()
    assert len(market.lake.read("ledger/tiny")) == len(DATES)
    assert all(result.ok and set(result.counts) == {"done"} for result in results)
    sent = pd.read_parquet(tmp_path / "s")
    assert len(sent) == len(DATES) * 6
    assert sum(result.delivered for result in results) >= len(sent)
    exported = export(market.context, START, END, tmp_path / "all.parquet")
    assert exported["rows"] == len(DATES) * 6
