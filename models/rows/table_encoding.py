"""Rows as a table's generator sees them: numbers by their modes, everything else by its values (Xu et al., 2019, "Modeling Tabular Data
using Conditional GAN"). Plain numpy; fitted on the training part alone.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Self

import numpy as np

from finflow.models.errors import FitFailure
from finflow.models.samples import Float32, Float64, Int64

#: modes of a number at most, and the least weight of one (Xu et al., 2019)
MODES, LEAST_WEIGHT = 10, 0.005
#: within a mode a number is so many standard deviations from its mean, divided by this
REACH = 4.0
#: rows that modes are found from
LOOKED_AT = 20_000
#: a number with so few values is told by its values: what is counted stays a count
FEW_VALUES = 20
#: values of all columns together, at most: each is an output of the generator and an input of its critic
MOST_VALUES = 5_000


@dataclass(frozen=True, eq=False)
class Modes:
    """A number that varies: a mixture of normal distributions. A missing value is a mode of its own, the last, where there are some.

    Attributes:
        mean, deviation, weight: float64, [modes].
        low, high: the range of the values that were there.
        missing: whether some were missing.
    """

    mean: Float64
    deviation: Float64
    weight: Float64
    low: float
    high: float
    missing: bool

    @property
    def size(self) -> int:
        return len(self.mean) + self.missing

    @classmethod
    def fit(cls, column: Float64, seed: int) -> Self:
        """Fit on float64, [n], some of it NaN: a variational mixture with a Dirichlet process, which drops the modes it need not have.

        Raises:
            FitFailure: no mixture could be found.
        """
        from sklearn.mixture import BayesianGaussianMixture

        there = column[~np.isnan(column)]
        looked_at = there if len(there) <= LOOKED_AT else np.random.default_rng(seed).choice(there, LOOKED_AT, replace=False)
        if np.ptp(looked_at) == 0:  # what differs is rare, and was not drawn
            looked_at = np.unique(there)[:LOOKED_AT]
        location, spread = float(looked_at.mean()), float(looked_at.std())
        mixture = BayesianGaussianMixture(
            n_components=min(MODES, len(np.unique(looked_at))),
            weight_concentration_prior_type="dirichlet_process",
            weight_concentration_prior=0.001,
            random_state=seed,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that it has not converged: any mixture near the data does
            try:
                mixture.fit(((looked_at - location) / spread)[:, None])
            except ValueError as error:
                raise FitFailure(
                    f"the modes of a number between {there.min():g} and {there.max():g} could not be found: {error}"
                ) from error
        kept = mixture.weights_ > LEAST_WEIGHT
        return cls(
            mean=mixture.means_[kept, 0] * spread + location,
            deviation=np.sqrt(mixture.covariances_[kept, 0, 0]) * spread,
            weight=mixture.weights_[kept] / mixture.weights_[kept].sum(),
            low=float(there.min()),
            high=float(there.max()),
            missing=len(there) < len(column),
        )

    def encode(self, column: Float64, random: np.random.Generator) -> tuple[Float32, Int64]:
        """Where a value lies within its mode, float32 [n] in -1 to 1, and its mode, int64 [n], drawn by how likely each is."""
        absent = np.isnan(column)
        filled = np.where(absent, self.mean[0], column)
        distance = (filled[:, None] - self.mean) / self.deviation
        logarithm = np.log(self.weight) - np.log(self.deviation) - 0.5 * np.square(distance)
        mode = (logarithm + random.gumbel(size=logarithm.shape)).argmax(axis=1)
        within = np.clip(distance[np.arange(len(mode)), mode] / REACH, -1, 1)
        return np.where(absent, 0.0, within).astype(np.float32), np.where(absent, len(self.mean), mode).astype(np.int64)

    def decode(self, within: Float32, mode: Int64) -> Float64:
        """float64, [n]: the values, never outside the range of the training part."""
        chosen = np.minimum(mode, len(self.mean) - 1)
        values = np.clip(self.mean[chosen] + REACH * self.deviation[chosen] * within, self.low, self.high)
        return np.where(mode == len(self.mean), np.nan, values)


@dataclass(frozen=True, eq=False)
class TableEncoding:
    """Every feature, every category and the class of a row, as numbers within modes and as places.

    Attributes:
        modes: of the numbers with many values, by position among the features.
        values: float64 of the numbers with few values (NaN last), by position.
        codes: by category, int64 [places]; the codes there are.

    An encoded row has a number in -1 to 1 for each of `modes`, and places: the mode of each, then those of the numbers with few values, of
    the categories, and of the class. Whatever is told by places but the modes is a condition that rows can be asked for.
    """

    modes: dict[int, Modes]
    values: dict[int, Float64]
    codes: tuple[Int64, ...]

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many places each column of places has."""
        numbers = [one.size for one in self.modes.values()] + [len(values) for values in self.values.values()]
        return (*numbers, *(len(codes) for codes in self.codes), 2)

    @classmethod
    def fit(cls, numbers: Float32, codes: Int64, seed: int) -> Self:
        """Fit on training rows.

        Args:
            numbers: float32, [n, features]; NaN where missing.
            codes: int64, [n, categories].

        Raises:
            FitFailure: the columns have too many values together.
        """
        modes, values = {}, {}
        for place, column in enumerate(numbers.T.astype(np.float64)):
            distinct = np.unique(column)  # one NaN, the last
            if len(distinct) - bool(np.isnan(distinct[-1])) > FEW_VALUES:
                modes[place] = Modes.fit(column, seed)
            else:
                values[place] = distinct
        made = cls(modes, values, tuple(np.unique(column) for column in codes.T))
        if sum(made.sizes) > MOST_VALUES:
            raise FitFailure(
                f"the categories have {sum(made.sizes):,} values together; a generator of rows takes {MOST_VALUES:,}: leave the widest out"
            )
        return made

    def encode(self, numbers: Float32, codes: Int64, classes: Int64, seed: int) -> tuple[Float32, Int64]:
        """float32 [n, modes] and int64 [n, columns of places]. Modes are drawn by the seed."""
        random = np.random.default_rng(seed)
        wide = numbers.astype(np.float64)
        pairs = [one.encode(wide[:, place], random) for place, one in self.modes.items()]
        within = np.column_stack([pair[0] for pair in pairs]) if pairs else np.zeros((len(numbers), 0), dtype=np.float32)
        places = [pair[1] for pair in pairs]
        places += [np.searchsorted(values, wide[:, place]) for place, values in self.values.items()]
        places += [np.searchsorted(values, column) for values, column in zip(self.codes, codes.T, strict=True)]
        return within, np.column_stack([*places, classes]).astype(np.int64)

    def decode(self, within: Float32, places: Int64) -> tuple[Float32, Int64, Int64]:
        """Numbers float32 [n, features], codes int64 [n, categories], and classes int64 [n], of what `encode` gives."""
        numbers = np.empty((len(places), len(self.modes) + len(self.values)), dtype=np.float32)
        column = iter(places.T)
        for number, (place, one) in enumerate(self.modes.items()):
            numbers[:, place] = one.decode(within[:, number], next(column))
        for place, values in self.values.items():
            numbers[:, place] = values[next(column)]
        codes = np.empty((len(places), len(self.codes)), dtype=np.int64)
        for place, vocabulary in enumerate(self.codes):
            codes[:, place] = vocabulary[next(column)]
        return numbers, codes, next(column)
