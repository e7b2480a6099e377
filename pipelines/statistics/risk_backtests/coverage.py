"""Kupiec's test of unconditional coverage: are there as many exceptions as there should be?"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from finflow.pipelines.statistics.risk_backtests.monte_carlo import monte_carlo_p
from finflow.pipelines.statistics.risk_backtests.result import REPLICATIONS, SEED, BacktestResult, Float64, check_probability, read_hits


def kupiec(hits: Any, probability: float, *, replications: int = REPLICATIONS, seed: int = SEED) -> BacktestResult:
    """Likelihood ratio of the observed against the promised frequency of exceptions (Kupiec 1995), two-sided; chi-square(1) in the limit.

    Args:
        hits: bool, [days].
        probability: of an exception, as promised (0.01 for 99 %).
    """
    exceeded = read_hits(hits)[None, :]
    statistic, asymptotic, exact, bound = kupiec_many(exceeded, probability, replications=replications, seed=seed)
    days, exceptions = exceeded.shape[1], int(exceeded.sum())
    return BacktestResult(float(statistic[0]), days, exceptions, float(asymptotic[0]), float(exact[0]), float(bound[0]))


def kupiec_many(
    hits: Any, probability: float, *, replications: int = REPLICATIONS, seed: int = SEED
) -> tuple[Float64, Float64, Float64, Float64]:
    """Of each of [series, days]: statistic, asymptotic p, exact p, bound; float64, [series]."""
    from scipy.stats import chi2

    check_probability(probability)
    exceeded = read_hits(hits)
    days = exceeded.shape[1]
    statistic = coverage_ratio(exceeded.sum(axis=1), days, probability)
    exact, bound = monte_carlo_p(statistic, _null(days, probability, replications, seed), np.random.default_rng([seed, 3]))
    return statistic, chi2.sf(statistic, 1), exact, bound


def coverage_ratio(exceptions: Any, days: int, probability: float) -> Float64:
    """The likelihood ratio for so many exceptions among `days` days: float64 of the shape of `exceptions`."""
    count = np.asarray(exceptions, dtype=np.float64)
    observed = log_likelihood(count, days - count)
    promised = count * np.log(probability) + (days - count) * np.log1p(-probability)
    return np.maximum(2.0 * (observed - promised), 0.0)


def log_likelihood(ones: Float64, zeros: Float64) -> Float64:
    """Of so many ones and zeros at their own frequency; 0 log 0 is 0."""
    from scipy.special import xlogy

    total = np.maximum(ones + zeros, 1.0)
    return np.asarray(xlogy(ones, ones / total) + xlogy(zeros, zeros / total))


@lru_cache(maxsize=16)
def _null(days: int, probability: float, replications: int, seed: int) -> Float64:
    counts = np.random.default_rng([seed, days, 4]).binomial(days, probability, size=replications)
    return coverage_ratio(counts, days, probability)
