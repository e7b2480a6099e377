"""What the classical models of classes share: how they are asked, saved and loaded."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from models.classical import STATE
from models.errors import FitFailure
from models.samples import Samples
from models.volatility_scale import Float64, chunks


def check_classes(task: Task, name: str) -> None:
    """Raises FitFailure: the task asks for other than probabilities."""
    if task.kind != "probabilities":
        raise FitFailure(
            f"{name} gives probabilities of classes, and this problem asks for {task.kind}: use it with `problem: {{kind: classify}}`"
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


class Classifier(Model):
    """A classical model of classes, entities pooled; the state is one safetensors file of float64 arrays."""

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.state: dict[str, Float64] | None = None

    @abstractmethod
    def fit_state(self, train: Samples, validation: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        """What is learnt, as arrays by name, and notes for the report."""

    @abstractmethod
    def probabilities(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        """float64, [n, classes], summing to 1; a row's bits depend on that row alone."""

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        check_classes(self.task, type(self).__name__)
        self.state, notes = self.fit_state(train, validation)
        return FitReport(parameters=sum(array.size for array in self.state.values()), notes=notes)

    def predict(self, samples: Samples) -> Prediction:
        if self.state is None:
            raise RuntimeError("fit or load the model first")
        values = np.empty((len(samples), len(self.task.classes)), dtype=np.float32)
        start = 0
        for part in chunks(samples):
            values[start : start + len(part)] = self.probabilities(part, self.state)
            start += len(part)
        return Prediction("probabilities", values)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        if self.state is None:
            raise RuntimeError("fit or load the model first")
        save_file({name: np.ascontiguousarray(array) for name, array in self.state.items()}, folder / STATE)

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Self:
        from safetensors.numpy import load_file

        model = cls(settings, task)
        model.state = load_file(folder / STATE)
        return model
