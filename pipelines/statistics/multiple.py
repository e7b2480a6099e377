"""Many candidates at once: which of them are better than the benchmarks, when the best of many tries looks good by chance."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pipelines.statistics.diebold_mariano import RELATIVE_ZERO, long_run_variance

Float64 = NDArray[np.float64]

#: a critical value at `level` should have so many draws beyond it ...
DRAWS_BEYOND = 20
#: ... but no more than so many are made
MAXIMUM_REPLICATIONS = 100_000

Losses = Mapping[str, ArrayLike]


def stepwise_superior(
    benchmark_losses: Losses | ArrayLike, candidate_losses: Losses, *, level: float, block: int, replications: int, seed: int
) -> tuple[str, ...]:
    """Names of the candidates that beat every benchmark, in the order given; the chance of one false name is at most `level`.

    StepM (Romano and Wolf 2005) with Hansen's (2005) recentring, from arch, over all pairs of candidate and benchmark together, each
    difference divided by its long-run standard deviation. A level spent thin needs more draws than `replications`; they are made.

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
        (candidate, benchmark): difference
        for candidate, own in candidate_losses.items()
        for benchmark, other in benchmarks.items()
        if (difference := _studentised(own, other, block)) is not None
    }
    if not pairs or not benchmarks:
        return ()
    from arch.bootstrap import StepM

    differences = np.column_stack(list(pairs.values()))
    replications = max(replications, min(math.ceil(DRAWS_BEYOND / level), MAXIMUM_REPLICATIONS))
    # arch 8.0 fails on an empty array when the last pair is rejected in a later step: a pair that can never win keeps it from that
    hopeless = np.full((len(differences), 1), 1e6)
    models = np.concatenate([differences, hopeless], axis=1)
    test = StepM(np.zeros(len(models)), models, size=level, block_size=block, reps=replications, bootstrap="stationary", seed=seed)
    test.compute()
    beaten = {name for position, name in enumerate(pairs) if position in test.superior_models}
    return tuple(name for name in candidate_losses if all((name, benchmark) in beaten for benchmark in benchmarks))


def superior_predictive_ability(
    benchmark_losses: ArrayLike, candidate_losses: Losses, *, block: int, replications: int, seed: int
) -> float:
    """The p-value of "no candidate is better than the benchmark" (Hansen 2005, consistent recentring, studentised), by arch.

    1.0 when no candidate can be compared.
    """
    found = [_studentised(own, benchmark_losses, block) for own in candidate_losses.values()]
    differences = [difference for difference in found if difference is not None]
    if not differences:
        return 1.0
    from arch.bootstrap import SPA

    models = np.column_stack(differences)
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
        leader[name] = next((first for first in leader.values() if _studentised(values, finite[first], block) is None), name)
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


def _studentised(own: ArrayLike, other: ArrayLike, block: int) -> Float64 | None:
    """own - other over its long-run standard deviation, or None where it does not vary or is not finite: then nothing is beaten.

    arch 8.0 takes the maximum of plain means whatever its `studentize` says; without this a noisy pair would hide the others.
    """
    a, b = np.asarray(own, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"one loss a date from each: got shapes {a.shape} and {b.shape}")
    if len(a) < 3 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        difference = a - b
        deviation = math.sqrt(max(long_run_variance(difference, block), 0.0))
        size = float(np.abs(a).max() + np.abs(b).max())
    if not math.isfinite(deviation) or deviation <= RELATIVE_ZERO * size:
        return None
    return difference / deviation
