"""Scaling, by hand, and from the training part alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from finflow.models.errors import FitFailure
from finflow.models.networks.scaling import LIMIT, fit_scaling, rows_read
from tests.support.models.network_cases import noise, panel, split

TARGETS = np.array([[1.0, 2.0], [3.0, 2.0], [5.0, 2.0], [11.0, 2.0]])


@pytest.mark.parametrize(
    ("how", "location", "scale"),
    [("standard", 5.0, np.sqrt(14.0)), ("minmax", 1.0, 10.0), ("robust", 4.0, 4.0 / 1.349), ("none", 0.0, 1.0)],
)
def test_targets_by_hand(how: str, location: float, scale: float) -> None:
    samples, task = panel(noise(60, 1))
    scaling = fit_scaling(how, samples, task, TARGETS)  # type: ignore[arg-type]
    assert scaling.target_location[0] == pytest.approx(location)
    assert scaling.target_scale[0] == pytest.approx(scale)
    assert scaling.target_scale[1] == 1.0, "a constant is left its units"
    back = scaling.answers(scaling.targets(TARGETS)[:, :, None])
    np.testing.assert_allclose(back[:, :, 0], TARGETS, rtol=1e-6)


def test_features_are_standard_on_the_rows_that_training_reads() -> None:
    samples, task = panel(noise())
    train = split(samples)[0]
    scaling = fit_scaling("standard", train, task, train.targets.astype(np.float64))
    scaled = scaling.features(train.observations.values[rows_read(train)][:, task.feature_positions].copy())
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-4)


def test_rows_read_are_those_of_the_windows() -> None:
    samples, _ = panel(noise(50, 2))
    some = samples.take(np.array([3, 20, 21]))
    wanted = np.unique(some.index.row[:, None] - np.arange(8))
    assert np.array_equal(rows_read(some), wanted)


def test_later_rows_do_not_reach_the_scaling() -> None:
    samples, task = panel(noise())
    train, _, _ = split(samples)
    values = samples.observations.values.copy()
    later = np.setdiff1d(np.arange(len(values)), rows_read(train))
    values[later] = 1e9
    changed = replace(train, observations=replace(train.observations, values=values))
    targets = train.targets.astype(np.float64)
    one, two = fit_scaling("standard", train, task, targets), fit_scaling("standard", changed, task, targets)
    for name, array in one.arrays().items():
        assert np.array_equal(array, two.arrays()[name]), name


def test_a_constant_feature_becomes_nought_and_a_wild_one_is_cut() -> None:
    samples, task = panel(noise())
    values = samples.observations.values.copy()
    values[:, 2] = 1234.56
    changed = replace(samples, observations=replace(samples.observations, values=values))
    scaling = fit_scaling("standard", changed, task, samples.targets.astype(np.float64))
    scaled = scaling.features(np.array([[1e30, 1234.56], [-1e30, 1234.56]], dtype=np.float32))
    np.testing.assert_allclose(scaled, [[LIMIT, 0.0], [-LIMIT, 0.0]], atol=1e-3)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_feature_that_is_not_finite_is_named(value: float) -> None:
    samples, task = panel(noise())
    values = samples.observations.values.copy()
    values[100:103, 2] = value
    changed = replace(samples, observations=replace(samples.observations, values=values))
    with pytest.raises(FitFailure, match="'other' holds 3 values"):
        fit_scaling("standard", changed, task, samples.targets.astype(np.float64))
    with pytest.raises(FitFailure, match="target"):
        fit_scaling("standard", samples, task, np.array([[value, 1.0]]))
