"""Logistic regression of the classes on the flattened, scaled window."""

from __future__ import annotations

from typing import ClassVar, cast

import numpy as np
from pydantic import Field

from finflow.models.base import ModelSettings
from finflow.models.class_codes import class_codes
from finflow.models.classes.classifier import Classifier
from finflow.models.classes.logistic_regression import choose_strength, scores, softmax, solve
from finflow.models.errors import FitFailure
from finflow.models.reading import chunks, labelled_together
from finflow.models.samples import Float64, Samples

#: inverse penalties: from nothing left but the base rate to hardly any shrinkage
STRENGTHS = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)


class LogisticSettings(ModelSettings):
    """The penalty, and what is read."""

    c: float | None = Field(
        default=None, gt=0, le=1e6, description="inverse penalty (scikit-learn's C) on scaled inputs; none: chosen on the validation part"
    )
    last: int | None = Field(default=None, ge=1, le=10_000, description="observations at the window's end that are inputs; none: all")
    clip: float = Field(default=10.0, gt=0, le=1e6, description="scaled inputs are cut at so many standard deviations")
    iterations: int = Field(default=500, ge=1, le=100_000, description="of L-BFGS, at most")


class Logistic(Classifier):
    """Multinomial, with a squared penalty. The penalty with the least log loss on the validation part is taken for both parts together."""

    Settings: ClassVar[type[ModelSettings]] = LogisticSettings
    family: ClassVar[str] = "logistic regression"

    def check_task(self) -> None:
        super().check_task()
        if self.task.categories or self.task.missing:
            raise FitFailure(
                "logistic reads windows of known numbers alone: rows with missing numbers or categories are for tabular_logistic"
            )

    def fit_state(self, train: Samples, validation: Samples) -> tuple[dict[str, Float64], dict[str, object]]:
        settings = cast(LogisticSettings, self.settings)
        together = labelled_together(train, validation)
        first = train.take(np.flatnonzero(train.index.labelled))
        second = validation.take(np.flatnonzero(validation.index.labelled))
        strength = settings.c
        notes: dict[str, object] = {"samples": len(together)}
        if strength is None:
            if not len(first) or not len(second):
                raise FitFailure("the penalty is chosen on the validation part, and a part has no labelled sample: set `c`")
            scaling = self._scaling(first)
            parts = [(self._inputs(part, scaling), class_codes(part, self.task)) for part in (first, second)]
            strength = choose_strength(parts[0], parts[1], self.task.classes, STRENGTHS, settings.iterations)
        scaling = self._scaling(together)
        inputs, codes = self._inputs(together, scaling), class_codes(together, self.task)
        state = solve(inputs, codes, self.task.classes, strength, settings.iterations)
        return {**scaling, **state}, {**notes, "c": strength, "inputs": len(scaling["mean"])}

    def probabilities(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        return softmax(scores(self._inputs(samples, state), state))

    def _raw(self, samples: Samples) -> Float64:
        """float64, [n, last * features]."""
        last = min(cast(LogisticSettings, self.settings).last or self.task.length, self.task.length)
        windows = samples.gather(length=last)[:, :, self.task.feature_positions]
        return windows.reshape(len(samples), -1).astype(np.float64)

    def _scaling(self, samples: Samples) -> dict[str, Float64]:
        """Mean and standard deviation of every input over these samples; a constant one gets deviation 1 (and so no say)."""
        raw = np.concatenate([self._raw(part) for part in chunks(samples)])
        bad = np.flatnonzero(~np.isfinite(raw).all(axis=0))
        if len(bad):
            names = sorted({self.task.features[position % len(self.task.features)] for position in bad})
            raise FitFailure(f"features {names} hold values that are not finite in the training windows")
        mean, deviation = raw.mean(axis=0), raw.std(axis=0)
        return {"mean": mean, "deviation": np.where(deviation <= 1e-7 * np.maximum(np.abs(mean), 1e-30), 1.0, deviation)}

    def _inputs(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        clip = cast(LogisticSettings, self.settings).clip
        return np.clip((self._raw(samples) - state["mean"]) / state["deviation"], -clip, clip)
