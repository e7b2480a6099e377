"""Numbers of rows made ready for linear models: what is missing gets the median and a mark, then they are scaled and cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from finflow.models.errors import FitFailure
from finflow.models.samples import Float32, Float64
from finflow.models.standardization import inverse_scale

Scale = Literal["standard", "robust"]


@dataclass(frozen=True, eq=False)
class RowNumbers:
    """What training rows said of k numbers.

    Attributes:
        median: float64, [k]; what a missing value counts as, 0 where all were missing.
        location, inverse: float64, [k]; scaled = (value - location) * inverse; the inverse of a constant is 0.
        marked: int64, ascending; the numbers that get a mark of their own for a missing value: some training row lacked them, not all.
        clip: float64, [1]; scaled values are cut at plus and minus this.
    """

    median: Float64
    location: Float64
    inverse: Float64
    marked: NDArray[np.int64]
    clip: Float64

    @classmethod
    def of(cls, values: Float32, names: tuple[str, ...], scale: Scale, clip: float) -> Self:
        """Fit on float32, [n, k], NaN where missing.

        `standard`: mean and standard deviation; `robust`: median and interquartile range over 1.349, or the standard deviation where half
        of the values are one.

        Raises:
            FitFailure: a value is infinite; the message names the feature.
        """
        infinite = [name for name, column in zip(names, values.T, strict=True) if np.isinf(column).any()]
        if infinite:
            raise FitFailure(f"features {infinite} hold infinite values in the training part: mend them, or make them empty")
        count = values.shape[1]
        median, location, inverse = np.zeros(count), np.zeros(count), np.zeros(count)
        missing = np.isnan(values)
        for number, column in enumerate(values.T):
            present = column[~missing[:, number]].astype(np.float64)
            if not len(present):
                continue
            low, median[number], high = np.quantile(present, (0.25, 0.5, 0.75))
            robust = scale == "robust" and high > low
            location[number] = median[number] if scale == "robust" else present.mean()
            spread = (high - low) / 1.349 if robust else present.std()
            inverse[number] = inverse_scale(spread, location[number])
        marked = np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0))
        return cls(median, location, inverse, marked, np.array([clip]))

    def filled(self, values: Float32) -> Float64:
        """float64, [n, k]: with the median where a value is missing."""
        return np.where(np.isnan(values), self.median, values)

    def scaled(self, values: Float32) -> Float64:
        """float64, [n, k], C-contiguous and finite."""
        filled, limit = self.filled(values), self.clip[0]
        # an infinite value times the inverse of a constant, 0, is no number
        return np.where(self.inverse == 0, 0.0, np.clip((np.clip(filled, -1e38, 1e38) - self.location) * self.inverse, -limit, limit))

    def marks(self, values: Float32) -> Float64:
        """float64, [n, marked]: 1 where a marked number is missing."""
        return np.isnan(values[:, self.marked]).astype(np.float64)

    def arrays(self) -> dict[str, NDArray]:
        """By name, what a model keeps of it."""
        names = ("median", "location", "inverse", "marked", "clip")
        return {f"numbers.{name}": getattr(self, name) for name in names}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray]) -> Self:
        """What `arrays` gave."""
        return cls(*(arrays[f"numbers.{name}"] for name in ("median", "location", "inverse", "marked", "clip")))
