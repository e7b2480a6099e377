"""Many models at once: is any better than a benchmark, and which cannot be told from the best. For reading; the gate has its own test.

Both are written here: they share the draws that intervals use, cost a third of arch's and spare its import, know how little a few blocks
tell of a variance (else a 5 % confidence set of four even models over 300 dates leaves one out in 13 % of all cases), and models with the
same mean loss do not end them in an error, as they do arch 8.0's confidence set.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from finflow.pipelines.statistics.bootstrap import bootstrap_means
from finflow.pipelines.statistics.diebold_mariano import RELATIVE_ZERO
from finflow.pipelines.statistics.metric_parts import Float64

Losses = Mapping[str, ArrayLike]


def superior_predictive_ability(
    benchmark_losses: ArrayLike, candidate_losses: Losses, *, block: int, replications: int, seed: int
) -> float:
    """The p-value of "no candidate is better than the benchmark" (Hansen 2005: studentised, consistent recentring).

    1.0 when no candidate can be compared; never below 1 / (replications + 1).

    Args:
        benchmark_losses: float64, [dates].
        candidate_losses: by name, float64, [dates].
        block: mean length of a bootstrap block, in dates.

    Raises:
        ValueError: lengths differ.
    """
    found = [studentised_advantage(own, benchmark_losses, block) for own in candidate_losses.values()]
    usable = [advantage for advantage in found if advantage is not None]
    if not usable:
        return 1.0
    advantages = np.column_stack(usable)
    dates, means = len(advantages), advantages.mean(axis=0)
    # one that is worse by more than chance allows keeps its own mean, and so does not make the others' best look like chance
    relevant = means >= -math.sqrt(2.0 * math.log(math.log(dates)) / dates)
    draws = bootstrap_means(advantages, block, replications, seed) - np.where(relevant, means, 0.0)
    draws *= caution(dates, block, replications, seed)
    return float(1 + (draws.max(axis=1) >= means.max()).sum()) / (replications + 1)


def model_confidence_set(losses: Losses, *, block: int, replications: int, seed: int) -> dict[str, float]:
    """The p-value of each model in the model confidence set (Hansen, Lunde and Nason 2011, range statistic), in the order given.

    The models with a p-value above 0.05 hold the best one with probability 0.95, and so for other levels. Models whose losses differ by a
    constant cannot be told apart by a test: they share the p-value of the first of them. Losses that are not finite get 0.

    Args:
        losses: by name, float64, [dates].
        block: mean length of a bootstrap block, in dates.

    Raises:
        ValueError: lengths differ.
    """
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in losses.items()}
    finite = {name: values for name, values in arrays.items() if np.isfinite(values).all()}
    leader: dict[str, str] = {}
    for name, values in finite.items():
        leader[name] = next((first for first in leader.values() if studentised_advantage(values, finite[first], block) is None), name)
    leaders = list(dict.fromkeys(leader.values()))
    if len(leaders) < 2:
        return {name: 1.0 if name in leader else 0.0 for name in arrays}
    found = dict(zip(leaders, _eliminate(np.column_stack([finite[name] for name in leaders]), block, replications, seed), strict=True))
    return {name: found[leader[name]] if name in leader else 0.0 for name in arrays}


def _eliminate(losses: Float64, block: int, replications: int, seed: int) -> list[float]:
    """The p-value of each column of [dates, models]: the worst leaves first, and what leaves later has at least its p-value."""
    # brought to size one first: squares of small losses would vanish
    losses = losses / np.abs(losses).max()
    means = losses.mean(axis=0)
    errors = bootstrap_means(losses, block, replications, seed) - means
    pairs = errors[:, :, None] - errors[:, None, :]
    deviation = np.sqrt((pairs**2).mean(axis=0))
    deviation[deviation == 0.0] = 1.0  # a model against itself
    pairs *= caution(len(losses), block, replications, seed)[:, :, None] / deviation
    statistics = (means[:, None] - means[None, :]) / deviation
    found = [1.0] * len(means)
    left, before = list(range(len(means))), 0.0
    while len(left) > 1:
        among = np.ix_(left, left)
        highest = statistics[among].max(axis=1)
        beyond = int((pairs[:, *among].max(axis=(1, 2)) >= highest.max()).sum())
        worst = left.pop(int(highest.argmax()))
        found[worst] = before = max(before, (1 + beyond) / (replications + 1))
    return found


def studentised_advantage(own: ArrayLike, other: ArrayLike, block: int) -> Float64 | None:
    """other - own over its long-run standard deviation (positive: own is better): float64, [dates].

    None where it does not vary or is not finite: then nothing is beaten.
    """
    a, b = np.asarray(own, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"one loss a date from each: got shapes {a.shape} and {b.shape}")
    if len(a) < 3 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        advantage = b - a
        deviation = math.sqrt(max(long_run_variance(advantage, block), 0.0))
        size = float(np.abs(a).max() + np.abs(b).max())
    if not math.isfinite(deviation) or deviation <= RELATIVE_ZERO * size:
        return None
    return advantage / deviation


def long_run_variance(values: Float64, lag: int) -> float:
    """Variance of sqrt(n) times the mean of values, [n], with `lag` Bartlett-weighted autocovariances (Newey and West 1987)."""
    deviations = values - values.mean()
    count = len(values)
    total = float(deviations @ deviations)
    for step in range(1, min(lag, count - 1) + 1):
        total += 2.0 * (1.0 - step / (lag + 1.0)) * float(deviations[step:] @ deviations[:-step])
    return total / count


def caution(dates: int, block: int, replications: int, seed: int) -> Float64:
    """Factors, [replications, 1], that widen bootstrap draws of a mean by what few blocks do not know of its variance.

    The bootstrap's variance is too low by about 2 * block / dates, since deviations are taken from the sample's own mean, and it is itself
    an estimate with about dates / block degrees of freedom (its lag weights (1 - 1/block)^k have squares that sum to block; Priestley
    1981). So draws become multivariate t. Without this a 5 % test of five-day forecasts over 250 dates is a 10 % one.
    """
    freedom = max(dates / block, 1.0)
    known = max(1.0 - 2.0 * block / dates, 0.1)
    square = np.random.default_rng([seed, 1]).chisquare(freedom, size=(replications, 1))
    return np.sqrt(freedom / square / known)
