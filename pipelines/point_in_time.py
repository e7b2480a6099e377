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

from pipelines.panel import Float64, Panel

if TYPE_CHECKING:
    from pipelines.definition_parts import Feature

Int64 = NDArray[np.int64]
#: the clean columns that are a key together
Key = tuple[str, ...]

DAY = 86_400 * 10**9  # nanoseconds
#: sums are exact in millionths of the column's unit
PARTS = 10**6
#: a value that is not below this in size has no exact count of millionths here, and counts as missing
LARGEST = 4e12
_LOW_BITS = 31
_NEVER = np.iinfo(np.int64).min  # how numpy writes NaT


class Before:
    """Of every row, which of its key's events lie strictly before the row's instant.

    Events are kept sorted by key and instant, so that those of any window are one run of them.

    Attributes:
        order: int64, [events]; the rows whose events they are, sorted by key and instant.
    """

    def __init__(self, key: Int64, time: Int64, happened: Int64) -> None:
        """Lay out the events, one a row at most.

        Args:
            key: int64, [rows]; code of each row's key, -1 where it has none: it neither asks nor is counted.
            time: int64, [rows]; nanoseconds, the instant at which each row asks.
            happened: int64, [rows]; nanoseconds, the instant of each row's own event; `NaT`'s number where there is none.
        """
        there = np.flatnonzero((happened != _NEVER) & (key >= 0))
        self._key, self._time = key, time
        self._instants = np.unique(happened[there])
        self._width = len(self._instants) + 1
        events = key[there] * self._width + np.searchsorted(self._instants, happened[there])
        sorting = np.argsort(events, kind="stable")
        self.order: Int64 = there[sorting]
        self._events = events[sorting]
        self._found: dict[int | None, Int64] = {}

    def count_until(self, days: int | None = 0) -> Int64:
        """int64, [rows]: how many of the sorted events come before those of the row's key at `days` days before the row, or later.

        None: before all of the key's events. So the events of the last `days` days are those from `count_until(days)` to `count_until(0)`.
        """
        if days not in self._found:
            if days is None:
                rank: Int64 | int = 0
            else:
                rank = np.searchsorted(self._instants, self._time - days * DAY)
            self._found[days] = np.searchsorted(self._events, np.maximum(self._key, 0) * self._width + rank).astype(np.int64)
        return self._found[days]

    def count(self, days: int | None) -> Int64:
        """int64, [rows]: the key's events within `days` days before the row (None: however long before)."""
        return self.count_until(0) - self.count_until(days)

    def total(self, values: Int64, days: int | None) -> Int64:
        """int64, [rows]: the sum of `values` (int64, [rows]) over the same events: exact, since wrapped integers still subtract."""
        running = np.concatenate([np.zeros(1, dtype=np.int64), np.cumsum(values[self.order])])
        return np.asarray(running[self.count_until(0)] - running[self.count_until(days)])


class Past:
    """A panel's rows by key, each key sorted once however many features ask for it.

    Attributes:
        time: int64, [rows]; nanoseconds.
    """

    def __init__(self, panel: Panel) -> None:
        self._panel = panel
        self.time: Int64 = panel.time.astype(np.int64)
        self._keys: dict[Key, Int64] = {}
        self._rows: dict[Key, Before] = {}
        self._outcomes: dict[tuple[Key, int | None], Before] = {}

    def key(self, names: Key) -> Int64:
        """int64, [rows]: a code for each value of the clean columns together, -1 where one is missing."""
        if names not in self._keys:
            import pandas as pd

            code: Int64 = pd.factorize(self._panel.column(names[-1]))[0].astype(np.int64)
            if len(names) > 1:
                first = self.key(names[:-1])
                both = np.where((first < 0) | (code < 0), -1, first * (code.max(initial=0) + 1) + code)
                code = np.unique(np.append(both, -1), return_inverse=True)[1][:-1].astype(np.int64) - 1
            self._keys[names] = code
        return self._keys[names]

    def rows(self, key: Key) -> Before:
        """The key's earlier rows."""
        if key not in self._rows:
            self._rows[key] = Before(self.key(key), self.time, self.time)
        return self._rows[key]

    def outcomes(self, key: Key, delay_days: int | None) -> Before:
        """The key's earlier outcomes, each at the instant it became known, `delay_days` after its row at the earliest."""
        if (key, delay_days) not in self._outcomes:
            outcomes = self._panel.outcomes
            known = outcomes.known.astype("datetime64[ns]").astype(np.int64)
            earliest = self.time + (delay_days or 0) * DAY
            absent = (known == _NEVER) | np.isnan(outcomes.positive)
            self._outcomes[key, delay_days] = Before(self.key(key), self.time, np.where(absent, _NEVER, np.maximum(known, earliest)))
        return self._outcomes[key, delay_days]


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
    known = panel.past.outcomes(feature.key_columns, feature.delay_days).count(feature.days)
    return _with_key(panel, feature.key_columns, _ratio(_positives(panel, feature), known.astype(np.float64)))


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
