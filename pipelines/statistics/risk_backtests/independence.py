"""Christoffersen's tests: do exceptions come alone, and is their number right too?

The alternative is a first-order Markov chain: an exception is likelier (or less likely) the day after one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from finflow.pipelines.statistics.risk_backtests.coverage import coverage_ratio, log_likelihood
from finflow.pipelines.statistics.risk_backtests.monte_carlo import bernoulli_hits, monte_carlo_p, ranks
from finflow.pipelines.statistics.risk_backtests.result import (
    REPLICATIONS,
    SEED,
    BacktestResult,
    Float64,
    Hits,
    check_probability,
    read_hits,
)


def christoffersen_independence(hits: Any, *, replications: int = REPLICATIONS, seed: int = SEED) -> BacktestResult:
    """Likelihood ratio of a Markov chain against independence (Christoffersen 1998); chi-square(1) in the limit.

    The exact p-value is conditional on the number of exceptions: under independence every placing of them is as likely, whatever their
    probability is. With none or one exception every placing gives nearly one statistic, and the test has nothing to say.

    Args:
        hits: bool, [days].
    """
    exceeded = read_hits(hits)[None, :]
    statistic, asymptotic, exact, bound = independence_many(exceeded, replications=replications, seed=seed)
    days, exceptions = exceeded.shape[1], int(exceeded.sum())
    return BacktestResult(float(statistic[0]), days, exceptions, float(asymptotic[0]), float(exact[0]), float(bound[0]))


def christoffersen(hits: Any, probability: float, *, replications: int = REPLICATIONS, seed: int = SEED) -> BacktestResult:
    """Conditional coverage (Christoffersen 1998): the sum of Kupiec's and the independence statistic; chi-square(2) in the limit.

    Kupiec's part takes all days, the independence part the changes from day to day, one fewer.

    Args:
        hits: bool, [days].
        probability: of an exception, as promised (0.01 for 99 %).
    """
    exceeded = read_hits(hits)[None, :]
    statistic, asymptotic, exact, bound = conditional_many(exceeded, probability, replications=replications, seed=seed)
    days, exceptions = exceeded.shape[1], int(exceeded.sum())
    return BacktestResult(float(statistic[0]), days, exceptions, float(asymptotic[0]), float(exact[0]), float(bound[0]))


def independence_many(hits: Any, *, replications: int = REPLICATIONS, seed: int = SEED) -> tuple[Float64, Float64, Float64, Float64]:
    """Of each of [series, days]: statistic, asymptotic p, exact p, bound; float64, [series]."""
    from scipy.stats import chi2

    exceeded = read_hits(hits)
    statistic = independence_ratio(exceeded)
    counts = exceeded.sum(axis=1)
    exact, bound = np.empty(len(exceeded)), np.empty(len(exceeded))
    generator = np.random.default_rng([seed, 5])
    for count in np.unique(counts):
        here = counts == count
        simulated = _placings(exceeded.shape[1], int(count), replications, seed)
        exact[here], bound[here] = monte_carlo_p(statistic[here], simulated, generator)
    return statistic, chi2.sf(statistic, 1), exact, bound


def conditional_many(
    hits: Any, probability: float, *, replications: int = REPLICATIONS, seed: int = SEED
) -> tuple[Float64, Float64, Float64, Float64]:
    """Of each of [series, days]: statistic, asymptotic p, exact p, bound; float64, [series]."""
    from scipy.stats import chi2

    check_probability(probability)
    exceeded = read_hits(hits)
    statistic = conditional_ratio(exceeded, probability)
    simulated = _independent(exceeded.shape[1], probability, replications, seed)
    exact, bound = monte_carlo_p(statistic, simulated, np.random.default_rng([seed, 6]))
    return statistic, chi2.sf(statistic, 2), exact, bound


def independence_ratio(hits: Hits) -> Float64:
    """float64, [series], of hits [series, days]. A chain that never leaves a state, or never meets one, has 0."""
    before, after = hits[:, :-1], hits[:, 1:]
    both = (before & after).sum(axis=1).astype(np.float64)
    began, ended = before.sum(axis=1).astype(np.float64), after.sum(axis=1).astype(np.float64)
    steps = hits.shape[1] - 1.0
    first, second = ended - both, began - both  # from calm to exception, from exception to calm
    neither = steps - both - first - second
    chain = log_likelihood(first, neither) + log_likelihood(both, second)
    return np.maximum(2.0 * (chain - log_likelihood(ended, steps - ended)), 0.0)


def conditional_ratio(hits: Hits, probability: float) -> Float64:
    """float64, [series], of hits [series, days]."""
    return coverage_ratio(hits.sum(axis=1), hits.shape[1], probability) + independence_ratio(hits)


@lru_cache(maxsize=64)
def _placings(days: int, exceptions: int, replications: int, seed: int) -> Float64:
    return independence_ratio(ranks(days, replications, seed) < exceptions)


@lru_cache(maxsize=16)
def _independent(days: int, probability: float, replications: int, seed: int) -> Float64:
    return np.concatenate([conditional_ratio(part, probability) for part in bernoulli_hits(days, probability, replications, seed)])
