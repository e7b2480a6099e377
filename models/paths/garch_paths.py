"""Paths of a GJR-GARCH model with skewed t errors, from the volatility of the sample's own past."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.paths.paths import LARGEST_STEP, PathModel, generators, training_series
from finflow.models.risk.filtered import variance_path
from finflow.models.samples import Float64, Samples
from finflow.models.variances.garch import fit_garch


class GarchPathsSettings(ModelSettings):
    """Which recursion, and how much of the past the filter reads."""

    asymmetric: bool = Field(default=True, description="GJR: a fall raises the variance by more than a rise; false: plain GARCH")
    context: int = Field(default=500, ge=50, le=5000, description="past increments that the filter runs over")
    seed: int = Field(default=0, ge=0, description="of the draws")


class GarchPaths(PathModel):
    """GARCH(1,1) (Bollerslev 1986), or GJR's (Glosten, Jagannathan and Runkle 1993), with Hansen's (1994) skewed t errors, by `arch`.

    One set of parameters for all entities, fitted to their increments one after the other, on the training part. The filter runs over the
    sample's past without a refit, and the recursion goes on with drawn shocks.
    """

    Settings: ClassVar[type[ModelSettings]] = GarchPathsSettings
    family: ClassVar[str] = "garch"

    @property
    def context(self) -> int:
        return max(self.task.length, cast(GarchPathsSettings, self.settings).context)

    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        increments = np.concatenate(list(training_series(samples, self.task).values()))
        asymmetric = cast(GarchPathsSettings, self.settings).asymmetric
        (mean, omega, alpha, gamma, beta), shape, converged = fit_garch(increments, asymmetric, skewed=True)
        state = {
            "parameters": np.array([mean, omega, alpha, beta, gamma, 0.0]),
            "shape": np.array(shape),
            "start": np.array([increments.var()]),
        }
        names = ("mean", "omega", "alpha", "gamma", "beta", "degrees_of_freedom", "skew")
        notes = dict(zip(names, (mean, omega, alpha, gamma, beta, *shape), strict=True))
        return state, {**notes, "converged": converged, "increments": len(increments)}

    def steps(self, past: Float64, state: dict[str, Float64]) -> Float64:
        from arch.univariate import SkewStudent

        mean, omega, alpha, beta, falls, _ = state["parameters"]
        law, shape = SkewStudent(), state["shape"]
        settings = cast(GarchPathsSettings, self.settings)
        paths, outputs = self.task.paths, self.task.outputs
        uniform = np.stack([generator.random((paths, outputs)) for generator in generators(past, settings.seed)])
        shocks = np.asarray(law.ppf(uniform.ravel(), shape)).reshape(uniform.shape)
        start = float(state["start"][0])
        variance = np.repeat(variance_path(past, state["parameters"], start)[:, -1:], paths, axis=1)
        steps = np.empty(shocks.shape)
        limit = LARGEST_STEP**2 * start
        for step in range(outputs):
            drawn = np.sqrt(variance) * shocks[:, :, step]
            steps[:, :, step] = mean + drawn
            variance = np.minimum(omega + (alpha + falls * (drawn < 0)) * drawn**2 + beta * variance, limit)
        return steps
