"""How far drawn paths are from held-out ones in the stylised facts of returns (Cont 2001), and whether the two can be told apart.

Everything is written as means over samples and a function of them, so that a bootstrap of dates gives intervals. Steps are pooled over
paths and dates around pooled means, and so are the held-out ones: the shortness of a path biases neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.problems.path_scores import steps_of
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

#: lags of the autocorrelation of |r|, as many of them as the paths are long
LAGS = 50
LEVERAGE_LAGS = 10
#: points of the grid that the distance of two distributions is integrated over
GRID = 200
_AT_ONCE = 64


def stylised_metrics(paths: NDArray[np.float32], target: Float64, scale: Float64) -> list[MetricParts]:
    """`wasserstein` (of steps, in training deviations), `kurtosis` (aims at the held-out one), `clustering_error` (mean absolute error of
    the autocorrelation of |r| over up to 50 lags) and `leverage_error` (of the correlation of r with later |r|, 10 lags).

    Args:
        paths: [n, paths, outputs]; target: float64, [n, outputs]; cumulative log returns.
        scale: float64, [n]; the deviation of a step of each sample's entity, so that entities of different volatility count alike.
    """
    steps = target.shape[1]
    lags = [lag for lag in range(1, LAGS + 1) if lag < steps]
    leverage_lags = [lag for lag in range(1, LEVERAGE_LAGS + 1) if lag < steps]
    real = (steps_of(target) / scale[:, None])[:, None, :]
    grid = np.linspace(real.min(), real.max(), GRID)
    parts = [slice(start, start + _AT_ONCE) for start in range(0, len(paths), _AT_ONCE)]
    drawn = [_means(steps_of(paths[part].astype(np.float64)) / scale[part, None, None], lags, leverage_lags, grid) for part in parts]
    held_out = _means(real, lags, leverage_lags, grid)
    both = {name: (held_out[name], np.concatenate([part[name] for part in drawn])) for name in held_out}
    return [
        MetricParts("wasserstein", _columns(both["below"]), _distance(grid), "lower"),
        MetricParts("kurtosis", _columns((both["power"][1],)), _kurtosis, "target", _pooled_kurtosis(both["power"][0])),
        MetricParts("clustering_error", _columns((*both["clustering"], *both["power"])), _clustering(len(lags)), "lower"),
        MetricParts("leverage_error", _columns((*both["leverage"], *both["power"])), _leverage(len(leverage_lags)), "lower"),
    ]


def _means(steps: Float64, lags: list[int], leverage_lags: list[int], grid: Float64) -> dict[str, Float64]:
    """Means over a sample's paths and steps, [n, any]: powers 1 to 4 and of |r| (last), products with later |r|, shares below the grid."""
    size = np.abs(steps)
    powers = np.stack([(steps**power).mean(axis=(1, 2)) for power in (1, 2, 3, 4)] + [size.mean(axis=(1, 2))], axis=1)
    clustering, leverage = _products(size, size, lags), _products(steps, size, leverage_lags)
    flat = np.sort(steps.reshape(len(steps), -1), axis=1)
    below = np.stack([np.searchsorted(row, grid, side="right") / len(row) for row in flat])
    return {"power": powers, "clustering": clustering, "leverage": leverage, "below": below}


def _products(first: Float64, second: Float64, lags: list[int]) -> Float64:
    """[n, 3 * lags]: means of the first, of the second `lag` steps later, and of their product, over the steps that have both."""
    products = []
    for lag in lags:
        one, other = first[:, :, :-lag], second[:, :, lag:]
        products += [one.mean(axis=(1, 2)), other.mean(axis=(1, 2)), (one * other).mean(axis=(1, 2))]
    return np.stack(products, axis=1)


def _columns(parts: tuple[Float64, ...]) -> tuple[Float64, ...]:
    return tuple(column for part in parts for column in part.T)


def _distance(grid: Float64) -> Any:
    """Wasserstein's distance of order 1 is the area between two distribution functions (Vallender 1974), here over what was held out."""
    width = grid[1] - grid[0]

    def combine(*means: Any) -> Any:
        return sum(np.abs(one - other) for one, other in zip(means[:GRID], means[GRID:], strict=True)) * width

    return combine


def _kurtosis(first: Any, second: Any, third: Any, fourth: Any, _: Any) -> Any:
    variance = second - first**2
    return (fourth - 4 * first * third + 6 * first**2 * second - 3 * first**4) / variance**2


def _pooled_kurtosis(powers: Float64) -> float:
    with np.errstate(all="ignore"):
        return float(_kurtosis(*powers.mean(axis=0)))


def _clustering(lags: int) -> Any:
    def correlations(products: Any, powers: Any) -> list[Any]:
        _, square, _, _, size = powers
        return [covariance / (square - size**2) for covariance in _covariances(products, size, size)]

    return _error(lags, correlations)


def _leverage(lags: int) -> Any:
    def correlations(products: Any, powers: Any) -> list[Any]:
        mean, square, _, _, size = powers
        scale = np.sqrt((square - mean**2) * (square - size**2))
        return [covariance / scale for covariance in _covariances(products, mean, size)]

    return _error(lags, correlations)


def _covariances(products: Any, first: Any, second: Any) -> list[Any]:
    """Of `_products`' means, around pooled means."""
    triples = zip(products[::3], products[1::3], products[2::3], strict=True)
    return [product - first * other - second * one + first * second for one, other, product in triples]


def _error(lags: int, correlations: Any) -> Any:
    """The mean absolute difference of two sets of correlations, from the means of their products and powers."""

    def combine(*means: Any) -> Any:
        real, drawn, powers = means[: 3 * lags], means[3 * lags : 6 * lags], means[6 * lags :]
        pairs = zip(correlations(real, powers[:5]), correlations(drawn, powers[5:]), strict=True)
        return sum(np.abs(one - other) for one, other in pairs) / lags

    return combine
