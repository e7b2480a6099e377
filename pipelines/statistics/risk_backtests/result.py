"""What a backtest answers, and how hits are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Hits = NDArray[np.bool_]

REPLICATIONS = 9_999
SEED = 1995


@dataclass(frozen=True)
class BacktestResult:
    """One backtest over `days` days.

    Attributes:
        exceptions: days whose loss was greater than the value at risk.
        asymptotic_p: from the limiting distribution; None where the test has none.
        monte_carlo_p: exact at any number of days; ties are broken by a coin (Dufour 2006).
        bound_p: the same with every tie counted against rejecting: never too small, and without a coin.
    """

    statistic: float
    days: int
    exceptions: int
    asymptotic_p: float | None
    monte_carlo_p: float
    bound_p: float


def read_hits(hits: Any) -> Hits:
    """bool, [days] or [series, days].

    Raises:
        ValueError: no day, more than two axes, or values that are neither true nor false.
    """
    values = np.asarray(hits)
    if values.ndim not in (1, 2) or values.shape[-1] == 0:
        raise ValueError(f"expected one value a day, [days] or [series, days]; got shape {values.shape}")
    if values.dtype != bool and not np.isin(values, (0, 1)).all():
        raise ValueError("a day is an exception (1) or it is none (0); a value that is not known cannot be tested")
    return values.astype(bool)


def check_probability(probability: float) -> None:
    """Raises ValueError: not a probability of an exception."""
    if not 0.0 < probability < 1.0:
        raise ValueError(f"the probability of an exception must lie between 0 and 1 (0.01 for 99 %), got {probability}")
