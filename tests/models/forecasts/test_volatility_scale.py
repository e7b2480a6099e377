from __future__ import annotations

import numpy as np
import pandas as pd

from finflow.models.forecasts.volatility_scale import FLOOR, SpreadSettings, fit_spread, moving_variance, pinball
from finflow.models.reading import past
from tests.support.models.classical_cases import LEVELS, panel, split


def test_moving_variance_is_pandas_ewm() -> None:
    series = np.random.default_rng(0).normal(0.1, 1, (3, 40))
    expected = [pd.Series((row - 0.1) ** 2).ewm(alpha=0.06).mean().iloc[-1] for row in series]
    np.testing.assert_allclose(moving_variance(series, 0.1, 9.0, 0.94), expected, rtol=1e-12)


def test_missing_increments_count_nothing() -> None:
    series = np.array([[np.nan, 2.0, np.nan, 1.0], [np.nan] * 4])
    # weights 1 and 0.25 on 1 and 4
    np.testing.assert_allclose(moving_variance(series, 0.0, 7.0, 0.5), [(1.0 + 0.25 * 4.0) / 1.25, 7.0])


def test_the_past_stops_at_the_entity() -> None:
    samples, _ = panel([np.arange(12.0), np.arange(100.0, 112.0)], length=3)
    last = samples.take(samples.index.row == 12 + 3)
    np.testing.assert_array_equal(past(last, "__increment", 6)[0], [np.nan, np.nan, np.nan, 101.0, 102.0, 103.0])


def test_pinball_by_hand() -> None:
    np.testing.assert_allclose(pinball(np.array([[2.0, -2.0]]), (0.1, 0.1)), [[0.2, 1.8]])


def _changing(size: int, seed: int) -> np.ndarray:
    """A GARCH(1,1) series with a strongly moving variance."""
    noise = np.random.default_rng(seed).standard_normal(size)
    series, variance = np.zeros(size), 1e-4
    for step in range(size):
        series[step] = np.sqrt(variance) * noise[step]
        variance = 2e-6 + 0.10 * series[step] ** 2 + 0.88 * variance
    return series


def test_moving_volatility_is_followed_and_still_volatility_is_not() -> None:
    weights = {}
    for name, series in {"moving": _changing(3000, 1), "still": np.random.default_rng(2).normal(0, 0.01, 3000)}.items():
        samples, task = panel([series], horizon=2)
        train, _, test = split(samples, 0.7)
        spread = fit_spread(train, train.targets.astype(np.float64), task, SpreadSettings())
        weights[name] = spread.weight
        answer = spread.around(np.zeros((len(test), 2)), spread.scale(test, task, SpreadSettings()), LEVELS).values
        still = np.quantile(train.targets, LEVELS, axis=0).T
        levels = np.array(LEVELS)
        own, plain = (
            (np.maximum(levels * e, (levels - 1) * e)).mean() for e in (test.targets[:, :, None] - answer, test.targets[:, :, None] - still)
        )
        if name == "moving":
            assert own < 0.98 * plain
        else:
            assert own < 1.01 * plain
    assert weights["moving"] >= 0.5
    assert weights["still"] <= 0.25


def test_without_increments_residual_quantiles_stay_unscaled() -> None:
    samples, task = panel([np.random.default_rng(3).normal(0, 0.01, 300)])
    plain = task.__class__(**{**task.to_dict(), "increment": None})
    residuals = samples.targets.astype(np.float64)
    spread = fit_spread(samples, residuals, plain, SpreadSettings())
    np.testing.assert_allclose(spread.quantiles, np.quantile(residuals, LEVELS, axis=0).T)
    np.testing.assert_array_equal(spread.scale(samples, plain, SpreadSettings()), np.ones(len(samples)))


def test_a_suspended_share_keeps_some_spread() -> None:
    moving = _changing(2000, 5)
    samples, task = panel([moving], horizon=1)
    spread = fit_spread(samples, samples.targets.astype(np.float64), task, SpreadSettings(context=50))
    assert spread.weight > 0
    suspended, _ = panel([np.zeros(100)])
    scale = spread.scale(suspended, task, SpreadSettings(context=50))
    assert (scale >= np.sqrt(FLOOR * spread.variance)).all()
    assert scale[-1] < np.sqrt(spread.variance)
