"""Features of a row made of what its key (a customer, a terminal) did strictly before the row's own instant.

A key's earlier rows may belong to any entity; rows of one instant do not see each other. Whatever is added up is added as integers, so that
a window's sum has the same bits wherever the table begins and ends. An outcome counts from the instant at which it became known, never from
that of its row.

The windows follow the transaction aggregation of Whitrow, Hand, Juszczak, Weston and Adams (2009, Data Mining and Knowledge Discovery 18,
30-55) and the terminal's risk of Le Borgne, Siblini, Lebichot and Bontempi (2022, Reproducible Machine Learning for Credit Card Fraud
Detection), with the delay of each label in place of one delay for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.features.panel import DAY, Float64, Int64, Key, Panel

if TYPE_CHECKING:
    from finflow.pipelines.settings.parts import Feature

#: sums are exact in millionths of the column's unit
PARTS = 10**6
#: a value that is not below this in size has no exact count of millionths here, and counts as missing
LARGEST = 4e12
_LOW_BITS = 31


def count_before(panel: Panel, feature: Feature) -> Float64:
    """The key's rows in the `days` days before the row; NaN where the row has no key."""
    count = panel.past.rows(feature.key_columns).count(feature.days)
    return _with_key(panel, feature.key_columns, count.astype(np.float64))


def sum_before(panel: Panel, feature: Feature) -> Float64:
    """The sum of `column` over the same rows; missing values count nothing."""
    return _with_key(panel, feature.key_columns, _sum(panel, feature))


def mean_before(panel: Panel, feature: Feature) -> Float64:
    """The mean of `column` over the same rows; NaN where there is none with a value."""
    there = _millionths(panel, feature)[1]
    count = panel.past.rows(feature.key_columns).total(there.astype(np.int64), feature.days)
    return _with_key(panel, feature.key_columns, _ratio(_sum(panel, feature), count.astype(np.float64)))


def relative_to_mean_before(panel: Panel, feature: Feature) -> Float64:
    """`column` over `mean_before`; NaN where that is missing or zero."""
    return _ratio(panel[feature.column or ""], mean_before(panel, feature))


def time_since(panel: Panel, feature: Feature) -> Float64:
    """Days since the key's last row before this instant; NaN where there is none."""
    before = panel.past.rows(feature.key_columns)
    if not len(before.order):
        return np.full(len(panel.clean), np.nan)
    last = before.order[np.maximum(before.count_until(0) - 1, 0)]
    elapsed = (panel.past.time - panel.past.time[last]).astype(np.float64) / DAY
    return _with_key(panel, feature.key_columns, np.where(before.count(None) > 0, elapsed, np.nan))


def outcome_count_before(panel: Panel, feature: Feature) -> Float64:
    """How many of the key's earlier rows turned out positive, as became known in the `days` days before the row."""
    return _with_key(panel, feature.key_columns, _positives(panel, feature))


def outcome_rate_before(panel: Panel, feature: Feature) -> Float64:
    """The share of the positive among the outcomes of the key that became known in these days; NaN where none did."""
    outcomes = panel.past.outcomes(feature.key_columns, feature.delay_days).count(feature.days)
    return _with_key(panel, feature.key_columns, _ratio(_positives(panel, feature), outcomes.astype(np.float64)))


def hour_sin(panel: Panel, feature: Feature) -> Float64:
    """sin of the clock's angle (UTC), the day a circle of 86,400 seconds, midnight at zero."""
    return np.sin(_clock())[_second(panel)]


def hour_cos(panel: Panel, feature: Feature) -> Float64:
    """cos of the clock's angle (UTC)."""
    return np.cos(_clock())[_second(panel)]


def _clock() -> Float64:
    # One table for every frame: a sine worked out for many rows at once may differ in its last bit from that of a row alone.
    return 2 * np.pi * np.arange(86_400) / 86_400


def _second(panel: Panel) -> Int64:
    return np.asarray(panel.past.time // 10**9 % 86_400)


def _with_key(panel: Panel, names: Key, values: Float64) -> Float64:
    return np.where(panel.past.key(names) >= 0, values, np.nan)


def _ratio(above: Float64, below: Float64) -> Float64:
    return above / np.where(below == 0, np.nan, below)


def _positives(panel: Panel, feature: Feature) -> Float64:
    positive = (panel.outcomes.positive > 0).astype(np.int64)
    return panel.past.outcomes(feature.key_columns, feature.delay_days).total(positive, feature.days).astype(np.float64)


def _millionths(panel: Panel, feature: Feature) -> tuple[Int64, NDArray[np.bool_]]:
    """int64 millionths of the column, [rows], 0 where it has no value, and bool, [rows]: where it has one."""
    values = panel[feature.column or ""]
    there = np.abs(values) < LARGEST
    return np.rint(np.where(there, values, 0.0) * PARTS).astype(np.int64), there


def _sum(panel: Panel, feature: Feature) -> Float64:
    # High and low bits apart: a sum of values of 62 bits would overflow at the third, these at the 2**31st.
    parts, _ = _millionths(panel, feature)
    before = panel.past.rows(feature.key_columns)
    high = before.total(parts >> _LOW_BITS, feature.days)
    low = before.total(parts & (2**_LOW_BITS - 1), feature.days)
    return (high.astype(np.float64) * 2.0**_LOW_BITS + low.astype(np.float64)) / PARTS
