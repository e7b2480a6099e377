"""Losses and metrics of quantile forecasts, as pure functions that any problem may use.

Shapes: quantiles [n, outputs, levels], targets [n, outputs]; everything is computed in float64, and a NaN forecast gives a NaN loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Prediction
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts


def quantile_column(level: float) -> str:
    """The name of a quantile's column: q05, q50, q97_5."""
    whole, _, part = f"{100 * level:.6f}".rstrip("0").partition(".")
    return f"q{int(whole):02d}" + (f"_{part}" if part else "")


def check_levels(levels: tuple[float, ...]) -> tuple[float, ...]:
    """The levels themselves. Raises ValueError: they are no quantile levels in order, or 0.5 is missing."""
    ascending = list(levels) == sorted(set(levels))
    if not levels or not ascending or levels[0] <= 0 or levels[-1] >= 1 or 0.5 not in levels:
        raise ValueError(f"levels {list(levels)} must lie between 0 and 1, ascend, and have 0.5 among them")
    return levels


def quantiles_of(prediction: Prediction) -> Float64:
    """float64, [n, outputs, levels].

    Raises:
        ValueError: the prediction holds no quantiles, or none at 0.5.
    """
    if prediction.kind != "quantiles" or 0.5 not in prediction.levels:
        raise ValueError(f"expected quantiles with 0.5 among their levels, got {prediction.kind} at levels {prediction.levels}")
    return prediction.values.astype(np.float64)


def pinball(quantiles: Float64, target: Float64, levels: Sequence[float]) -> Float64:
    """float64, [n, outputs, levels]: the quantile loss (Koenker and Bassett, 1978)."""
    error = target[:, :, None] - quantiles
    level = np.asarray(levels, dtype=np.float64)
    loss: Float64 = np.maximum(level * error, (level - 1.0) * error)
    return loss


def crps(quantiles: Float64, target: Float64, levels: Sequence[float]) -> Float64:
    """float64, [n]: twice the mean pinball loss over levels and outputs, the usual estimate of the continuous ranked probability score.

    In the unit of the target; it equals the absolute error where the only level is 0.5 (Gneiting and Raftery, 2007).
    """
    return 2.0 * pinball(quantiles, target, levels).mean(axis=(1, 2))


def directional_accuracy(forecast: Float64, target: Float64) -> Float64:
    """float64, [n]: the share of outputs whose sign is right. A forecast of zero, or a target of zero, is a coin's toss: one half."""
    product = np.sign(forecast) * np.sign(target)
    return ((product + 1.0) / 2.0).mean(axis=1)


def interval_metrics(quantiles: Float64, target: Float64, levels: Sequence[float]) -> list[MetricParts]:
    """The coverage of every central interval whose two levels are there, widest first: `coverage_90` aims at 0.9."""
    metrics = []
    for lower, level in enumerate(levels):
        upper = next((number for number, other in enumerate(levels) if abs(other + level - 1.0) < 1e-9), None)
        if level >= 0.5 or upper is None:
            continue
        inside = (quantiles[:, :, lower] <= target) & (target <= quantiles[:, :, upper])
        share = np.where(np.isfinite(quantiles[:, :, lower] + quantiles[:, :, upper]), inside, np.nan).mean(axis=1)
        nominal = round(1.0 - 2.0 * level, 9)
        name = "coverage_" + quantile_column(nominal)[1:]
        metrics.append(MetricParts(name, (share,), identity, "target", nominal))
    return metrics


def error_metrics(prefix: str, quantiles: Float64, target: Float64, levels: Sequence[float]) -> list[MetricParts]:
    """MAE, MSE and RMSE of the median, and the CRPS, each the mean over outputs."""
    median = quantiles[:, :, list(levels).index(0.5)]
    squared = ((median - target) ** 2).mean(axis=1)
    return [
        MetricParts(f"{prefix}mae", (np.abs(median - target).mean(axis=1),), identity, "lower"),
        MetricParts(f"{prefix}mse", (squared,), identity, "lower"),
        MetricParts(f"{prefix}rmse", (squared,), np.sqrt, "lower"),
        MetricParts(f"{prefix}crps", (crps(quantiles, target, levels),), identity, "lower"),
    ]


def information_coefficients(forecast: Float64, target: Float64, dates: NDArray[np.datetime64]) -> tuple[Float64, Float64]:
    """The correlation across entities between forecast and outcome, date by date: Pearson's (IC) and Spearman's (RankIC).

    Args:
        forecast, target: float64, [n]; dates: [n].

    Returns:
        float64, [n] each: every sample carries its date's coefficient, so that a mean over dates is the mean IC. NaN on dates with fewer
        than three entities; 0 where the forecast or the outcome does not vary, since it then orders nothing.
    """
    _, group = np.unique(dates, return_inverse=True)
    few = np.bincount(group)[group] < 3
    pearson = _correlation(forecast, target, group)
    spearman = _correlation(_ranks(forecast, group), _ranks(target, group), group)
    return np.where(few, np.nan, pearson), np.where(few, np.nan, spearman)


def identity(mean: Any) -> Any:
    """The mean itself is the metric."""
    return mean


def _correlation(left: Float64, right: Float64, group: NDArray[np.int64]) -> Float64:
    counts = np.bincount(group)
    left = left - (np.bincount(group, left) / counts)[group]
    right = right - (np.bincount(group, right) / counts)[group]
    scale = np.sqrt(np.bincount(group, left**2) * np.bincount(group, right**2))
    product = np.bincount(group, left * right)
    # constant values leave rounding dust after their mean is taken off; it is no variation
    flat = scale <= 1e-12 * np.maximum(np.bincount(group, np.abs(left) + np.abs(right)), 1e-300)
    result = np.where(flat, 0.0, product / np.where(flat, 1.0, scale))
    return np.asarray(np.clip(result, -1.0, 1.0)[group])


def _ranks(values: Float64, group: NDArray[np.int64]) -> Float64:
    """Average ranks within each group; NaN stays NaN."""
    order = np.lexsort((values, group))
    ordered, groups = values[order], group[order]
    place = np.arange(len(values), dtype=np.float64)
    fresh = np.ones(len(values), dtype=bool)
    fresh[1:] = (ordered[1:] != ordered[:-1]) | (groups[1:] != groups[:-1])
    tie = np.cumsum(fresh) - 1
    average = np.bincount(tie, place) / np.bincount(tie) if len(values) else place
    ranks = np.empty(len(values))
    ranks[order] = average[tie] if len(values) else place
    return np.where(np.isnan(values), np.nan, ranks)
