"""The historical mean (drift): what targets were on average, whatever the sample looks like."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from finflow.models.answers import ANSWERS, Averaged
from finflow.models.base import FitReport, Hardware, ModelSettings, Prediction
from finflow.models.errors import FitFailure
from finflow.models.forecasts.classical import Classical
from finflow.models.forecasts.volatility_scale import Spread, SpreadSettings
from finflow.models.reading import labelled_together
from finflow.models.samples import Float64, Samples


class HistoricalMeanSettings(SpreadSettings):
    """Only the volatility filter's."""


class HistoricalMean(Classical):
    """The mean of each target over the training samples, entities pooled.

    It reads targets alone, so it serves every kind of problem but paths: quantiles are the mean plus the quantiles of the
    deviations from it (scaled by volatility where the task has increments), scores and variances are the mean, and probabilities the base
    rates of the classes (a target being the class's position in `task.classes`).

    The median of the quantiles is the mean plus the median deviation, not the mean: returns are skewed, and a network that had learnt no
    more than their usual sign would otherwise beat this baseline on absolute errors.
    """

    Settings: ClassVar[type[ModelSettings]] = HistoricalMeanSettings
    family: ClassVar[str] = "historical mean"

    def check_task(self) -> None:
        if self.task.kind != "quantiles":
            self._averaged()

    def _averaged(self) -> Averaged:
        answer = ANSWERS[self.task.kind]
        if not isinstance(answer, Averaged):
            raise FitFailure(
                f"HistoricalMean answers quantiles, scores, variances or probabilities, and this problem asks for {self.task.kind}: "
                "leave it out"
            )
        return answer

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        if self.task.kind == "quantiles":
            return super().fit(train, validation, seed=seed, hardware=hardware)
        form = self._averaged()
        samples = labelled_together(train, validation)
        answer = form.usual(samples, self.task)
        self.location_state = {"mean": answer}
        self.spread = Spread(np.zeros((len(answer), 1)), centre=0.0, variance=1.0, weight=0.0)
        return FitReport(parameters=answer.size, notes={"samples": len(samples)})

    def fit_location(self, samples: Samples) -> tuple[Float64, dict[str, object]]:
        targets = samples.targets.astype(np.float64)
        self.location_state = {"mean": targets.mean(axis=0)}
        return targets - self.location_state["mean"], {}

    def location(self, samples: Samples) -> Float64:
        mean = self.location_state["mean"]
        return np.broadcast_to(mean, (len(samples), len(mean)))

    def predict(self, samples: Samples) -> Prediction:
        if self.task.kind == "quantiles" or self.spread is None:
            return super().predict(samples)
        return Prediction(self.task.kind, self.location(samples).astype(np.float32))
