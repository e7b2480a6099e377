"""Quantiles of a GARCH model with Student's t errors."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.risk.filtered import Asymmetry, FilteredModel, fit_filter, variance_path
from finflow.models.samples import Float64, Samples


class GarchTSettings(ModelSettings):
    """Which recursion, and how much of the past the filter reads."""

    asymmetry: Asymmetry = Field(
        default="none",
        description="after which increments variance rises by more (of losses: rises); none: plain GARCH",
    )
    context: int = Field(default=500, ge=50, le=5000, description="past increments that the filter runs over")


class GarchT(FilteredModel):
    """GARCH(1,1) with t errors (Bollerslev 1987), or GJR's (Glosten, Jagannathan and Runkle 1993): one of the strongest simple models of
    daily risk. Fitted on the training part by maximum likelihood; the filter runs on over later increments without a refit."""

    Settings: ClassVar[type[ModelSettings]] = GarchTSettings
    family: ClassVar[str] = "garch"

    @property
    def context(self) -> int:
        return max(self.task.length, cast(GarchTSettings, self.settings).context)

    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        assert self.task.increment is not None
        return fit_filter(samples, self.task.increment, cast(GarchTSettings, self.settings).asymmetry)

    def quantiles(self, increments: Float64, state: dict[str, Float64]) -> Float64:
        from scipy.stats import t as student

        freedom = float(state["freedom"][0])
        # a t distribution of `freedom` degrees has variance freedom / (freedom - 2); the filter speaks of variances
        shocks = student.ppf(np.asarray(self.task.levels), freedom) * np.sqrt((freedom - 2.0) / freedom)
        variance = variance_path(increments, state["parameters"], float(state["start"][0]))[:, -1:]
        return np.asarray(state["parameters"][0] + np.sqrt(variance) * shocks)
