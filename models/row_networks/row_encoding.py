"""Rows as the numbers that a network reads: scaled features, signs of what is missing, and places of categories. Plain numpy.

All of it is fitted on the training part alone and kept with the weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from finflow.models.errors import FitFailure
from finflow.models.rows.categories import MISSING_PLACE, UNKNOWN_PLACE, Vocabulary
from finflow.models.samples import Float32, Int64
from finflow.models.standardization import inverse_scale

How = Literal["robust", "standard"]

#: robustly scaled numbers are bent towards plus and minus this: x / sqrt(1 + (x / 3)^2)
BEND = 3.0
#: standardised ones are cut here
LIMIT = 10.0
#: edges of bins are at least so far apart, in scaled numbers
NARROWEST = 1e-6


@dataclass(frozen=True, eq=False)
class RowEncoding:
    """What turns raw rows into rows of a network's inputs: [features, signs of missing, places of categories].

    Attributes:
        how: `robust`: median and interquartile range, then a smooth bend (Holzmüller, Grinsztajn and Steinwart, 2024); `standard`: mean and
            standard deviation, then a cut.
        location, inverse: float32, [features]; scaled = (raw - location) * inverse. A constant or empty feature has the inverse nought.
        signed: int64; positions of the features that were missing in some training rows and there in others: each has a sign of its own.
            Any other missing number is taken for the median (or mean) and nothing more, since no row taught what its absence means.
        vocabulary: the categories of the training part.
        missed: bool, [categories]; whether a category was missing in a training row. Where none was, a missing one is unknown.
        common: int64, [categories]; the place that most training rows have.
        edges: float32, [features, edges]; of the bins that scaled numbers are read by, rising; a feature with fewer repeats its last one.
            None: they are not read by bins.
    """

    how: How
    location: Float32
    inverse: Float32
    signed: Int64
    vocabulary: Vocabulary
    missed: NDArray[np.bool_]
    common: Int64
    edges: Float32 | None = None

    @property
    def numbers(self) -> int:
        """How many of the inputs are numbers; places come after them."""
        return len(self.location) + len(self.signed)

    @property
    def width(self) -> int:
        return self.numbers + len(self.common)

    @property
    def sizes(self) -> tuple[int, ...]:
        """By category, how many places there are."""
        return self.vocabulary.sizes

    @property
    def nothing_known(self) -> Float32:
        """float32, [width]: the row at the training part's centre: medians (or means), nothing missing, the most common categories."""
        return np.concatenate([np.zeros(self.numbers), self.common]).astype(np.float32)

    @classmethod
    def fit(cls, how: How, numbers: Float32, codes: Int64, names: Sequence[str], fewest: int = 1, bins: int = 0) -> Self:
        """Fit on training rows.

        Args:
            numbers: float32, [n, features]; NaN where missing.
            codes: int64, [n, categories].
            names: of the features, for errors.
            fewest: a category that fewer rows have is unknown.
            bins: of a feature at most; 0: none.

        Raises:
            FitFailure: a number is infinite, or there is nothing to read.
        """
        if not numbers.shape[1] + codes.shape[1]:
            raise FitFailure("there is neither a feature nor a category to learn from: name some in `features`")
        try:
            check_finite(numbers, names)
        except ValueError as error:
            raise FitFailure(str(error)) from None
        spreads = np.array([_location_and_inverse(how, column) for column in numbers.T], dtype=np.float32).reshape(-1, 2)
        absent = np.isnan(numbers).sum(axis=0)
        vocabulary = Vocabulary.of(codes, fewest)
        missed = (codes == 0).any(axis=0)
        places = _places(vocabulary, missed, codes)
        common = [int(np.bincount(column).argmax()) for column in places.T]
        encoding = cls(
            how=how,
            location=np.ascontiguousarray(spreads[:, 0]),
            inverse=np.ascontiguousarray(spreads[:, 1]),
            signed=np.flatnonzero((absent > 0) & (absent < len(numbers))).astype(np.int64),
            vocabulary=vocabulary,
            missed=missed,
            common=np.array(common, dtype=np.int64),
        )
        if not bins:
            return encoding
        scaled = encoding.encode(numbers, codes)[:, : numbers.shape[1]]
        return replace(encoding, edges=piecewise_edges(np.where(np.isnan(numbers), np.float32(np.nan), scaled), bins))

    def encode(self, numbers: Float32, codes: Int64) -> Float32:
        """float32, [n, width]; a row's bits depend on that row alone. Places are whole numbers, exact in float32."""
        encoded = np.empty((len(numbers), self.width), dtype=np.float32)
        features = len(self.location)
        scaled = encoded[:, :features]
        np.subtract(numbers, self.location, out=scaled)
        scaled *= self.inverse
        if self.how == "robust":
            scaled /= np.sqrt(1 + np.square(scaled / np.float32(BEND)))
        else:
            np.clip(scaled, -LIMIT, LIMIT, out=scaled)
        absent = np.isnan(numbers)
        scaled[absent] = 0
        encoded[:, features : self.numbers] = absent[:, self.signed]
        encoded[:, self.numbers :] = _places(self.vocabulary, self.missed, codes)
        return encoded

    def raw(self, scaled: Float32) -> Float32:
        """float32, [n, features]: the numbers that scaled ones stand for; the location where a feature never varied."""
        values = scaled.astype(np.float64)
        if self.how == "robust":
            kept = np.clip(values, -0.999 * BEND, 0.999 * BEND)
            values = kept / np.sqrt(1 - np.square(kept / BEND))
        spread = np.divide(1.0, self.inverse, out=np.zeros(len(self.inverse)), where=self.inverse > 0)
        return np.asarray(values * spread + self.location, dtype=np.float32)

    def arrays(self) -> dict[str, NDArray]:
        """By name, to be saved beside the weights."""
        arrays = {name: getattr(self, name) for name in ("location", "inverse", "signed", "common")}
        if self.edges is not None:
            arrays["edges"] = self.edges
        return {**arrays, "missed": self.missed.astype(np.int64), **self.vocabulary.arrays()}

    @classmethod
    def from_arrays(cls, how: How, arrays: dict[str, NDArray], features: int, categories: int, bins: int = 0) -> Self:
        """What `arrays` gave.

        Raises:
            ValueError: it is of other rows than the task describes, or of other bins than the settings say.
        """
        vocabulary = Vocabulary.from_arrays(arrays)
        saved = {name: arrays.get(name, np.zeros(0)) for name in ("location", "inverse", "signed", "common", "missed")}
        if len(saved["location"]) != features or len(saved["common"]) != categories or len(vocabulary.codes) != categories:
            raise ValueError(
                f"the saved encoding is of {len(saved['location'])} features and {len(saved['common'])} categories; the task has "
                f"{features} and {categories}"
            )
        saved["missed"] = saved["missed"].astype(bool)
        edges = arrays.get("edges")
        shape = None if edges is None else list(edges.shape)
        if (shape is not None) != (bins > 0) or (shape and (shape[0] != features or not 2 <= shape[-1] <= bins + 1)):
            raise ValueError(f"the saved encoding has edges of the shape {shape}; the settings ask for {bins} bins of {features} features")
        return cls(how=how, vocabulary=vocabulary, edges=edges, **saved)


def piecewise_edges(scaled: Float32, bins: int) -> Float32:
    """float32, [features, edges]: quantiles of each column of `scaled`, [n, features], NaN where missing; equal ones count once, and where
    there are no more distinct values than edges, every value is one.

    Rising; a feature with fewer edges than the most repeats its last. One that never varied has the edges 0 and 1.
    """
    by_feature = []
    for column in scaled.T:
        there = column[~np.isnan(column)].astype(np.float64)
        values = np.unique(there)
        edges = values if len(values) <= bins + 1 else np.unique(np.quantile(there, np.linspace(0, 1, bins + 1)))
        edges = edges[np.diff(edges, prepend=-np.inf) > NARROWEST]
        by_feature.append(edges if len(edges) > 1 else np.array([0.0, 1.0]))
    most = max((len(edges) for edges in by_feature), default=2)
    rows = [np.append(edges, np.full(most - len(edges), edges[-1])) for edges in by_feature]
    return np.array(rows, dtype=np.float32).reshape(len(by_feature), most)


def check_finite(numbers: Float32, names: Sequence[str]) -> None:
    """Raises ValueError: a number is infinite; the message names the feature."""
    bad = np.asarray(np.isinf(numbers).any(axis=0))
    if bad.any():
        named = [name for name, wrong in zip(names, bad.tolist(), strict=True) if wrong][:5]
        raise ValueError(f"features {named} hold infinite values: a missing value is NaN, and an infinite one is an error of the data")


def _places(vocabulary: Vocabulary, missed: NDArray[np.bool_], codes: Int64) -> Int64:
    """int64, [n, categories]: places, where a missing category that no training row taught is an unknown one."""
    places = vocabulary.places(codes)
    untaught = ~missed
    if untaught.any():
        places[:, untaught] = np.where(places[:, untaught] == MISSING_PLACE, UNKNOWN_PLACE, places[:, untaught])
    return places


def _location_and_inverse(how: How, column: Float32) -> tuple[float, float]:
    """Of the numbers that are there; the inverse is nought where they do not vary."""
    there = column[~np.isnan(column)].astype(np.float64)
    if not len(there):
        return 0.0, 0.0
    if how == "robust":
        low, location, high = (float(value) for value in np.quantile(there, (0.25, 0.5, 0.75)))
        # Where half of the values are the same, the range does instead.
        spread = high - low if high > low else float(there.max() - there.min()) / 2
    else:
        location, spread = float(there.mean()), float(there.std())
    return location, inverse_scale(spread, location)
