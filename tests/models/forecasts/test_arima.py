"""Against statsmodels' own forecasts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from finflow.models.base import Hardware
from finflow.models.forecasts.arima import Arima, ArimaSettings, cumulated_forecast
from tests.support.models.classical_cases import autoregressive, fitted, panel, split


def _arma(size: int, ar: float, ma: float, seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 0.01, size)
    series = np.zeros(size)
    for step in range(1, size):
        series[step] = ar * series[step - 1] + noise[step] + ma * noise[step - 1]
    return series


def test_cumulated_forecast_by_hand() -> None:
    # AR(1): 0.5 * 4 = 2, then 1, then 0.5
    np.testing.assert_allclose(cumulated_forecast(np.array([[1.0, 4.0]]), np.array([0.5]), np.array([]), 3), [[2.0, 3.0, 3.5]])
    # MA(1) with 0.5: shocks 2, then 4 - 1 = 3; one step 1.5, nothing after
    np.testing.assert_allclose(cumulated_forecast(np.array([[2.0, 4.0]]), np.array([]), np.array([0.5]), 3), [[1.5, 1.5, 1.5]])


@pytest.mark.parametrize(("ar", "ma"), [((0.6, -0.3), (0.4,)), ((0.5,), (0.2, 0.1, -0.3)), ((), (0.7,)), ((0.2, 0.1, 0.3), ())])
def test_forecasts_are_those_of_statsmodels(ar: tuple[float, ...], ma: tuple[float, ...]) -> None:
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    series = _arma(300, 0.4, 0.2, 3)
    model = SARIMAX(series, order=(len(ar), 0, len(ma)), trend="n")
    model.tolerance = 0  # statsmodels' filter would stop updating its gain before it has settled to the last digits
    expected = np.cumsum(model.filter([*ar, *ma, 1.0]).forecast(6))
    np.testing.assert_allclose(cumulated_forecast(series[None], np.array(ar), np.array(ma), 6)[0], expected, rtol=1e-8)


def test_one_entity_is_fitted_and_forecast_as_statsmodels_does() -> None:
    from statsmodels.tsa.statespace.sarimax import SARIMAX

    series = _arma(900, 0.5, 0.3, 4)
    samples, task = panel([series], length=10, horizon=3)
    train, validation, test = split(samples, 0.8)
    model = fitted("arima", task, train, validation)
    assert isinstance(model, Arima)
    last = int(validation.index.row.max())
    known = series[1 : last + 1].astype(np.float32).astype(np.float64)
    result = SARIMAX((known - known.mean()) / known.std(), order=(1, 0, 1), trend="n").fit(disp=0)
    np.testing.assert_allclose(model.location_state["ar"], result.params[:1], atol=1e-4)
    np.testing.assert_allclose(model.location_state["ma"], result.params[1:2], atol=1e-4)
    # the forecast from the same parameters, made from the last 250 observations and made from all of them
    place = 50
    row = int(test.index.row[place])
    past = series[1 : row + 1].astype(np.float32).astype(np.float64) - known.mean()
    parameters = [*model.location_state["ar"], *model.location_state["ma"], 1.0]
    expected = np.cumsum(SARIMAX(past, order=(1, 0, 1), trend="n").filter(parameters).forecast(3)) + known.mean() * np.arange(1, 4)
    np.testing.assert_allclose(model.location(test.take(np.array([place])))[0], expected, rtol=1e-6)


def test_entities_are_pooled_whatever_their_scale() -> None:
    loud, quiet = _arma(1200, 0.5, 0.0, 5) * 100, _arma(1200, 0.5, 0.0, 6)
    samples, task = panel([loud, quiet], horizon=1)
    train, validation, _ = split(samples, 0.9)
    model = fitted("arima", task, train, validation, order=[1, 0, 0])
    assert isinstance(model, Arima)
    assert model.location_state["ar"][0] == pytest.approx(0.5, abs=0.05)


def test_a_missing_increment_counts_as_the_mean() -> None:
    samples, task = panel([_arma(400, 0.5, 0.0, 7)])
    train, validation, test = split(samples)
    model = fitted("arima", task, train, validation, order=[1, 0, 0])
    assert isinstance(model, Arima)
    one = test.take(np.array([0]))
    values = samples.observations.values.copy()
    values[one.index.row[0], samples.column("__increment")] = np.nan
    missing = replace(one, observations=replace(samples.observations, values=values))
    assert model.location(missing)[0, 0] == pytest.approx(model.location_state["mean"][0], rel=1e-9)


def test_the_likelihood_takes_the_newest_rows() -> None:
    series = np.concatenate([autoregressive(3000, -0.6, 1), autoregressive(600, 0.6, 2)])
    samples, task = panel([series])
    model = fitted("arima", task, samples, samples.take(np.arange(0)), order=[1, 0, 0], observations=500)
    assert isinstance(model, Arima)
    assert model.location_state["ar"][0] == pytest.approx(0.6, abs=0.1)


def test_the_report_says_what_was_fitted() -> None:
    samples, task = panel([_arma(400, 0.5, 0.0, 7)])
    model = Arima(ArimaSettings(order=(2, 0, 0)), task)
    report = model.fit(samples, samples.take(np.arange(0)), seed=0, hardware=Hardware())
    assert report.epochs == ()
    assert report.notes["order"] == [2, 0, 0]
    assert len(report.notes["ar"]) == 2
    assert report.notes["converged"] is True
    assert report.parameters > 0


@pytest.mark.parametrize("order", [[1, 1, 1], [0, 0, 0], [-1, 0, 1], [21, 0, 0], [1, 0], ["a", 0, 1]])
def test_orders_that_make_no_sense_are_refused(order: list[object]) -> None:
    with pytest.raises(ValidationError, match="order"):
        ArimaSettings.model_validate({"order": order})
