"""What the classical models share: fitted on train and validation together, a location forecast, and a spread around it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self, cast

import numpy as np

from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from finflow.models.errors import FitFailure
from finflow.models.forecasts.volatility_scale import Spread, SpreadSettings, fit_spread
from finflow.models.reading import STATE, chunks, labelled_together
from finflow.models.samples import Float64, Samples


class Classical(Model):
    """A location forecast with the spread of models/forecasts/volatility_scale.py around it; the state is one safetensors file of float64
    arrays."""

    Settings: ClassVar[type[ModelSettings]] = SpreadSettings
    #: whether the location forecast reads the increments
    needs_increment: ClassVar[bool] = False

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.location_state: dict[str, Float64] = {}
        self.spread: Spread | None = None

    @property
    def context(self) -> int:
        if self.task.increment is None:
            return self.task.length
        return max(self.task.length, self._spread_settings.context)

    @property
    def _spread_settings(self) -> SpreadSettings:
        return cast(SpreadSettings, self.settings)

    @abstractmethod
    def fit_location(self, samples: Samples) -> tuple[Float64, dict[str, object]]:
        """Fill `location_state` from labelled samples.

        Returns:
            The residuals (target minus location) to take quantiles of, float64, [n, outputs], and notes for the report.
        """

    @abstractmethod
    def location(self, samples: Samples) -> Float64:
        """float64, [n, outputs]; a row's bits depend on that row alone."""

    def shaped(self, spread: Spread) -> Spread:
        """The spread as this model uses it."""
        return spread

    def check_task(self) -> None:
        """Refuse a task that this model cannot answer.

        Raises:
            FitFailure: the task asks for other than quantiles, or has no increments where the model needs them.
        """
        name = type(self).__name__
        if self.task.kind != "quantiles":
            raise FitFailure(
                f"{name} answers quantiles, and this problem asks for {self.task.kind}: leave the model out of this definition"
            )
        if self.needs_increment and self.task.increment is None:
            raise FitFailure(
                f"{name} needs targets that are sums of increments (a return), and this problem has none: use historical_mean instead"
            )

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        self.check_task()
        samples = labelled_together(train, validation)
        residuals, notes = self.fit_location(samples)
        self.spread = self.shaped(fit_spread(samples, residuals, self.task, self._spread_settings))
        parameters = sum(array.size for array in self.location_state.values()) + self.spread.quantiles.size
        return FitReport(parameters=parameters, notes={**notes, "samples": len(samples), "volatility_weight": self.spread.weight})

    def predict(self, samples: Samples) -> Prediction:
        if self.spread is None:
            raise RuntimeError("fit or load the model first")
        shape = (len(samples), self.task.outputs, len(self.task.levels))
        values = np.empty(shape, dtype=np.float32)
        start = 0
        for part in chunks(samples):
            scale = self.spread.scale(part, self.task, self._spread_settings)
            values[start : start + len(part)] = self.spread.around(self.location(part), scale, self.task.levels).values
            start += len(part)
        return Prediction("quantiles", values, self.task.levels)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        if self.spread is None:
            raise RuntimeError("fit or load the model first")
        spread = {f"spread.{name}": array for name, array in self.spread.state().items()}
        location = {f"location.{name}": array for name, array in self.location_state.items()}
        save_file({name: np.ascontiguousarray(array) for name, array in {**spread, **location}.items()}, folder / STATE)

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Self:
        from safetensors.numpy import load_file

        arrays = load_file(folder / STATE)
        model = cls(settings, task)
        model.location_state = _under("location.", arrays)
        model.spread = Spread.from_state(_under("spread.", arrays))
        return model


def _under(prefix: str, arrays: Mapping[str, Float64]) -> dict[str, Float64]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
