"""By simulation: the Monte Carlo p-values hold their level, the asymptotic ones do not, and wrong models are found."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from finflow.pipelines.statistics.risk_backtests import kupiec, worst_light
from finflow.pipelines.statistics.risk_backtests.coverage import coverage_ratio, kupiec_many
from finflow.pipelines.statistics.risk_backtests.independence import conditional_many, independence_many
from finflow.pipelines.statistics.risk_backtests.monte_carlo import monte_carlo_p
from finflow.pipelines.statistics.risk_backtests.result import read_hits
from finflow.pipelines.statistics.risk_backtests.shortfall import TailForecasts, shortfall_many

SERIES, DAYS, LEVEL = 2_000, 250, 0.05


def right_hits(seed: int, probability: float = 0.01) -> np.ndarray:
    return np.random.default_rng(seed).random((SERIES, DAYS)) < probability


def clustered_hits(seed: int, probability: float = 0.05, again: float = 0.25) -> np.ndarray:
    """As many exceptions as promised, but after one the next is likelier: a Markov chain with that stationary law."""
    random = np.random.default_rng(seed)
    first = probability * (1 - again) / (1 - probability)
    hits = np.zeros((SERIES, DAYS), dtype=bool)
    hits[:, 0] = random.random(SERIES) < probability
    for day in range(1, DAYS):
        hits[:, day] = random.random(SERIES) < np.where(hits[:, day - 1], again, first)
    return hits


def rejected(p_values: np.ndarray) -> float:
    return float((p_values <= LEVEL).mean())


def test_kupiec_holds_its_level_by_simulation_and_not_by_its_limit() -> None:
    _, asymptotic, exact, bound = kupiec_many(right_hits(11), 0.01)
    assert 0.04 <= rejected(exact) <= 0.06
    assert rejected(bound) <= 0.06
    assert 0.08 <= rejected(asymptotic) <= 0.11
    counts = np.arange(DAYS + 1)
    true = stats.binom.pmf(counts, DAYS, 0.01)[stats.chi2.sf(coverage_ratio(counts, DAYS, 0.01), 1) <= LEVEL].sum()
    assert true == pytest.approx(0.095, abs=0.0005)


def test_independence_holds_its_level_by_simulation_and_not_by_its_limit() -> None:
    _, asymptotic, exact, bound = independence_many(right_hits(11))
    assert 0.04 <= rejected(exact) <= 0.06
    assert rejected(bound) <= 0.05
    assert 0.005 <= rejected(asymptotic) <= 0.02


def test_conditional_coverage_holds_its_level() -> None:
    _, asymptotic, exact, bound = conditional_many(right_hits(11), 0.01)
    assert 0.04 <= rejected(exact) <= 0.06
    assert rejected(bound) <= 0.06
    assert rejected(asymptotic) < 0.02


@pytest.mark.parametrize("probability", [0.025, 0.05])
def test_the_levels_hold_at_other_probabilities(probability: float) -> None:
    hits = right_hits(12, probability)
    for exact in (kupiec_many(hits, probability)[2], independence_many(hits)[2], conditional_many(hits, probability)[2]):
        assert 0.04 <= rejected(exact) <= 0.06


def student_forecasts(days: int, scale: float = 1.0) -> TailForecasts:
    """A t law of 5 degrees of freedom whose width moves from day to day."""
    width = scale * (1.0 + 0.5 * np.sin(np.arange(days) / 20.0))
    law, probability = stats.t(5), 0.025
    at_risk = float(law.ppf(1 - probability))
    shortfall = float(law.pdf(at_risk) / probability * (5 + at_risk**2) / 4)
    return TailForecasts(width * at_risk, width * shortfall, probability, lambda day, level: width[day] * law.ppf(level))


def test_expected_shortfall_holds_its_level_and_finds_what_is_too_narrow() -> None:
    losses = (1.0 + 0.5 * np.sin(np.arange(DAYS) / 20.0)) * np.random.default_rng(13).standard_t(5, size=(SERIES, DAYS))
    _, exact, bound = shortfall_many(losses, student_forecasts(DAYS))
    assert 0.04 <= rejected(exact) <= 0.06
    assert rejected(bound) <= 0.06
    assert rejected(shortfall_many(losses, student_forecasts(DAYS, scale=0.7))[1]) > 0.7
    assert rejected(shortfall_many(losses, student_forecasts(DAYS, scale=1.3))[1]) < 0.01  # one-sided: caution is no fault


def test_too_many_exceptions_are_found() -> None:
    """A value at risk a third too low: 99 % of a normal law becomes 94 %."""
    hits = right_hits(14, float(stats.norm.sf(stats.norm.ppf(0.99) / 1.5)))
    assert rejected(kupiec_many(hits, 0.01)[3]) > 0.9
    assert rejected(conditional_many(hits, 0.01)[3]) > 0.9
    assert np.mean([worst_light(row).zone == "red" for row in hits[:200]]) > 0.8


def test_clustered_exceptions_are_found_by_independence_and_not_by_coverage() -> None:
    hits = clustered_hits(15)
    assert hits.mean() == pytest.approx(0.05, abs=0.003)
    assert rejected(independence_many(hits)[2]) > 0.6
    assert rejected(conditional_many(hits, 0.05)[2]) > 0.5
    assert rejected(kupiec_many(hits, 0.05)[2]) < 0.2


def test_a_right_model_is_hardly_ever_red_in_five_years() -> None:
    hits = np.random.default_rng(16).random((2_000, 1_260)) < 0.01
    counted = np.cumsum(hits, axis=1)
    worst = (counted[:, 250:] - counted[:, :-250]).max(axis=1)
    assert (worst >= 10).mean() < 0.01


def test_ties_are_broken_evenly_and_the_bound_never_by_luck() -> None:
    """A statistic with two values: 60 % of the draws have the higher one, so the p-value is uniform over (0, 0.6] and the bound 0.6."""
    simulated = np.repeat([1.0, 0.0], [600, 400])
    exact, bound = monte_carlo_p(np.ones(20_000), simulated, np.random.default_rng(0))
    assert bound == pytest.approx(601 / 1001)
    assert exact.mean() == pytest.approx(0.3, abs=0.01)
    assert np.mean(exact <= 0.05) == pytest.approx(0.05 / 0.6, abs=0.01)


def test_the_same_seed_gives_the_same_p_values() -> None:
    hits = right_hits(17)[0]
    assert kupiec(hits, 0.01) == kupiec(hits, 0.01)
    assert kupiec(hits, 0.01, seed=1).monte_carlo_p != kupiec(hits, 0.01, seed=2).monte_carlo_p


@pytest.mark.parametrize("hits", [np.zeros((2, 2, 2)), np.zeros(0), np.array([0.0, np.nan]), np.array([0, 2])])
def test_what_is_no_series_of_hits_is_refused(hits: np.ndarray) -> None:
    with pytest.raises(ValueError, match="day"):
        read_hits(hits)


def test_forecasts_that_are_no_risk_are_refused() -> None:
    forecasts = student_forecasts(DAYS)
    broken = TailForecasts(forecasts.value_at_risk, 0.0 * forecasts.expected_shortfall, 0.025, forecasts.quantile)
    with pytest.raises(ValueError, match="above 0"):
        shortfall_many(np.zeros((1, DAYS)), broken)
    with pytest.raises(ValueError, match="probability"):
        kupiec(np.zeros(250), 1.0)
