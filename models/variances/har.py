"""HAR: tomorrow's variance from the past day's, week's and month's (Corsi 2009: A simple approximate long-memory model)."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.samples import Float64, Samples
from finflow.models.variances.har_regression import CONTEXT, Form, HarRegression
from finflow.models.variances.variance import VarianceModel


class HarSettings(ModelSettings):
    """Which of the three regressions."""

    form: Form = Field(
        default="log_har_leverage", description="har: in variances; log_har: in logarithms; log_har_leverage: and past negative returns"
    )


class Har(VarianceModel):
    """See models/variances/har_regression.py. Each output has a regression of its own (a direct forecast)."""

    Settings: ClassVar[type[ModelSettings]] = HarSettings
    family: ClassVar[str] = "har"

    @property
    def context(self) -> int:
        return max(self.task.length, CONTEXT)

    @property
    def form(self) -> str:
        return cast(HarSettings, self.settings).form

    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        regression = HarRegression.fit(self.form, samples, self.task)
        return regression.state(), {"coefficients": regression.coefficients.tolist(), "smearing": np.exp(regression.shift).tolist()}

    def variances(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        return np.exp(HarRegression.from_state(self.form, state).log_forecast(samples, self.task))
