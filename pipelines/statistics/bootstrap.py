"""Resampling of dates in blocks, so that what depends on its neighbours stays beside them; and intervals of metrics from it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.statistics.metric_parts import Float64, Int64

if TYPE_CHECKING:
    from finflow.pipelines.statistics.metric_parts import Cells, MetricParts


#: replications whose draws are held at once
CHUNK = 250


def default_block(dates: int, horizon: int) -> int:
    """Mean block length for `dates` dates of forecasts `horizon` steps ahead.

    Three times the horizon, so that most overlapping losses stay together, at least 1.75 times the cube root of the dates (the rate of
    Politis and White 2004), at most a quarter of the dates.
    """
    return max(1, min(max(3 * horizon, math.ceil(1.75 * dates ** (1 / 3))), dates // 4))


def stationary_bootstrap(n: int, block: int, replications: int, seed: int) -> Iterator[Int64]:
    """Draws of the stationary bootstrap (Politis and Romano 1994): positions below n, chunks of int64, [at most CHUNK, n].

    Blocks start anywhere with equal chance, have a geometric length of mean `block`, and wrap around the end. The first rows are the
    same for any number of replications. Memory grows with the chunk of draws, not with their number.

    Raises:
        ValueError: n, block or replications below 1.
    """
    if min(n, block, replications) < 1:
        raise ValueError(f"n {n}, block {block} and replications {replications} must be at least 1")
    generator = np.random.default_rng(seed)
    for done in range(0, replications, CHUNK):
        yield _draw(generator, n, block, min(CHUNK, replications - done))


def bootstrap_means(series: Float64, block: int, replications: int, seed: int) -> Float64:
    """Means of series, [n, k], over the dates of each draw of `stationary_bootstrap`: float64, [replications, k]."""
    n = len(series)
    return np.concatenate([_count(drawn, n) @ series / n for drawn in stationary_bootstrap(n, block, replications, seed)])


def _count(drawn: Int64, n: int) -> Float64:
    """How often each of n dates was drawn: float64, [replications, n]."""
    flat = (drawn + np.arange(len(drawn))[:, None] * n).ravel()
    return np.bincount(flat, minlength=len(drawn) * n).reshape(len(drawn), n).astype(np.float64)


def _draw(generator: np.random.Generator, n: int, block: int, replications: int) -> Int64:
    # always whole chunks, so that a draw does not depend on how many are wanted
    fresh = generator.random((CHUNK, n)) < 1.0 / block
    fresh[:, 0] = True
    # at a fresh place the distance from place to drawn position changes; in between it stays
    distance = generator.integers(n, size=np.count_nonzero(fresh)) - np.nonzero(fresh)[1]
    drawn = distance[np.cumsum(fresh) - 1].reshape(CHUNK, n) + np.arange(n)
    drawn[drawn >= n] -= n
    return drawn[:replications].astype(np.int64, copy=False)


@functools.lru_cache(maxsize=2)
def _counts(n: int, block: int, replications: int, seed: int) -> Float64:
    """How often each date was drawn: float64, [replications, n], read-only. Kept, because every metric of an evaluation uses the same."""
    counts = np.empty((replications, n))
    for chunk, drawn in enumerate(stationary_bootstrap(n, block, replications, seed)):  # thousands of units make the draws large
        counts[chunk * CHUNK : (chunk + 1) * CHUNK] = _count(drawn, n)
    counts.flags.writeable = False
    return counts


class Resampling:
    """Draws of dates (or of other units), under which any number of metrics of the same samples are taken.

    A component is averaged over the samples of each date first and then over dates, so that a date counts once however many entities it
    has; of a `pooled` metric every sample counts once. NaN counts nothing: a date without a value has no say in that component's mean.

    Args:
        units: [samples]; the date of each sample, in any order.
        block: mean length of a block, in dates.
    """

    def __init__(self, units: NDArray[Any], *, block: int, replications: int, seed: int) -> None:
        distinct, code = np.unique(units, return_inverse=True)
        self.samples, self.dates = len(units), len(distinct)
        self._code = code.astype(np.int64)
        self._settings = (self.dates, block, replications, seed)
        self._sizes = np.bincount(code, minlength=self.dates).astype(np.float64)
        self._kept: tuple[Cells, tuple[Float64, Float64]] | None = None

    def take(self, parts: MetricParts) -> tuple[float | None, Float64 | None]:
        """The metric's value, and under every draw: float64, [replications]; None where it is not finite, or cannot be had.

        Raises:
            ValueError: a component has another number of samples.
        """
        wrong = [len(component) for component in parts.components if len(component) != self.samples]
        if wrong:
            raise ValueError(f"metric {parts.name!r}: a component has {wrong[0]} values for {self.samples} samples")
        if self.samples == 0:
            return None, None
        with np.errstate(all="ignore"):
            means = [self._means(component, parts.pooled) for component in parts.components]
            on_grid = float(parts.combine(*(whole for whole, _ in means))[0])
            value = on_grid if parts.exact is None else parts.exact
            if not (math.isfinite(value) and math.isfinite(on_grid)):
                return None, None
            if self.dates < 2:
                return value, None
            replicates = np.asarray(parts.combine(*(drawn for _, drawn in means)), dtype=np.float64) + (value - on_grid)
        return value, replicates if np.isfinite(replicates).all() else None

    def interval(self, parts: MetricParts, level: float) -> tuple[float | None, float | None, float | None]:
        """Value, low and high of the percentile interval; each None where it cannot be had (no dates, a single one, a draw without any).

        Raises:
            ValueError: the level is not between 0 and 1, or as `take`.
        """
        value, replicates = self.take(parts)
        return (value, *quantile_interval(replicates, level))

    def _means(self, component: Float64 | Cells, pooled: bool) -> tuple[Float64, Float64]:
        """The mean under no resampling, [1, ...], and under every draw, [replications, ...]."""
        if not isinstance(component, np.ndarray):
            if self._kept is None or self._kept[0] is not component:
                self._kept = (component, self._cells(component))  # several metrics of one ranking come one after the other
            return self._kept[1]
        whole = np.ones((1, self.dates))
        counts = _counts(*self._settings) if self.dates > 1 else whole
        if not pooled:
            series = _daily_mean(component, self._code, self.dates)
            return _mean(whole, series), _mean(counts, series)
        finite = ~np.isnan(component)
        total = np.bincount(self._code[finite], weights=component[finite], minlength=self.dates)
        sizes = self._sizes if finite.all() else np.bincount(self._code[finite], minlength=self.dates).astype(np.float64)
        return (whole @ total) / (whole @ sizes), (counts @ total) / (counts @ sizes)

    def _cells(self, cells: Cells) -> tuple[Float64, Float64]:
        """The part of the samples in each cell, [1, width] and [replications, width]: always pooled."""
        from scipy.sparse import coo_array

        width = cells.width
        # sparse, for its size is then the samples' and not dates times cells
        table = coo_array((np.ones(self.samples), (self._code, cells.code)), shape=(self.dates, width)).tocsr().T.tocsr()
        whole = np.bincount(cells.code, minlength=width)[None] / self.samples
        if self.dates < 2:
            return whole, whole
        counts = _counts(*self._settings)
        drawn = np.empty((len(counts), width))
        for first in range(0, len(counts), CHUNK):
            part = counts[first : first + CHUNK]
            drawn[first : first + CHUNK] = (table @ np.ascontiguousarray(part.T)).T / (part @ self._sizes)[:, None]
        return whole, drawn


def quantile_interval(replicates: Float64 | None, level: float) -> tuple[float | None, float | None]:
    """Low and high of a percentile interval; None without replicates.

    Raises:
        ValueError: the level is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level {level} must lie between 0 and 1")
    if replicates is None:
        return None, None
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def _daily_mean(component: Float64, code: Int64, dates: int) -> Float64:
    """Mean of the known values of each date: float64, [dates]; NaN for a date without any."""
    finite = ~np.isnan(component)
    total = np.bincount(code[finite], weights=component[finite], minlength=dates)
    count = np.bincount(code[finite], minlength=dates)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _mean(counts: Float64, series: Float64) -> Float64:
    """Mean over dates under each row of counts [replications, dates], unknown dates left out: float64, [replications].

    Every row of counts adds up to the number of dates.
    """
    finite = ~np.isnan(series)
    if finite.all():
        return np.asarray(counts @ series / len(series))
    weights = counts @ finite.astype(np.float64)
    total = counts @ np.where(finite, series, 0.0)
    return np.where(weights > 0, total / np.where(weights > 0, weights, 1.0), np.nan)
