from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finflow.models.errors import FitFailure
from finflow.models.forecasts.volatility_scale import pinball
from tests.support.models.classical_cases import LEVELS, autoregressive, fitted, panel, split


def test_the_median_is_exactly_zero() -> None:
    # a strong drift: every past change was up, and the median stays where it is
    samples, task = panel([np.abs(autoregressive(400, 0.0, 1)) + 0.01], horizon=4)
    train, validation, test = split(samples)
    values = fitted("random_walk", task, train, validation).predict(test).values
    assert (values[:, :, 2] == 0).all()
    assert not np.signbit(values[:, :, 2]).any()
    assert (values[:, :, :2] <= 0).all()
    assert (values[:, :, 3:] > 0).all()


def test_still_volatility_gives_the_quantiles_of_past_changes() -> None:
    samples, task = panel([np.random.default_rng(2).normal(0, 0.01, 4000)], horizon=2)
    train, validation, test = split(samples)
    values = fitted("random_walk", task, train, validation).predict(test).values
    seen = np.concatenate([train.targets, validation.targets])
    expected = np.quantile(seen, LEVELS, axis=0).T
    expected[:, 2] = 0
    np.testing.assert_allclose(values.mean(axis=0), expected, rtol=0.05, atol=1e-4)
    errors = test.targets[:, :, None] - values
    # the normal distribution's own loss for the same levels, at standard deviations 0.01 and 0.01 * sqrt(2)
    from scipy.stats import norm

    draws = np.random.default_rng(0).normal(0, 1, 200_000)
    ideal = pinball(draws[:, None] - norm.ppf(LEVELS), LEVELS).mean() * 0.01 * (1 + np.sqrt(2)) / 2
    assert pinball(errors.astype(np.float64), LEVELS).mean() == pytest.approx(ideal, rel=0.05)


def test_targets_that_are_no_sums_are_refused() -> None:
    samples, task = panel([autoregressive(300, 0.0, 1)])
    train, validation, _ = split(samples)
    with pytest.raises(FitFailure, match="historical_mean"):
        fitted("random_walk", replace(task, increment=None), train, validation)
