"""The mean of a figure over repeated splits of the same rows, with an interval that allows for training parts that overlap."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike


@dataclass(frozen=True)
class SplitMean:
    """A mean over splits; None where it cannot be had. `p_value` is two-sided, that the mean is 0; 1.0 where the figure does not vary."""

    value: float | None
    error: float | None
    low: float | None
    high: float | None
    p_value: float | None
    splits: int


def mean_over_splits(values: ArrayLike, parts: int, level: float = 0.95) -> SplitMean:
    """The corrected resampled t-test (Nadeau and Bengio, 2003; of repeated cross-validation: Bouckaert and Frank, 2004).

    The plain variance of a mean over splits is too small by far, for each row was trained on in most of them: with it, many repeats make
    anything significant. It is multiplied by 1 + splits * tested / trained.

    Args:
        values: one a split (a metric, or a difference of two); what is not finite is left out.
        parts: of each cross-validation: tested / trained is 1 / (parts - 1).
        level: coverage of the interval.

    Raises:
        ValueError: fewer than two parts.
    """
    from scipy.stats import t as student

    if parts < 2:
        raise ValueError(f"parts {parts} must be at least 2")
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    splits = len(finite)
    if not splits:
        return SplitMean(None, None, None, None, None, 0)
    value = float(finite.mean())
    if splits < 2:
        return SplitMean(value, None, None, None, None, splits)
    error = math.sqrt(float(finite.var(ddof=1)) * (1.0 / splits + 1.0 / (parts - 1)))
    reach = float(student.ppf((1 + level) / 2, splits - 1)) * error
    p_value = 1.0 if error <= 1e-12 else float(2.0 * student.sf(abs(value) / error, splits - 1))
    return SplitMean(value, error, value - reach, value + reach, p_value, splits)
