"""Historical simulation, plain and filtered: the next increment is drawn from the last ones."""

from __future__ import annotations

from typing import ClassVar, Literal, cast

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.errors import FitFailure
from finflow.models.risk.filtered import Asymmetry, FilteredModel, fit_filter, known_increments, variance_path
from finflow.models.samples import Float64, Samples


class HistoricalSimulationSettings(ModelSettings):
    """How long the history is, and whether it is brought to today's volatility."""

    days: int = Field(default=500, ge=50, le=5000, description="increments that the quantiles are taken of")
    filter: Literal["none", "ewma", "garch"] = Field(
        default="none",
        description="none: as they came; ewma, garch: each over the volatility expected for its day, times that expected for the next",
    )
    decay: float = Field(default=0.94, gt=0, lt=1, description="of the ewma filter: weight of yesterday's estimate")
    asymmetry: Asymmetry = Field(default="none", description="of the garch filter: after which increments variance rises by more")
    warm_up: int = Field(default=250, ge=0, le=5000, description="increments before the history that the filter starts on")


class HistoricalSimulation(FilteredModel):
    """The empirical quantiles of the last `days` increments up to the sample's own; a young entity has fewer.

    Filtered: Hull and White (1998), Barone-Adesi, Giannopoulos and Vosper (1999). Only the filter is fitted; the history moves with the
    sample. EWMA takes increments as they are, GARCH takes its mean off and puts it back.
    """

    Settings: ClassVar[type[ModelSettings]] = HistoricalSimulationSettings
    family: ClassVar[str] = "historical simulation"

    @property
    def context(self) -> int:
        settings = cast(HistoricalSimulationSettings, self.settings)
        return max(self.task.length, settings.days + (0 if settings.filter == "none" else settings.warm_up))

    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        settings = cast(HistoricalSimulationSettings, self.settings)
        assert self.task.increment is not None
        if settings.filter == "garch":
            return fit_filter(samples, self.task.increment, settings.asymmetry)
        variance = float(known_increments(samples, self.task.increment).var())
        if not variance > 0:
            raise FitFailure(f"column {self.task.increment!r} does not vary over the training samples: there is nothing to simulate")
        smoothing = [0.0, 0.0, 1.0 - settings.decay, settings.decay, 0.0, 0.0]
        return {"parameters": np.array(smoothing), "start": np.array([variance])}, {}

    def quantiles(self, increments: Float64, state: dict[str, Float64]) -> Float64:
        settings = cast(HistoricalSimulationSettings, self.settings)
        if settings.filter == "none":
            return _quantiles(increments[:, -settings.days :], self.task.levels)
        deviation = np.sqrt(variance_path(increments, state["parameters"], float(state["start"][0])))
        mean = state["parameters"][0]
        shocks = ((increments - mean) / deviation[:, :-1])[:, -settings.days :]
        return mean + deviation[:, -1:] * _quantiles(shocks, self.task.levels)


def _quantiles(values: Float64, levels: tuple[float, ...]) -> Float64:
    """float64, [n, levels]: the empirical quantiles of each row's finite values, between two by a line (Hyndman and Fan's seventh)."""
    quantiles = np.full((len(values), len(levels)), np.nan)
    finite = np.isfinite(values)
    whole = finite.all(axis=1)
    if whole.any():
        quantiles[whole] = np.quantile(values[whole], levels, axis=1).T
    for row in np.flatnonzero(~whole & finite.any(axis=1)):
        quantiles[row] = np.quantile(values[row, finite[row]], levels)
    return quantiles
