"""Which stored predictions count, and against what: out of sample, the champion's, live first, with what was known then as their origin."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.forecasts.random_walk import RandomWalk, RandomWalkSettings
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.calendars import published_at
from finflow.pipelines.core.home import Home
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.lake.promotions import PromotionRow, Promotions
from finflow.pipelines.monitoring.champion import Trained, champion_at
from finflow.pipelines.monitoring.scored import Scored, read_scored
from finflow.pipelines.samples.windows import build_samples
from tests.support.pipelines.serving_support import LAST, Market, make_market

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


@pytest.fixture
def market(home: Home, monkeypatch: pytest.MonkeyPatch) -> Market:
    """Two champions: version 1 as of 31 January, version 2 as of 28 April; the reference is a random walk that knows every loss."""
    market = make_market(home)
    for version, date in ((1, "2017-01-31"), (2, "2017-04-28")):
        promotions = Promotions(market.lake, "tiny")
        before = promotions.champion()
        row = PromotionRow(
            run_key=f"run-{version}",
            verdict="promoted",
            candidate="dense",
            family="test",
            version=version,
            previous_version=before.version if before else None,
            effective_as_of=as_of(date).isoformat(),
            reason="it was better",
            manifest_digest=f"digest-{version}",
            data_version=0,
            data_digest="digest",
            recipe={"model": "dense", "settings": {}},
        )
        promotions.record(row, promotions.snapshot()[1])

    class Still(RandomWalk):
        """Its median is zero, its intervals have no width: the loss is the change itself."""

        def predict(self, samples: Any) -> Any:
            from finflow.models.base import Prediction

            return Prediction("quantiles", np.zeros((len(samples), 2, len(LEVELS)), dtype=np.float32), LEVELS)

    task = problem_of(market.definition).task(("log_return",), ("log_return",))
    monkeypatch.setattr(Trained, "reference", Still(RandomWalkSettings(), task))
    return market


def as_of(date: str) -> pd.Timestamp:
    return pd.Timestamp(published_at("XNYS", 60, [pd.Timestamp(date)])[0])


def store(market: Market, dates: list[str], version: int, shift: float, live: bool = True, in_sample: bool = False) -> None:
    """Rows of every entity whose median is the last close times exp(shift), as known at each date."""
    frame = market.frame[market.frame["time"].isin(pd.to_datetime(dates))]
    count = len(frame)
    index = SampleIndex(
        row=np.arange(count),
        time=frame["time"].to_numpy("datetime64[ns]"),
        label_start=frame["time"].to_numpy("datetime64[ns]"),
        label_end=frame["time"].to_numpy("datetime64[ns]"),
        entity=np.arange(count),
        target=np.zeros((count, 2), np.float32),
        target_time=np.repeat(frame["time"].to_numpy("datetime64[ns]")[:, None], 2, axis=1),
        origin=frame["close"].to_numpy(),
    )
    values = np.full((count, 2, len(LEVELS)), shift) + np.array([-0.02, -0.01, 0, 0.01, 0.02])
    from finflow.models.base import Prediction

    laid = problem_of(market.definition).rows(
        Prediction("quantiles", values.astype(np.float32), LEVELS), index, tuple(frame["entity"].tolist())
    )
    rows = laid.assign(
        version=version,
        input_digest=f"{version}-{live}",
        in_sample=in_sample,
        restated=False,
        scored_at=pd.Timestamp("2017-07-01", tz="UTC").as_unit("us"),
        backfill_id=pd.Series([None if live else "fill"] * len(laid), dtype="str"),
        period=laid["time"].dt.strftime("%Y-%m"),
    )
    Predictions(market.lake, "tiny").append_new(rows)


def judged(market: Market, date: str = LAST) -> Scored:
    clean = market.clean(date)
    champion = champion_at(market.context, clean)
    assert champion is not None
    rows = market.lake.read(clean.table, version=clean.version)
    known = (
        rows[rows["known_at"] <= as_of(date)].sort_values(["entity", "time", "known_at"]).drop_duplicates(["entity", "time"], keep="last")
    )
    now = build_samples(market.definition, known.drop(columns="period"), as_of(date))
    return read_scored(market.context, clean, champion, now)


def test_losses_are_those_of_the_change_from_what_was_known_then(market: Market) -> None:
    store(market, ["2017-05-15"], 2, shift=0.01)
    found = judged(market).frame
    assert len(found) == 3
    closes = market.frame.pivot(index="time", columns="entity", values="close")
    at = int(np.flatnonzero(closes.index == pd.Timestamp("2017-05-15"))[0])
    levels = np.log(closes.to_numpy(dtype=np.float64))
    change = levels[at + 1 : at + 3] - levels[at]
    np.testing.assert_allclose(np.sort(found["loss"]), np.sort(np.abs(change - 0.01).mean(axis=0)), rtol=1e-4)
    np.testing.assert_allclose(np.sort(found["reference"]), np.sort(np.abs(change).mean(axis=0)), rtol=1e-4)
    np.testing.assert_allclose(found["median"], 0.01, rtol=1e-5)
    np.testing.assert_allclose(found["width"], 0.04, rtol=1e-5)


def test_a_row_of_somebody_else_or_learnt_from_does_not_count(market: Market) -> None:
    store(market, ["2017-03-15", "2017-05-15"], 1, shift=0.0)  # champion in March, somebody else's trial in May
    store(market, ["2017-03-16"], 2, shift=0.0, in_sample=True)
    found = judged(market).frame
    assert set(zip(found["time"].astype(str).str[:10], found["version"], strict=True)) == {("2017-03-15", 1)}


def test_what_was_served_live_counts_before_a_backfill(market: Market) -> None:
    store(market, ["2017-05-15"], 2, shift=0.02, live=False)
    assert not judged(market).frame["live"].any()
    store(market, ["2017-05-15"], 2, shift=0.01)
    found = judged(market).frame
    assert found["live"].all()
    np.testing.assert_allclose(found["median"], 0.01, rtol=1e-5)


def test_an_as_of_in_the_past_knows_the_champion_and_the_targets_of_then(market: Market) -> None:
    store(market, ["2017-03-15", "2017-03-30"], 1, shift=0.0)
    store(market, ["2017-05-15"], 2, shift=0.0)
    found = judged(market, "2017-03-31").frame.sort_values("time")
    assert set(found["version"]) == {1}
    assert found["known"].tolist() == [True] * 3 + [False] * 3, "the second step after 30 March is not known on 31 March"
    assert found["loss"].isna().tolist() == [False] * 3 + [True] * 3


def test_a_price_restated_since_changes_no_forecast(market: Market) -> None:
    """A split doubles every price that came before, later; a forecast made before it keeps its origin of then."""
    store(market, ["2017-05-15"], 2, shift=0.01)
    before = judged(market).frame
    for date in ("2017-05-15", "2017-05-16", "2017-05-17"):
        market.revise("ALPHA", date, known="2017-06-01", factor=2.0)
    after = judged(market).frame
    np.testing.assert_allclose(after["median"], 0.01, rtol=1e-5)
    np.testing.assert_allclose(np.sort(after["loss"]), np.sort(before["loss"]), rtol=1e-4)
