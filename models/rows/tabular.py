"""What the models of rows share: numbers that may be missing, categories as codes, two classes, and calibrated probabilities."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self, cast

import numpy as np
from pydantic import Field

from finflow.models.base import FitReport, Hardware, Model, ModelSettings, Prediction, Task
from finflow.models.class_codes import class_codes
from finflow.models.errors import FitFailure
from finflow.models.rows.calibration import Calibration, calibrated, check_calibration, fit_calibration, split_validation
from finflow.models.rows.minority import GENERATED, MinorityAugmentation
from finflow.models.rows.minority_trial import LabelledRows, makers, try_minority, with_rows
from finflow.models.samples import Float32, Float64, Int64, Samples

CALIBRATION = "calibration.safetensors"
#: rows that go through a model at once, and numbers at most where rows are wide
ROWS, VALUES = 65_536, 4_194_304


class TabularSettings(ModelSettings):
    """What every model of rows can be told."""

    calibration: Calibration = Field(
        default=Calibration(), description="how probabilities are calibrated, on the later part of the validation part"
    )


class AugmentedSettings(TabularSettings):
    """What a model of single rows can be told that allows for a shift of the base rate (`TabularModel.shift`)."""

    augmentation: MinorityAugmentation | None = Field(
        default=None,
        description="generated rows of the rare class, where the validation part says that they help; {} takes the defaults",
    )


class TabularModel(Model):
    """A model of two classes over rows. A subclass fits and gives its own probability of the last class; this class calibrates it.

    The validation part is split by time: the earlier part is what the subclass chooses and stops by, the later one calibrates.

    With `augmentation` a trial on the training part and the earlier validation part comes first, and generated rows of the rare class are
    used only if it says so; a refusal leaves the fit as it would be without the option, to the bit.
    """

    Settings: ClassVar[type[ModelSettings]] = TabularSettings
    #: whether its own probability is meant as one: a calibration then sets out from it
    supervised: ClassVar[bool] = True

    def __init__(self, settings: ModelSettings, task: Task) -> None:
        super().__init__(settings, task)
        self.calibration: dict[str, Float64] | None = None
        #: by how much generated rows raise the log odds of the last class among the training rows: `fit_rows` takes it off again, so that
        #: probabilities are those of the real rows
        self.shift = 0.0

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
        self.shift = 0.0
        for name, part in (("training", train), ("validation", validation)):
            self._check_classes(name, part)
        chosen = cast(TabularSettings, self.settings).calibration
        selection, late = split_validation(validation, chosen)
        self._check_classes("earlier validation", selection)
        more: dict[str, Any] = {}
        if self._augmentation is not None:
            train, more["augmentation"] = self._augmented(self._augmentation, train, selection, seed, hardware)
        report = self.fit_rows(train, selection, seed=seed, hardware=hardware)
        spread = chosen.slope_spread if self.supervised else None
        self.calibration = fit_calibration(chosen.method, self._raw(late), class_codes(late, self.task), spread)
        notes = {**report.notes, **more, "calibration": chosen.method, "calibration_samples": len(late) if chosen.method != "none" else 0}
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

    @property
    def _augmentation(self) -> MinorityAugmentation | None:
        return self.settings.augmentation if isinstance(self.settings, AugmentedSettings) else None

    def _augmented(
        self, settings: MinorityAugmentation, train: Samples, selection: Samples, seed: int, hardware: Hardware
    ) -> tuple[Samples, dict[str, Any]]:
        """The training samples, with generated rows if they help, and the verdict's notes."""
        rows = self._labelled(train)
        make = makers(rows, settings, self.task.features, hardware.threads)
        plain = self.settings.model_copy(update={"augmentation": None})

        def extended(model: TabularModel, made: tuple[Float32, Int64]) -> Samples:
            model.shift = rows.shift(len(made[0]))
            return with_rows(train, self.task.feature_positions, *made, rows.rare)

        def score(seed_of_fit: int, made: tuple[Float32, Int64] | None) -> Float64:
            model = type(self)(plain, self.task)
            samples = train if made is None else extended(model, made)
            model.fit_rows(samples, selection, seed=seed_of_fit, hardware=replace(hardware, devices=1, strategy="auto"))
            return model._raw(selection)

        verdict = try_minority(rows, settings, make, score, self._labelled(selection), selection.index)
        return (extended(self, make[GENERATED](seed)) if verdict.kept else train), verdict.notes(settings)

    def _labelled(self, samples: Samples) -> LabelledRows:
        return LabelledRows(self.numbers(samples), self.codes(samples), class_codes(samples, self.task))

    def _raw(self, samples: Samples) -> Float64:
        width = max(1, len(samples.columns) + len(self.task.categories)) * self.context
        size = max(1, min(ROWS, VALUES // width))
        parts = [
            self.raw_probability(samples.take(np.arange(start, min(start + size, len(samples))))) for start in range(0, len(samples), size)
        ]
        return np.concatenate(parts) if parts else np.zeros(0)
