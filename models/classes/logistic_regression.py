"""Logistic regression with a squared penalty, by scikit-learn: solved, asked, and its penalty chosen. Only coefficients are kept of it."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from finflow.models.errors import FitFailure
from finflow.models.samples import Float64, Int64

#: of the gradient of the mean loss: scikit-learn's own, and one that does not leave rare categories short of their weights
LOOSE, TIGHT = 1e-4, 1e-6


def solve(
    inputs: Any, codes: Int64, classes: tuple[str, ...], strength: float, iterations: int, tolerance: float = LOOSE
) -> dict[str, Float64]:
    """`coefficients`, float64, [classes, inputs], and `intercept`, float64, [classes], not shrunk. Of two classes the first's are 0.

    Args:
        inputs: float64, [n, inputs]; scaled; an array, or a sparse matrix of scipy.
        codes: int64, [n]; the position of each sample's class.
        strength: inverse penalty (scikit-learn's C: it weighs the sum of the log losses against half the squared coefficients).
        iterations: of L-BFGS, at most.
        tolerance: the largest gradient of the mean loss that counts as none.

    Raises:
        FitFailure: a class is not there, or the solver did not converge.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    absent = [name for number, name in enumerate(classes) if not (codes == number).any()]
    if absent:
        raise FitFailure(f"no training sample is of class {', '.join(absent)}: give more history, or other labels")
    regression = LogisticRegression(C=strength, max_iter=iterations, tol=tolerance)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        try:
            regression.fit(inputs, codes)
        except ConvergenceWarning as warning:
            raise FitFailure(f"the logistic regression with c {strength:g} did not converge: raise `iterations` or lower `c`") from warning
    coefficients, intercept = np.asarray(regression.coef_, dtype=np.float64), np.asarray(regression.intercept_, dtype=np.float64)
    if len(coefficients) == 1:  # of two classes scikit-learn keeps the second's
        coefficients, intercept = np.vstack([np.zeros_like(coefficients), coefficients]), np.concatenate([[0.0], intercept])
    return {"coefficients": coefficients, "intercept": intercept}


def solve_rising(inputs: Float64, codes: Int64, classes: tuple[str, ...], strength: float, iterations: int) -> dict[str, Float64]:
    """As `solve`, for two classes, with no coefficient of the second below 0: inputs that get one are left out, and it is solved again.

    What is left out has the coefficient 0; without any input the base rate is left.
    """
    kept = np.arange(inputs.shape[1])
    rate = float((codes == 1).mean())
    alone = {"coefficients": np.zeros((2, 0)), "intercept": np.array([0.0, np.log(rate / (1 - rate))])}
    while len(kept):
        solution = solve(inputs[:, kept], codes, classes, strength, iterations, TIGHT)
        falling = solution["coefficients"][1] < 0
        if not falling.any():
            break
        kept = kept[~falling]
    else:
        solution = alone
    coefficients = np.zeros((2, inputs.shape[1]))
    coefficients[:, kept] = solution["coefficients"]
    return {"coefficients": coefficients, "intercept": solution["intercept"]}


def choose_strength(
    train: tuple[Any, Int64],
    asked: tuple[Any, Int64],
    classes: tuple[str, ...],
    strengths: Sequence[float],
    iterations: int,
    solver: Callable[..., dict[str, Float64]] = solve,
) -> float:
    """The inverse penalty with the least log loss on inputs and codes that the solver does not see."""
    inputs, came = asked
    losses = []
    for each in strengths:
        state = solver(*train, classes, each, iterations)
        of_target = softmax(np.asarray(inputs @ state["coefficients"].T + state["intercept"]))[np.arange(len(came)), came]
        losses.append(-float(np.log(np.maximum(of_target, 1e-12)).mean()))
    return strengths[int(np.argmin(losses))]


def scores(inputs: Float64, state: dict[str, Float64]) -> Float64:
    """float64, [n, classes]. A sum along each row, not a matrix product, whose bits would depend on the number of rows."""
    by_class = [(inputs * weights).sum(axis=1) + start for weights, start in zip(state["coefficients"], state["intercept"], strict=True)]
    return np.column_stack(by_class)


def softmax(scores: Float64) -> Float64:
    """float64, [n, classes]: probabilities of scores of that shape."""
    odds = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
