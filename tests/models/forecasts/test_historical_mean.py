from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finflow.models.errors import FitFailure
from finflow.models.saving import load_model, save_model
from tests.support.models.classical_cases import LEVELS, autoregressive, fitted, panel, split


def test_without_increments_it_answers_the_quantiles_of_the_targets() -> None:
    samples, task = panel([autoregressive(300, 0.0, 1) + 0.002], length=1, horizon=2)
    train, validation, test = split(samples)
    values = fitted("historical_mean", replace(task, increment=None), train, validation).predict(test).values
    expected = np.quantile(np.concatenate([train.targets, validation.targets]).astype(np.float64), LEVELS, axis=0).T
    np.testing.assert_allclose(values, np.broadcast_to(expected, values.shape), rtol=1e-6)


def test_drift_grows_with_the_horizon() -> None:
    samples, task = panel([np.random.default_rng(0).normal(0.01, 0.005, 2000)], horizon=3)
    train, validation, test = split(samples)
    median = fitted("historical_mean", task, train, validation).predict(test).median
    np.testing.assert_allclose(median.mean(axis=0), [0.01, 0.02, 0.03], rtol=0.03)


def test_scores_are_the_mean(tmp_path: Path) -> None:
    samples, task = panel([autoregressive(100, 0.0, 1)])
    train, validation, test = split(samples)
    scores = replace(task, kind="scores", levels=(), increment=None)
    model = fitted("historical_mean", scores, train, validation)
    expected = np.concatenate([train.targets, validation.targets]).astype(np.float64).mean()
    assert model.predict(test).kind == "scores"
    np.testing.assert_allclose(model.predict(test).values, expected, rtol=1e-6)
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(test).values, model.predict(test).values)


def test_probabilities_are_base_rates() -> None:
    samples, task = panel([autoregressive(111, 0.0, 1)], length=10)
    codes = np.array([0, 1, 1, 2] * 25, dtype=np.float32)[:, None]
    labelled = replace(samples, index=replace(samples.index, target=codes))
    classes = replace(task, kind="probabilities", levels=(), classes=("down", "flat", "up", "never"), increment=None)
    values = fitted("historical_mean", classes, labelled.take(np.arange(80)), labelled.take(np.arange(80, 100))).predict(labelled).values
    np.testing.assert_allclose(values, np.broadcast_to([0.25, 0.5, 0.25, 0.0], (100, 4)))
    with pytest.raises(FitFailure, match="classes"):
        fitted("historical_mean", replace(classes, classes=("down", "flat")), labelled, labelled.take(np.arange(0)))


def test_paths_are_refused() -> None:
    samples, task = panel([autoregressive(100, 0.0, 1)])
    train, validation, _ = split(samples)
    with pytest.raises(FitFailure, match="paths"):
        fitted("historical_mean", replace(task, kind="paths"), train, validation)
