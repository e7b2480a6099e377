"""What the classical models of classes share: how they are asked, saved and loaded."""

from __future__ import annotations

from abc import abstractmethod

import numpy as np
from numpy.typing import NDArray

from models.arrays import ArrayModel
from models.base import FitReport, Hardware, Prediction, Task
from models.errors import FitFailure
from models.samples import Samples
from models.volatility_scale import Float64


def check_classes(task: Task, name: str) -> None:
    """Raises FitFailure: the task asks for other than probabilities."""
    if task.kind != "probabilities":
        raise FitFailure(
            f"{name} gives probabilities of classes, and this problem asks for {task.kind}: use it with `problem: {{kind: classify}}` or "
            "`{kind: outcome}`"
        )


def class_codes(samples: Samples, task: Task) -> NDArray[np.int64]:
    """int64, [n]: the position of each sample's class.

    Raises:
        FitFailure: a target is none.
    """
    codes = samples.targets[:, 0]
    if not np.isin(codes, np.arange(len(task.classes))).all():
        raise FitFailure(f"a target is no position among the {len(task.classes)} classes {list(task.classes)}")
    return codes.astype(np.int64)


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
