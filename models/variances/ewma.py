"""The exponentially weighted mean of past variances (RiskMetrics, J.P. Morgan 1996)."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.samples import Float64, Samples
from finflow.models.variances.variance import VarianceModel, past_log_variance


class EwmaSettings(ModelSettings):
    """How fast the past is forgotten."""

    context: int = Field(default=250, ge=1, le=5000, description="past observations that are read")
    decay: float = Field(default=0.94, gt=0, lt=1, description="weight of yesterday's estimate")


class Ewma(VarianceModel):
    """Flat over the horizon, as RiskMetrics has it. The mean is of the days' own variances, so that its level is the target's."""

    Settings: ClassVar[type[ModelSettings]] = EwmaSettings
    family: ClassVar[str] = "ewma"

    @property
    def context(self) -> int:
        return max(self.task.length, cast(EwmaSettings, self.settings).context)

    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        return {}, {}

    def variances(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        settings = cast(EwmaSettings, self.settings)
        values = np.exp(past_log_variance(samples, self.task, settings.context))
        weights = settings.decay ** np.arange(settings.context - 1, -1, -1, dtype=np.float64)
        finite = np.isfinite(values)
        mean = (np.where(finite, values, 0.0) * weights).sum(axis=1) / (finite * weights).sum(axis=1)
        return np.repeat(mean[:, None], self.task.outputs, axis=1)
