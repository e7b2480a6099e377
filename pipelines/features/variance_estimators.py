"""A day's variance from its open, high, low and close: what features show and volatility problems forecast.

Variances are of log returns, a day each, not annualised. All three are unbiased for a driftless diffusion watched without a gap.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from finflow.pipelines.features.panel import Float64, Panel


@dataclass(frozen=True)
class Estimator:
    """A function of log prices by name (`open`, `high`, `low`, `close`), and the columns that it reads beside the close."""

    function: Callable[..., Float64]
    columns: tuple[str, ...]
    range_based: bool = True


def garman_klass(open: Float64, high: Float64, low: Float64, close: Float64) -> Float64:
    """1/2 (h - l)^2 - (2 log 2 - 1) (c - o)^2, of the session alone (Garman and Klass, 1980)."""
    return 0.5 * (high - low) ** 2 - (2.0 * math.log(2.0) - 1.0) * (close - open) ** 2


def parkinson(open: Float64, high: Float64, low: Float64, close: Float64) -> Float64:
    """(h - l)^2 / (4 log 2), of the session alone (Parkinson, 1980)."""
    return (high - low) ** 2 / (4.0 * math.log(2.0))


def squared_return(close: Float64, before: Float64) -> Float64:
    """(c - c of the day before)^2."""
    return (close - before) ** 2


ESTIMATORS: dict[str, Estimator] = {
    "garman_klass": Estimator(garman_klass, ("open", "high", "low", "close")),
    "parkinson": Estimator(parkinson, ("open", "high", "low", "close")),
    "squared_return": Estimator(squared_return, ("close",), range_based=False),
}


def daily_variance(estimator: str, panel: Panel, *, overnight: bool, floor: float) -> Float64:
    """float64, [rows]: the variance of each row's day, at least `floor`; NaN where it cannot be measured.

    Args:
        overnight: add the squared log return from the entity's last close to the open to an estimator of the session alone.
        floor: what a smaller variance, a zero above all, counts as.
    """
    chosen = ESTIMATORS[estimator]
    with np.errstate(all="ignore"):
        log = {name: np.log(np.where(panel[name] > 0, panel[name], np.nan)) for name in chosen.columns}
        if not chosen.range_based:
            return floored(chosen.function(log["close"], panel.previous(log["close"])), floor)
        within = (np.maximum(log["open"], log["close"]) <= log["high"]) & (np.minimum(log["open"], log["close"]) >= log["low"])
        variance = np.where(within, chosen.function(**log), np.nan)
        if overnight:
            variance = variance + (log["open"] - panel.previous(log["close"])) ** 2
    return floored(variance, floor)


def floored(variance: Float64, floor: float) -> Float64:
    """At least `floor`; NaN where it is negative or not finite, because such a measure says nothing."""
    return np.where(np.isfinite(variance) & (variance >= 0), np.maximum(variance, floor), np.nan)
