"""The test of equal predictive accuracy of two forecasts."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import ArrayLike

from finflow.pipelines.statistics.metric_parts import Float64

Alternative = Literal["less", "greater", "two-sided"]

#: below this, relative to the losses, a variance is rounding
RELATIVE_ZERO = 1e-12


@dataclass(frozen=True)
class TestResult:
    """The answer of a test.

    Attributes:
        statistic: negative when a's losses are lower; None when nothing can be said.
        p_value: 1.0 when nothing can be said.
        effect: relative reduction of the mean loss by a over b (positive: a is better); None when it has no meaning.
        dates: number of dates compared.
    """

    __test__: ClassVar[bool] = False  # for pytest: this is no test class

    statistic: float | None
    p_value: float
    effect: float | None
    dates: int


def default_lag(dates: int, horizon: int) -> int:
    """Autocovariances for `dates` losses of forecasts `horizon` steps ahead.

    At least 1.3 * sqrt(dates), where Bartlett weights no longer bias the variance of overlapping losses much (Lazarus, Lewis, Stock and
    Watson 2018), and twice the overlap; at most a quarter of the dates.
    """
    wanted = max(math.ceil(1.3 * math.sqrt(max(dates, 0))), 2 * (horizon - 1))
    return max(0, horizon - 1, min(wanted, dates // 4))


def long_run_variance(values: Float64, lag: int) -> float:
    """Variance of sqrt(n) times the mean of values, [n], with `lag` Bartlett-weighted autocovariances (Newey and West 1987)."""
    deviations = values - values.mean()
    count = len(values)
    total = float(deviations @ deviations)
    for step in range(1, min(lag, count - 1) + 1):
        total += 2.0 * (1.0 - step / (lag + 1.0)) * float(deviations[step:] @ deviations[:-step])
    return total / count


def diebold_mariano(loss_a: ArrayLike, loss_b: ArrayLike, *, lag: int, alternative: Alternative = "two-sided") -> TestResult:
    """Test whether two forecasts are equally accurate (Diebold and Mariano 1995), from one loss a date, in time order.

    The variance is Newey and West's with `lag` autocovariances (give at least horizon - 1; see `default_lag`). The small-sample factor
    and Student's t with n - 1 degrees are those of Harvey, Leybourne and Newbold (1997) for lag + 1 steps.

    Args:
        loss_a, loss_b: float64, [dates]; lower is better.
        alternative: "less" asks whether a's losses are lower, "greater" whether they are higher.

    Returns:
        The statistic of mean(loss_a - loss_b), and p_value. Losses that are not finite, differences that do not vary, and fewer dates
        than the factor allows give statistic None and p_value 1: nothing is beaten.

    Raises:
        ValueError: the losses differ in length or are no vectors, the lag is negative, or the alternative is unknown.
    """
    a, b = np.asarray(loss_a, dtype=np.float64), np.asarray(loss_b, dtype=np.float64)
    if a.ndim != 1 or a.shape != b.shape:
        raise ValueError(f"one loss a date from each: got shapes {a.shape} and {b.shape}")
    if lag < 0 or alternative not in ("less", "greater", "two-sided"):
        raise ValueError(f"lag {lag} must be at least 0, and alternative {alternative!r} one of less, greater, two-sided")
    count = len(a)
    if count == 0 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return TestResult(None, 1.0, None, count)
    with np.errstate(over="ignore", invalid="ignore"):
        difference = a - b
        effect = _effect(float(a.mean()), float(b.mean()))
        variance = long_run_variance(difference, lag)
        # sizes are compared as standard deviations: squares of small losses would vanish
        size = float(np.abs(a).max() + np.abs(b).max())
    steps = lag + 1
    factor = (count + 1 - 2 * steps + steps * (steps - 1) / count) / count
    if (
        count < 2 * steps
        or count < 3
        or factor <= 0
        or not math.isfinite(variance)
        or variance <= 0
        or math.sqrt(variance) <= RELATIVE_ZERO * size
    ):
        return TestResult(None, 1.0, effect, count)
    from scipy.stats import t as student

    statistic = float(difference.mean()) / math.sqrt(variance / count) * math.sqrt(factor)
    if alternative == "less":
        p_value = student.cdf(statistic, count - 1)
    elif alternative == "greater":
        p_value = student.sf(statistic, count - 1)
    else:
        p_value = 2.0 * student.sf(abs(statistic), count - 1)
    return TestResult(statistic, float(p_value), effect, count)


def _effect(a: float, b: float) -> float | None:
    if b == 0 or not (math.isfinite(a) and math.isfinite(b)):
        return None
    return (b - a) / abs(b)
