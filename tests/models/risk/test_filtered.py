"""Historical simulation, plain and filtered, and GARCH-t."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from arch import arch_model
from scipy import stats

from finflow.models.base import Task
from finflow.models.errors import FitFailure
from finflow.models.risk.filtered import variance_path
from finflow.models.saving import load_model, save_model
from tests.support.models.classical_cases import fitted, panel, served, split

CASES = {
    "plain": ("historical_simulation", {"days": 200}),
    "ewma": ("historical_simulation", {"days": 200, "filter": "ewma", "warm_up": 100}),
    "garch": ("historical_simulation", {"days": 200, "filter": "garch", "warm_up": 100}),
    "garch-t": ("garch_t", {"context": 300}),
    "gjr-t": ("garch_t", {"context": 300, "asymmetry": "rises"}),
}


def garch_losses(size: int, seed: int, rises: float = 0.0) -> np.ndarray:
    """Losses of a GARCH(1,1) with t errors of 6 degrees of freedom; after a rise variance grows by `rises` more."""
    random = np.random.default_rng(seed)
    shocks = random.standard_t(6, size) * np.sqrt(4 / 6)
    found, variance = np.empty(size), 1e-4
    for day in range(size):
        found[day] = np.sqrt(variance) * shocks[day]
        variance = 2e-6 + (0.08 + rises * (found[day] > 0)) * found[day] ** 2 + (0.90 - rises / 2) * variance
    return found


@pytest.mark.parametrize("case", CASES)
def test_saved_and_served_it_answers_the_same(case: str, tmp_path: Path) -> None:
    name, settings = CASES[case]
    samples, task = panel([garch_losses(1_500, 1)])
    train, validation, test = split(samples)
    model = fitted(name, task, train, validation, **settings)
    answer = model.predict(test).values
    assert (np.diff(answer, axis=2) >= 0).all()
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert np.array_equal(again.predict(test).values, answer)
    assert np.array_equal(again.predict(test.take(np.array([5]))).values[0], answer[5])
    assert np.array_equal(again.predict(served(test, task, model.context)).values, answer)


def test_plain_simulation_is_the_empirical_quantile() -> None:
    losses = garch_losses(900, 2)
    samples, task = panel([losses])
    train, validation, test = split(samples)
    answer = fitted("historical_simulation", task, train, validation, days=250).predict(test)
    row = int(test.index.row[40])
    expected = np.quantile(losses[row - 249 : row + 1].astype(np.float32), task.levels)
    np.testing.assert_allclose(answer.values[40, 0], expected, rtol=1e-6)


def test_a_young_entity_has_the_history_that_there_is() -> None:
    samples, task = panel([garch_losses(900, 3)])
    train, validation, _ = split(samples)
    early = samples.take(np.array([60]))
    for name, settings in (CASES["plain"], CASES["ewma"], CASES["garch-t"]):
        assert np.isfinite(fitted(name, task, train, validation, **settings).predict(early).values).all()


def test_the_filter_is_archs_own() -> None:
    """The variances of `arch` over the same losses, from the same start."""
    losses = garch_losses(1_200, 4)
    result = arch_model(100 * losses, mean="Constant", vol="GARCH", p=1, q=1, dist="t", rescale=False).fit(disp="off")
    found = result.params
    parameters = np.array([found["mu"] / 100, found["omega"] / 1e4, found["alpha[1]"], found["beta[1]"], 0.0, 0.0])
    path = variance_path(losses[None, :], parameters, float(result.conditional_volatility[0] ** 2) / 1e4)[0]
    np.testing.assert_allclose(np.sqrt(path[:-1]) * 100, result.conditional_volatility, rtol=1e-8)
    ahead = result.forecast(horizon=1).variance.to_numpy()[-1, 0]
    assert path[-1] * 1e4 == pytest.approx(ahead, rel=1e-8)


def test_a_missing_increment_changes_nothing() -> None:
    parameters = np.array([0.0, 1e-6, 0.05, 0.9, 0.0, 0.0])
    whole = variance_path(np.array([[0.01, -0.02, 0.03]]), parameters, 1e-4)
    holed = variance_path(np.array([[np.nan, 0.01, -0.02, np.nan, 0.03]]), parameters, 1e-4)
    assert holed[0, -1] == whole[0, -1]


@pytest.mark.parametrize("case", ["ewma", "garch", "garch-t"])
def test_filtered_quantiles_follow_volatility_and_plain_ones_do_not(case: str) -> None:
    losses = garch_losses(3_000, 5)
    samples, task = panel([losses])
    train, validation, test = split(samples)
    wide = np.abs(losses)[test.index.row[:, None] - np.arange(10)].mean(axis=1)
    name, settings = CASES[case]
    spread = np.ptp(fitted(name, task, train, validation, **settings).predict(test).values[:, 0], axis=1)
    flat = np.ptp(fitted("historical_simulation", task, train, validation, days=500).predict(test).values[:, 0], axis=1)
    assert stats.spearmanr(spread, wide).statistic > 0.7
    assert stats.spearmanr(flat, wide).statistic < 0.5


def test_parameters_are_found_again() -> None:
    samples, task = panel([garch_losses(6_000, 6, rises=0.1)])
    train, validation, _ = split(samples, share=0.95)
    model = fitted("garch_t", task, train, validation, asymmetry="rises")
    _, omega, alpha, beta, falls, rises = model.state["parameters"]  # type: ignore[attr-defined]
    assert falls == 0.0
    assert rises == pytest.approx(0.1, abs=0.04)
    assert (alpha, beta) == (pytest.approx(0.08, abs=0.03), pytest.approx(0.85, abs=0.04))
    assert omega == pytest.approx(2e-6, rel=0.6)
    assert float(model.state["freedom"][0]) == pytest.approx(6, abs=1.5)  # type: ignore[attr-defined]


def test_what_it_cannot_answer_is_refused() -> None:
    samples, task = panel([garch_losses(400, 7)], horizon=2)
    train, validation, _ = split(samples)
    with pytest.raises(FitFailure, match="2 steps"):
        fitted("garch_t", task, train, validation)
    with pytest.raises(FitFailure, match="probabilities"):
        fitted(
            "historical_simulation", Task("probabilities", 1, (), ("a", "b"), task.columns, task.features, task.length), train, validation
        )
    short, task = panel([garch_losses(150, 8)])
    with pytest.raises(FitFailure, match="too few"):
        fitted("garch_t", task, *split(short)[:2])
