"""Exact p-values by simulation: a statistic's rank among those of series drawn under the null hypothesis.

Of N simulated statistics and the observed one, all N + 1 are exchangeable under the null, so the share of those at least as extreme is a
p-value that rejects with exactly its level where level * (N + 1) is whole (Dwass 1957; Barnard 1963). A discrete statistic ties with
many; each of the N + 1 then gets a uniform draw that orders it among its equals (Dufour 2006), which keeps the level exact.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.statistics.risk_backtests.result import Float64

#: statistics closer than this part of their size are ties: the same counts in another order of summation
TIE = 1e-9
#: values drawn at a time
_CHUNK = 4_000_000


def monte_carlo_p(statistic: Float64, simulated: Float64, generator: np.random.Generator) -> tuple[Float64, Float64]:
    """The exact p-value (ties by a coin) and its upper bound (no coin); large statistics speak against the null.

    Args:
        statistic: float64, [series].
        simulated: float64, [replications], in any order.

    Returns:
        float64, [series], twice.
    """
    ordered = np.sort(simulated)
    count = len(ordered)
    slack = TIE * np.maximum(np.abs(statistic), 1.0)
    above = count - np.searchsorted(ordered, statistic + slack, side="right")
    ties = count - np.searchsorted(ordered, statistic - slack, side="left") - above
    # of the tied draws' uniforms those above the observed one's own
    won = generator.binomial(ties, generator.random(len(statistic)))
    return np.asarray((1.0 + above + won) / (count + 1.0)), np.asarray((1.0 + above + ties) / (count + 1.0))


@lru_cache(maxsize=4)
def ranks(days: int, replications: int, seed: int) -> NDArray[np.int32]:
    """int32, [replications, days]: each row a random order of the days, so that `ranks < x` puts x exceptions on random days."""
    generator = np.random.default_rng([seed, days, 1])
    permutations = np.tile(np.arange(days, dtype=np.int32), (replications, 1))
    generator.permuted(permutations, axis=1, out=permutations)
    return permutations


def bernoulli_hits(days: int, probability: float, replications: int, seed: int) -> list[NDArray[np.bool_]]:
    """Series of independent exceptions: bool, [some, days] each, `replications` in all, a chunk at a time."""
    generator = np.random.default_rng([seed, days, 2])
    step = max(1, _CHUNK // days)
    sizes = [min(step, replications - start) for start in range(0, replications, step)]
    return [generator.random((size, days), dtype=np.float32) < probability for size in sizes]
