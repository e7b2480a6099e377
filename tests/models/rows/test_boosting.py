"""Boosting is LightGBM and nothing beside it: the same probabilities, its own reasons, and no more than its settings allow."""

from __future__ import annotations

import builtins
from typing import Any

import lightgbm
import numpy as np
import pytest

from finflow.models.base import Hardware
from finflow.models.errors import FitFailure
from finflow.models.rows.boosting import Boosting, _library
from tests.support.models.tabular_cases import as_samples, fitted, rows, split, unfitted, with_values

PLAIN = {"calibration": {"method": "none"}}


def test_it_answers_as_bare_lightgbm_does() -> None:
    samples, task = rows()
    model = fitted("boosting", (samples, task), **PLAIN)
    assert isinstance(model, Boosting)
    train, validation, _ = split(samples)
    parameters = model._parameters(1, 1)
    own = lightgbm.Dataset(model._inputs(train), train.targets[:, 0], params=parameters, categorical_feature=[4, 5])
    asked = lightgbm.Dataset(model._inputs(validation), validation.targets[:, 0], reference=own)
    bare = lightgbm.train(parameters, own, 60, valid_sets=[asked], callbacks=[lightgbm.early_stopping(100, verbose=False)])
    np.testing.assert_allclose(model.predict(samples).values[:, 1], bare.predict(model._inputs(samples)), rtol=1e-6)


def test_it_stops_early_and_says_where() -> None:
    samples, task = rows()
    model = unfitted("boosting", task, rounds=400, patience=10)
    train, validation, _ = split(samples)
    report = model.fit(train, validation, seed=1, hardware=Hardware())
    assert isinstance(model, Boosting)
    assert report.notes["trees"] == model.text.count("Tree=") < 390
    assert report.parameters > report.notes["trees"]


def test_a_monotone_feature_moves_one_way() -> None:
    random = np.random.default_rng(0)
    number = random.normal(size=3000)
    bad = random.random(3000) < 1 / (1 + np.exp(-(number - 1.5 * np.sin(3 * number))))
    day = np.full(3000, np.datetime64("2020-01-01", "ns"))
    data = as_samples(number[:, None], np.zeros((3000, 0), dtype=np.int64), bad, day, ("number",), ())
    asked = with_values(data[0], number=0.0)
    asked.observations.values[:, 0] = np.linspace(-3, 3, 3000)
    free, held = (np.diff(fitted("boosting", data, monotone=way).predict(asked).values[:, 1]) for way in ({}, {"number": 1}))
    assert (free < -0.01).any()
    assert (held >= 0).all()
    assert (held > 0).any()


def test_monotone_names_numbers_alone() -> None:
    samples, task = rows(200)
    train, validation, _ = split(samples)
    for name in ("purpose", "nothing"):
        with pytest.raises(FitFailure, match=f"monotone names ..{name}"):
            unfitted("boosting", task, monotone={name: 1}).fit(train, validation, seed=1, hardware=Hardware())


def test_contributions_are_shapley_values() -> None:
    """Of one split: the leaf less the mean leaf of the training rows."""
    random = np.random.default_rng(0)
    number = random.choice([0.0, 1.0], 1000, p=[0.7, 0.3])
    bad = random.random(1000) < 0.2 + 0.5 * number
    day = np.full(1000, np.datetime64("2020-01-01", "ns"))
    data = as_samples(np.column_stack([number, np.zeros(1000)]), np.zeros((1000, 0), dtype=np.int64), bad, day, ("number", "zero"), ())
    model = fitted("boosting", data, rounds=1, features=1.0, rows=1.0, **PLAIN)
    found = model.contributions(data[0])
    assert found is not None
    train = split(data[0])[0]
    share = float(train.gather()[:, 0, 0].mean())
    low, high = (float(found.score[number == value][0]) for value in (0.0, 1.0))
    mean = (1 - share) * low + share * high
    np.testing.assert_allclose(found.base, mean, atol=1e-5)
    np.testing.assert_allclose(found.values[:, 0], np.where(number == 1, high, low) - mean, atol=1e-5)
    np.testing.assert_array_equal(found.values[:, 1], 0.0)


def test_without_openmp_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name == "lightgbm":
            raise OSError("libgomp.so.1: cannot open shared object file: No such file or directory")
        return original(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(FitFailure, match=r"LightGBM cannot be loaded \(libgomp\.so\.1.*install the system's OpenMP library, libgomp1"):
        _library()
