"""An expected-shortfall backtest: Acerbi and Szekely's second statistic (2014).

Of their three it is Z2 that fits a desk. Z1 looks at the size of exceptions alone, given that their number is right, and says nothing
where there is none; Z3 ranks whole distributions. Z2 is unconditional: too many exceptions and too large ones both lower it, it exists on
every series, only the forecast's tail enters, and its critical values hardly depend on that tail (at 97.5 % over 250 days about -0.7 at
5 %). In losses L, with exceptions I, expected shortfall ES and the probability q of an exception:

    Z2 = 1 - sum_t L_t I_t / (days * q * ES_t)

Its expectation is 0 under a right forecast, and negative where risk was understated. It cannot be had without value at risk, because
exceptions are defined by it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.statistics.risk_backtests.monte_carlo import monte_carlo_p
from finflow.pipelines.statistics.risk_backtests.result import REPLICATIONS, SEED, BacktestResult, Float64, check_probability


@dataclass(frozen=True, eq=False)
class TailForecasts:
    """What was forecast of the tail of each day.

    Attributes:
        value_at_risk, expected_shortfall: float64, [days]; losses, positive; the expected shortfall must be above 0.
        probability: of an exception.
        quantile: takes days (int64, [m]) and levels (float64, [m], above 1 - probability) and returns the forecast's quantiles of the
            loss, float64, [m]: what the null hypothesis draws from.
    """

    value_at_risk: Float64
    expected_shortfall: Float64
    probability: float
    quantile: Callable[[NDArray[np.int64], Float64], Float64]


def expected_shortfall(losses: Any, forecasts: TailForecasts, *, replications: int = REPLICATIONS, seed: int = SEED) -> BacktestResult:
    """Z2 of Acerbi and Szekely (2014), one-sided: a small p-value says that risk was understated. There is no limiting distribution.

    The null hypothesis draws each day's loss from its own forecast, independently.

    Args:
        losses: float64, [days].
    """
    rows = np.atleast_2d(np.asarray(losses, dtype=np.float64))
    statistic, exact, bound = shortfall_many(rows, forecasts, replications=replications, seed=seed)
    exceptions = int((rows > forecasts.value_at_risk).sum())
    return BacktestResult(float(statistic[0]), rows.shape[1], exceptions, None, float(exact[0]), float(bound[0]))


def shortfall_many(
    losses: Float64, forecasts: TailForecasts, *, replications: int = REPLICATIONS, seed: int = SEED
) -> tuple[Float64, Float64, Float64]:
    """Of each of [series, days], all forecast alike: statistic, exact p, bound; float64, [series].

    Raises:
        ValueError: a loss or a forecast is not finite, or an expected shortfall is not positive.
    """
    check_probability(forecasts.probability)
    at_risk, shortfall = forecasts.value_at_risk, forecasts.expected_shortfall
    if not (np.isfinite(losses).all() and np.isfinite(at_risk).all() and np.isfinite(shortfall).all() and (shortfall > 0).all()):
        raise ValueError("losses and forecasts must be finite, and the expected shortfall of every day a loss above 0")
    days = losses.shape[1]
    ratio = np.where(losses > at_risk, losses / shortfall, 0.0)
    statistic = 1.0 - ratio.sum(axis=1) / (days * forecasts.probability)
    simulated = simulated_statistics(forecasts, replications, seed)
    exact, bound = monte_carlo_p(-statistic, -simulated, np.random.default_rng([seed, 7]))
    return statistic, exact, bound


def simulated_statistics(forecasts: TailForecasts, replications: int, seed: int) -> Float64:
    """float64, [replications]: Z2 where every loss is drawn from its forecast. Only the exceptions need a draw."""
    days, probability = len(forecasts.value_at_risk), forecasts.probability
    generator = np.random.default_rng([seed, 8])
    counts = generator.binomial(days, probability, size=replications)
    series = np.repeat(np.arange(replications), counts)
    day = _distinct_days(counts, days, generator)
    level = 1.0 - probability * (1.0 - generator.random(len(day)))
    ratio = forecasts.quantile(day, level) / forecasts.expected_shortfall[day]
    total = np.bincount(series, weights=ratio, minlength=replications)
    return 1.0 - total / (days * probability)


def _distinct_days(counts: NDArray[np.int64], days: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """int64: for each series so many days, none of them twice, one series after the other."""
    parts = []
    for start in range(0, len(counts), 1_000):
        part = counts[start : start + 1_000]
        order = np.argsort(generator.random((len(part), days), dtype=np.float32), axis=1)
        parts.append(order[np.arange(days) < part[:, None]])
    return np.concatenate(parts).astype(np.int64)
