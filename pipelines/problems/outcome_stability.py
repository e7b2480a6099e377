"""Stability of features and scores from one test period to the next: the population stability index of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.base import Prediction
from finflow.models.samples import CATEGORIES, SampleIndex
from finflow.pipelines.problems.base import Tested
from finflow.pipelines.statistics.stability import category_index, chance_index, stability_index

#: values that all columns and folds together may take: more rows are thinned evenly, which an index of this size does not notice
BUDGET = 200_000_000
LEAST, MOST = 2_000, 100_000


def stability_table(tested: Tested) -> pd.DataFrame:
    """One row a period and feature, and a period and candidate's score.

    A feature in a test period is held against the training part of that period's own fold: what the models that answered were fitted on. A
    score is held against the candidate's scores in the first test period, because what a model says of rows that it was fitted on is no
    measure of what it says later; one that says the same of all rows has no distribution, and no row here. Folds without a time
    (stratified) have no periods, and give no rows.

    Returns:
        `period`, `kind` (feature, category, score), `name` (a column, or the candidate), `psi`, `chance` (what it stays below with 95 % if
        nothing changed and rows are independent), `missing` and `reference_missing` (parts), `rows`, `reference_rows`.
    """
    names = ("period", "kind", "name", "psi", "chance", "missing", "reference_missing", "rows", "reference_rows")
    if any(fold.stratified is not None for fold in tested.folds):
        return pd.DataFrame(columns=list(names))
    width = max((len(tested.features) + len(tested.categories)) * len(tested.folds), 1)
    most = int(np.clip(BUDGET // width, LEAST, MOST))
    rows: list[dict[str, Any]] = []
    first: dict[str, NDArray[np.float64]] = {}
    for number, fold in enumerate(tested.folds):
        here = np.flatnonzero(tested.fold == number)
        if not len(here) or not len(tested.train[number]):
            continue
        index = tested.index.take(here)
        found = _features(tested, _thinned(tested.train[number], most), _thinned(index, most))
        for name, prediction in tested.forecasts.items():
            score = _score(prediction)[here]
            if name not in first:
                first[name] = score
            elif first[name].min() < first[name].max():
                found.append(_row("score", name, first[name], score))
        rows += [{"period": fold.name, **one} for one in found]
    return pd.DataFrame(rows, columns=list(names))


def _features(tested: Tested, train: SampleIndex, test: SampleIndex) -> list[dict[str, Any]]:
    observations = tested.samples.observations
    trained, tested_on = observations.rows_as_known[train.row], observations.rows_as_known[test.row]
    before, after = observations.values[trained], observations.values[tested_on]
    found = []
    for name in tested.features:
        column = tested.samples.column(name)
        found.append(_row("feature", name, before[:, column], after[:, column]))
    block = observations.blocks.get(CATEGORIES)
    if block is not None:
        codes, recent = block[trained], block[tested_on]
        for column, name in enumerate(tested.categories):
            found.append(_category_row(name, codes[:, column], recent[:, column]))
    return found


def _row(kind: str, name: str, reference: NDArray[Any], recent: NDArray[Any]) -> dict[str, Any]:
    psi, cells = stability_index(reference, recent)
    missing = (float(np.isnan(values).mean()) for values in (recent, reference))
    return _of(kind, name, psi, cells, len(reference), len(recent), *missing)


def _category_row(name: str, reference: NDArray[np.int64], recent: NDArray[np.int64]) -> dict[str, Any]:
    psi, cells = category_index(reference, recent)
    return _of("category", name, psi, cells, len(reference), len(recent), float((recent == 0).mean()), float((reference == 0).mean()))


def _of(kind: str, name: str, psi: float, cells: int, before: int, after: int, missing: float, missed: float) -> dict[str, Any]:
    chance = chance_index(before, after, cells)
    sizes = {"missing": missing, "reference_missing": missed, "rows": after, "reference_rows": before}
    return {"kind": kind, "name": name, "psi": psi, "chance": chance, **sizes}


def _thinned(index: SampleIndex, most: int) -> SampleIndex:
    """At most so many samples, evenly spread."""
    return index if len(index) <= most else index.take(np.linspace(0, len(index) - 1, most).astype(np.int64))


def _score(prediction: Prediction) -> NDArray[np.float64]:
    return prediction.values[:, -1].astype(np.float64)
