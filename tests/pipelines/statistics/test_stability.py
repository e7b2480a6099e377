"""The stability index against its formula, and against what independent rows show."""

from __future__ import annotations

import numpy as np
import pytest

from finflow.pipelines.statistics.drift import PRIOR
from finflow.pipelines.statistics.stability import OWN, category_cells, category_index, chance_index, common_categories, stability_index


def formula(before: list[int], after: list[int]) -> float:
    p, q = np.array(after) + PRIOR, np.array(before) + PRIOR
    p, q = p / p.sum(), q / q.sum()
    return float(((p - q) * np.log(p / q)).sum())


def test_numbers_by_the_quantiles_of_the_reference() -> None:
    reference = np.arange(100.0)
    recent = np.concatenate([np.full(60, 5.0), np.full(30, 95.0), np.full(10, np.nan)])
    # ten tenths of the reference and a cell for what is missing, of which the first and the tenth and the last are used
    found, cells = stability_index(reference, recent)
    assert found == pytest.approx(formula([10] * 10 + [0], [60, 0, 0, 0, 0, 0, 0, 0, 0, 30, 10]))
    assert cells == 11
    assert stability_index(reference, reference)[0] == pytest.approx(0.0, abs=1e-8)


def test_categories_by_value_with_new_ones_and_missing_ones() -> None:
    reference = np.repeat(np.array([7, 2**62, 9, 0]), [50, 30, 20, 10])
    recent = np.repeat(np.array([7, 2**62, 11, 0]), [10, 30, 40, 20])
    found, cells = category_index(reference, recent)
    assert found == pytest.approx(formula([50, 30, 20, 0, 10], [10, 30, 0, 40, 20]))
    assert cells == 5


def test_rare_categories_share_a_cell() -> None:
    codes = np.repeat(np.arange(1, OWN + 11), np.arange(OWN + 10, 0, -1))
    known = common_categories(codes)
    assert known.tolist() == list(range(1, OWN + 1))
    assert category_cells(np.array([1, OWN, OWN + 1, 999, 0]), known).tolist() == [0, OWN - 1, OWN, OWN, OWN + 1]
    assert category_cells(np.array([5, 0]), known[:0]).tolist() == [OWN, OWN + 1]


def test_independent_rows_of_the_same_kind_stay_below_what_chance_allows() -> None:
    random = np.random.default_rng(2)
    beyond = []
    for _ in range(400):
        found, cells = stability_index(random.normal(size=3000), random.normal(size=1000))
        beyond.append(found > chance_index(3000, 1000, cells))
    assert 0.02 < np.mean(beyond) < 0.08
