"""The autoencoder: strange rows stand out, missing numbers are filled in from the rest, and a saved one answers the same."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from finflow.models.base import Hardware, Task
from finflow.models.errors import FitFailure
from finflow.models.row_networks.autoencoder import Autoencoder
from finflow.models.rows.categories import category_codes
from finflow.models.samples import Samples
from finflow.models.saving import load_model, save_model
from tests.support.models.row_network_cases import network, rows, samples_of, split


def linked(count: int = 1500, seed: int = 0) -> tuple[Samples, Task, NDArray[np.bool_], NDArray[np.float64]]:
    """Three numbers that one hidden number gives, and a category that goes with its sign; a tenth of the rows breaks the pattern.

    Returns:
        Samples (in which a tenth of the first numbers is missing), task, which rows are strange, and the first numbers, whole.
    """
    random = np.random.default_rng(seed)
    hidden = random.normal(size=count)
    values = np.column_stack([hidden, -2 * hidden, 5 + hidden]) + random.normal(0, 0.05, (count, 3))
    strange = random.random(count) < 0.1
    values[strange] = values[strange][:, [0, 1, 2]] + random.choice([-3, 3], (int(strange.sum()), 3)) * np.array([1, 1, -1])
    codes = category_codes(["up" if value > 0 else "down" for value in hidden])[:, None]
    whole = values[:, 0].copy()
    values[random.random(count) < 0.1, 0] = np.nan
    target = np.where(random.random(count) < 0.05, ~strange, strange).astype(np.float32)
    return *samples_of(values.astype(np.float32), codes, target, count), strange, whole


def trained(seed: int = 0) -> tuple[Autoencoder, Samples, NDArray[np.bool_], NDArray[np.float64]]:
    samples, task, strange, whole = linked(seed=seed)
    model = network("autoencoder", task, hidden=[32], reduced=2, epochs=40, patience=40, learning_rate=0.01)
    assert isinstance(model, Autoencoder)
    train, validation, _ = split(samples)
    model.fit(train, validation, seed=1, hardware=Hardware())
    return model, samples, strange, whole


def test_strange_rows_are_told_by_their_error_and_missing_numbers_by_the_rest() -> None:
    from sklearn.metrics import roc_auc_score

    model, samples, strange, whole = trained()
    test = np.arange(1200, 1500)
    error = model.errors(samples.take(test))
    assert roc_auc_score(strange[test], error) > 0.95
    chance = model.predict(samples.take(test)).values[:, 1]
    assert (np.diff(chance[np.argsort(error)]) >= 0).all(), "what is harder to give back is never the likelier to be usual"
    assert chance[strange[test]].mean() > 0.4 > 0.2 > chance[~strange[test]].mean()

    raw = samples.gather()[:, 0]
    filled = model.impute(samples)
    there = ~np.isnan(raw)
    np.testing.assert_array_equal(filled[there], raw[there])
    absent = np.isnan(raw[:, 0]) & ~strange
    told = np.abs(filled[absent, 0] - whole[absent]).mean()
    blind = np.abs(np.nanmedian(raw[:, 0]) - whole[absent]).mean()
    assert told < 0.4 * blind

    reduced = model.reduced(samples)
    assert reduced.shape == (1500, 2)
    hidden = np.abs(np.corrcoef(np.column_stack([reduced, whole])[~strange].T)[-1, :-1])
    assert hidden.max() > 0.8


def test_a_saved_one_answers_the_same_and_a_row_by_itself(tmp_path: Path) -> None:
    samples, task = rows(600)
    model = network("autoencoder", task)
    train, validation, test = split(samples)
    model.fit(train, validation, seed=1, hardware=Hardware())
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    expected = model.predict(test).values
    np.testing.assert_array_equal(again.predict(test).values, expected)
    np.testing.assert_array_equal(model.predict(test.take(np.arange(7, 8))).values, expected[7:8])
    assert model.contributions(test) is None


def test_the_classes_are_for_the_calibration_alone() -> None:
    samples, task = rows(600)
    train, validation, test = split(samples)
    turned = replace(train, index=replace(train.index, target=1 - train.targets))
    first, second = network("autoencoder", task), network("autoencoder", task)
    first.fit(train, validation, seed=1, hardware=Hardware())
    second.fit(turned, validation, seed=1, hardware=Hardware())
    np.testing.assert_array_equal(first.raw_probability(test), second.raw_probability(test))


def test_an_error_is_no_probability() -> None:
    _, task = rows(50)
    with pytest.raises(FitFailure, match=r"set calibration\.method to platt or isotonic"):
        network("autoencoder", task, calibration={"method": "none"}).check_task()
