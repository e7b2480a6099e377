"""The regression behind HAR and its logarithmic forms, as a thing of its own: a network can stand on its forecast."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np

from finflow.models.base import Task
from finflow.models.errors import FitFailure
from finflow.models.reading import chunks
from finflow.models.samples import Float64, Samples
from finflow.models.variances.variance import past_log_variance, past_moves

Form = Literal["har", "log_har", "log_har_leverage"]
#: a day, a week, a month
SPANS = (1, 5, 22)
CONTEXT = max(SPANS)


@dataclass(frozen=True, eq=False)
class HarRegression:
    """A fitted regression of each output on the past day's, week's and month's mean variance.

    `har` (Corsi, 2009) is linear in variances; its forecast is kept within the range of the training targets, since a line can fall below
    nought (the filter of Swanson and White, 1997). `log_har` takes logarithms of both sides, and `log_har_leverage` adds the past
    day's, week's and month's mean return where it is negative (Corsi and Reno, 2012). A logarithm's mean is not the mean's logarithm:
    the forecast is exp(fitted) times the training mean of exp(residual) (smearing, Duan 1983), which is also the factor that
    minimises QLIKE there, and, unlike exp(half the residual variance), asks for no normal residuals.

    Attributes:
        coefficients: float64, [outputs, 1 + terms]; the intercept first.
        shift: float64, [outputs]; the logarithm of the smearing factor (0 for `har`).
        low, high: float64, [outputs]; logarithms of the smallest and the largest training target.
    """

    form: str
    coefficients: Float64
    shift: Float64
    low: Float64
    high: Float64

    @classmethod
    def fit(cls, form: str, samples: Samples, task: Task) -> Self:
        """Least squares over labelled samples, entities pooled.

        Raises:
            FitFailure: fewer samples than coefficients, or a target or a term that is not finite and positive.
        """
        terms = np.concatenate([har_terms(form, part, task) for part in chunks(samples)])
        targets = samples.targets.astype(np.float64)
        if len(terms) <= terms.shape[1]:
            raise FitFailure(f"{len(terms)} training samples are too few for the {terms.shape[1]} coefficients of {form}")
        if not (targets > 0).all() or not np.isfinite(terms).all():
            raise FitFailure(
                "a training target or a past variance is not finite and positive: look at the problem's estimator and its floor"
            )
        logs = np.log(targets)
        outcome = targets if form == "har" else logs
        coefficients = np.linalg.lstsq(terms, outcome, rcond=None)[0]
        smear = np.zeros(task.outputs) if form == "har" else np.log(np.exp(logs - terms @ coefficients).mean(axis=0))
        return cls(form, np.ascontiguousarray(coefficients.T), smear, logs.min(axis=0), logs.max(axis=0))

    def log_forecast(self, samples: Samples, task: Task) -> Float64:
        """float64, [n, outputs]: the logarithm of the expected variance. A row's bits depend on that row alone."""
        answer = np.empty((len(samples), task.outputs))
        start = 0
        for part in chunks(samples):
            terms = har_terms(self.form, part, task)
            for output, coefficients in enumerate(self.coefficients):
                # a sum along each row, not a matrix product, whose bits would depend on the number of rows
                fitted = (terms * coefficients).sum(axis=1)
                if self.form == "har":
                    fitted = np.log(np.clip(fitted, np.exp(self.low[output]), np.exp(self.high[output])))
                answer[start : start + len(part), output] = fitted + self.shift[output]
            start += len(part)
        return answer

    def state(self) -> dict[str, Float64]:
        """What `from_state` needs, as arrays."""
        return {name: getattr(self, name) for name in ("coefficients", "shift", "low", "high")}

    @classmethod
    def from_state(cls, form: str, state: Mapping[str, Float64]) -> Self:
        """Raises ValueError: an array is missing."""
        absent = [name for name in ("coefficients", "shift", "low", "high") if name not in state]
        if absent:
            raise ValueError(f"the saved regression has no {', '.join(absent)}")
        return cls(form, **{name: state[name] for name in ("coefficients", "shift", "low", "high")})


def har_terms(form: str, samples: Samples, task: Task) -> Float64:
    """float64, [n, 1 + terms]: one, then the mean variance of day, week and month, then (with leverage) their mean returns below nought."""
    variances = np.exp(past_log_variance(samples, task, CONTEXT))
    means = [_mean(variances[:, -span:]) for span in SPANS]
    columns = [np.ones(len(samples)), *(means if form == "har" else [np.log(mean) for mean in means])]
    if form == "log_har_leverage":
        moves = past_moves(samples, task, CONTEXT)
        columns += [np.minimum(_mean(moves[:, -span:]), 0.0) for span in SPANS]
    return np.column_stack(columns)


def _mean(values: Float64) -> Float64:
    """float64, [n]: of what is there; a row's newest value always is."""
    finite = np.isfinite(values)
    return np.where(finite, values, 0.0).sum(axis=1) / finite.sum(axis=1)
