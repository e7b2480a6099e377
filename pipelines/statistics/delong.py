"""Areas under ROC curves: their standard error, and the difference of two that rank the same rows.

DeLong, DeLong and Clarke-Pearson (1988): an area is a mean over pairs, and its variance that of each row's placement among the rows of the
other class. Placements come from ranks in O(n log n) (Sun and Xu, 2014), equal scores with their mean rank. Rows of one entity (a
customer's transactions) are not independent: their placements are added up first, and variances taken over entities (Obuchowski, 1997);
where every entity has one row this is DeLong's own formula to the last digit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.statistics.metric_parts import Float64, Int64


@dataclass(frozen=True)
class Area:
    """An area or a difference of two, with its interval; None where it cannot be had.

    Attributes:
        p_value: two-sided, that it is nothing (an area: that it is one half). 1.0 where it does not vary: nothing can be said then.
        clusters: independent units that it rests on.
    """

    value: float | None
    error: float | None
    low: float | None
    high: float | None
    p_value: float | None
    clusters: int


def placements(score: Float64, code: Int64) -> tuple[Float64, float]:
    """The part of the other class that each row is on the right side of (a tie counts one half), and the area: their mean in either class.

    The area is scikit-learn's `roc_auc_score` up to rounding (half of all answers differ in the last bit), which is no faster and gives
    no placements.

    Args:
        score: float64, [n].
        code: int64, [n]; 1 for the class that should score higher, else 0.

    Returns:
        float64, [n], NaN throughout where a class is absent or a score is not a number; and the area.
    """
    placed = np.full(len(score), np.nan)
    is_positive = code == 1
    positive, negative = np.sort(score[is_positive]), np.sort(score[~is_positive])
    if not len(positive) or not len(negative) or np.isnan(score).any():
        return placed, float("nan")
    below = np.searchsorted(negative, score[is_positive], "left") + np.searchsorted(negative, score[is_positive], "right")
    above = np.searchsorted(positive, score[~is_positive], "left") + np.searchsorted(positive, score[~is_positive], "right")
    placed[is_positive], placed[~is_positive] = below / (2 * len(negative)), 1.0 - above / (2 * len(positive))
    return placed, float(placed[is_positive].mean())


def area_under_curve(score: Float64, code: Int64, *, cluster: NDArray[Any] | None = None, level: float = 0.95) -> Area:
    """One area with its interval.

    Args:
        cluster: [n]; rows with the same value belong together (an entity); None: every row stands alone.
        level: coverage of the interval.
    """
    placed, area = placements(score, code)
    return _area(placed, area, 0.5, code, cluster, level)


def area_difference(score: Float64, other: Float64, code: Int64, *, cluster: NDArray[Any] | None = None, level: float = 0.95) -> Area:
    """By how much the area of `score` is above that of `other`, of the same rows (paired).

    Args:
        score, other: float64, [n].
        cluster, level: see `area_under_curve`.

    Raises:
        ValueError: lengths differ.
    """
    if not len(score) == len(other) == len(code):
        raise ValueError(f"one score a row from each: got {len(score)} and {len(other)} scores for {len(code)} rows")
    (placed, area), (against, other_area) = placements(score, code), placements(other, code)
    return _area(placed - against, area - other_area, 0.0, code, cluster, level)


def _area(placed: Float64, value: float, nothing: float, code: Int64, cluster: NDArray[Any] | None, level: float) -> Area:
    from scipy.stats import norm

    group = np.arange(len(code)) if cluster is None else np.unique(cluster, return_inverse=True)[1].ravel()
    clusters = int(group.max(initial=-1)) + 1
    if not math.isfinite(value):
        return Area(None, None, None, None, None, clusters)
    variance = _variance(placed - value, code == 1, group, clusters)
    if variance is None:
        return Area(value, None, None, None, None, clusters)
    error = math.sqrt(variance)
    reach = float(norm.ppf((1 + level) / 2)) * error
    # what rounding leaves of equal rankings is no variance
    p_value = 1.0 if error <= 1e-12 else float(2.0 * norm.sf(abs(value - nothing) / error))
    return Area(value, error, value - reach, value + reach, p_value, clusters)


def _variance(deviation: Float64, is_positive: NDArray[np.bool_], group: Int64, clusters: int) -> float | None:
    """Obuchowski's (1997, equation 2) of rows' deviations from the area; None where a class is of a single cluster."""
    positives, negatives = int(is_positive.sum()), int((~is_positive).sum())
    above = np.bincount(group[is_positive], deviation[is_positive], clusters) / positives
    below = np.bincount(group[~is_positive], deviation[~is_positive], clusters) / negatives
    first, second = len(np.unique(group[is_positive])), len(np.unique(group[~is_positive]))
    if first < 2 or second < 2:
        return None
    both = clusters / (clusters - 1)
    total = first / (first - 1) * float(above @ above) + second / (second - 1) * float(below @ below) + 2 * both * float(above @ below)
    return max(total, 0.0)
