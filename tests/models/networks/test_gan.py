"""The conditional GAN as a forecaster: near the truth where it is known, and of variances too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from scipy import stats

from finflow.models.base import Hardware, Model, Prediction, Task
from finflow.models.networks.modules.gan import Critic, Generator, even_normals
from finflow.models.networks.network import Network
from finflow.models.samples import Samples, from_windows
from finflow.models.saving import load_model, save_model
from tests.support.models.network_cases import LEVELS, fit, network, noise, panel, split
from tests.support.models.scores import crps, unconditional
from tests.support.models.variance_cases import variance_panel


def location_scale(days: int = 1000) -> tuple[Samples, Task, Prediction]:
    """A Student t whose location and scale two features say, and its true quantiles."""
    samples, task = panel(noise(days, 2, seed=3), length=3, horizon=1)
    seen = samples.observations.values[samples.index.row].astype(np.float64)
    location, scale = 0.5 * seen[:, 0], 0.01 * np.exp(1.2 * (seen[:, 2] - 3.0))
    drawn = location + scale * np.random.default_rng(3).standard_t(5, len(samples))
    truth = location[:, None] + scale[:, None] * stats.t.ppf(task.levels, 5)
    known = replace(samples, index=replace(samples.index, target=drawn[:, None].astype(np.float32)))
    return known, replace(task, increment=None, level=None), Prediction("quantiles", truth[:, None, :].astype(np.float32), task.levels)


def test_comes_near_a_known_distribution() -> None:
    samples, task, truth = location_scale()
    train, _, test = split(samples)
    least = crps(truth.take(np.arange(len(samples) - len(test), len(samples))), test)  # the test part is the last, in time order
    assert crps(unconditional(train, test, task.levels), test) > 1.1 * least
    model = network("gan", task, hidden=16, noise=8, paths=256, epochs=15, learning_rate=0.01, patience=15)
    fit(model, samples)
    assert crps(model.predict(test), test) < 1.025 * least


def test_even_normals_are_normal_and_know_quantiles_better_than_random_ones() -> None:
    torch.manual_seed(1)
    tables = [even_normals(256, 8) for _ in range(20)]
    assert not torch.equal(tables[0], tables[1])
    np.testing.assert_allclose(np.cov(tables[0].numpy().T), np.eye(8), atol=0.1)
    direction = np.full(8, 8**-0.5)
    expected = stats.norm.ppf(LEVELS)

    def error(found: list[torch.Tensor]) -> float:
        return float(np.mean([(np.quantile(table.numpy() @ direction, LEVELS) - expected) ** 2 for table in found]))

    assert error(tables) < 0.5 * error([torch.randn(256, 8) for _ in range(20)])


def test_the_table_is_reproduced_by_the_seed_and_not_drawn_by_a_prediction() -> None:
    samples, task = panel(noise(300))
    tables = []
    for seed in (1, 1, 2):
        model = cast(Network, network("gan", task, epochs=1))
        fit(model, samples, seed=seed)
        first = model.predict(samples).values
        torch.rand(5)
        np.testing.assert_array_equal(model.predict(samples).values, first)
        tables.append(cast(Generator, model.forecaster).table)
    assert torch.equal(tables[0], tables[1])
    assert not torch.equal(tables[0], tables[2])


@pytest.mark.parametrize("weight", [0.0, 5.0])
def test_the_critic_and_the_score_both_move_the_generator(weight: float, monkeypatch: pytest.MonkeyPatch) -> None:
    samples, task = panel(noise(300))
    heard, answers = Critic.forward, []
    for silent in (False, True):
        if silent:
            monkeypatch.setattr(Critic, "forward", lambda self, state, steps: 0.0 * heard(self, state, steps))
        model = network("gan", task, crps_weight=weight)
        fit(model, samples)
        answers.append(model.predict(samples).values)
    assert not np.array_equal(*answers)


@pytest.fixture(scope="module")
def variances() -> tuple[Samples, Task]:
    return variance_panel(days=500)


def quantiles_of(samples: Samples, task: Task) -> tuple[Samples, Task]:
    """The same question, asked for quantiles: the targets are logarithms."""
    asked = replace(samples, index=replace(samples.index, target=np.log(samples.index.target)))
    return asked, replace(task, kind="quantiles", levels=LEVELS)


@pytest.mark.parametrize("kind", ["variances", "quantiles"])
@pytest.mark.parametrize("residual", ["none", "log_har_leverage"])
def test_of_variances_saved_served_and_alone(kind: str, residual: str, variances: tuple[Samples, Task], tmp_path: Path) -> None:
    samples, task = quantiles_of(*variances) if kind == "quantiles" else variances
    model = network("gan", task, residual=residual, hidden=8)
    train, validation, _ = split(samples)
    model.fit(train, validation, seed=1, hardware=Hardware())
    whole = model.predict(samples)
    assert whole.kind == kind
    assert whole.values.shape == ((len(samples), 2, 5) if kind == "quantiles" else (len(samples), 2))
    assert (np.diff(whole.values) >= 0).all() if kind == "quantiles" else (whole.values > 0).all()
    save_model(model, tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_array_equal(loaded.predict(samples).values, whole.values)
    windows = from_windows(samples.gather(length=loaded.context), task.columns, task.length, task.outputs)
    np.testing.assert_array_equal(loaded.predict(windows).values, whole.values)
    np.testing.assert_array_equal(model.predict(samples.take(np.array([70]))).values[0], whole.values[70])


def test_an_expected_variance_is_the_mean_of_the_draws(variances: tuple[Samples, Task]) -> None:
    samples, task = variances
    model = cast(Network, network("gan", task, hidden=8, epochs=15, learning_rate=0.01))
    train, validation, test = split(samples)
    model.fit(train, validation, seed=1, hardware=Hardware())
    draws = _draws(model, test)
    np.testing.assert_allclose(model.predict(test).values, np.exp(draws).mean(axis=1), rtol=1e-4)
    # and learnt about as well as by a network that answers the mean alone
    other = network("dense", task, loss="qlike", dropout=0.0, epochs=10)
    other.fit(train, validation, seed=1, hardware=Hardware())
    assert _qlike(model, test) < 1.15 * _qlike(other, test)


def _draws(model: Network, samples: Samples) -> np.ndarray:
    """float64, [n, paths, outputs]: logarithms of variances."""
    from finflow.models.networks.batches import Batches, prepare

    assert model.scaling is not None
    assert model.forecaster is not None
    batches = Batches(samples, model.scaling, model.task, prepared=prepare(samples, model.scaling, model.task))
    with torch.inference_mode():
        return model.forecaster(torch.from_numpy(batches.draw(np.arange(len(samples))))).double().numpy()


def _qlike(model: Model, samples: Samples) -> float:
    ratio = samples.targets.astype(np.float64) / model.predict(samples).values
    return float((ratio - np.log(ratio) - 1).mean())


@pytest.mark.parametrize("changes", [{"crps_weight": -1.0}, {"crps_weight": float("inf")}, {"draws": 1}, {"residual": "arima"}])
def test_settings_out_of_range_are_refused(changes: dict[str, Any], variances: tuple[Samples, Task]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        network("gan", variances[1], **changes)
