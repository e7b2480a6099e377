"""Models that answer with sample paths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from finflow.models.base import Hardware, Prediction
from finflow.models.ensemble import average
from finflow.models.errors import FitFailure
from finflow.models.paths.garch_paths import GarchPaths, GarchPathsSettings
from finflow.models.paths.paths import generators, long_run_deviation
from finflow.models.paths.stationary_bootstrap import StationaryBootstrap, StationaryBootstrapSettings
from finflow.models.samples import from_windows
from finflow.models.saving import load_model, save_model
from finflow.models.zoo import model_class
from tests.support.models.path_cases import OUTPUTS, PATHS, TINY_GAN, fitted, garch_returns, path_parts

MODELS: dict[str, dict[str, Any]] = {
    "stationary_bootstrap": {"block": 5.0, "context": 200},
    "garch_paths": {"context": 200},
    "scenario_gan": TINY_GAN,
}


@pytest.mark.parametrize("name", MODELS)
def test_paths_depend_on_the_own_window_alone_and_are_the_same_after_saving(name: str, tmp_path: Path) -> None:
    train, validation, test, task = path_parts()
    model = fitted(name, MODELS[name], train, validation, task)
    answer = model.predict(test)
    assert answer.kind == "paths"
    assert answer.values.shape == (len(test), PATHS, OUTPUTS)
    assert np.isfinite(answer.values).all()
    some = np.array([40, 7, 99])
    np.testing.assert_array_equal(model.predict(test.take(some)).values, answer.values[some])
    windows = test.gather(some, model.context)
    served = from_windows(windows, task.columns, task.length, task.outputs)
    np.testing.assert_array_equal(model.predict(served).values, answer.values[some])
    save_model(model, tmp_path / "model")
    assert {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()} == {".json", ".safetensors"}
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(test).values, answer.values)
    assert len(np.unique(answer.values[:, :, 0])) > 0.5 * len(test) * PATHS or name == "stationary_bootstrap"


@pytest.mark.parametrize("name", MODELS)
def test_what_is_not_asked_for_paths_is_refused(name: str) -> None:
    train, validation, _, task = path_parts()
    found = model_class(name)
    for other in (replace(task, kind="quantiles", levels=(0.5,)), replace(task, increment=None)):
        with pytest.raises(FitFailure, match="sample paths"):
            found(found.Settings.model_validate(MODELS[name]), other).fit(train, validation, seed=0, hardware=Hardware())
    flat = path_parts([np.zeros(900), np.zeros(800)])
    with pytest.raises(FitFailure, match="nothing to draw paths from"):
        fitted(name, MODELS[name], *flat[:2], flat[3])


def test_a_bootstrap_of_one_long_block_runs_on_in_the_order_of_the_training_part() -> None:
    train, validation, _, task = path_parts()
    model = fitted("stationary_bootstrap", {"block": 10_000.0, "context": 200}, train, validation, task)
    assert isinstance(model, StationaryBootstrap)
    assert model.state is not None
    lengths = model.state["lengths"].astype(int)
    past = np.random.default_rng(0).normal(0, 0.01, (3, 200))
    steps = model.steps(past, model.state) / long_run_deviation(past, 1.0)[:, None, None]
    followed = 0
    for drawn in steps.reshape(-1, OUTPUTS):
        place = int(np.flatnonzero(np.isclose(model.state["pool"], drawn[0], rtol=1e-9, atol=0))[0])
        entity = int(place >= lengths[0])
        own = model.state["pool"][lengths[0] * entity : lengths[0] + lengths[1] * entity]
        expected = own[(place - lengths[0] * entity + np.arange(OUTPUTS)) % len(own)]
        followed += bool(np.allclose(drawn, expected))
    assert followed >= 0.97 * len(steps.reshape(-1, OUTPUTS))  # a block of 10,000 ends within 12 steps once in 900


def test_blocks_of_a_bootstrap_are_geometric() -> None:
    """Politis and Romano: a block goes on with probability 1 - 1 / mean length."""
    train, validation, _, task = path_parts(paths=400)
    model = fitted("stationary_bootstrap", {"block": 4.0, "context": 200}, train, validation, task)
    assert isinstance(model, StationaryBootstrap)
    assert model.state is not None
    past = np.random.default_rng(1).normal(0, 0.01, (20, 200))
    steps = model.steps(past, model.state) / long_run_deviation(past, 1.0)[:, None, None]
    pool = model.state["pool"]
    order = np.argsort(pool)
    place = order[np.searchsorted(pool[order], steps.ravel()).clip(max=len(pool) - 1)]
    near = order[(np.searchsorted(pool[order], steps.ravel()) - 1).clip(min=0)]
    place = np.where(np.abs(pool[near] - steps.ravel()) < np.abs(pool[place] - steps.ravel()), near, place).reshape(steps.shape)
    goes_on = np.diff(place, axis=2) == 1
    assert goes_on.mean() == pytest.approx(0.75, abs=0.01)


def test_a_garch_goes_on_as_arch_simulates_it() -> None:
    """The same parameters and the same past, simulated by `arch` from its own recursion."""
    from arch import arch_model
    from arch.univariate import SkewStudent

    series = garch_returns(3000, 5)
    train, validation, _, task = path_parts([series], paths=20_000)
    model = fitted("garch_paths", {"context": 400}, train, validation, task)
    assert isinstance(model, GarchPaths)
    assert model.state is not None
    mean, omega, alpha, beta, gamma, _ = model.state["parameters"]
    freedom, skew = model.state["shape"]
    past = series[None, -400:]
    drawn = model.steps(past, model.state)[0]
    theirs = arch_model(100 * series[-400:], mean="Constant", vol="GARCH", p=1, o=1, q=1, dist="skewt", rescale=False)
    parameters = np.array([100 * mean, 1e4 * omega, alpha, gamma, beta, freedom, skew])
    theirs.distribution = SkewStudent(seed=1)  # its own, or every process would draw other paths
    found = theirs.fix(parameters).forecast(horizon=OUTPUTS, method="simulation", simulations=20_000)
    simulated = found.simulations.values[-1] / 100
    np.testing.assert_allclose(drawn.std(axis=0), simulated.std(axis=0), rtol=0.05)
    # of 20,000 draws a twentieth's quantile has a standard error of 0.026 deviations, a hundredth's of 0.05, on each side
    for level, wide in ((0.01, 0.15), (0.05, 0.1), (0.5, 0.05), (0.95, 0.1), (0.99, 0.15)):
        mine, other = np.quantile(drawn.sum(axis=1), level), np.quantile(simulated.sum(axis=1), level)
        assert mine == pytest.approx(other, abs=wide * simulated.sum(axis=1).std())


def test_what_is_not_known_is_not_known_whatever_its_bits() -> None:
    past = np.array([[np.nan, 0.01, 0.02], [np.copysign(np.nan, -1.0), 0.01, 0.02], [np.nan, 0.01, 0.03]])
    first, second, other = (generator.random(4) for generator in generators(past, 0))
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, other)


def test_a_garch_without_asymmetry_has_none() -> None:
    train, validation, _, task = path_parts()
    model = fitted("garch_paths", {"asymmetric": False}, train, validation, task)
    assert isinstance(model.settings, GarchPathsSettings)
    assert isinstance(model, GarchPaths)
    assert model.state is not None
    assert model.state["parameters"][4] == 0.0


def test_paths_of_several_seeds_are_as_many_as_of_one() -> None:
    first, second = (Prediction("paths", np.full((2, 5, 3), value, dtype=np.float32)) for value in (1.0, 2.0))
    mixed = average([first, second])
    assert mixed.values.shape == (2, 5, 3)
    assert mixed.values[0, :, 0].tolist() == [1.0, 2.0, 1.0, 2.0, 1.0]
    assert StationaryBootstrapSettings().block == 100.0
