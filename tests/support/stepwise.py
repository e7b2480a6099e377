"""Another step-down test than the gate's, to check the gate's against: studentised over all pairs at once, with Hansen's recentring."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from finflow.models.samples import Float64
from finflow.pipelines.statistics.bootstrap import bootstrap_means
from finflow.pipelines.statistics.multiple import Losses, caution, studentised_advantage

#: a critical value at `level` should have so many draws beyond it ...
DRAWS_BEYOND = 10
#: ... but no more than so many are made
MAXIMUM_REPLICATIONS = 100_000


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
        if (advantage := studentised_advantage(own, other, block)) is not None
    }
    if not pairs:
        return ()
    replications = max(replications, min(math.ceil(DRAWS_BEYOND / level), MAXIMUM_REPLICATIONS))
    rejected = step_down(np.column_stack(list(pairs.values())), level, block, replications, seed)
    beaten = {pair for pair, sure in zip(pairs, rejected, strict=True) if sure}
    return tuple(name for name in candidate_losses if all((name, benchmark) in beaten for benchmark in benchmarks))


def step_down(advantages: Float64, level: float, block: int, replications: int, seed: int) -> NDArray[np.bool_]:
    """Which columns of [dates, pairs], each with long-run variance 1, have a mean above 0: bool, [pairs]."""
    dates = len(advantages)
    means = advantages.mean(axis=0)
    # Hansen: a pair that is worse by more than chance allows keeps its own mean, and so cannot raise the critical value
    relevant = means >= -math.sqrt(2.0 * math.log(math.log(dates)) / dates)
    draws = bootstrap_means(advantages, block, replications, seed) - np.where(relevant, means, 0.0)
    draws *= caution(dates, block, replications, seed)
    rejected = np.zeros(len(means), dtype=np.bool_)
    while not rejected.all():
        critical = np.quantile(draws[:, ~rejected].max(axis=1), 1.0 - level)
        found = ~rejected & (means > critical)
        if not found.any():
            break
        rejected |= found
    return rejected
