"""How far recent values are from a reference, and how far they would be if nothing had changed.

Four distances: the population stability index (Siddiqi 2006, with the quantiles of the reference as bins), Kolmogorov and Smirnov's
distance, and, since a person can picture them, how far the mean has moved and by what the standard deviation has grown.

Fixed thresholds alone, and p-values for independent rows, alarm all the time on financial series: sixty sessions of a volatility over
twenty days are three or four observations, not sixty (Yurdakul 2018 gives PSI's distribution for independent rows). So the reference is
its own yardstick. Every run of as many sessions in it is held against the rest of it, which shows what undisturbed windows of that length
look like, clusters of volatility included. An alarm needs both: a distance that matters, and one beyond what such windows show.

Looking at many columns and four distances makes something look unusual by chance. So what is bounded is the largest of all standardised
distances in a window, whatever it is of: twenty features that move together count as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.statistics.metric_parts import Float64

Values = NDArray[np.floating[Any]]
Dates = NDArray[np.datetime64]

PSI, KS, SHIFT, SPREAD = "psi", "ks", "shift", "spread"
#: the PSI of categories, on a scale of its own: of two of them its logarithm has a long lower tail, and a bound from that would be no bound
_CATEGORIES = "psi of categories"
#: bins of the PSI, by the reference's quantiles; values that are missing have a bin of their own
BINS = 10
#: the KS distance is taken at so many quantiles of the reference: at most 1/GRID below the exact one
GRID = 250
#: whole windows that the reference must hold, or its windows say too little of what is usual
MINIMUM_WINDOWS = 5
#: count that every bin is given, so that an empty one is no infinity
PRIOR = 0.5


class TooShortError(ValueError):
    """The reference holds too few windows to know what is usual."""


@dataclass(frozen=True)
class Distance:
    """One distance of the recent values of one column from the reference.

    Attributes:
        column: position of the column.
        kind: psi, ks, shift (recent mean less the reference's, in the reference's standard deviations) or spread (recent standard
            deviation over the reference's).
        value: the distance.
        low, high: what undisturbed windows stay within, but for the chance asked for; `low` is 0 for psi and ks.
        effect: what it takes to matter: psi or ks above it, a shift of more than it either way, a spread above it or below 1/effect.
    """

    column: int
    kind: str
    value: float
    low: float
    high: float
    effect: float

    @property
    def alarm(self) -> bool:
        return self.unusual and self.matters

    @property
    def unusual(self) -> bool:
        return self.value > self.high or self.value < self.low

    @property
    def matters(self) -> bool:
        if self.kind == SPREAD:
            return self.value > self.effect or self.value < 1.0 / self.effect
        return abs(self.value) > self.effect


@dataclass(frozen=True)
class Drift:
    """Recent values against a reference.

    Attributes:
        distances: four a column, in the order of columns; those that cannot be had (a column that never varied) are absent.
        missing: float64, [columns]; the share of the recent values that are missing.
        sessions: number of recent sessions.
        windows: how many whole windows of that length the reference holds.
    """

    distances: tuple[Distance, ...]
    missing: Float64
    sessions: int
    windows: float

    @property
    def alarms(self) -> tuple[Distance, ...]:
        return tuple(one for one in self.distances if one.alarm)


def measure_drift(
    reference: Values,
    reference_dates: Dates,
    recent: Values,
    recent_dates: Dates,
    *,
    effects: dict[str, float],
    level: float,
    categories: Mapping[int, int] | None = None,
) -> Drift:
    """Compare the values of some recent sessions with those of a reference.

    Each distance of each column is put on a scale where windows look normal, and standardised by their mean and deviation there. The
    bound is that of a one-sided prediction for one more window's largest standardised distance, with Student's quantile for as many
    windows as the reference holds side by side. A window is held against the reference without it.

    Args:
        reference, recent: float, [rows, columns]; NaN is missing. Several rows of one date (entities) belong to one session.
        reference_dates, recent_dates: datetime64, [rows].
        effects: by kind of distance, what it takes to matter.
        level: the chance that an undisturbed window raises any alarm.
        categories: by position, columns that hold no numbers but places of categories from 0, and how many there are: of them the
            population stability index alone is taken, a cell a place.

    Raises:
        TooShortError: the reference holds fewer than MINIMUM_WINDOWS windows of the recent sessions' number.
        ValueError: there is no recent row.
    """
    if not len(recent):
        raise ValueError("there is no recent row")
    sessions = len(np.unique(recent_dates))
    dates, code = np.unique(reference_dates, return_inverse=True)
    windows = len(dates) / sessions
    if windows < MINIMUM_WINDOWS:
        raise TooShortError(
            f"the reference has {len(dates)} sessions, fewer than {MINIMUM_WINDOWS} windows of {sessions}: "
            "what is usual for a window cannot be told from it"
        )
    measured: list[tuple[int, str, Float64, float]] = []
    for column in range(reference.shape[1]):
        before, after = (np.asarray(values[:, column], dtype=np.float64) for values in (reference, recent))
        places = None if categories is None else categories.get(column)
        measured += [(column, *one) for one in _column(before, code, len(dates), after, sessions, places)]
    bounds = _bounds([kind for _, kind, _, _ in measured], [inside for _, _, inside, _ in measured], windows, level)
    distances = tuple(
        Distance(column, _told(kind), _plain(kind, value), *bound, effects[_told(kind)])
        for (column, kind, _, value), bound in zip(measured, bounds, strict=True)
    )
    return Drift(distances, np.isnan(recent).mean(axis=0), sessions, windows)


def _bounds(kinds: list[str], usual: list[Float64], windows: float, level: float) -> list[tuple[float, float]]:
    """Low and high of each distance in plain units.

    The largest standardised distance of a window is positive and skewed; its logarithm is close to normal. A window that took no part in
    the means and deviations is further out than those that did.
    """
    from scipy.stats import t as student

    if not kinds:
        return []
    means = [float(inside.mean()) for inside in usual]
    deviations = [max(float(inside.std()), 1e-9) for inside in usual]
    largest = np.full(len(usual[0]), 1e-9)
    for kind, inside, mean, deviation in zip(kinds, usual, means, deviations, strict=True):
        standard = (inside - mean) / deviation
        # by their size where the scale is symmetric: of few distances none may be above its mean, and there must be a largest one
        np.maximum(largest, np.abs(standard) if kind in (SHIFT, SPREAD, _CATEGORIES) else standard, out=largest)
    logs = np.log(largest)
    more = math.sqrt((windows + 1.0) / (windows - 1.0))
    reach = math.exp(logs.mean() + float(student.ppf(1.0 - level, windows - 1.0)) * float(logs.std()) * more) * more
    bounds = []
    for kind, mean, deviation in zip(kinds, means, deviations, strict=True):
        low = _plain(kind, mean - reach * deviation) if kind in (SHIFT, SPREAD) else 0.0
        bounds.append((low, _plain(kind, mean + reach * deviation)))
    return bounds


def _column(
    reference: Float64, code: NDArray[np.int64], dates: int, recent: Float64, sessions: int, places: int | None
) -> list[tuple[str, Float64, float]]:
    """Of one column, by kind: the scaled distance of every window of the reference from the rest, [windows], and of the recent values."""
    measured = []
    distances = ((PSI, BINS, log_psi), (KS, GRID, _ks)) if places is None else ((_CATEGORIES, 0, _root_psi),)
    for kind, cells, distance in distances:
        edges = edges_of(reference, cells) if places is None else np.arange(places, dtype=np.float64)
        width = len(edges) + 2
        counts = np.bincount(code * width + cells_of(reference, edges), minlength=dates * width).reshape(dates, width).astype(np.float64)
        total = counts.sum(axis=0)
        inside = _windows(counts, sessions)
        now = np.bincount(cells_of(recent, edges), minlength=width).astype(np.float64)[None]
        measured.append((kind, distance(inside, total - inside), float(distance(now, total[None])[0])))
    return measured + (_moments(reference, code, dates, recent, sessions) if places is None else [])


def _moments(reference: Float64, code: NDArray[np.int64], dates: int, recent: Float64, sessions: int) -> list[tuple[str, Float64, float]]:
    """The distances of mean and deviation, as `_column`; none where the reference or the recent values do not vary or are missing."""
    finite = ~np.isnan(reference)
    centre = float(reference[finite].mean()) if finite.any() else 0.0
    scale = float(reference[finite].std()) if finite.any() else 0.0
    recent = (recent[~np.isnan(recent)] - centre) / (scale or 1.0)
    if scale <= 1e-12 * max(abs(centre), 1e-300) or len(recent) < 2:
        return []
    values = (reference[finite] - centre) / scale
    weights = (np.ones(len(values)), values, values**2)
    sums = np.stack([np.bincount(code[finite], one, minlength=dates) for one in weights], axis=1).astype(np.float64)
    inside = _windows(sums, sessions)
    rest = sums.sum(axis=0) - inside
    with np.errstate(all="ignore"):
        (mean, deviation), (rest_mean, rest_deviation) = _mean_deviation(inside), _mean_deviation(rest)
        shift = mean - rest_mean
        spread = np.log(deviation / rest_deviation)
    usable = np.isfinite(shift) & np.isfinite(spread)
    if usable.mean() < 0.5:
        return [(SHIFT, np.where(np.isfinite(shift), shift, 0.0), float(recent.mean()))]
    # what does not vary within a window (a month) says nothing of its spread
    spread = np.where(usable, spread, np.median(spread[usable]))
    now = float(np.log(max(float(recent.std()), 1e-12)))
    return [(SHIFT, np.where(np.isfinite(shift), shift, 0.0), float(recent.mean())), (SPREAD, spread, now)]


def _mean_deviation(sums: Float64) -> tuple[Float64, Float64]:
    mean = sums[:, 1] / sums[:, 0]
    return mean, np.sqrt(np.maximum(sums[:, 2] / sums[:, 0] - mean**2, 0.0))


def _windows(daily: Float64, sessions: int) -> Float64:
    """Sums over every run of `sessions` rows of [dates, k]: [dates - sessions + 1, k]."""
    added = np.concatenate([np.zeros((1, daily.shape[1])), daily.cumsum(axis=0)])
    return np.asarray(added[sessions:] - added[:-sessions])


def _plain(kind: str, scaled: float) -> float:
    """A distance in its own unit, from the scale on which windows look normal."""
    if kind == SHIFT:
        return scaled
    if kind == _CATEGORIES:
        return float(min(max(scaled, 0.0), 1e3) ** 3)
    if kind == KS:
        return float(-math.expm1(-math.exp(min(scaled, 50.0))))
    return float(math.exp(min(scaled, 50.0)))


def edges_of(values: Float64, cells: int) -> Float64:
    """Distinct quantiles of the known values that split them into `cells` parts: ascending. A value that is several of them (a weekday's,
    a constant) gets a cell of its own, so that what lies just below it is told apart.
    """
    finite = values[~np.isnan(values)]
    if not len(finite):
        return np.empty(0)
    cuts, times = np.unique(np.quantile(finite, np.arange(1, cells) / cells, method="inverted_cdf"), return_counts=True)
    return np.union1d(cuts, np.nextafter(cuts[times > 1], -np.inf))


def cells_of(values: Float64, edges: Float64) -> NDArray[np.int64]:
    """The cell of each value: int64, [n]; cell k ends at edges[k], which belongs to it, and the last is for what is missing."""
    cells = np.searchsorted(edges, values, side="left")
    cells[np.isnan(values)] = len(edges) + 1
    return np.asarray(cells, dtype=np.int64)


def log_psi(inside: Float64, rest: Float64) -> Float64:
    """Log of the PSI of counts, [n, cells]: sum over cells of (p - q) * log(p / q), with PRIOR more in every cell that is used."""
    used = (inside.sum(axis=0) > 0) | (rest.sum(axis=0) > 0)
    inside, rest = inside[:, used] + PRIOR, rest[:, used] + PRIOR
    p, q = inside / inside.sum(axis=1, keepdims=True), rest / rest.sum(axis=1, keepdims=True)
    return np.asarray(np.log(np.maximum(((p - q) * np.log(p / q)).sum(axis=1), 1e-9)))


def _root_psi(inside: Float64, rest: Float64) -> Float64:
    """The cube root of the PSI: close to normal however few the cells are (Wilson and Hilferty, 1931, of chi-squared)."""
    return np.asarray(np.exp(log_psi(inside, rest) / 3))


def _told(kind: str) -> str:
    """The distance's name for readers."""
    return PSI if kind == _CATEGORIES else kind


def _ks(inside: Float64, rest: Float64) -> Float64:
    """log(-log(1 - KS)) of counts, [n, cells]: near 1 there is room for more, and below it is close to the logarithm.

    What is missing counts as beyond the largest value.
    """
    p = inside.cumsum(axis=1) / np.maximum(inside.sum(axis=1, keepdims=True), 1.0)
    q = rest.cumsum(axis=1) / np.maximum(rest.sum(axis=1, keepdims=True), 1.0)
    distance = np.clip(np.abs(p - q).max(axis=1), 1e-6, 1.0 - 1.0 / GRID)
    return np.asarray(np.log(-np.log1p(-distance)))
