"""The last value: the best guess of the variance to come is today's."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from finflow.models.base import ModelSettings
from finflow.models.samples import Float64, Samples
from finflow.models.variances.variance import VarianceModel, past_log_variance


class LastVarianceSettings(ModelSettings):
    """There is nothing to set."""


class LastVariance(VarianceModel):
    """The day's own variance, for every output."""

    Settings: ClassVar[type[ModelSettings]] = LastVarianceSettings
    family: ClassVar[str] = "last variance"

    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        return {}, {}

    def variances(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        return np.repeat(np.exp(past_log_variance(samples, self.task, 1)), self.task.outputs, axis=1)
