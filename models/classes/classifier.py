"""What the classical models of classes share: how they are asked, saved and loaded."""

from __future__ import annotations

from abc import abstractmethod

from finflow.models.arrays import ArrayModel
from finflow.models.base import FitReport, Hardware, Prediction
from finflow.models.class_codes import check_classes
from finflow.models.samples import Float64, Samples


class Classifier(ArrayModel):
    """A classical model of classes, entities pooled; the state is one safetensors file of float64 arrays."""

    @abstractmethod
    def fit_state(self, train: Samples, validation: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        """What is learnt, as arrays by name, and notes for the report."""

    @abstractmethod
    def probabilities(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        """float64, [n, classes], summing to 1; a row's bits depend on that row alone."""

    def answer(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        return self.probabilities(samples, state)

    def check_task(self) -> None:
        check_classes(self.task, type(self).__name__)

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        self.check_task()
        self.state, notes = self.fit_state(train, validation)
        return FitReport(parameters=sum(array.size for array in self.state.values()), notes=notes)

    def predict(self, samples: Samples) -> Prediction:
        return Prediction("probabilities", self.answers(samples, len(self.task.classes)))
