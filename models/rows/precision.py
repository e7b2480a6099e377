"""Average precision: the mean precision over the rows of a class, met in the order of a score; and its bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import Float64

#: numbers that are held at once
VALUES = 4_194_304


def average_precision(score: Float64, positive: NDArray[np.bool_]) -> float:
    """The sum over thresholds of precision times the step of recall; rows of one score are met together.

    What scikit-learn's `average_precision_score` gives, up to rounding (half of all answers differ in the last bit): it takes no table of
    weights, which the bootstrap needs, and is no faster.

    Args:
        score: float64, [n]; finite.
        positive: bool, [n]; at least one.
    """
    return float(_weighted(score, positive, np.ones((1, len(score))))[0])


def bootstrap_precision(scores: Float64, positive: NDArray[np.bool_], cluster: NDArray[np.int64], draws: int, seed: int) -> Float64:
    """float64, [draws]: the average precision's mean over several scores, of rows drawn with replacement, whole clusters at a time.

    The same seed draws the same rows, so what two calls give is paired. A draw without a row of the class counts as 0.

    Args:
        scores: float64, [scores, n].
        cluster: int64, [n]; numbers from 0 on.
    """
    random = np.random.default_rng(seed)
    clusters = int(cluster.max()) + 1
    size = max(1, VALUES // len(positive))
    parts = []
    for start in range(0, draws, size):
        count = min(size, draws - start)
        times = random.multinomial(clusters, np.full(clusters, 1 / clusters), size=count)
        weights = times[:, cluster].astype(np.float64)
        parts.append(np.mean([_weighted(score, positive, weights) for score in scores], axis=0))
    return np.concatenate(parts)


def _weighted(score: Float64, positive: NDArray[np.bool_], weights: Float64) -> Float64:
    """float64, [draws], for weights [draws, n]."""
    order = np.argsort(-score, kind="stable")
    last = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))
    ordered = weights[:, order]
    met = np.cumsum(ordered, axis=1)[:, last]
    hits = np.cumsum(ordered * positive[order], axis=1)[:, last]
    precision = np.divide(hits, met, out=np.zeros_like(hits), where=met > 0)
    total = hits[:, -1]
    gained = (np.diff(hits, axis=1, prepend=0) * precision).sum(axis=1)
    return np.divide(gained, total, out=np.zeros_like(total), where=total > 0)
