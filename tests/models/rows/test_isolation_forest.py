"""The isolation forest is scikit-learn's, walked down by plain arrays; the classes only calibrate it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from sklearn.ensemble import IsolationForest as Grown

from finflow.models.base import Hardware
from finflow.models.errors import FitFailure
from finflow.models.reading import STATE, labelled_together
from finflow.models.rows.calibration import Calibration, split_validation
from finflow.models.rows.isolation_forest import IsolationForest
from tests.support.models.tabular_cases import as_samples, fitted, log_loss, rows, split, unfitted

DAY = np.datetime64("2020-01-01", "ns")


def test_scores_are_scikit_learns() -> None:
    samples, task = rows()
    model = fitted("isolation_forest", (samples, task), seed=3, trees=40, sample=100)
    assert isinstance(model, IsolationForest)
    train, validation, _ = split(samples)
    together = labelled_together(train, split_validation(validation, Calibration())[0])
    grown = Grown(n_estimators=40, max_samples=100, random_state=3).fit(model._inputs(together, model.state))
    expected = -grown.score_samples(model._inputs(samples, model.state))
    np.testing.assert_allclose(model.raw_probability(samples), expected, rtol=1e-12)


def test_the_classes_do_not_grow_it() -> None:
    samples, task = rows()
    turned = replace(samples, index=replace(samples.index, target=1 - samples.index.target))
    one, other = (fitted("isolation_forest", (each, task)) for each in (samples, turned))
    np.testing.assert_array_equal(one.raw_probability(samples), other.raw_probability(samples))


def test_it_finds_what_lies_apart() -> None:
    random = np.random.default_rng(2)
    bad = random.random(4000) < 0.05
    values = random.normal(size=(4000, 3)) + 3 * bad[:, None] * random.choice([-1, 1], (4000, 3))
    data = as_samples(values, np.zeros((4000, 0), dtype=np.int64), bad, np.full(4000, DAY), ("a", "b", "c"), ())
    test = split(data[0])[2]
    rate = float(bad.mean())
    base = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
    assert log_loss(fitted("isolation_forest", data), test) < 0.7 * base


def test_where_what_lies_apart_is_safer_the_base_rate_is_left() -> None:
    """A calibration never turns the order round."""
    random = np.random.default_rng(2)
    values = random.normal(size=(4000, 2))
    bad = random.random(4000) < np.where(np.abs(values).max(axis=1) < 1, 0.3, 0.1)
    data = as_samples(values, np.zeros((4000, 0), dtype=np.int64), bad, np.full(4000, DAY), ("a", "b"), ())
    found = fitted("isolation_forest", data).predict(data[0]).values[:, 1]
    assert np.ptp(found) == 0.0
    assert found[0] == pytest.approx(bad.mean(), abs=0.02)


def test_a_score_alone_is_no_probability() -> None:
    samples, task = rows(200)
    train, validation, _ = split(samples)
    with pytest.raises(FitFailure, match="no probability"):
        unfitted("isolation_forest", task, calibration={"method": "none"}).fit(train, validation, seed=0, hardware=Hardware())


@pytest.mark.parametrize(("name", "value"), [("depth", 2**40), ("child", 2**40), ("child", -1), ("feature", 99), ("root", -1)])
def test_damaged_trees_are_not_walked(name: str, value: int, tmp_path: Path) -> None:
    """A depth beyond all nodes would be walked for ever, and an index beyond a row's end read its neighbour."""
    model = fitted("isolation_forest", rows(), trees=5, sample=50)
    model.save(tmp_path)
    loaded = IsolationForest.load(tmp_path, model.settings, model.task)
    np.testing.assert_array_equal(loaded.raw_probability(rows()[0]), model.raw_probability(rows()[0]))
    state = load_file(tmp_path / STATE)
    state[name] = np.full_like(state[name], value)
    save_file(state, tmp_path / STATE)
    with pytest.raises(ValueError, match="the trees of the isolation forest do not lead"):
        IsolationForest.load(tmp_path, model.settings, model.task)
