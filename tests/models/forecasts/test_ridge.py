"""Against scikit-learn's Ridge."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from finflow.models.base import Hardware
from finflow.models.errors import FitFailure
from finflow.models.forecasts.ridge import Ridge, RidgeSettings, time_blocks
from tests.support.models.classical_cases import LEVELS, autoregressive, fitted, panel, split


@pytest.mark.parametrize("alpha", [0.01, 1.0])
def test_the_location_is_that_of_scikit_learn(alpha: float) -> None:
    from sklearn.linear_model import Ridge as Reference
    from sklearn.preprocessing import StandardScaler

    samples, task = panel([autoregressive(400, 0.3, 1), autoregressive(300, 0.3, 2)], length=6, horizon=2, others=2)
    train, validation, test = split(samples)
    model = fitted("ridge", task, train, validation, alpha=alpha, clip=100)
    assert isinstance(model, Ridge)
    seen = samples.take(np.isin(samples.index.row, np.concatenate([train.index.row, validation.index.row])))
    scaler = StandardScaler().fit(seen.gather()[:, :, :3].reshape(len(seen), -1).astype(np.float64))
    inputs, asked = (scaler.transform(part.gather()[:, :, :3].reshape(len(part), -1).astype(np.float64)) for part in (seen, test))
    reference = Reference(alpha=alpha * len(seen)).fit(inputs, seen.targets.astype(np.float64))
    np.testing.assert_allclose(model.location(test), reference.predict(asked), rtol=1e-7, atol=1e-12)


def test_held_out_residuals_are_those_of_scikit_learn() -> None:
    from sklearn.linear_model import Ridge as Reference

    samples, task = panel([autoregressive(300, 0.3, 1)], length=4, horizon=3)
    model = Ridge(RidgeSettings(alpha=0.1, blocks=3), task)
    residuals, _ = model.fit_location(samples)
    inputs, targets = model._inputs(samples), samples.targets.astype(np.float64)
    for inside, near in time_blocks(samples, 3):
        rest = np.setdiff1d(np.arange(len(samples)), near)
        reference = Reference(alpha=0.1 * len(rest)).fit(inputs[rest], targets[rest])
        np.testing.assert_allclose(residuals[inside], targets[inside] - reference.predict(inputs[inside]), rtol=1e-7, atol=1e-12)


def test_blocks_of_time_hold_every_sample_once_and_no_label_spans_two() -> None:
    samples, _ = panel([autoregressive(120, 0, 1), autoregressive(90, 0, 2)], horizon=5)
    found = time_blocks(samples, 4)
    np.testing.assert_array_equal(np.sort(np.concatenate([inside for inside, _ in found])), np.arange(len(samples)))
    start, end = samples.index.label_start, samples.index.label_end
    for inside, near in found:
        rest = np.setdiff1d(np.arange(len(samples)), near)
        assert ((end[rest] < start[inside].min()) | (start[rest] > end[inside].max())).all()
        assert set(inside) <= set(near)


def test_noise_is_shrunk_away_and_the_band_is_honest() -> None:
    # 40 days of 6 columns on 350 samples: a fit's own residuals would be far too small
    samples, task = panel([autoregressive(900, 0.0, 3)], length=40, others=5)
    train, validation, test = split(samples, 0.4)
    model = Ridge(RidgeSettings(), task)
    report = model.fit(train, validation, seed=0, hardware=Hardware())
    assert report.notes["alpha"] >= 1
    covered = []
    for one in (model, fitted("ridge", task, train, validation, alpha=0.03)):
        values = one.predict(test).values[:, 0]
        covered.append(((test.targets > values[:, :1]) & (test.targets < values[:, -1:])).mean())
    assert covered[0] == pytest.approx(0.9, abs=0.05)
    # a penalty that is much too weak: the band grows with the harm it does
    assert covered[1] >= 0.87


def test_plain_rows_without_increments() -> None:
    random = np.random.default_rng(0)
    samples, task = panel([random.standard_normal(2000)], length=1, others=2)
    inputs = samples.gather()[:, 0, :3].astype(np.float64)
    target = (inputs @ [1.0, -2.0, 0.5] + 3 + random.normal(0, 0.1, len(samples))).astype(np.float32)[:, None]
    rows = replace(samples, index=replace(samples.index, target=target))
    model = fitted("ridge", replace(task, increment=None), rows.take(np.arange(1000)), rows.take(np.arange(1000, 1200)))
    assert model.context == 1
    values = model.predict(rows).values[1200:, 0]
    assert np.abs(values[:, 2] - target[1200:, 0]).mean() < 0.1
    assert (target[1200:] < values).mean(axis=0) == pytest.approx(LEVELS, abs=0.05)


def test_a_constant_feature_has_no_say() -> None:
    samples, task = panel([autoregressive(300, 0.3, 1)])
    values = samples.observations.values.copy()
    values[:, 1] = 7.0
    still = replace(samples, observations=replace(samples.observations, values=values))
    model = fitted("ridge", task, still, still.take(np.arange(0)), alpha=0.1)
    assert isinstance(model, Ridge)
    coefficients = model.location_state["coefficients"].reshape(1, 10, 2)
    assert np.abs(coefficients[:, :, 1]).max() < 1e-12 * np.abs(coefficients[:, :, 0]).max()


def test_a_feature_that_is_not_finite_is_named() -> None:
    samples, task = panel([autoregressive(300, 0.3, 1)])
    values = samples.observations.values.copy()
    values[50, 1] = np.inf
    broken = replace(samples, observations=replace(samples.observations, values=values))
    with pytest.raises(FitFailure, match="noise_0"):
        fitted("ridge", task, broken, broken.take(np.arange(0)))


def test_too_few_dates_for_the_blocks_are_refused() -> None:
    samples, task = panel([autoregressive(30, 0.3, 1)], length=2, horizon=20)
    with pytest.raises(FitFailure, match="too few"):
        fitted("ridge", task, samples, samples.take(np.arange(0)))


@pytest.mark.parametrize("settings", [{"alpha": 0}, {"alpha": -1}, {"alpha": float("inf")}, {"blocks": 1}, {"clip": 0}])
def test_settings_out_of_range_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        RidgeSettings.model_validate(settings)
