"""The VAR against statsmodels' own, and a forecast worked by hand."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest

from finflow.models.base import Hardware
from finflow.models.errors import FitFailure
from finflow.models.forecasts.var import Rows, Var, VarSettings, chosen_lags, least_squares, stacked, summed_weights
from tests.support.models.classical_cases import Samples, Task, fitted, panel, split

NEAR = np.array([[0.4, 0.3], [-0.2, 0.5]])
FAR = np.array([[0.1, -0.2], [0.0, 0.2]])


def bivariate(size: int, seed: int, far: float = 1.0) -> np.ndarray:
    """[size, 2]: a stationary VAR of two lags."""
    noise = np.random.default_rng(seed).normal(0, [0.01, 0.02], (size, 2))
    series = np.zeros((size, 2))
    for step in range(2, size):
        series[step] = [0.001, 0.0] + NEAR @ series[step - 1] + far * FAR @ series[step - 2] + noise[step]
    return series


def pair(parts: list[np.ndarray], horizon: int = 3) -> tuple[Samples, Task]:
    """Samples whose increments are the first series, and whose feature `noise_0` is the second."""
    samples, task = panel([part[:, 0] for part in parts], length=10, horizon=horizon)
    samples.observations.values[:, 1] = np.concatenate(parts)[:, 1]
    return samples, task


def statsmodels_var(series: np.ndarray):  # type: ignore[no-untyped-def]
    from statsmodels.tsa.api import VAR

    return VAR(series)


def test_a_forecast_by_hand() -> None:
    # Two series, one lag: x' = 1 + 0.5 x + 0.2 y, y' = 0.5 y. From (2, 10): x = 1 + 1 + 2 = 4, y = 5; then x = 1 + 2 + 1 = 4.
    weights, drift = summed_weights(np.array([1.0, 0.0]), np.array([[[0.5, 0.2], [0.0, 0.5]]]), 2)
    np.testing.assert_allclose((weights * [2.0, 10.0]).sum(axis=(1, 2)) + drift, [4.0, 8.0])
    # Two lags of x alone: x'' = 0.5 x' + 0.25 x. From 4, then 2: 1 + 1 = 2; then 1 + 0.5 = 1.5.
    weights, drift = summed_weights(np.zeros(1), np.array([[[0.5]], [[0.25]]]), 2)
    np.testing.assert_allclose((weights * [[4.0], [2.0]]).sum(axis=(1, 2)) + drift, [2.0, 3.5])


@pytest.mark.parametrize("criterion", ["aic", "bic", "hqic", "none"])
def test_one_entity_is_fitted_and_forecast_as_statsmodels_does(criterion: str) -> None:
    samples, task = pair([bivariate(500, 3)])
    train, validation, test = split(samples, 0.8)
    model = cast(Var, fitted("var", task, train, validation, lags=6, criterion=criterion))
    known = samples.observations.values[1 : validation.index.row.max() + 1, [2, 1]].astype(np.float64)
    expected = statsmodels_var(known).fit(6, ic=None if criterion == "none" else criterion)
    lags = expected.k_ar
    assert model.location_state["weights"].shape == (3, lags, 2)
    assert (lags == 6) == (criterion == "none")
    np.testing.assert_allclose(model.location_state["constant"], expected.intercept, rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(model.location_state["coefficients"], expected.coefs, rtol=1e-8, atol=1e-12)
    for place in (0, 40):
        row = int(test.index.row[place])
        recent = samples.observations.values[row - lags + 1 : row + 1, [2, 1]].astype(np.float64)
        forecast = np.cumsum(expected.forecast(recent, 3)[:, 0])
        np.testing.assert_allclose(model.location(test.take(np.array([place])))[0], forecast, rtol=1e-8)


def test_it_sees_what_no_single_series_shows() -> None:
    random = np.random.default_rng(0)
    leading = random.normal(size=900)
    following = np.concatenate([[0.0], 0.8 * leading[:-1]]) + 0.3 * random.normal(size=900)
    samples, task = pair([np.column_stack([following, leading])], horizon=1)
    train, validation, test = split(samples)
    errors = {
        name: float(np.abs(fitted(name, task, train, validation).predict(test).median - test.targets).mean()) for name in ("var", "arima")
    }
    assert errors["var"] < 0.5 * errors["arima"]


def test_entities_are_pooled_and_gaps_are_not_bridged() -> None:
    one, two = bivariate(200, 1), bivariate(150, 2)
    two[60, 1] = np.nan
    rows = Rows(np.concatenate([one, two]), np.concatenate([np.arange(200), np.arange(150)]))
    lagged, now = stacked(rows, 2, 2)
    assert len(now) == (200 - 2) + (150 - 2) - 3
    np.testing.assert_array_equal(lagged[198], np.concatenate([two[1], two[0]]))
    _, coefficients, residuals = least_squares(lagged, now)
    assert coefficients.shape == (2, 2, 2)
    assert np.isfinite(residuals).all()
    # the same rows in either order of the entities
    other = Rows(np.concatenate([two, one]), np.concatenate([np.arange(150), np.arange(200)]))
    np.testing.assert_allclose(least_squares(*stacked(other, 2, 2))[1], coefficients, rtol=1e-10)


def test_no_lag_at_all_may_be_best() -> None:
    random = np.random.default_rng(1)
    parts = [random.normal(0.001, 0.01, (600, 2))]
    assert chosen_lags(Rows(parts[0], np.arange(600)), 4, "bic") == 0
    samples, task = pair(parts)
    model = cast(Var, fitted("var", task, samples, samples.take(np.arange(0))))
    mean = samples.observations.values[1 : samples.index.row.max() + 1, 2].astype(np.float64).mean()
    np.testing.assert_allclose(model.location(samples.take(np.arange(2))), np.tile(mean * np.arange(1, 4), (2, 1)), rtol=1e-9)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"series": ["growth"]}, "'growth'] are no features"),
        ({"series": ["noise_0", "noise_0"]}, "twice"),
        ({"series": ["noise_0"], "lags": 11}, "more than the 10 observations of a window"),
        ({"series": ["log_return"]}, "the increment of the problem's column is there already"),
    ],
)
def test_what_cannot_be_fitted_is_told(settings: dict[str, object], words: str) -> None:
    samples, task = pair([bivariate(300, 5)])
    model = Var(VarSettings.model_validate(settings), task)
    with pytest.raises(FitFailure, match=words):
        model.fit(samples, samples.take(np.arange(0)), seed=0, hardware=Hardware())


def test_too_few_observations() -> None:
    samples, task = pair([bivariate(40, 6)])
    with pytest.raises(FitFailure, match="7 observations are too few for a VAR of 2 series with 21 coefficients"):
        fitted("var", task, samples.take(np.arange(8)), samples.take(np.arange(0)), lags=10, criterion="none")


def test_the_report_says_how_many_lags() -> None:
    samples, task = pair([bivariate(800, 7)])
    report = Var(VarSettings(series=("noise_0",)), task).fit(samples, samples.take(np.arange(0)), seed=0, hardware=Hardware())
    assert report.notes["lags"] == 2
    assert report.notes["series"] == ["noise_0"]
