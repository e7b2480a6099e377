"""Models whose fitted state is arrays by name: how they are asked, part by part, saved and loaded."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Task
from finflow.models.reading import STATE, chunks, labelled_together
from finflow.models.samples import Float64, Samples


class ArrayModel(Model):
    """The state is one safetensors file of float64 arrays; None before the model was fitted or loaded."""

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.state: dict[str, Float64] | None = None

    @abstractmethod
    def answer(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        """float64, [n, ...]; a row's bits depend on that row alone."""

    def answers(self, samples: Samples, *shape: int) -> NDArray[np.float32]:
        """`answer` of many samples, a part at a time: float32, [n, *shape].

        Raises:
            RuntimeError: the model was neither fitted nor loaded.
        """
        state = self._fitted()
        values = np.empty((len(samples), *shape), dtype=np.float32)
        start = 0
        for part in chunks(samples):
            values[start : start + len(part)] = self.answer(part, state)
            start += len(part)
        return values

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        save_file({name: np.ascontiguousarray(array) for name, array in self._fitted().items()}, folder / STATE)

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Self:
        from safetensors.numpy import load_file

        model = cls(settings, task)
        model.state = load_file(folder / STATE)
        return model

    def _fitted(self) -> dict[str, Float64]:
        if self.state is None:
            raise RuntimeError("fit or load the model first")
        return self.state


class FittedTogether(ArrayModel):
    """One that chooses nothing by the validation part, and so is fitted on it too."""

    @abstractmethod
    def fit_state(self, samples: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        """What is learnt from labelled samples, as arrays by name, and notes for the report."""

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        self.check_task()
        samples = labelled_together(train, validation)
        self.state, notes = self.fit_state(samples)
        return FitReport(parameters=sum(array.size for array in self.state.values()), notes={**notes, "samples": len(samples)})
