"""Classical forecasts of variances against computations of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from finflow.models.base import Hardware, Model, Task
from finflow.models.errors import FitFailure
from finflow.models.samples import Samples
from finflow.models.saving import load_model, save_model
from finflow.models.variances.garch import Garch, GarchSettings, filtered, fit_garch
from finflow.models.variances.har import Har
from finflow.models.zoo import model_class
from tests.support.models.classical_cases import fitted, served, split
from tests.support.models.variance_cases import stochastic_volatility, variance_panel

RECIPES: dict[str, tuple[str, dict[str, object]]] = {
    "last": ("last_variance", {}),
    "ewma": ("ewma", {"context": 100}),
    "har": ("har", {"form": "har"}),
    "log-har": ("har", {"form": "log_har"}),
    "log-har-leverage": ("har", {}),
    "garch": ("garch", {"asymmetric": False, "context": 200}),
    "gjr": ("garch", {"context": 200}),
    "gjr-training-level": ("garch", {"context": 200, "level": "training"}),
    "mean": ("historical_mean", {}),
}


@pytest.fixture(scope="module")
def data() -> tuple[Samples, Task]:
    return variance_panel()


@pytest.fixture(scope="module")
def models(data: tuple[Samples, Task]) -> dict[str, Model]:
    train, validation, _ = split(data[0])
    return {name: fitted(model, data[1], train, validation, **settings) for name, (model, settings) in RECIPES.items()}


def qlike(model: Model, samples: Samples) -> float:
    ratio = samples.targets[:, 0].astype(np.float64) / model.predict(samples).values[:, 0]
    return float((ratio - np.log(ratio) - 1).mean())


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_positive_saved_served_and_alone(name: str, data: tuple[Samples, Task], models: dict[str, Model], tmp_path: Path) -> None:
    samples, task = data
    model = models[name]
    whole = model.predict(samples)
    assert (whole.kind, whole.values.dtype, whole.values.shape) == ("variances", np.float32, (len(samples), 2))
    assert (whole.values > 0).all()
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(samples).values, whole.values)
    np.testing.assert_array_equal(model.predict(served(samples, task, model.context)).values, whole.values)
    order = np.random.default_rng(1).permutation(len(samples))[:50]
    np.testing.assert_array_equal(model.predict(samples.take(order)).values, whole.values[order])
    np.testing.assert_array_equal(model.predict(samples.take(order[:1])).values, whole.values[order[:1]])
    assert model.predict(samples.take(np.array([], dtype=np.int64))).values.shape == (0, 2)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_the_future_is_not_read(name: str, data: tuple[Samples, Task], models: dict[str, Model]) -> None:
    samples = data[0]
    row = int(samples.index.row[300])
    changed = samples.observations.values.copy()
    changed[row + 1 :] = 7.0
    one = samples.take(np.array([300]))
    blind = replace(one, observations=replace(one.observations, values=changed), index=replace(one.index, target=one.index.target * np.nan))
    np.testing.assert_array_equal(models[name].predict(blind).values, models[name].predict(one).values)


def test_the_order_of_merit_is_what_the_series_says(data: tuple[Samples, Task], models: dict[str, Model]) -> None:
    test = split(data[0])[2]
    loss = {name: qlike(model, test) for name, model in models.items()}
    assert loss["log-har-leverage"] < loss["log-har"] < loss["last"]
    assert loss["log-har"] < loss["mean"]


def terms_by_hand(samples: Samples) -> tuple[np.ndarray, np.ndarray]:
    """Day, week and month means of the variance, and of returns, a row a sample."""
    values = samples.observations.values.astype(np.float64)
    variance, returns = np.exp(values[:, 2]), values[:, 3]
    rows = samples.index.row
    means = np.array([[variance[row - span + 1 : row + 1].mean() for span in (1, 5, 22)] for row in rows])
    moves = np.array([[min(returns[row - span + 1 : row + 1].mean(), 0.0) for span in (1, 5, 22)] for row in rows])
    return means, moves


def test_har_is_least_squares_on_day_week_and_month(data: tuple[Samples, Task], models: dict[str, Model]) -> None:
    import statsmodels.api as sm

    train, validation, test = split(data[0])
    together = train.take(np.arange(len(train)))
    together = replace(together, index=_joined(train, validation))
    targets = together.targets.astype(np.float64)
    means, moves = terms_by_hand(together)
    test_means, test_moves = terms_by_hand(test)
    for output in (0, 1):
        plain = sm.OLS(targets[:, output], sm.add_constant(means)).fit()
        expected = np.clip(plain.predict(sm.add_constant(test_means)), targets[:, output].min(), targets[:, output].max())
        np.testing.assert_allclose(models["har"].predict(test).values[:, output], expected, rtol=1e-5)
        for name, inputs, asked in (
            ("log-har", np.log(means), np.log(test_means)),
            ("log-har-leverage", np.hstack([np.log(means), moves]), np.hstack([np.log(test_means), test_moves])),
        ):
            result = sm.OLS(np.log(targets[:, output]), sm.add_constant(inputs)).fit()
            smeared = np.exp(result.predict(sm.add_constant(asked))) * np.exp(result.resid).mean()
            np.testing.assert_allclose(models[name].predict(test).values[:, output], smeared, rtol=1e-4)


def test_smearing_makes_the_mean_ratio_one(data: tuple[Samples, Task], models: dict[str, Model]) -> None:
    train, validation, _ = split(data[0])
    for name in ("log-har", "log-har-leverage", "gjr-training-level"):
        ratio = np.concatenate([part.targets / models[name].predict(part).values for part in (train, validation)])
        np.testing.assert_allclose(ratio.mean(axis=0), 1.0, rtol=1e-5)


def test_a_har_forecast_stays_within_what_was_seen(data: tuple[Samples, Task], models: dict[str, Model]) -> None:
    samples = data[0].take(np.array([400]))
    wild = samples.observations.values.copy()
    wild[:, 2] = 5.0
    model = models["har"]
    assert isinstance(model, Har)
    assert model.state is not None
    answer = model.predict(replace(samples, observations=replace(samples.observations, values=wild))).values
    np.testing.assert_allclose(answer[0], np.exp(model.state["high"]), rtol=1e-5)


def test_ewma_by_hand(data: tuple[Samples, Task], models: dict[str, Model]) -> None:
    samples = data[0].take(np.array([0, 200]))
    variance = np.exp(samples.observations.values[:, 2].astype(np.float64))
    for position, row in enumerate(samples.index.row):
        past = variance[max(0, row - 99) : row + 1][::-1]
        weights = 0.94 ** np.arange(len(past))
        expected = (past * weights).sum() / weights.sum()
        np.testing.assert_allclose(models["ewma"].predict(samples).values[position], expected, rtol=1e-6)


def likelihood(returns: np.ndarray, asymmetric: bool) -> float:
    """Of the parameters that `fit_garch` ends with, by arch."""
    from arch import arch_model

    parameters, (freedom,), _ = fit_garch(returns, asymmetric)
    mean, omega, alpha, gamma, beta = parameters / np.array([returns.std(), returns.var(), 1, 1, 1])
    model = arch_model(returns / returns.std(), mean="Constant", vol="GARCH", p=1, o=int(asymmetric), q=1, dist="t", rescale=False)
    return float(model.fix([mean, omega, alpha, *([gamma] if asymmetric else []), beta, freedom]).loglikelihood)


@pytest.mark.parametrize("seed", [2, 4, 9])
def test_a_search_that_runs_away_does_not_count(seed: int) -> None:
    """Entities from calm to wild, one after the other: arch's own search ends in a mean of millions of deviations, or GJR below GARCH."""
    random = np.random.default_rng(seed)
    returns = np.concatenate([random.standard_t(4, 200) * 10.0 ** random.uniform(-4.5, -1.8) for _ in range(10)])
    returns = np.where(random.random(len(returns)) < 0.02, 0.0, returns)
    symmetric, asymmetric = (likelihood(returns, kind) for kind in (False, True))
    assert asymmetric > symmetric - 2, "GJR-GARCH holds GARCH"
    assert symmetric > {2: 1900, 4: -160, 9: -620}[seed]
    assert abs(fit_garch(returns, True)[0][0]) < returns.std()


@pytest.mark.parametrize("asymmetric", [False, True])
def test_garch_is_what_arch_forecasts(asymmetric: bool) -> None:
    from arch import arch_model

    returns = stochastic_volatility(1500, 3)[1]
    parameters, (freedom,), converged = fit_garch(returns, asymmetric)
    assert converged
    assert freedom > 2
    model = arch_model(returns, mean="Constant", vol="GARCH", p=1, o=int(asymmetric), q=1, dist="t", rescale=False)
    names = ["mu", "omega", "alpha[1]", *(["gamma[1]"] if asymmetric else []), "beta[1]", "nu"]
    ours = [
        value for name, value in zip(["mu", "omega", "alpha", "gamma", "beta"], parameters, strict=True) if asymmetric or name != "gamma"
    ]
    fixed = model.fix([*ours, freedom])
    assert list(fixed.params.index) == names
    theirs = fixed.forecast(horizon=5, start=1000).variance.to_numpy()
    task = variance_panel(days=60)[1]
    garch = Garch(GarchSettings(asymmetric=asymmetric, context=1000, level="training"), task)
    stops = range(1001, 1500, 50)
    windows = np.stack([returns[stop - 1000 : stop] for stop in stops])
    # the start is forgotten: 0.97 ** 1000 of it is left
    following, path = filtered(windows, parameters, returns.var())
    np.testing.assert_allclose(following, theirs[0:499:50, 0], rtol=1e-6)
    np.testing.assert_allclose(
        path[:, -400:], np.stack([fixed.conditional_volatility[stop - 400 : stop] ** 2 for stop in stops]), rtol=1e-3
    )
    garch.state = {"parameters": parameters, "start": np.array([returns.var()]), "ratio": np.ones(2)}
    answer = garch.predict(_as_samples(windows, task)).values
    np.testing.assert_allclose(answer[:, 0], theirs[0:499:50, 0], rtol=1e-5)
    np.testing.assert_allclose(answer[:, 1], theirs[0:499:50].mean(axis=1), rtol=1e-5)


def test_garch_takes_its_level_from_the_window(data: tuple[Samples, Task], models: dict[str, Model]) -> None:
    """An entity whose measure is throughout twice what its returns would say has forecasts nearly twice as high."""
    samples = data[0].take(np.flatnonzero(data[0].index.row % 700 > 400))
    twice = samples.observations.values.copy()
    twice[:, 2] += np.log(2.0)
    moved = replace(samples, observations=replace(samples.observations, values=twice))
    share = models["gjr"].predict(moved).values / models["gjr"].predict(samples).values
    assert (share > 1.75).all()
    assert (share < 2.0).all()
    np.testing.assert_array_equal(models["gjr-training-level"].predict(moved).values, models["gjr-training-level"].predict(samples).values)


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"mean"}))
def test_quantiles_are_the_forecast_and_what_it_missed(
    name: str, data: tuple[Samples, Task], models: dict[str, Model], tmp_path: Path
) -> None:
    samples, task = data
    asked = replace(samples, index=replace(samples.index, target=np.log(samples.index.target)))
    levels = (0.05, 0.5, 0.95)
    train, validation, test = split(asked)
    model = fitted(RECIPES[name][0], replace(task, kind="quantiles", levels=levels), train, validation, **RECIPES[name][1])
    known = np.concatenate([part.targets - np.log(models[name].predict(part).values) for part in (train, validation)])
    expected = np.log(models[name].predict(test).values)[:, :, None] + np.quantile(known, levels, axis=0).T
    found = model.predict(test)
    assert (found.kind, found.levels) == ("quantiles", levels)
    np.testing.assert_allclose(found.values, expected, atol=1e-4)
    save_model(model, tmp_path / "model")
    np.testing.assert_array_equal(load_model(tmp_path / "model").predict(test).values, found.values)
    np.testing.assert_array_equal(model.predict(test.take(np.array([7]))).values, found.values[7:8])


def test_what_does_not_fit_is_refused(data: tuple[Samples, Task]) -> None:
    samples, task = data
    other = replace(task, kind="quantiles", levels=(0.5,), steps=(), log_variance=None)
    for name in ("har", "garch", "ewma", "last_variance"):
        found = model_class(name)
        with pytest.raises(FitFailure, match="kind: volatility"):
            found(found.Settings(), other).fit(samples, samples, seed=0, hardware=Hardware())
        with pytest.raises(RuntimeError, match="fit or load"):
            found(found.Settings(), task).predict(samples)
    few = samples.take(np.arange(3))
    with pytest.raises(FitFailure, match="too few for the 7 coefficients"):
        fitted("har", task, few, few)
    zero = replace(samples, index=replace(samples.index, target=np.zeros_like(samples.index.target)))
    with pytest.raises(FitFailure, match="not finite and positive"):
        fitted("har", task, zero, zero)
    still = replace(samples, observations=replace(samples.observations, values=samples.observations.values * 0))
    with pytest.raises(FitFailure, match="vary too little"):
        fitted("garch", task, still, still)


def _joined(train: Samples, validation: Samples) -> object:
    from finflow.models.reading import labelled_together

    return labelled_together(train, validation).index


def _as_samples(returns: np.ndarray, task: Task) -> Samples:
    from finflow.models.samples import from_windows

    windows = np.zeros((*returns.shape, len(task.columns)), dtype=np.float32)
    windows[:, :, task.columns.index("__return")] = returns
    return from_windows(windows, task.columns, task.length, task.outputs)
