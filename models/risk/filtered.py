"""Models of the next increment whose volatility comes from a filter over the past ones: its parameters, its path, how they are kept."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

import numpy as np

from finflow.models.arrays import FittedTogether
from finflow.models.base import Prediction
from finflow.models.errors import FitFailure
from finflow.models.reading import known_rows, past
from finflow.models.samples import Float64, Samples
from finflow.models.variances.garch import fit_garch

#: increments below which no GARCH is fitted
FEWEST = 250
Asymmetry = Literal["none", "rises", "falls"]


class FilteredModel(FittedTogether):
    """Quantiles of the next increment (a return, a loss). The state is one safetensors file of float64 arrays."""

    @abstractmethod
    def quantiles(self, increments: Float64, state: dict[str, Float64]) -> Float64:
        """float64, [n, levels], of the increment after the last of [n, context], oldest first, NaN before an entity's first row."""

    def answer(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        assert self.task.increment is not None
        return self.quantiles(past(samples, self.task.increment, self.context), state)[:, None]

    def check_task(self) -> None:
        task = self.task
        if task.kind != "quantiles" or task.increment is None or task.outputs != 1:
            raise FitFailure(
                f"{type(self).__name__} answers quantiles of the next increment (a return, a loss); this problem asks for {task.kind} of "
                f"{task.outputs} steps{'' if task.increment else ' and has no increments'}: leave it out of this definition"
            )

    def predict(self, samples: Samples) -> Prediction:
        return Prediction("quantiles", self.answers(samples, 1, len(self.task.levels)), self.task.levels)


def known_increments(samples: Samples, column: str) -> Float64:
    """Every finite increment that these samples may read, entity after entity: float64, [any]."""
    place = samples.column(column)
    parts = [samples.observations.values[own, place].astype(np.float64) for own in known_rows(samples)]
    return np.concatenate([part[np.isfinite(part)] for part in parts])


def fit_filter(samples: Samples, column: str, asymmetry: Asymmetry) -> tuple[dict[str, Float64], dict[str, object]]:
    """A GARCH(1,1) with t errors, or GJR's, fitted to the increments that these samples may read; entities one after the other.

    Args:
        asymmetry: after which increments variance rises by more; of losses that is after their rises.

    Returns:
        `parameters`: mean, omega, alpha, beta and the further weights of squared falls and rises; `freedom`: degrees of freedom;
        `start`: the increments' variance, float64, [1] each; and notes.

    Raises:
        FitFailure: too few increments, or none that vary.
    """
    increments = known_increments(samples, column)
    if len(increments) < FEWEST or not increments.std() > 0:
        raise FitFailure(f"{len(increments)} increments that vary are too few for a GARCH: it needs {FEWEST}")
    sign = -1.0 if asymmetry == "rises" else 1.0
    (mean, omega, alpha, gamma, beta), (freedom,), converged = fit_garch(sign * increments, asymmetry != "none")
    falls, rises = (gamma, 0.0) if sign > 0 else (0.0, gamma)
    state = {
        "parameters": np.array([sign * mean, omega, alpha, beta, falls, rises]),
        "freedom": np.array([freedom]),
        "start": np.array([increments.var()]),
    }
    names = ("mean", "omega", "alpha", "beta", "falls", "rises")
    notes = {**dict(zip(names, state["parameters"].tolist(), strict=True)), "degrees_of_freedom": freedom, "converged": converged}
    return state, {**notes, "observations": len(increments)}


def variance_path(increments: Float64, parameters: Float64, start: float) -> Float64:
    """float64, [n, length + 1]: the variance expected for each of [n, length] increments, oldest first, and for the one after the last.

    A missing increment (NaN) leaves the variance as it was. A row's bits depend on that row alone.

    Args:
        parameters: as `fit_filter` gives them.
        start: the variance expected for the first.
    """
    mean, omega, alpha, beta, falls, rises = parameters
    path = np.empty((len(increments), increments.shape[1] + 1))
    path[:, 0] = start
    for step in range(increments.shape[1]):
        shock = increments[:, step] - mean
        following = omega + (alpha + falls * (shock < 0) + rises * (shock > 0)) * shock**2 + beta * path[:, step]
        path[:, step + 1] = np.where(np.isfinite(shock), following, path[:, step])
    return path
