"""Calibration of a probability of the last of two classes: binned errors, and Cox's slope and intercept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from finflow.models.samples import Int64
from finflow.pipelines.problems.rank_scores import taken_at_top
from finflow.pipelines.statistics.metric_parts import Float64, MetricParts

#: where the calibration error's ten bins end, as parts of the samples: as many in each as equal scores allow
DECILES = tuple(number / 10 for number in range(1, 10))
#: probabilities are kept this far from 0 and 1 where their log odds are taken
EDGE = 1e-6


def equal_count_bins(probability: Float64, levels: Sequence[float] = DECILES) -> Int64:
    """int64, [n]: the bin of each probability, from 0 for the lowest: split at the sample's quantiles, deciles say, equal values together.

    Of few distinct values there are fewer bins; a constant is one.
    """
    if not len(probability):
        return np.zeros(0, dtype=np.int64)
    edges = np.unique(np.quantile(probability, levels, method="inverted_cdf"))
    return np.unique(np.searchsorted(edges, probability, side="left"), return_inverse=True)[1].astype(np.int64)


def calibration_error(probability: Float64, code: Int64) -> MetricParts:
    """Expected calibration error over ten bins of equal count: the sum over bins of |mean probability - part that came|, weighted by the
    samples in it (Naeini et al., 2015; equal counts: Nguyen and O'Connor, 2015). Bins are those of all samples, under every draw.

    It is never negative: a calibrated forecast has `chance_error` of it, and since draws add a chance of their own, its interval lies too
    high. Where few are of the last class, a constant passes it: read it beside `brier_skill` and `top_decile_error`.
    """
    missed, place = probability - code, equal_count_bins(probability)
    components = tuple(np.where(place == number, missed, 0.0) for number in range(int(place.max(initial=0)) + 1))

    def combine(*means: Float64) -> Float64:
        return np.asarray(sum(np.abs(mean) for mean in means))

    return MetricParts("calibration_error", components, combine, "lower", pooled=True)


def chance_error(probability: Float64) -> MetricParts:
    """`calibration_error_chance`: what the calibration error of a calibrated forecast is in the mean, if rows are independent: the bins'
    mean absolute deviations of a normal of variance p (1 - p). It is what a calibration error is to be read against."""
    variance, place = probability * (1.0 - probability), equal_count_bins(probability)
    components = tuple(np.where(place == number, variance, 0.0) for number in range(int(place.max(initial=0)) + 1))

    def combine(*means: Float64) -> Float64:
        return np.asarray(sum(np.sqrt(2.0 / np.pi * np.maximum(mean, 0.0) / len(probability)) for mean in means))

    return MetricParts("calibration_error_chance", components, combine, "target", None, pooled=True)


def top_decile_error(probability: Float64, code: Int64) -> MetricParts:
    """Mean probability minus the part that came, among the tenth with the highest probabilities: above 0, the riskiest are overrated.

    Where equal probabilities straddle its border, each has the same part in it.
    """
    count = max(1, round(len(probability) / 10))
    taken = taken_at_top(probability, np.zeros(len(probability), dtype=np.int64), count)

    def combine(missed: Float64, held: Float64) -> Float64:
        return np.asarray(np.divide(missed, held))

    return MetricParts("top_decile_error", (taken * (probability - code), taken), combine, "target", 0.0, pooled=True)


def cox_metrics(probability: Float64, code: Int64) -> list[MetricParts]:
    """`calibration_slope` and `calibration_intercept` of the outcome on the forecast's log odds (Cox, 1958): 1 and 0 are right.

    A slope below 1: probabilities are too far apart (overfitted); the intercept is calibration in the large, with the slope held at 1
    (Van Calster et al., 2016): below 0, probabilities are too high on the whole. Neither is a function of means: each is given by its
    influence values (Huber, 1967), exact at the samples and to first order under a draw. No value where it cannot be had: one class alone,
    classes that a probability separates, and for the slope a constant forecast.
    """
    logit = np.log(np.clip(probability, EDGE, 1 - EDGE)) - np.log1p(-np.clip(probability, EDGE, 1 - EDGE))
    ones = np.ones(len(logit))
    slope, slope_influence = _logistic(np.column_stack([ones, logit]), np.zeros(len(logit)), code)
    intercept, influence = _logistic(ones[:, None], logit, code)
    return [
        MetricParts("calibration_slope", (slope_influence[:, -1],), _added(slope[-1]), "target", 1.0, pooled=True),
        MetricParts("calibration_intercept", (influence[:, -1],), _added(intercept[-1]), "target", 0.0, pooled=True),
    ]


def _added(value: float) -> Callable[[Float64], Any]:
    def combine(influence: Float64) -> Float64:
        return np.asarray(value + influence)

    return combine


def _logistic(inputs: Float64, offset: Float64, code: Int64) -> tuple[Float64, Float64]:
    """Coefficients of greatest likelihood by Newton's method, [k], and each sample's influence on them, [n, k]; NaN where there is none."""
    width = inputs.shape[1]
    nothing = np.full(width, np.nan), np.full((len(inputs), width), np.nan)
    if not 0 < code.sum() < len(code) or (width > 1 and np.ptp(inputs[:, -1]) == 0.0):
        return nothing
    at = np.zeros(width)
    for _ in range(60):
        with np.errstate(over="ignore"):
            expected = 1.0 / (1.0 + np.exp(-(inputs @ at + offset)))
        curvature = inputs.T @ (inputs * (expected * (1.0 - expected))[:, None]) / len(inputs)
        # an all but flat likelihood: separated classes, whose slope has no end
        if not np.isfinite(curvature).all() or np.linalg.cond(curvature) > 1e12:
            return nothing
        scores = inputs * (code - expected)[:, None]
        step = np.linalg.solve(curvature, scores.mean(axis=0))
        if np.abs(step).max() < 1e-10:
            return at, np.asarray(np.linalg.solve(curvature, scores.T).T, dtype=np.float64)
        at = at + np.clip(step, -5.0, 5.0)
    return nothing
