"""The random walk: the best guess of tomorrow's price is today's."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import numpy as np

from finflow.models.base import ModelSettings
from finflow.models.forecasts.classical import Classical
from finflow.models.forecasts.volatility_scale import Spread, SpreadSettings
from finflow.models.samples import Float64, Samples


class RandomWalkSettings(SpreadSettings):
    """Only the volatility filter's."""


class RandomWalk(Classical):
    """Zero return at every horizon: the median is exactly 0. The other quantiles are those of past changes, scaled by volatility."""

    Settings: ClassVar[type[ModelSettings]] = RandomWalkSettings
    family: ClassVar[str] = "random walk"
    needs_increment: ClassVar[bool] = True

    def fit_location(self, samples: Samples) -> tuple[Float64, dict[str, object]]:
        return samples.targets.astype(np.float64), {}

    def location(self, samples: Samples) -> Float64:
        return np.zeros((len(samples), self.task.outputs))

    def shaped(self, spread: Spread) -> Spread:
        """The median is 0 by definition; a level below it must not lie above 0, nor one above it below."""
        levels = np.array(self.task.levels)
        quantiles = np.where(levels < 0.5, np.minimum(spread.quantiles, 0.0), np.maximum(spread.quantiles, 0.0))
        quantiles[:, self.task.levels.index(0.5)] = 0.0
        return replace(spread, quantiles=quantiles)
