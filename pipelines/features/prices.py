"""Functions from rows of an entity to one float64 value a row, most of them of prices.

Each reads an entity's own rows up to the row that it answers, never further, and computes a rolling value from the rows of its window
alone, so that its bits depend on nothing outside it. Those of pipelines/features/point_in_time.py read earlier rows by key instead.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from finflow.pipelines.features.panel import Float64, Panel
from finflow.pipelines.features.variance_estimators import daily_variance

if TYPE_CHECKING:
    from finflow.pipelines.settings.parts import Feature


def _log(values: Float64) -> Float64:
    """The logarithm; NaN where there is none (zero, negative, missing)."""
    return np.log(np.where(values > 0, values, np.nan))


def _returns(panel: Panel, feature: Feature) -> Float64:
    level = _log(panel[feature.column or "close"])
    return level - panel.previous(level)


def log_return(panel: Panel, feature: Feature) -> Float64:
    """log(x / previous x); NaN where either is not positive."""
    return _returns(panel, feature)


def simple_return(panel: Panel, feature: Feature) -> Float64:
    """x / previous x - 1; NaN where the previous is not positive."""
    values = panel[feature.column or "close"]
    before = panel.previous(values)
    return values / np.where(before > 0, before, np.nan) - 1.0


def change(panel: Panel, feature: Feature) -> Float64:
    """x - previous x."""
    values = panel[feature.column or "close"]
    return values - panel.previous(values)


def value(panel: Panel, feature: Feature) -> Float64:
    """x itself."""
    return panel[feature.column or "close"].copy()


def log_value(panel: Panel, feature: Feature) -> Float64:
    """log(x); NaN where x is not positive."""
    return _log(panel[feature.column or "close"])


def log_change(panel: Panel, feature: Feature) -> Float64:
    """log(x / previous x) of a quantity that may be zero (volume, turnover).

    It is 0 where either is zero: a suspension says nothing of a change.
    """
    values = panel[feature.column or "volume"]
    before = panel.previous(values)
    ratio = _log(values) - _log(before)
    return np.where(((values == 0) & (before >= 0)) | ((before == 0) & (values >= 0)), 0.0, ratio)


def log_range(panel: Panel, feature: Feature) -> Float64:
    """log(high / low) of the session: at least 0."""
    return _log(panel["high"]) - _log(panel["low"])


def overnight_return(panel: Panel, feature: Feature) -> Float64:
    """log(open / previous close)."""
    return _log(panel["open"]) - panel.previous(_log(panel["close"]))


def intraday_return(panel: Panel, feature: Feature) -> Float64:
    """log(close / open)."""
    return _log(panel["close"]) - _log(panel["open"])


def close_location(panel: Panel, feature: Feature) -> Float64:
    """Where the close lies between low (0) and high (1); one half where they are equal."""
    low, high = panel["low"], panel["high"]
    spread = high - low
    return np.where(spread == 0, 0.5, (panel["close"] - low) / np.where(spread == 0, 1.0, spread))


def rolling_mean_return(panel: Panel, feature: Feature) -> Float64:
    """The mean log return over `window` observations."""
    return panel.rolling_mean(_returns(panel, feature), feature.window or 1)


def rolling_volatility(panel: Panel, feature: Feature) -> Float64:
    """The standard deviation (ddof 1) of log returns over `window` observations, one session's, not annualised."""
    return panel.rolling_deviation(_returns(panel, feature), feature.window or 2)


#: a day's variance below this counts as this in features: a volatility of one basis point a day
VARIANCE_FLOOR = 1e-8


def log_garman_klass(panel: Panel, feature: Feature) -> Float64:
    """log of the day's variance by Garman and Klass (1980) with the overnight part, at least log(1e-8)."""
    return np.log(daily_variance("garman_klass", panel, overnight=True, floor=VARIANCE_FLOOR))


def log_parkinson(panel: Panel, feature: Feature) -> Float64:
    """log of the day's variance by Parkinson (1980) with the overnight part, at least log(1e-8)."""
    return np.log(daily_variance("parkinson", panel, overnight=True, floor=VARIANCE_FLOOR))


def log_squared_return(panel: Panel, feature: Feature) -> Float64:
    """log of the squared log return of the close, at least log(1e-8): a day's variance where the data have no range."""
    return np.log(daily_variance("squared_return", panel, overnight=False, floor=VARIANCE_FLOOR))


def standardised_return(panel: Panel, feature: Feature) -> Float64:
    """The log return over the root mean square of the `window` returns before it: how surprising the day was. 0 after no move at all."""
    moves = _returns(panel, feature)
    before = np.sqrt(panel.previous(panel.rolling_mean(moves**2, feature.window or 1)))
    return np.where(before == 0, 0.0 * moves, moves / np.where(before == 0, 1.0, before))


def negative_standardised_return(panel: Panel, feature: Feature) -> Float64:
    """`standardised_return` where it is negative, else 0: what falls do that rises do not (leverage)."""
    return np.minimum(standardised_return(panel, feature), 0.0)


def moving_average_ratio(panel: Panel, feature: Feature) -> Float64:
    """log(x / mean of the last `window` x)."""
    values = panel[feature.column or "close"]
    return _log(values) - _log(panel.rolling_mean(values, feature.window or 1))


def relative_volume(panel: Panel, feature: Feature) -> Float64:
    """log(x / mean of the last `window` x) of a quantity that may be zero: 0 where x is zero."""
    values = panel[feature.column or "volume"]
    mean = panel.rolling_mean(values, feature.window or 1)
    return np.where((values == 0) & (mean >= 0), 0.0, _log(values) - _log(mean))


def rsi(panel: Panel, feature: Feature) -> Float64:
    """The relative strength index over `window` changes, 0 to 100, with plain means (Cutler's), 50 where nothing moved.

    Wilder's own smoothing (1978) never forgets, so its bits would depend on where the history begins.
    """
    values = panel[feature.column or "close"]
    moves = values - panel.previous(values)
    window = feature.window or 14
    gains = panel.rolling_mean(np.maximum(moves, 0.0), window)
    losses = panel.rolling_mean(np.maximum(-moves, 0.0), window)
    total = gains + losses
    return np.where(total == 0, 50.0, 100.0 * gains / np.where(total == 0, 1.0, total))


def _weekday(panel: Panel) -> Float64:
    days = panel.time.astype("datetime64[D]").astype(np.int64)
    return ((days + 3) % 7).astype(np.float64)  # 1970-01-01 was a Thursday; Monday is 0


def _month(panel: Panel) -> Float64:
    return (panel.time.astype("datetime64[M]").astype(np.int64) % 12).astype(np.float64)


def weekday_sin(panel: Panel, feature: Feature) -> Float64:
    """sin of the weekday's angle, the week a circle of seven days."""
    return np.sin(2 * np.pi * _weekday(panel) / 7)


def weekday_cos(panel: Panel, feature: Feature) -> Float64:
    """cos of the weekday's angle."""
    return np.cos(2 * np.pi * _weekday(panel) / 7)


def month_sin(panel: Panel, feature: Feature) -> Float64:
    """sin of the month's angle, January at zero."""
    return np.sin(2 * np.pi * _month(panel) / 12)


def month_cos(panel: Panel, feature: Feature) -> Float64:
    """cos of the month's angle."""
    return np.cos(2 * np.pi * _month(panel) / 12)
