"""Scores of sample paths: what is lowest, on average, where the paths are drawn from the truth.

Shapes: paths [n, paths, outputs] and targets [n, outputs], both cumulative log returns; everything is computed in float64. All expectations
over pairs of paths leave a path's pair with itself out, so that the number of paths shifts no score (Ferro 2014: "fair" scores).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Prediction
from finflow.pipelines.statistics.metric_parts import Float64

#: samples that are scored at once
_AT_ONCE = 64


def paths_of(prediction: Prediction) -> NDArray[np.float32]:
    """float32, [n, paths, outputs].

    Raises:
        ValueError: the prediction holds no paths, or fewer than two a sample.
    """
    if prediction.kind != "paths" or prediction.values.ndim != 3 or prediction.values.shape[1] < 2:
        raise ValueError(f"expected at least two paths a sample, got {prediction.kind} of shape {prediction.values.shape}")
    return prediction.values


def total_return(paths: Float64) -> Float64:
    """The change over the whole path: [..., outputs] -> [...]."""
    return paths[..., -1]


def realised_volatility(paths: Float64) -> Float64:
    """The root of the sum of squared steps, of the size of a change over the whole path."""
    return np.sqrt((steps_of(paths) ** 2).sum(axis=-1))


def drawdown(paths: Float64) -> Float64:
    """The deepest fall below the highest level before it, the level at the start counting; 0 where there is none."""
    highest = np.maximum(np.maximum.accumulate(paths, axis=-1), 0.0)
    return (highest - paths).max(axis=-1)


#: what a path is looked at for
FUNCTIONALS: dict[str, Callable[[Float64], Float64]] = {
    "return": total_return,
    "volatility": realised_volatility,
    "drawdown": drawdown,
}


def steps_of(paths: Float64) -> Float64:
    """The increments of cumulative paths [..., outputs]."""
    return np.diff(paths, axis=-1, prepend=0.0)


def fair_crps(drawn: Float64, actual: Float64) -> Float64:
    """float64, [n]: the continuous ranked probability score of draws [n, m], without the bias of few draws (Ferro 2014)."""
    count = drawn.shape[1]
    ordered = np.sort(drawn, axis=1)
    weights = 2.0 * np.arange(1, count + 1) - count - 1.0  # the sum of |x_i - x_j| over pairs i < j, by order statistics
    spread = (ordered * weights).sum(axis=1) / (count * (count - 1))
    return np.abs(drawn - actual[:, None]).mean(axis=1) - spread


def functional_scores(prediction: Prediction, target: Float64) -> dict[str, Float64]:
    """By functional, the fair CRPS of its distribution over paths: float64, [n] each."""
    paths = paths_of(prediction)
    scores = {name: np.empty(len(paths)) for name in FUNCTIONALS}
    for start in range(0, len(paths), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        drawn, actual = paths[part].astype(np.float64), target[part]
        for name, functional in FUNCTIONALS.items():
            scores[name][part] = fair_crps(functional(drawn), functional(actual))
    return scores


def energy_parts(prediction: Prediction, target: Float64) -> tuple[Float64, Float64]:
    """float64, [n] each: the mean distance of a path from what came, and of two paths from each other, over root of outputs.

    The energy score (Gneiting and Raftery 2007) is the first less half the second; where the paths are drawn from the truth, both are equal
    on average, which is what `diversity` looks at.
    """
    paths = paths_of(prediction)
    apart, between = np.empty(len(paths)), np.empty(len(paths))
    root = np.sqrt(paths.shape[2])
    for number, drawn in enumerate(paths):
        values = drawn.astype(np.float64)
        apart[number] = np.sqrt(((values - target[number]) ** 2).sum(axis=1)).mean() / root
        between[number] = _mean_distance(values) / root
    return apart, between


def _mean_distance(values: Float64) -> float:
    """The mean Euclidean distance of two different rows."""
    if not np.isfinite(values).all():
        return float("nan")
    squares = (values**2).sum(axis=1)
    distances = np.sqrt(np.maximum(squares[:, None] + squares[None] - 2.0 * values @ values.T, 0.0))
    np.fill_diagonal(distances, 0.0)
    count = len(values)
    return float(distances.sum() / (count * (count - 1)))
