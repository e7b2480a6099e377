"""Logistic regression of two classes on a row: numbers that may be missing, and categories.

Numbers are imputed and scaled by models/rows/row_numbers.py; a categorical feature has a weight for each of its values, one where it is
missing and one for all values that are rare. What the training part did not hold weighs what its rows weigh on average: it moves no score.
"""

from __future__ import annotations

from typing import Any, ClassVar, cast

import numpy as np
from pydantic import Field

from finflow.models.base import Contributions, FitReport, Hardware, ModelSettings
from finflow.models.class_codes import class_codes
from finflow.models.classes.logistic_regression import TIGHT, choose_strength, solve
from finflow.models.reading import labelled_together
from finflow.models.rows.calibration import logistic_curve
from finflow.models.rows.categories import Vocabulary
from finflow.models.rows.row_numbers import RowNumbers, Scale
from finflow.models.rows.tabular import TabularSettings
from finflow.models.rows.tabular_arrays import TabularArrays, sum_of_parts
from finflow.models.samples import Float32, Float64, Int64, Samples

#: inverse penalties that are tried
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)


class TabularLogisticSettings(TabularSettings):
    """The penalty, and how rows are made ready."""

    c: float | None = Field(
        default=None, gt=0, le=1e6, description="inverse penalty (scikit-learn's C); none: chosen on the validation part"
    )
    scaling: Scale = Field(default="robust", description="robust (median and interquartile range) or standard (mean and deviation)")
    clip: float = Field(default=10.0, gt=0, le=1e6, description="scaled numbers are cut at so many deviations")
    fewest: int = Field(default=5, ge=1, le=1_000_000, description="categories of fewer training rows share one weight")
    iterations: int = Field(default=2000, ge=1, le=100_000, description="of L-BFGS, at most")


class TabularLogistic(TabularArrays):
    """The penalty with the least log loss on the part that chooses is taken for it and the training part together."""

    Settings: ClassVar[type[ModelSettings]] = TabularLogisticSettings
    family: ClassVar[str] = "logistic regression"

    def fit_rows(self, train: Samples, validation: Samples, *, seed: int, hardware: Hardware) -> FitReport:
        settings = cast(TabularLogisticSettings, self.settings)
        strength, classes = settings.c, self.task.classes
        if strength is None:
            numbers, vocabulary = self._prepared(train)
            parts = [(self._inputs(part, numbers, vocabulary), class_codes(part, self.task)) for part in (train, validation)]
            strength = choose_strength(parts[0], parts[1], classes, STRENGTHS, settings.iterations)
        together = labelled_together(train, validation)
        numbers, vocabulary = self._prepared(together)
        inputs = self._inputs(together, numbers, vocabulary)
        solution = solve(inputs, class_codes(together, self.task), classes, strength, settings.iterations, TIGHT)
        mean = np.asarray(inputs.mean(axis=0)).ravel()
        self.state = {**numbers.arrays(), **vocabulary.arrays(), **self._weights(solution, mean, numbers, vocabulary)}
        notes = {"c": strength, "inputs": len(mean), "samples": len(together)}
        return FitReport(parameters=len(mean) + 1, notes=notes)

    def raw_probability(self, samples: Samples) -> Float64:
        return logistic_curve(self._parts(samples).sum(axis=1) + self.state["base"][0])

    def contributions(self, samples: Samples) -> Contributions:
        """Exact, of the log odds before calibration: each input's weight times how far it is from its training mean."""
        return sum_of_parts(self._parts(samples), float(self.state["base"][0]))

    def _prepared(self, samples: Samples) -> tuple[RowNumbers, Vocabulary]:
        settings = cast(TabularLogisticSettings, self.settings)
        numbers = RowNumbers.of(self.numbers(samples), self.task.features, settings.scaling, settings.clip)
        return numbers, Vocabulary.of(self.codes(samples), settings.fewest)

    def _inputs(self, samples: Samples, numbers: RowNumbers, vocabulary: Vocabulary) -> Any:
        """[n, numbers + marks + places of every category]: an array, or a sparse matrix where there are categories."""
        values, places = self.numbers(samples), vocabulary.places(self.codes(samples))
        dense = np.column_stack([numbers.scaled(values), numbers.marks(values)])
        if not places.shape[1]:
            return dense
        from scipy import sparse

        starts = np.concatenate([[0], np.cumsum(vocabulary.sizes)])
        rows, each = places.shape
        columns = (places + starts[:-1]).ravel()
        coded = sparse.csr_matrix((np.ones(rows * each), columns, np.arange(rows + 1) * each), shape=(rows, starts[-1]))
        return sparse.hstack([sparse.csr_matrix(dense), coded], format="csr")

    def _weights(self, solution: dict[str, Float64], mean: Float64, numbers: RowNumbers, vocabulary: Vocabulary) -> dict[str, Float64]:
        """What a row is asked with: `number` and its `centre` [k], `mark` and `mark_centre` [marked], a `table` a category, `base`."""
        coefficients, start = solution["coefficients"][1], solution["intercept"][1]
        count, marks = len(numbers.median), len(numbers.marked)
        state = {
            "number": coefficients[:count],
            "centre": mean[:count],
            "mark": coefficients[count : count + marks],
            "mark_centre": mean[count : count + marks],
        }
        place = count + marks
        for number, size in enumerate(vocabulary.sizes):
            weights, share = coefficients[place : place + size], mean[place : place + size]
            average = float(weights @ share)
            state[f"table.{number}"] = np.where(share > 0, weights - average, 0.0)
            place += size
        return {**state, "base": np.array([start + float(coefficients @ mean)])}

    def _parts(self, samples: Samples) -> Float64:
        """float64, [n, features + categories]: by how much each moves the log odds from those of the average training row."""
        state = self.state
        numbers, vocabulary = RowNumbers.from_arrays(state), Vocabulary.from_arrays(state)
        values: Float32 = self.numbers(samples)
        parts = np.empty((len(samples), len(self.task.features) + len(self.task.categories)))
        count = len(self.task.features)
        parts[:, :count] = (numbers.scaled(values) - state["centre"]) * state["number"]
        parts[:, numbers.marked] += (numbers.marks(values) - state["mark_centre"]) * state["mark"]
        places: Int64 = vocabulary.places(self.codes(samples))
        for number in range(places.shape[1]):
            parts[:, count + number] = state[f"table.{number}"][places[:, number]]
        return parts
