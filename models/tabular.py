"""What the models of rows share: numbers that may be missing, categories as codes, two classes, and calibrated probabilities."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Self, cast

import numpy as np
from numpy.typing import NDArray

from models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from models.calibration import Calibration, calibrated, check_calibration, fit_calibration, split_validation
from models.classifier import class_codes
from models.errors import FitFailure
from models.samples import Samples

Float64 = NDArray[np.float64]
Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

CALIBRATION = "calibration.safetensors"
#: rows that go through a model at once, and numbers at most where rows are wide
ROWS, VALUES = 65_536, 4_194_304


class TabularSettings(ModelSettings):
    """What every model of rows can be told."""

    calibration: Calibration = Calibration()


class TabularModel(Model):
    """A model of two classes over rows. A subclass fits and gives its own probability of the last class; this class calibrates it.

    The validation part is split by time: the earlier part is what the subclass chooses and stops by, the later one calibrates.
    """

    Settings: ClassVar[type[ModelSettings]] = TabularSettings

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.calibration: dict[str, Float64] | None = None

    @abstractmethod
    def fit_rows(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        """Fit on labelled samples of both classes."""

    @abstractmethod
    def raw_probability(self, samples: Samples) -> Float64:
        """float64, [n]: the model's own probability of the last class; a row's bits depend on that row alone."""

    @abstractmethod
    def save_rows(self, folder: Path) -> None:
        """Write what `fit_rows` learnt into an existing folder."""

    @abstractmethod
    def load_rows(self, folder: Path) -> None:
        """Read what `save_rows` wrote."""

    def check_task(self) -> None:
        """Raises FitFailure: the task asks for other than the probabilities of two classes."""
        if self.task.kind != "probabilities" or len(self.task.classes) != 2:
            raise FitFailure(
                f"{type(self).__name__} gives the probabilities of two classes, and this problem asks for {self.task.kind} of "
                f"{len(self.task.classes)} classes: use it with `problem: {{kind: outcome}}`"
            )

    def fit(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        self.check_task()
        for name, part in (("training", train), ("validation", validation)):
            self._check_classes(name, part)
        chosen = cast(TabularSettings, self.settings).calibration
        selection, late = split_validation(validation, chosen)
        self._check_classes("earlier validation", selection)
        report = self.fit_rows(train, selection, seed=seed, hardware=hardware)
        self.calibration = fit_calibration(chosen.method, self._raw(late), class_codes(late, self.task))
        notes = {**report.notes, "calibration": chosen.method, "calibration_samples": len(late) if chosen.method != "none" else 0}
        if "slope" in self.calibration:
            notes["calibration_slope"] = float(self.calibration["slope"][0])
        return FitReport(epochs=report.epochs, best_epoch=report.best_epoch, parameters=report.parameters, notes=notes)

    def predict(self, samples: Samples) -> Prediction:
        """Probabilities, float32, [n, 2]."""
        if self.calibration is None:
            raise RuntimeError("fit or load the model first")
        last = calibrated(self.calibration, self._raw(samples))
        return Prediction("probabilities", np.column_stack([1 - last, last]).astype(np.float32))

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file

        if self.calibration is None:
            raise RuntimeError("fit or load the model first")
        self.save_rows(folder)
        save_file({name: np.ascontiguousarray(array) for name, array in self.calibration.items()}, folder / CALIBRATION)

    @classmethod
    def load(cls, folder: Path, settings: ModelSettings, task: Task) -> Self:
        """Raises ValueError: what was saved is damaged, or of another method of calibration than the settings say."""
        from safetensors.numpy import load_file

        model = cls(settings, task)
        model.load_rows(folder)
        state = load_file(folder / CALIBRATION)
        check_calibration(cast(TabularSettings, settings).calibration.method, state)
        model.calibration = state
        return model

    def numbers(self, samples: Samples) -> Float32:
        """float32, [n, features]: the sample's own row; NaN where a value is missing."""
        values = samples.gather(length=1)[:, 0]
        return values if self.task.features == samples.columns else values[:, self.task.feature_positions]

    def codes(self, samples: Samples) -> Int64:
        """int64, [n, categories]: the sample's own row; 0 where a category is missing."""
        return samples.gather_categories(length=1)[:, 0, :]

    def _check_classes(self, name: str, part: Samples) -> None:
        there = np.bincount(class_codes(part, self.task), minlength=2)
        if not there.all():
            absent = self.task.classes[int(np.argmin(there))]
            raise FitFailure(f"no {name} sample of {len(part)} is of class {absent!r}: nothing can be learnt from one class alone")

    def _raw(self, samples: Samples) -> Float64:
        width = max(1, len(samples.columns) + len(self.task.categories)) * self.context
        size = max(1, min(ROWS, VALUES // width))
        parts = [
            self.raw_probability(samples.take(np.arange(start, min(start + size, len(samples))))) for start in range(0, len(samples), size)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)
