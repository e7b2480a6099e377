"""Rows of a class between neighbours of that class by imbalanced-learn: SMOTE, or SMOTE-NC with categories (Chawla et al., 2002)."""

from __future__ import annotations

import numpy as np

from finflow.models.errors import FitFailure
from finflow.models.rows.row_numbers import RowNumbers
from finflow.models.samples import Float32, Float64, Int64


def smote(
    numbers: Float32, codes: Int64, classes: Int64, wanted: int, count: int, *, names: tuple[str, ...], neighbours: int, seed: int
) -> tuple[Float32, Int64]:
    """New rows of a class, each between a row of it and one of that row's nearest; categories are those of most neighbours.

    Distances are of standardised numbers. A missing number is taken for the median, with a sign beside it that counts as a category: a new
    row lacks what most of the neighbours lack.

    Args:
        numbers: float32, [n, features]; NaN where missing.
        codes: int64, [n, categories].
        classes: int64, [n]; 0 or 1.
        wanted: the class, the rarer one.
        count: new rows.
        names: of the features, for errors.

    Returns:
        float32 [count, features] and int64 [count, categories].

    Raises:
        FitFailure: the class has fewer than two rows, or there are no numbers to draw between.
    """
    from imblearn.over_sampling import SMOTE, SMOTENC

    members = int((classes == wanted).sum())
    if members < 2:
        raise FitFailure(f"SMOTE needs two rows of a class to draw between, and there are {members}")
    ready = RowNumbers.of(numbers, names, "standard", 1e6)
    varying = np.flatnonzero(ready.inverse > 0)
    if not len(varying):
        raise FitFailure("SMOTE draws between numbers, and no feature is one that varies")
    scaled = ready.scaled(numbers)[:, varying]
    categories = [np.unique(column) for column in codes.T]
    places = [np.searchsorted(values, column) for values, column in zip(categories, codes.T, strict=True)]
    table = np.column_stack([scaled, ready.marks(numbers), *places])
    nominal = list(range(scaled.shape[1], table.shape[1]))
    given = {"sampling_strategy": {wanted: members + count}, "k_neighbors": min(neighbours, members - 1), "random_state": seed}
    sampler = SMOTENC(categorical_features=nominal, **given) if nominal else SMOTE(**given)
    try:
        made = np.asarray(sampler.fit_resample(table, classes)[0][len(table) :], dtype=np.float64)
    except ValueError as error:
        raise FitFailure(f"SMOTE cannot draw between these rows: {error}") from error
    unscaled = _unscaled(made, ready, varying)
    unscaled[:, np.isnan(numbers).all(axis=0)] = np.nan
    at = made[:, len(varying) + len(ready.marked) :].round().astype(np.int64)
    back = [values[place] for values, place in zip(categories, at.T, strict=True)]
    return unscaled.astype(np.float32), np.column_stack(back).astype(np.int64) if back else np.zeros((count, 0), dtype=np.int64)


def _unscaled(made: Float64, ready: RowNumbers, varying: Int64) -> Float64:
    """float64, [count, features], of standardised numbers of those that vary and, behind them, signs of what is missing."""
    numbers = np.tile(ready.median, (len(made), 1))
    numbers[:, varying] = made[:, : len(varying)] / ready.inverse[varying] + ready.location[varying]
    absent = made[:, len(varying) : len(varying) + len(ready.marked)] > 0.5
    numbers[:, ready.marked] = np.where(absent, np.nan, numbers[:, ready.marked])
    return numbers
