"""Whether generated rows of the rare class help a model on a fold: fits without, with SMOTE and with them, and what validation says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from finflow.models.errors import FitFailure
from finflow.models.reproducible import reproducible
from finflow.models.rows.minority import GENERATED, NONE, SMOTE, MinorityAugmentation, MinorityVerdict, judge_precision
from finflow.models.rows.smote import smote
from finflow.models.samples import CATEGORIES, Float32, Float64, Int64, SampleIndex, Samples

if TYPE_CHECKING:
    from finflow.models.rows.modules.table_gan_training import RowSource

#: with fewer dates the bootstrap draws rows
FEWEST_DATES = 30


@dataclass(frozen=True, eq=False)
class LabelledRows:
    """Training rows as arrays.

    Attributes:
        numbers: float32, [n, features]; NaN where missing.
        codes: int64, [n, categories]; 0 where missing.
        classes: int64, [n]; 0 or 1.
    """

    numbers: Float32
    codes: Int64
    classes: Int64

    @property
    def rare(self) -> int:
        """The class with fewer rows; the last where they are even."""
        return int(2 * self.classes.sum() <= len(self.classes))

    def wanted(self, settings: MinorityAugmentation) -> int:
        """How many rows are generated."""
        return max(1, round(settings.share * int((self.classes == self.rare).sum())))

    def shift(self, count: int) -> float:
        """By how much so many more rows of the rare class raise the log odds of the last class."""
        own = int((self.classes == self.rare).sum())
        return float(np.log((own + count) / own)) * (1 if self.rare else -1)


#: rows of the rare class by a seed: numbers and codes
Maker = Callable[[int], tuple[Float32, Int64]]
#: the score of validation rows, float64 [n], of a fit by a seed with more rows or without
Scorer = Callable[[int, tuple[Float32, Int64] | None], Float64]


def makers(rows: LabelledRows, settings: MinorityAugmentation, names: tuple[str, ...], threads: int) -> dict[str, Maker]:
    """What makes rows, by name, of the training rows alone.

    The generator is fitted once, by a seed of its own: the one that is judged is the one that is used, and all fits of a fold have the
    same. What is drawn from it differs by seed.

    Args:
        names: of the features, for errors.
    """
    from threadpoolctl import threadpool_limits

    count = rows.wanted(settings)

    def between(seed: int) -> tuple[Float32, Int64]:
        with threadpool_limits(threads):
            return smote(rows.numbers, rows.codes, rows.classes, rows.rare, count, names=names, neighbours=settings.neighbours, seed=seed)

    @cache
    def source() -> RowSource:
        # late: loads torch
        from finflow.models.rows.modules.table_gan_training import fit_row_source

        # scikit-learn sums in as many threads as there are, whatever torch was told: modes would differ in their last bits
        with threadpool_limits(threads), reproducible(0, threads):
            return fit_row_source(rows.numbers, rows.codes, rows.classes, settings.steps, seed=0)

    def generated(seed: int) -> tuple[Float32, Int64]:
        with reproducible(seed, threads):
            return source().draw(rows.rare, count, seed)

    return {SMOTE: between, GENERATED: generated}


def try_minority(
    rows: LabelledRows, settings: MinorityAugmentation, make: dict[str, Maker], score: Scorer, validation: LabelledRows, index: SampleIndex
) -> MinorityVerdict:
    """The verdict. A generator or a fit that fails is a reason to do without.

    The seeds of the trial are its own, so every fit of a fold, whatever its seed, comes to the same verdict.
    """
    found: dict[str, list[Float64]] = {NONE: [], SMOTE: [], GENERATED: []}
    try:
        for seed in range(settings.seeds):
            found[NONE].append(score(seed, None))
            for name, maker in make.items():
                found[name].append(score(seed, maker(seed)))
    except FitFailure as failure:
        return MinorityVerdict(False, f"the trial failed: {failure}")
    sign = 1.0 if rows.rare else -1.0
    scores = {name: sign * np.array(values) for name, values in found.items()}
    verdict = judge_precision(scores, validation.classes == rows.rare, clusters(index), settings.level)
    return replace(verdict, rows=rows.wanted(settings)) if verdict.kept else verdict


def clusters(index: SampleIndex) -> Int64:
    """int64, [n]: what is drawn together: rows of a date, or every row for itself where dates are few."""
    days = np.unique(index.time.astype("datetime64[D]"), return_inverse=True)
    return days[1].astype(np.int64) if len(days[0]) >= FEWEST_DATES else np.arange(len(index), dtype=np.int64)


def with_rows(train: Samples, features: Int64, numbers: Float32, codes: Int64, wanted: int) -> Samples:
    """The training samples, each its own row alone, and generated ones of a class after them. Columns that are no features are empty there.

    Args:
        features: int64; positions of the features among the columns.
        numbers: float32, [m, features]; codes: int64, [m, categories].
        wanted: their class.
    """
    count, more = len(train), len(numbers)
    values = np.full((count + more, len(train.columns)), np.nan, dtype=np.float32)
    values[:count] = train.gather(length=1)[:, 0]
    values[count:, features] = numbers
    blocks = {CATEGORIES: np.concatenate([train.gather_categories(length=1)[:, 0], codes])}
    index = train.index
    # What a generated sample is otherwise said to be is that of the first real one: no fit reads it.
    copied = index.take(np.concatenate([np.arange(count), np.zeros(more, dtype=np.int64)]))
    target = np.concatenate([index.target, np.full((more, index.target.shape[1]), wanted, dtype=np.float32)])
    place = np.arange(count + more, dtype=np.int64)
    observations = replace(
        train.observations,
        values=values,
        entities=tuple(str(number) for number in range(count + more)),
        first=np.arange(count + more + 1, dtype=np.int64),
        time=copied.time,
        blocks=blocks,
        revised=None,
    )
    return Samples(observations, replace(copied, row=place, entity=place, target=target), 1)
