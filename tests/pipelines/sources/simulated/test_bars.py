"""Simulated bars hold the signal that they say, and no other; their prices are possible ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from finflow.pipelines.core.calendars import sessions
from finflow.pipelines.sources import SimulatedSource
from finflow.pipelines.sources.simulated.bars import Process


def returns(process: Process, r_squared: float = 0.2, days: int = 40_000) -> NDArray[np.float64]:
    frame = SimulatedSource(process=process, days=days, r_squared=r_squared, seed=5, calendar=None, start="1800-01-01").read()  # type: ignore[arg-type]
    return np.diff(np.log(frame["close"].to_numpy())) / 0.01


def share(target: NDArray[np.float64], *columns: NDArray[np.float64]) -> float:
    """R2 of a least-squares fit."""
    design = np.column_stack([np.ones(len(target)), *columns])
    rest = target - design @ np.linalg.lstsq(design, target, rcond=None)[0]
    return float(1 - rest.var() / target.var())


@pytest.mark.parametrize("process", ["random_walk", "autoregressive", "product_of_lags", "garch"])
def test_returns_have_the_volatility_asked_for(process: Process) -> None:
    assert returns(process).std() == pytest.approx(1, abs=0.03)


def test_a_random_walk_holds_nothing() -> None:
    found = returns("random_walk")
    assert share(found[2:], found[1:-1], found[:-2], found[1:-1] * found[:-2]) < 0.001


@pytest.mark.parametrize("r_squared", [0.05, 0.2])
def test_the_autoregressive_signal_is_linear(r_squared: float) -> None:
    found = returns("autoregressive", r_squared)
    assert share(found[1:], found[:-1]) == pytest.approx(r_squared, abs=0.015)


@pytest.mark.parametrize("r_squared", [0.05, 0.2])
def test_the_product_of_lags_is_there_and_a_linear_model_sees_its_echo_alone(r_squared: float) -> None:
    found = returns("product_of_lags", r_squared)
    clipped = np.clip(found, -2, 2)
    assert share(found[2:], clipped[1:-1] * clipped[:-2]) == pytest.approx(r_squared, abs=0.015)
    lags = [found[10 - lag : -lag] for lag in range(1, 11)]
    assert share(found[10:], *lags) == pytest.approx(r_squared**2, abs=0.004)
    assert share(found[10:], lags[0], lags[1]) < 0.001


def test_garch_shows_in_the_squares_alone() -> None:
    found = returns("garch")
    assert share(found[1:], found[:-1]) < 0.002
    assert share(found[1:] ** 2, found[:-1] ** 2) > 0.01


def test_bars_are_possible_and_tell_nothing_of_the_next_day() -> None:
    frame = SimulatedSource(process="random_walk", entities=3, days=3000, seed=1).read()
    assert (frame["high"] >= frame[["open", "close"]].max(axis=1)).all()
    assert (frame["low"] <= frame[["open", "close"]].min(axis=1)).all()
    assert (frame[["open", "high", "low", "close", "volume"]] > 0).all().all()
    for _, one in frame.groupby("entity"):
        assert one["time"].tolist() == sessions("XNYS", one["time"].min(), one["time"].max()).tolist()
        change = np.diff(np.log(one["close"].to_numpy()))
        told = [np.log(one[name] / one["close"]).to_numpy()[:-1] for name in ("open", "high", "low")] + [one["volume"].to_numpy()[:-1]]
        assert share(change, *told) < 0.01
    wide = frame.pivot(index="time", columns="entity", values="close").apply(np.log).diff().corr().to_numpy()
    assert np.abs(wide[np.triu_indices(3, 1)]).max() < 0.06


@pytest.mark.parametrize("process", ["random_walk", "autoregressive", "product_of_lags", "garch"])
def test_more_days_begin_with_the_same_days_and_the_seed_decides(process: Process) -> None:
    short, long = (SimulatedSource(process=process, entities=2, days=days, seed=4).read() for days in (100, 101))
    pd.testing.assert_frame_equal(short, long[long["time"] <= short["time"].max()].reset_index(drop=True))
    other = SimulatedSource(process=process, entities=2, days=100, seed=5).read()
    assert not np.allclose(short["close"], other["close"])


def test_the_shipped_indices_are_read_as_bars() -> None:
    from finflow.pipelines.sources import ArchSource

    frame = ArchSource(series={"SP500": "sp500", "VIX": "vix"}).read()
    assert list(frame.columns) == ["entity", "time", "open", "high", "low", "close", "volume"]
    last = frame[(frame["entity"] == "SP500") & (frame["time"] == "2018-12-31")].iloc[0]
    assert last["close"] == pytest.approx(2506.85, abs=0.005)
    assert frame["entity"].unique().tolist() == ["SP500", "VIX"]
    assert not frame.isna().any().any()


def test_entities_come_and_go_where_the_seed_says() -> None:
    spans = {"late_starts": 2, "early_ends": 2, "gaps": 2, "gap_length": 15, "within": 300}
    settings = {"process": "garch", "entities": 7, "days": 400, "seed": 3}
    whole, uneven = SimulatedSource(**settings).read(), SimulatedSource(**settings, **spans).read()  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(whole.merge(uneven[["entity", "time"]]), uneven)  # what is left is as it was
    dates = whole["time"].unique()
    there = {entity: np.isin(dates, rows["time"].unique()) for entity, rows in uneven.groupby("entity", observed=True)}
    for name in ("S1", "S2"):
        first = int(np.argmax(there[name]))
        assert 1 <= first <= 100
        assert there[name][first:].all()
    for name in ("S3", "S4"):
        length = int(there[name].sum())
        assert 201 <= length <= 300
        assert there[name][:length].all()
    for name in ("S5", "S6"):
        gap = np.flatnonzero(~there[name])
        assert len(gap) == 15
        assert np.ptp(gap) == 14
        assert 101 <= gap[0] <= 200
    assert there["S7"].all()
    longer = SimulatedSource(**{**settings, "days": 401}, **spans).read()  # type: ignore[arg-type]
    pd.testing.assert_frame_equal(uneven, longer[longer["time"] <= uneven["time"].max()].reset_index(drop=True))
    with pytest.raises(ValueError, match="name 8 entities; there are 7"):
        SimulatedSource(**settings, late_starts=8)  # type: ignore[arg-type]
