"""Calibration: a map from a model's own probability of the last of two classes to one that comes true as often as it says.

It is fitted on a slice of the data that the model was not fitted on, and that is later than what it was. Platt (1999): a logistic curve of
the log odds. Isotonic: the best rising step function (Zadrozny and Elkan, 2002), by scikit-learn.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.errors import FitFailure
from finflow.models.samples import Float64, Samples

Method = Literal["none", "platt", "isotonic"]

#: a calibration slice with fewer samples of a class says too little
FEWEST = 10
#: probabilities stay this far from 0 and 1, so that no single answer costs an infinite loss
EDGE = 1e-6


class Calibration(ModelSettings):
    """How a model's probabilities are calibrated, and on which part of the validation part."""

    method: Method = Field(default="platt", description="none, platt (a logistic curve) or isotonic (a rising step function)")
    share: float = Field(
        default=0.5, gt=0, lt=1, description="the later part of the validation part that the curve is fitted on; the rest chooses and stops"
    )
    slope_spread: float | None = Field(
        default=0.25,
        gt=0,
        le=100,
        description="of platt: how far its slope is thought to be from 1 before the slice is seen (a normal prior); none: any is as likely",
    )


def split_validation(validation: Samples, calibration: Calibration) -> tuple[Samples, Samples]:
    """The part that chooses and stops, and the later one that calibrates; both are the whole part where nothing is calibrated.

    A date is in one of them. Where all samples are of one date there is no later part: they are then dealt out in turn, class by class.

    Raises:
        FitFailure: there is nothing to split.
    """
    if calibration.method == "none":
        return validation, validation
    days = validation.index.time.astype("datetime64[D]")
    dates, counts = np.unique(days, return_counts=True)
    if len(dates) > 1:
        before = np.cumsum(counts) <= (1 - calibration.share) * len(days)
        first_late = dates[max(int(before.sum()), 1)]
        late = days >= first_late
    else:
        order = np.lexsort((np.arange(len(days)), validation.targets[:, 0]))
        late = np.zeros(len(days), dtype=bool)
        late[order] = np.diff(np.floor(np.arange(len(days) + 1) * calibration.share)) > 0
    if not late.any() or late.all():
        raise FitFailure(f"the validation part of {len(days)} samples cannot be split for a calibration: give it more, or `method: none`")
    return validation.take(~late), validation.take(late)


def fit_calibration(method: Method, probability: Float64, code: NDArray[np.int64], slope_spread: float | None = None) -> dict[str, Float64]:
    """The fitted map, as arrays by name: none; `slope` and `intercept`; or `x` and `y`.

    With `slope_spread` the slope of `platt` has a normal prior about 1. A dozen events say next to nothing about a slope: without a prior
    those of slices with fifteen of them ranged from .1 to 2.5. The intercept, a slice's own base rate, has none.

    Args:
        probability: float64, [n]; the model's, of the last class.
        code: int64, [n]; 1 where it came.

    Raises:
        FitFailure: a class is hardly there.
    """
    if method == "none":
        return {}
    fewest = min(int((code == 1).sum()), int((code == 0).sum()))
    if fewest < FEWEST:
        raise FitFailure(
            f"the calibration slice of {len(code)} samples has {fewest} of one class, at least {FEWEST} are needed: lengthen the "
            "validation part, or set calibration.method to none"
        )
    if method == "isotonic":
        from sklearn.isotonic import IsotonicRegression

        isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(probability, code)
        x, y = np.asarray(isotonic.X_thresholds_, dtype=np.float64), np.asarray(isotonic.y_thresholds_, dtype=np.float64)
        return {"x": x, "y": y}
    slope, intercept = _platt(log_odds(probability), code, 0.0 if slope_spread is None else 1 / slope_spread**2)
    return {"slope": np.array([slope]), "intercept": np.array([intercept])}


def check_calibration(method: Method, state: dict[str, NDArray]) -> None:
    """See that arrays are a map that `fit_calibration` could have given for this method: without them a model would answer uncalibrated.

    Raises:
        ValueError: they are not.
    """
    names = {"none": set(), "platt": {"slope", "intercept"}, "isotonic": {"x", "y"}}[method]
    sound = set(state) == names and all(array.dtype == np.float64 and np.isfinite(array).all() for array in state.values())
    if sound and method == "platt":
        sound = all(array.shape == (1,) for array in state.values()) and state["slope"][0] >= 0
    if sound and method == "isotonic":
        x, y = state["x"], state["y"]
        sound = x.ndim == 1 and x.shape == y.shape and len(x) > 0 and bool((np.diff(x) > 0).all() and (np.diff(y) >= 0).all())
    if not sound:
        raise ValueError(f"the calibration's arrays {sorted(state)} are not those of the method {method!r}: the file is damaged")


def calibrated(state: dict[str, Float64], probability: Float64) -> Float64:
    """The calibrated probabilities, float64, [n], within [EDGE, 1 - EDGE]; a value's bits depend on that value alone."""
    if "x" in state:
        moved = np.interp(probability, state["x"], state["y"])
    elif "slope" in state:
        moved = logistic_curve(state["slope"][0] * log_odds(probability) + state["intercept"][0])
    else:
        moved = probability
    return np.clip(moved, EDGE, 1 - EDGE)


def log_odds(probability: Float64) -> Float64:
    """log(p / (1 - p)), of probabilities kept within [EDGE, 1 - EDGE]."""
    kept = np.clip(probability.astype(np.float64), EDGE, 1 - EDGE)
    return np.log(kept) - np.log1p(-kept)


def logistic_curve(score: Float64) -> Float64:
    """1 / (1 + exp(-score)), float64, without overflow: the inverse of `log_odds`."""
    small = np.exp(-np.abs(score))
    return np.where(score >= 0, 1.0, small) / (1 + small)


def _platt(score: Float64, code: NDArray[np.int64], prior: float) -> tuple[float, float]:
    """Slope and intercept of greatest likelihood, with Platt's softened targets, by Newton's method; `prior` is the weight that the slope's
    squared distance from 1 has.

    The slope is never below 0: on a small slice chance would turn a model's order round, and its reasons with it. Where it would be, the
    curve is flat at the slice's own rate.
    """
    ones, zeros = float((code == 1).sum()), float((code == 0).sum())
    target = np.where(code == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    inputs = np.column_stack([score, np.ones(len(score))])
    weights = np.array([1.0, 0.0])
    penalty = np.array([prior, 0.0])

    def loss(at: Float64) -> float:
        logit = inputs @ at
        return float((np.logaddexp(0, logit) - target * logit).sum()) + prior * (at[0] - 1) ** 2 / 2

    for _ in range(100):
        expected = logistic_curve(inputs @ weights)
        gradient = inputs.T @ (expected - target) + penalty * (weights - 1)
        curvature = inputs.T @ (inputs * (expected * (1 - expected))[:, None]) + np.diag(penalty + 1e-9)
        step, size = np.linalg.solve(curvature, gradient), 1.0
        while loss(weights - size * step) > loss(weights) and size > 1e-8:
            size /= 2
        weights = weights - size * step
        if np.abs(size * step).max() < 1e-9:
            break
    if weights[0] < 0:
        rate = np.array([target.mean()])
        return 0.0, float(log_odds(rate)[0])
    return float(weights[0]), float(weights[1])
