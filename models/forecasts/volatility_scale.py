"""The spread that every classical model puts around its location forecast: residual quantiles that move with volatility.

A sample's scale is s, with s^2 = (1 - w) * training variance + w * EWMA of the past squared increments (RiskMetrics, J.P. Morgan 1996,
decay 0.94). The residuals divided by their scale give one set of quantiles an output; w is the one of a few whose quantiles had the
smallest pinball loss on the training samples (filtered historical simulation, Barone-Adesi, Giannopoulos and Vosper 1999).
Everything is pooled over entities, because a served model is asked about windows alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings, Prediction, Task
from finflow.models.errors import FitFailure
from finflow.models.reading import CHUNK, chunks, known_rows, past
from finflow.models.samples import Float64, Samples

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: a scale never falls below a tenth of the training standard deviation: a suspended share has no spread of zero tomorrow
FLOOR = 0.01


class SpreadSettings(ModelSettings):
    """What all classical models let a person set."""

    context: int = Field(default=250, ge=1, le=5000, description="past observations that the volatility filter reads")
    decay: float = Field(default=0.94, gt=0, lt=1, description="weight of yesterday's estimate in the volatility filter")


def pinball(errors: Float64, levels: tuple[float, ...]) -> Float64:
    """The quantile loss of errors [..., levels] (target minus quantile): float64 of that shape (Koenker and Bassett 1978)."""
    level = np.asarray(levels)
    return np.maximum(level * errors, (level - 1.0) * errors)


@dataclass(frozen=True, eq=False)
class Spread:
    """A fitted spread.

    Attributes:
        quantiles: float64, [outputs, levels]; of the residuals divided by their scale, ascending.
        centre, variance: mean and variance of the training increments (0 and 1 without increments).
        weight: w above; 0 without increments.
    """

    quantiles: Float64
    centre: float
    variance: float
    weight: float

    def scale(self, samples: Samples, task: Task, settings: SpreadSettings) -> Float64:
        """The scale of each sample: float64, [n]; 1 where the task has no increments. A row's bits depend on that row alone."""
        if task.increment is None:
            return np.ones(len(samples))
        if self.weight == 0.0:
            return np.full(len(samples), np.sqrt(self.variance))
        recent = moving_variance(past(samples, task.increment, settings.context), self.centre, self.variance, settings.decay)
        return _mixed(recent, self.variance, self.weight)

    def around(self, location: Float64, scale: Float64, levels: tuple[float, ...]) -> Prediction:
        """Quantiles around locations [n, outputs] with scales [n]."""
        values = location[:, :, None] + scale[:, None, None] * self.quantiles
        return Prediction("quantiles", values.astype(np.float32), levels)

    def state(self) -> dict[str, Float64]:
        """What `from_state` needs, as arrays."""
        numbers = {"centre": self.centre, "variance": self.variance, "weight": self.weight}
        return {"quantiles": self.quantiles, **{name: np.array([value]) for name, value in numbers.items()}}

    @classmethod
    def from_state(cls, state: Mapping[str, Float64]) -> Self:
        return cls(state["quantiles"], *(float(state[name][0]) for name in ("centre", "variance", "weight")))


def moving_variance(increments: Float64, centre: float, otherwise: float, decay: float) -> Float64:
    """Exponentially weighted mean of squared deviations along [n, length], oldest first: float64, [n].

    Missing increments (NaN) count nothing; a row without any gets `otherwise`.
    """
    weights = decay ** np.arange(increments.shape[1] - 1, -1, -1, dtype=np.float64)
    finite = np.isfinite(increments)
    squares = np.where(finite, increments - centre, 0.0) ** 2
    total = (finite * weights).sum(axis=1)
    mean = (squares * weights).sum(axis=1) / np.where(total > 0, total, 1.0)
    return np.where(total > 0, mean, otherwise)


def _mixed(recent: Float64, variance: float, weight: float) -> Float64:
    return np.sqrt(np.maximum((1.0 - weight) * variance + weight * recent, FLOOR * variance))


def fit_spread(samples: Samples, residuals: Float64, task: Task, settings: SpreadSettings) -> Spread:
    """Fit the spread of residuals (target minus location), float64, [n, outputs], of labelled samples.

    Raises:
        FitFailure: residuals that are not finite, or increments that do not vary.
    """
    if not np.isfinite(residuals).all():
        raise FitFailure("the location forecast of the training samples is not finite: look at the values of the features and the targets")
    if task.increment is None:
        return Spread(np.quantile(residuals, task.levels, axis=0).T, centre=0.0, variance=1.0, weight=0.0)
    centre, variance = _moments(samples, task.increment)
    recent = np.concatenate(
        [moving_variance(past(part, task.increment, settings.context), centre, variance, settings.decay) for part in chunks(samples)]
    )
    best: tuple[float, Spread] | None = None
    for weight in WEIGHTS:
        scale = _mixed(recent, variance, weight)
        spread = Spread(np.quantile(residuals / scale[:, None], task.levels, axis=0).T, centre, variance, weight)
        loss = 0.0
        for start in range(0, len(residuals), CHUNK):
            here = slice(start, start + CHUNK)
            errors = residuals[here, :, None] - scale[here, None, None] * spread.quantiles
            loss += float(pinball(errors, task.levels).sum())
        if best is None or loss < best[0]:
            best = loss, spread
    assert best is not None
    return best[1]


def _moments(samples: Samples, column: str) -> tuple[float, float]:
    """Mean and variance of a column over the rows that these samples may read, entities pooled."""
    rows = np.concatenate(known_rows(samples))
    values = samples.observations.values[rows, samples.column(column)].astype(np.float64)
    values = values[np.isfinite(values)]
    variance = float(values.var()) if len(values) else 0.0
    if not np.isfinite(variance) or variance <= 0.0:
        raise FitFailure(f"column {column!r} does not vary over the training samples: there is nothing to forecast")
    return float(values.mean()), variance
