"""Many candidates at once: which of them are better than the benchmarks, when the best of many tries looks good by chance."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.statistics.bootstrap import bootstrap_means
from pipelines.statistics.diebold_mariano import RELATIVE_ZERO, long_run_variance

Float64 = NDArray[np.float64]

#: a critical value at `level` should have so many draws beyond it ...
DRAWS_BEYOND = 10
#: ... but no more than so many are made
MAXIMUM_REPLICATIONS = 100_000

Losses = Mapping[str, ArrayLike]


def stepwise_superior(
    benchmark_losses: Losses | ArrayLike, candidate_losses: Losses, *, level: float, block: int, replications: int, seed: int
) -> tuple[str, ...]:
    """Names of the candidates that beat every benchmark, in the order given; the chance of one false name is at most `level`.

    StepM (Romano and Wolf 2005) with Hansen's (2005) recentring over all pairs of candidate and benchmark together, each difference
    divided by its long-run standard deviation. A level spent thin needs more draws than `replications`; they are made.
    (Written here, because arch 8.0's StepM compares plain means whatever its `studentize` says, ends in an error when the last pair is
    rejected in a later step, and takes six times as long for the draws that a small level needs.)

    Args:
        benchmark_losses: mapping name -> float64, [dates], or one such array for one benchmark.
        candidate_losses: mapping name -> float64, [dates].
        block: mean length of a bootstrap block, in dates.

    Raises:
        ValueError: lengths differ, or the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} must lie between 0 and 1")
    benchmarks = benchmark_losses if isinstance(benchmark_losses, Mapping) else {"benchmark": benchmark_losses}
    pairs = {
        (candidate, benchmark): advantage
        for candidate, own in candidate_losses.items()
        for benchmark, other in benchmarks.items()
        if (advantage := _studentised_advantage(own, other, block)) is not None
    }
    if not pairs:
        return ()
    replications = max(replications, min(math.ceil(DRAWS_BEYOND / level), MAXIMUM_REPLICATIONS))
    rejected = _step_down(np.column_stack(list(pairs.values())), level, block, replications, seed)
    beaten = {pair for pair, sure in zip(pairs, rejected, strict=True) if sure}
    return tuple(name for name in candidate_losses if all((name, benchmark) in beaten for benchmark in benchmarks))


def _step_down(advantages: Float64, level: float, block: int, replications: int, seed: int) -> NDArray[np.bool_]:
    """Which columns of [dates, pairs], each with long-run variance 1, have a mean above 0: bool, [pairs]."""
    dates = len(advantages)
    means = advantages.mean(axis=0)
    # Hansen: a pair that is worse by more than chance allows keeps its own mean, and so cannot raise the critical value
    relevant = means >= -math.sqrt(2.0 * math.log(math.log(dates)) / dates)
    draws = bootstrap_means(advantages, block, replications, seed) - np.where(relevant, means, 0.0)
    draws *= _caution(dates, block, replications, seed)
    rejected = np.zeros(len(means), dtype=np.bool_)
    while not rejected.all():
        critical = np.quantile(draws[:, ~rejected].max(axis=1), 1.0 - level)
        found = ~rejected & (means > critical)
        if not found.any():
            break
        rejected |= found
    return rejected


def _caution(dates: int, block: int, replications: int, seed: int) -> Float64:
    """Factors, [replications, 1], that widen bootstrap draws of a mean by what few blocks do not know of its variance.

    The bootstrap's variance is too low by about 2 * block / dates, since deviations are taken from the sample's own mean, and it is itself
    an estimate with about dates / block degrees of freedom (its lag weights (1 - 1/block)^k have squares that sum to block; Priestley
    1981). So draws become multivariate t. Without this a 5 % test of five-day forecasts over 250 dates is a 10 % one.
    """
    freedom = max(dates / block, 1.0)
    known = max(1.0 - 2.0 * block / dates, 0.1)
    square = np.random.default_rng([seed, 1]).chisquare(freedom, size=(replications, 1))
    return np.sqrt(freedom / square / known)


def superior_predictive_ability(
    benchmark_losses: ArrayLike, candidate_losses: Losses, *, block: int, replications: int, seed: int
) -> float:
    """The p-value of "no candidate is better than the benchmark" (Hansen 2005, consistent recentring, studentised), by arch.

    1.0 when no candidate can be compared.
    """
    found = [_studentised_advantage(own, benchmark_losses, block) for own in candidate_losses.values()]
    advantages = [advantage for advantage in found if advantage is not None]
    if not advantages:
        return 1.0
    from arch.bootstrap import SPA

    models = -np.column_stack(advantages)
    test = SPA(np.zeros(len(models)), models, block_size=block, reps=replications, bootstrap="stationary", seed=seed)
    test.compute()
    return float(test.pvalues["consistent"])


def model_confidence_set(losses: Losses, *, level: float, block: int, replications: int, seed: int) -> dict[str, float]:
    """The MCS p-value of each model (Hansen, Lunde and Nason 2011, range statistic), by arch, in the order given.

    The models with a p-value above `level` hold the best one with probability 1 - level. Models whose losses differ by a constant
    cannot be told apart by a test: they share the p-value of the first of them. Losses that are not finite get 0.

    Raises:
        ValueError: lengths differ, or the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} must lie between 0 and 1")
    arrays = {name: np.asarray(values, dtype=np.float64) for name, values in losses.items()}
    finite = {name: values for name, values in arrays.items() if np.isfinite(values).all()}
    leader: dict[str, str] = {}
    for name, values in finite.items():
        leader[name] = next((first for first in leader.values() if _studentised_advantage(values, finite[first], block) is None), name)
    leaders = list(dict.fromkeys(leader.values()))
    if len(leaders) < 2:
        return {name: 1.0 if name in leader else 0.0 for name in arrays}
    import pandas as pd
    from arch.bootstrap import MCS

    frame = pd.DataFrame({name: finite[name] for name in leaders})
    test = MCS(frame, size=level, reps=replications, block_size=block, method="R", bootstrap="stationary", seed=seed)
    test.compute()
    found = test.pvalues["Pvalue"].to_dict()
    return {name: float(found[leader[name]]) if name in leader else 0.0 for name in arrays}


def _studentised_advantage(own: ArrayLike, other: ArrayLike, block: int) -> Float64 | None:
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
