"""Scoring a date: which rows appear, once, and what is refused."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.core.errors import FinflowError, NotEnoughHistoryError, RegistryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.context import open_context
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.scoring.score import score_clean
from tests.support.pipelines.serving_support import ENTITIES, Market, Registry, bars, make_market

DATE = "2017-06-15"


@pytest.fixture
def market(home: Home) -> Market:
    return make_market(home)


@pytest.fixture
def registry(market: Market, monkeypatch: pytest.MonkeyPatch) -> Registry:
    registry = Registry(market.definition)
    registry.install(monkeypatch)
    registry.promote(1, "2017-05-31")
    return registry


def stored(market: Market) -> pd.DataFrame:
    rows = market.lake.read("predictions/tiny")
    return rows.sort_values(["time", "entity", "horizon", "version"]).reset_index(drop=True)


def test_a_date_is_scored_once(market: Market, registry: Registry) -> None:
    first = score_clean(market.context, market.clean(DATE))
    assert (first.version, first.date, first.rows, first.written, first.in_sample, first.table_version) == (1, DATE, 6, 6, 0, 0)
    rows = stored(market)
    assert sorted(set(rows["entity"])) == sorted(ENTITIES)
    assert set(rows["time"]) == {pd.Timestamp(DATE)}
    assert rows["horizon"].tolist() == [1, 2] * 3
    assert list(rows["target_time"].head(2)) == list(sessions("XNYS", "2017-06-16", "2017-06-19"))
    assert rows["backfill_id"].isna().all()
    assert set(rows["period"]) == {"2017-06"}
    assert rows["input_digest"].nunique() == 3
    assert (rows["q05"] < rows["q50"]).all()
    assert (rows["q50"] < rows["q95"]).all()
    assert str(rows["scored_at"].dt.tz) == "UTC"

    again = score_clean(market.context, market.clean(DATE))
    assert (again.rows, again.written, again.table_version) == (6, 0, 0)
    pd.testing.assert_frame_equal(stored(market), rows)


def test_later_rows_and_later_revisions_do_not_enter(market: Market, registry: Registry, tmp_path: pytest.TempPathFactory) -> None:
    whole = score_clean(market.context, market.clean(DATE))
    market.revise("ALPHA", "2017-06-14", known="2017-06-16", factor=1.5)
    assert score_clean(market.context, market.clean(DATE)).written == 0
    assert whole.rows == 6
    later = score_clean(market.context, market.clean("2017-06-16"))
    assert later.written == 6


def test_another_version_adds_its_rows_and_another_input_too(market: Market, registry: Registry) -> None:
    score_clean(market.context, market.clean(DATE))
    registry.promote(2, "2017-06-01", scale=0.02)
    assert score_clean(market.context, market.clean(DATE)).version == 2
    assert score_clean(market.context, market.clean(DATE), version=1).written == 0
    market.revise("BETA", "2017-06-14", known="2017-06-14")
    changed = score_clean(market.context, market.clean(DATE))
    assert changed.written == 2  # BETA's two horizons; the others read what they read before
    assert len(stored(market)) == 14


@pytest.mark.parametrize(("trained", "expected"), [("2017-06-14", 0), ("2017-06-15", 0), ("2017-06-16", 3), ("2017-06-19", 6)])
def test_in_sample_is_what_the_version_may_have_learnt_from(trained: str, expected: int, market: Market, registry: Registry) -> None:
    # The forecast of the 15th is about the 16th and the 19th. As of the 15th neither was known; as of the 16th one of them was, and
    # the sample counts as seen as a whole.
    registry.promote(2, trained)
    found = score_clean(market.context, market.clean(DATE)).in_sample
    assert found == (6 if expected else 0)


def test_without_a_champion_nothing_is_scored(market: Market, registry: Registry) -> None:
    registry.rows.clear()
    with pytest.raises(RegistryError, match="no champion yet: finflow train tiny"):
        score_clean(market.context, market.clean(DATE))
    registry.models[9] = {}
    with pytest.raises(RegistryError, match="version 9 "):
        score_clean(market.context, market.clean(DATE), version=9)


def test_a_changed_definition_is_refused(market: Market, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    served = registry.load(1)
    changed = market.definition.model_copy(update={"window": market.definition.window.model_copy(update={"length": 12})})
    monkeypatch.setattr(registry, "load", lambda version: served)
    with pytest.raises(RegistryError, match="length was 10, is 12"):
        score_clean(open_context(changed, market.home), market.clean(DATE))
    assert Predictions(market.lake, "tiny").version is None


def test_values_that_are_not_finite_are_never_written(market: Market, registry: Registry) -> None:
    registry.promote(2, "2017-06-01", scale=np.inf)
    with pytest.raises(FinflowError, match="version 2 gave a value that is not finite for ALPHA, BETA"):
        score_clean(market.context, market.clean(DATE))
    assert Predictions(market.lake, "tiny").version is None


def test_too_little_history_and_a_quarantined_date_say_so(market: Market, registry: Registry, home: Home) -> None:
    with pytest.raises(NotEnoughHistoryError, match="a window needs 10 observations"):
        score_clean(market.context, market.clean("2017-01-10"))
    frame = bars()
    name = market.definition.name
    day = frame[frame["time"] == pd.Timestamp(DATE)]
    other = Market(Home(home.root, str(home.root / "other"), home.tracking_uri, None), market.definition, frame)
    other.lake.append(f"raw/{name}", frame.assign(period="2017"))
    other.lake.append(f"clean/{name}", frame.drop(day.index).assign(period="2017"))
    with pytest.raises(NotEnoughHistoryError, match="no row of that date"):
        score_clean(other.context, other.clean(DATE))
    other.lake.append(f"quarantine/{name}", day.assign(rules="high_at_least_close", period="2017"))
    with pytest.raises(NotEnoughHistoryError, match=r"in quarantine \(high_at_least_close\)"):
        score_clean(other.context, other.clean(DATE))


def test_an_entity_that_does_not_trade_that_day_is_left_out(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = bars()
    market = make_market(home, frame[~((frame["entity"] == "BETA") & (frame["time"] == pd.Timestamp(DATE)))])
    registry = Registry(market.definition)
    registry.install(monkeypatch)
    registry.promote(1, "2017-05-31")
    assert score_clean(open_context(market.definition, home), market.clean(DATE)).rows == 4
    assert set(stored(market)["entity"]) == {"ALPHA", "中国银行"}


def test_a_row_dated_in_the_future_is_not_the_session_of_today(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = bars()
    odd = frame[(frame["entity"] == "BETA") & (frame["time"] == pd.Timestamp(DATE))].assign(time=pd.Timestamp("2099-01-05").as_unit("us"))
    market = make_market(home, frame)
    market.lake.append("raw/tiny", odd.assign(period="2099"))
    registry = Registry(market.definition)
    registry.install(monkeypatch)
    registry.promote(1, "2017-05-31")
    assert score_clean(open_context(market.definition, home), market.clean(DATE)).date == DATE
