"""Logistic regression of the classes on the flattened, scaled window, by scikit-learn; only its coefficients are kept."""

from __future__ import annotations

import warnings
from typing import ClassVar, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from models.base import ModelSettings
from models.classical import labelled_together
from models.classifier import Classifier, class_codes
from models.errors import FitFailure
from models.samples import Samples
from models.volatility_scale import Float64, chunks

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
            inputs, codes = self._inputs(first, scaling), class_codes(first, self.task)
            asked, came = self._inputs(second, scaling), class_codes(second, self.task)
            losses = []
            for each in STRENGTHS:
                state = self._solve(inputs, codes, each)
                losses.append(-float(np.log(np.maximum(_softmax(_scores(asked, state))[np.arange(len(came)), came], 1e-12)).mean()))
            strength = STRENGTHS[int(np.argmin(losses))]
        scaling = self._scaling(together)
        state = self._solve(self._inputs(together, scaling), class_codes(together, self.task), strength)
        return {**scaling, **state}, {**notes, "c": strength, "inputs": len(scaling["mean"])}

    def probabilities(self, samples: Samples, state: dict[str, Float64]) -> Float64:
        return _softmax(_scores(self._inputs(samples, state), state))

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

    def _solve(self, inputs: Float64, codes: NDArray[np.int64], strength: float) -> dict[str, Float64]:
        """Coefficients [classes, inputs] and intercepts [classes]."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        absent = [name for number, name in enumerate(self.task.classes) if not (codes == number).any()]
        if absent:
            raise FitFailure(f"no training sample is of class {', '.join(absent)}: give more history, or other labels")
        found = LogisticRegression(C=strength, max_iter=cast(LogisticSettings, self.settings).iterations)
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            try:
                found.fit(inputs, codes)
            except ConvergenceWarning as warning:
                raise FitFailure(
                    f"the logistic regression with c {strength:g} did not converge: raise `iterations` or lower `c`"
                ) from warning
        coefficients, intercept = np.asarray(found.coef_, dtype=np.float64), np.asarray(found.intercept_, dtype=np.float64)
        if len(coefficients) == 1:  # of two classes scikit-learn keeps the second's
            coefficients, intercept = np.vstack([np.zeros_like(coefficients), coefficients]), np.concatenate([[0.0], intercept])
        return {"coefficients": coefficients, "intercept": intercept}


def _scores(inputs: Float64, state: dict[str, Float64]) -> Float64:
    """float64, [n, classes]. A sum along each row, not a matrix product, whose bits would depend on the number of rows."""
    found = [(inputs * own).sum(axis=1) + start for own, start in zip(state["coefficients"], state["intercept"], strict=True)]
    return np.column_stack(found)


def _softmax(scores: Float64) -> Float64:
    found = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(found / found.sum(axis=1, keepdims=True))
