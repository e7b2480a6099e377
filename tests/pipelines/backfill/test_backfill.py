"""Backfill: the same rows as scoring each date would have given, in few passes, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest

import finflow.pipelines.features.kinds as features_module
from finflow.pipelines.backfill.request import BackfillRequest
from finflow.pipelines.backfill.run import backfill_result, forget, plan_backfill, run_chunk, show_plan
from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.lake.ledger import Ledger
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.scoring.score import score_clean
from tests.support.patching import replace_everywhere
from tests.support.pipelines.backfill_support import DATES, END, START, market, registry, registry_of, rows_of, run, statuses
from tests.support.pipelines.bars import planted
from tests.support.pipelines.serving_support import Market, Registry, bars, make_market

__all__ = ["market", "registry"]  # fixtures


def assert_as_scored(market: Market, dates: list[str]) -> None:
    """The rows of `dates` are those that live scoring leaves, date after date, in a lake beside."""
    filled = rows_of(market)
    filled = filled[filled["time"].isin(pd.DatetimeIndex(dates))].reset_index(drop=True)
    assert len(filled)
    pd.testing.assert_frame_equal(filled, scored_one_by_one(market, dates))


def scored_one_by_one(market: Market, dates: list[str]) -> pd.DataFrame:
    home = Home(market.home.root, str(market.home.root / "beside"), "", None)
    beside = Market(home, market.definition, market.frame)
    for table in ("raw", "clean"):
        beside.lake.append(f"{table}/tiny", market.lake.read(f"{table}/tiny"))
    for date in dates:
        score_clean(open_context(beside.definition, home), beside.clean(date))
    return rows_of(beside)


def versions(market: Market) -> tuple[int | None, int | None]:
    return market.lake.version("predictions/tiny"), market.lake.version("ledger/tiny")


def test_it_gives_the_rows_that_scoring_each_date_gives(market: Market, registry: Registry) -> None:
    result = run(market)
    assert [one.date for one in result.dates] == DATES  # both ends, and sessions only
    assert statuses(result) == dict.fromkeys(DATES, ("missing", "done"))
    assert result.ok
    assert result.written == len(DATES) * 6 == len(rows_of(market))
    assert len(registry.loaded) == 1
    assert_as_scored(market, DATES)


def test_a_second_run_writes_nothing_and_says_so(market: Market, registry: Registry) -> None:
    run(market)
    before = versions(market)
    again = run(market)
    assert statuses(again) == dict.fromkeys(DATES, ("done", "done"))
    assert again.written == 0
    assert "nothing was written" in again.summary
    assert {one.rows for one in again.dates} == {6}
    everything = run(market, only="all")
    assert everything.written == 0
    assert "all were there already" in everything.summary
    assert versions(market) == before


def test_many_dates_share_one_pass(market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    import finflow.pipelines.samples.windows

    passes: list[int] = []
    original = finflow.pipelines.samples.windows.build_samples
    replace_everywhere(monkeypatch, "finflow.pipelines.samples.windows.build_samples", lambda *given: passes.append(1) or original(*given))
    plan = plan_backfill(market.context, BackfillRequest(START, END), clean=market.clean(END))
    assert len(plan.stretches) == 1
    assert plan.stretches[0].shared
    assert len(passes) == 2  # the trial that the first date is the same with and without later rows
    passes.clear()
    for dates in (plan.selected[:10], plan.selected[10:]):
        run_chunk(market.context, plan, dates)
    assert not passes, "the chunks share what the plan has built"
    forget()


def test_a_row_revised_later_enters_only_from_then_on(market: Market, registry: Registry) -> None:
    market.revise("ALPHA", "2017-06-05", known="2017-06-20", factor=1.3)
    market.revise("BETA", "2017-05-30", known="2017-06-08", factor=0.8)
    plan = plan_backfill(market.context, BackfillRequest(START, END), clean=market.clean(END))
    assert [(one.first, one.last, one.shared) for one in plan.stretches] == [
        ("2017-06-01", "2017-06-07", True),
        ("2017-06-08", "2017-06-19", True),
        ("2017-06-20", "2017-06-30", True),
    ]
    run(market)
    assert_as_scored(market, ["2017-06-01", "2017-06-07", "2017-06-08", "2017-06-19", "2017-06-20", "2017-06-30"])


def test_a_feature_of_the_whole_history_gets_a_pass_a_date(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """A feature that reads later rows and is never missing would be shared unseen, were it not tried."""
    whole = features_module.FeatureKind(lambda panel, feature: np.full(len(panel.age), panel["close"].mean()))
    monkeypatch.setitem(features_module.FEATURES, "whole_mean", whole)
    market = make_market(home, features=[{"kind": "whole_mean", "name": "log_return"}])
    registry_of(market, monkeypatch)
    plan = plan_backfill(market.context, BackfillRequest(START, END), clean=market.clean(END))
    assert [one.shared for one in plan.stretches] == [False]
    run(market)
    assert_as_scored(market, ["2017-06-01", "2017-06-14", "2017-06-30"])


def test_a_feature_shifted_from_the_future_leaves_no_sample(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    market = make_market(home)
    market.definition = planted(market.definition, "log_return", -1)
    registry_of(market, monkeypatch)
    result = run(market)
    assert not result.ok
    assert statuses(result) == dict.fromkeys(DATES, ("missing", "failed"))
    assert result.written == 0


def test_target_dates_of_a_suspended_entity_are_those_known_then(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = bars()
    away = (frame["entity"] == "BETA") & frame["time"].between("2017-06-09", "2017-06-12")
    market = make_market(home, frame[~away])
    registry_of(market, monkeypatch)
    result = run(market)
    rows = rows_of(market)
    beta = rows[(rows["entity"] == "BETA") & (rows["time"] == pd.Timestamp("2017-06-08"))]
    assert list(beta["target_time"].dt.strftime("%Y-%m-%d")) == ["2017-06-09", "2017-06-12"]
    assert {one.date: one.rows for one in result.dates}["2017-06-09"] == 4
    assert_as_scored(market, ["2017-06-08", "2017-06-13"])


def test_a_row_that_arrives_late_makes_the_touched_dates_stale_and_no_other(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = bars()
    late = (frame["entity"] == "BETA") & (frame["time"] == pd.Timestamp("2017-06-05"))
    market = make_market(home, frame[~late])
    registry_of(market, monkeypatch)
    run(market)
    market.write(frame[late])
    plan = plan_backfill(market.context, BackfillRequest(START, END, only="stale"), clean=market.clean(END))
    # Windows of 10 returns: from the 5th on, ten sessions hold the row itself, and one more the return after it.
    first = DATES.index("2017-06-05")
    touched = DATES[first : first + 11]
    assert [one.date for one in plan.dates if one.before == "stale"] == touched
    assert list(plan.selected) == touched
    assert {one.reason for one in plan.dates if one.run} == {"the rows that it reads have changed"}
    result = run(market, only="stale")
    assert result.written == len(touched) * 2
    assert set(statuses(run(market)).values()) == {("done", "done")}
    latest = Predictions(market.lake, "tiny").latest(START, END)
    assert len(latest) == len(DATES) * 6


def test_another_champion_makes_everything_stale_and_a_version_keeps_its_own_ledger(market: Market, registry: Registry) -> None:
    run(market)
    registry.promote(2, "2017-06-15")
    again = run(market)
    assert {one.before for one in again.dates} == {"stale"}
    assert again.written == 0
    assert again.dates[0].reason == "version 1 answered; version 2 is selected now"
    assert statuses(run(market, model="1")) == dict.fromkeys(DATES, ("missing", "done"))
    fresh = run(market, only="stale")
    assert fresh.written == len(DATES) * 6
    seen = {one.date: one.in_sample for one in fresh.dates}
    assert {date for date, count in seen.items() if count} == set(DATES[: DATES.index("2017-06-15")])


def test_as_of_takes_the_version_effective_on_each_date(market: Market, registry: Registry) -> None:
    registry.rows.clear()
    registry.promote(3, "2017-06-07")
    registry.promote(4, "2017-06-20", scale=0.02)
    result = run(market, model="as-of")
    used = {one.date: (one.after, one.version) for one in result.dates}
    assert used["2017-06-06"] == ("no-model", None)
    assert used["2017-06-07"] == ("done", 3)
    assert used["2017-06-19"] == ("done", 3)
    assert used["2017-06-20"] == ("done", 4)
    assert not any(one.in_sample for one in result.dates)
    second = run(market, model="as-of")
    assert second.written == 0
    assert {one.in_sample for one in second.dates} == {None}, "0 would say of rows not looked at that none is in-sample"


def test_without_a_champion_every_date_is_no_model(market: Market, registry: Registry) -> None:
    registry.rows.clear()
    result = run(market)
    assert set(statuses(result).values()) == {("no-model", "no-model")}
    assert result.written == 0


def test_a_bad_date_fails_alone_and_is_tried_again_on_demand(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = bars()
    bad = frame["time"] == pd.Timestamp("2017-06-14")
    market = make_market(home, frame[~bad])
    registry_of(market, monkeypatch)
    result = run(market)
    assert not result.ok
    failed = [one for one in result.dates if one.after == "failed"]
    assert [(one.date, one.rows) for one in failed] == [("2017-06-14", 0)]
    assert "no row of that date" in failed[0].reason
    assert result.counts == {"done": len(DATES) - 1, "failed": 1}
    untouched = run(market)
    assert untouched.written == 0
    assert untouched.ok  # nothing ran
    market.write(frame[bad])
    mended = run(market, only="failed")
    assert [one.date for one in mended.dates if one.after != one.before] == ["2017-06-14"]
    assert mended.written == 6


def test_a_model_that_breaks_on_one_date_spoils_that_date_only(market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support.pipelines.serving_support import WindowMean

    original = WindowMean.predict

    def predict(self: WindowMean, samples: Any) -> Any:
        days = samples.index.time.astype("datetime64[D]").astype(str)
        if "2017-06-07" in days:
            raise RuntimeError("no answer for the seventh")
        prediction = original(self, samples)
        prediction.values[days == "2017-06-09"] = np.nan
        return prediction

    monkeypatch.setattr(WindowMean, "predict", predict)
    result = run(market)
    failed = {one.date: one.reason for one in result.dates if one.after == "failed"}
    assert failed == {
        "2017-06-07": "RuntimeError: no answer for the seventh",
        "2017-06-09": "version 1 gave a value that is not finite for ALPHA, BETA, 中国银行",
    }
    assert result.written == (len(DATES) - 2) * 6


def test_a_version_that_may_not_be_loaded_fails_its_dates_only(market: Market, registry: Registry) -> None:
    registry.rows.clear()
    registry.promote(3, "2017-05-31")
    registry.promote(4, "2017-06-20")
    registry.broken.add(3)
    result = run(market, model="as-of")
    assert {one.after for one in result.dates if one.version == 3} == {"failed"}
    assert {one.after for one in result.dates if one.version == 4} == {"done"}
    assert "tampered" in result.dates[0].reason


@pytest.fixture
def dies_before_the_ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", lambda self, rows: (_ for _ in ()).throw(KeyboardInterrupt))
        yield


def test_killed_between_rows_and_ledger_the_same_command_converges(
    market: Market, registry: Registry, dies_before_the_ledger: None
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(market)
    assert len(rows_of(market)) == len(DATES) * 6
    assert market.lake.version("ledger/tiny") is None


def test_what_a_killed_run_left_is_found(market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "record", lambda self, rows: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(market)
    ended = run(market)
    assert statuses(ended) == dict.fromkeys(DATES, ("missing", "done"))
    assert ended.written == 0
    assert len(rows_of(market)) == len(DATES) * 6
    assert statuses(run(market)) == dict.fromkeys(DATES, ("done", "done"))


def test_what_was_served_live_stays_in_view(market: Market, registry: Registry) -> None:
    live = score_clean(market.context, market.clean("2017-06-15"))
    first = run(market)
    assert live.written == 6
    assert first.written == (len(DATES) - 1) * 6
    registry.promote(2, "2017-06-01", scale=0.02)
    run(market, only="stale")
    latest = Predictions(market.lake, "tiny").latest(START, END)
    assert len(latest) == len(DATES) * 6
    served = latest[latest["time"] == pd.Timestamp("2017-06-15")]
    assert set(served["version"]) == {1}
    assert served["backfill_id"].isna().all()
    others = latest[latest["time"] != pd.Timestamp("2017-06-15")]
    assert set(others["version"]) == {2}
    assert others["backfill_id"].nunique() == 1


def test_one_entity_alone(market: Market, registry: Registry) -> None:
    result = run(market, entity="中国银行")
    assert result.written == len(DATES) * 2
    assert run(market, entity="中国银行").written == 0
    assert run(market).written == len(DATES) * 4
    with pytest.raises(FinflowError, match="no such entity; there are ALPHA, BETA"):
        run(market, entity="GAMMA")


def test_a_dry_run_says_exactly_what_then_runs(market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    import finflow.pipelines.backfill.plan

    monkeypatch.setattr(finflow.pipelines.backfill.plan, "_validated", lambda context, last, restated: market.clean(f"{last:%Y-%m-%d}"))
    run(market, "2017-06-01", "2017-06-09")
    shown = show_plan(market.context, BackfillRequest(START, END, newest_first=True))
    assert shown["mode"] == "dry-run"
    assert shown["will_run"] == DATES[7:][::-1]
    assert shown["estimate_seconds"] > 0
    before = versions(market)
    assert show_plan(market.context, BackfillRequest(START, END), mode="status")["counts"] == {"done": 7, "missing": len(DATES) - 7}
    assert versions(market) == before
    result = run(market, newest_first=True)
    assert [one.date for one in result.dates if one.before != one.after] == DATES[7:]
    assert result.will_run == len(DATES) - 7


def test_chunks_go_newest_first_and_hold_every_date_once(market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    import finflow.pipelines.backfill.plan

    monkeypatch.setattr(finflow.pipelines.backfill.plan, "CHUNK_DATES", 5)
    plan = plan_backfill(market.context, BackfillRequest(START, END, newest_first=True), clean=market.clean(END))
    chunks = plan.chunks()
    assert [date for chunk in chunks for date in chunk] == DATES[::-1]
    assert {len(chunk) for chunk in chunks} == {5, 2}
    results = [run_chunk(market.context, plan, chunk) for chunk in chunks]
    assert statuses(backfill_result(plan, results)) == dict.fromkeys(DATES, ("missing", "done"))
    assert_as_scored(market, ["2017-06-01", "2017-06-14", "2017-06-30"])


def test_dates_that_the_data_do_not_reach_stay_missing(market: Market, registry: Registry) -> None:
    plan = plan_backfill(market.context, BackfillRequest("2017-06-29", "2017-07-05"), clean=market.clean(END))
    assert {one.date: (one.before, one.run) for one in plan.dates} == {
        "2017-06-29": ("missing", True),
        "2017-06-30": ("missing", True),
        "2017-07-03": ("missing", False),
        "2017-07-05": ("missing", False),
    }
    assert plan.dates[-1].reason == "the data do not reach that date yet"


@pytest.mark.parametrize(
    ("start", "end", "options", "expected"),
    [
        ("2017-06-30", "2017-06-01", {}, "lies after"),
        ("tomorrow-ish", "2017-06-01", {}, "--start 'tomorrow-ish': expected a date"),
        ("2017-06-01", "2017-06-31", {}, "--end '2017-06-31': expected a date"),
        ("2017-06-03", "2017-06-04", {}, "no trading day"),
        (START, END, {"only": "some"}, "--only 'some'"),
        (START, END, {"model": "best"}, "--model 'best'"),
        (START, END, {"model": "9"}, "version 9 is not in the promotions table"),
    ],
)
def test_a_wrong_option_is_named(start: str, end: str, options: dict[str, Any], expected: str, market: Market, registry: Registry) -> None:
    with pytest.raises(FinflowError, match=expected):
        plan_backfill(market.context, BackfillRequest(start, end, **options), market.clean(END))
    assert versions(market) == (None, None)


def test_a_context_longer_than_the_window_is_watched_too(market: Market, registry: Registry) -> None:
    registry.promote(2, "2017-06-01", context=40)
    run(market)
    assert_as_scored(market, ["2017-06-01", "2017-06-14", "2017-06-30"])
    market.revise("ALPHA", "2017-04-27", known="2017-04-27")
    plan = plan_backfill(market.context, BackfillRequest(START, END), clean=market.clean(END))
    stale = [one.date for one in plan.dates if one.before == "stale"]
    days = [f"{day:%Y-%m-%d}" for day in sessions("XNYS", "2017-04-27", END)]
    assert stale == [date for date in days[:41] if date >= START]
