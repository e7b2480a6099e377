"""What all classical models must hold."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from finflow.models.base import Hardware
from finflow.models.errors import FitFailure
from finflow.models.saving import load_model, save_model
from finflow.models.zoo import model_class
from tests.support.models.classical_cases import LEVELS, NEEDED, autoregressive, crps, fitted, panel, served, split

ALL = ("random_walk", "historical_mean", "arima", "var", "ridge")


@pytest.fixture(scope="module")
def case():  # type: ignore[no-untyped-def]
    samples, task = panel([autoregressive(1500, 0.3, 1), autoregressive(1200, 0.3, 2)], length=8, horizon=3)
    return samples, task, *split(samples)


@pytest.mark.parametrize("name", ALL)
def test_quantiles_ascend_and_cover_as_they_say(name, case) -> None:  # type: ignore[no-untyped-def]
    _, task, train, validation, test = case
    prediction = fitted(name, task, train, validation).predict(test)
    assert prediction.kind == "quantiles"
    assert prediction.levels == LEVELS
    assert prediction.values.shape == (len(test), 3, 5)
    assert prediction.values.dtype == np.float32
    assert (np.diff(prediction.values, axis=2) >= 0).all()
    below = (test.targets[:, :, None] < prediction.values).mean(axis=(0, 1))
    np.testing.assert_allclose(below, LEVELS, atol=0.07)


@pytest.mark.parametrize("name", ALL)
def test_a_saved_model_answers_to_the_bit(name, case, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    _, task, train, validation, test = case
    model = fitted(name, task, train, validation)
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    assert type(loaded) is type(model)
    assert loaded.context == model.context
    np.testing.assert_array_equal(loaded.predict(test).values, model.predict(test).values)
    assert not [path for path in (tmp_path / "model").rglob("*") if path.suffix not in ("", ".json", ".safetensors")]


@pytest.mark.parametrize("name", ALL)
def test_windows_alone_give_the_same_bits_and_neighbours_do_not_matter(name, case) -> None:  # type: ignore[no-untyped-def]
    samples, task, train, validation, _ = case
    model = fitted(name, task, train, validation)
    whole = model.predict(samples).values
    # the first samples of an entity have less of a past than the context: their windows are padded with NaN
    assert np.isnan(samples.gather(np.array([0]), model.context)).any()
    np.testing.assert_array_equal(model.predict(served(samples, task, model.context)).values, whole)
    for positions in (np.array([7]), np.array([500, 7, 3]), np.arange(20, 37)):
        np.testing.assert_array_equal(model.predict(samples.take(positions)).values, whole[positions])


@pytest.mark.parametrize("name", ALL)
def test_nothing_after_the_last_sample_is_read(name, case) -> None:  # type: ignore[no-untyped-def]
    samples, task, train, validation, _ = case
    values = samples.observations.values.copy()
    for entity in range(2):
        last = validation.index.row[validation.index.entity == entity].max()
        values[last + 1 : samples.observations.first[entity + 1]] = 1e6
    other = replace(samples.observations, values=values)
    changed = fitted(name, task, replace(train, observations=other), replace(validation, observations=other))
    original = fitted(name, task, train, validation)
    np.testing.assert_array_equal(changed.predict(train).values, original.predict(train).values)


@pytest.mark.parametrize("name", ALL)
def test_the_same_fit_twice_is_the_same_to_the_bit(name, case) -> None:  # type: ignore[no-untyped-def]
    _, task, train, validation, test = case
    first, second = (fitted(name, task, train, validation).predict(test).values for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["random_walk", "historical_mean", "arima"])
def test_an_unlabelled_sample_teaches_nothing(name, case) -> None:  # type: ignore[no-untyped-def]
    _, task, train, validation, test = case
    target = train.index.target.copy()
    target[5] = np.nan
    unlabelled = replace(train, index=replace(train.index, target=target))
    without = train.take(np.delete(np.arange(len(train)), 5))
    first = fitted(name, task, unlabelled, validation).predict(test).values
    np.testing.assert_array_equal(first, fitted(name, task, without, validation).predict(test).values)


@pytest.mark.parametrize("name", ALL)
def test_no_labelled_sample_is_refused(name, case) -> None:  # type: ignore[no-untyped-def]
    _, task, train, validation, _ = case
    nobody = train.take(np.arange(0))
    with pytest.raises(FitFailure, match="labelled"):
        fitted(name, task, nobody, validation.take(np.arange(0)))


@pytest.mark.parametrize("name", ALL)
def test_prices_that_do_not_move_are_refused(name) -> None:  # type: ignore[no-untyped-def]
    samples, task = panel([np.zeros(200)])
    train, validation, _ = split(samples)
    with pytest.raises(FitFailure, match="vary"):
        fitted(name, task, train, validation)


@pytest.mark.parametrize("name", ["random_walk", "arima", "ridge"])
def test_other_answers_than_quantiles_are_refused(name, case) -> None:  # type: ignore[no-untyped-def]
    _, task, train, validation, _ = case
    with pytest.raises(FitFailure, match="quantiles"):
        fitted(name, replace(task, kind="probabilities", levels=(), classes=("a", "b")), train, validation)


@pytest.mark.parametrize("settings", [{"context": 0}, {"decay": 1.0}, {"decay": float("nan")}, {"learning_rate": 0.1}])
@pytest.mark.parametrize("name", ALL)
def test_settings_out_of_range_are_refused(name, settings) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValidationError):
        model_class(name).Settings.model_validate(settings)


def test_predicting_before_fitting_is_refused(case) -> None:  # type: ignore[no-untyped-def]
    samples, task, *_ = case
    for name in ALL:
        found = model_class(name)
        with pytest.raises(RuntimeError, match="fit or load"):
            found(found.Settings.model_validate(NEEDED.get(name, {})), task).predict(samples)


def test_classical_models_need_no_seed(case) -> None:  # type: ignore[no-untyped-def]
    _, task, train, validation, test = case
    for name in ALL:
        found = model_class(name)
        assert not found.seeded
        model = found(found.Settings.model_validate(NEEDED.get(name, {})), task)
        model.fit(train, validation, seed=99, hardware=Hardware())
        np.testing.assert_array_equal(model.predict(test).values, fitted(name, task, train, validation).predict(test).values)


def test_models_that_use_a_planted_signal_beat_those_that_do_not() -> None:
    samples, task = panel([autoregressive(1500, 0.33, seed) for seed in (3, 4)], length=10, horizon=1)
    train, validation, test = split(samples)
    loss = {name: crps(fitted(name, task, train, validation), test) for name in ALL}
    # R2 of 11 %: the loss falls by a factor of sqrt(1 - R2), 5.6 %
    for name in ("arima", "ridge"):
        assert 0.03 < 1 - loss[name] / loss["random_walk"] < 0.08
    assert abs(1 - loss["historical_mean"] / loss["random_walk"]) < 0.01


@pytest.mark.parametrize("name", ["random_walk", "historical_mean", "ridge"])
def test_memory_of_a_fit_grows_little_with_the_samples(name: str) -> None:
    """By the samples' index and residuals, 264 bytes each here, and not by what is looked at on the way, which comes in chunks."""
    peaks, counts = [], []
    for days in (1000, 2000):
        samples, task = panel(list(np.random.default_rng(1).normal(0, 0.01, (10, days))), horizon=5)
        kind = model_class(name)
        model = kind(kind.Settings.model_validate({"context": 20}), task)
        train, _, test = split(samples, 0.7)
        tracemalloc.start()
        try:
            model.fit(train, test, seed=0, hardware=Hardware())
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
        counts.append(len(train) + len(test))
    assert (peaks[1] - peaks[0]) / (counts[1] - counts[0]) < 500
