"""The population stability index of one column between two samples: of numbers by the reference's quantiles, of categories by value.

It shares its bins and formula with `drift` (ten quantiles, what is missing in a bin of its own), which adds what windows of a reference do
of themselves; here the samples are whole periods, and the index is held against what independent rows show by chance (Yurdakul, 2018).
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.statistics.drift import BINS, cells_of, edges_of, log_psi

#: categories with a cell of their own: the commonest of the reference; the others share one, new ones among them
OWN = 30


def stability_index(reference: NDArray[np.floating[Any]], recent: NDArray[np.floating[Any]]) -> tuple[float, int]:
    """The index, and how many cells it is over, of values, float, [n] and [m]; NaN is missing."""
    before, after = np.asarray(reference, dtype=np.float64), np.asarray(recent, dtype=np.float64)
    edges = edges_of(before, BINS)
    return _index(cells_of(before, edges), cells_of(after, edges), len(edges) + 2)


def category_index(reference: NDArray[np.int64], recent: NDArray[np.int64]) -> tuple[float, int]:
    """As `stability_index`, of codes of categories, int64; 0 is missing."""
    common = common_categories(reference)
    return _index(category_cells(reference, common), category_cells(recent, common), OWN + 2)


def common_categories(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """The codes that get a cell of their own: int64, the commonest first."""
    values, counts = np.unique(codes[codes != 0], return_counts=True)
    return np.asarray(values[np.argsort(-counts, kind="stable")][:OWN], dtype=np.int64)


def category_cells(codes: NDArray[np.int64], categories: NDArray[np.int64]) -> NDArray[np.int64]:
    """int64, [n]: the place among `categories`, OWN for all other codes, OWN + 1 for what is missing."""
    order = np.argsort(categories)
    cells = np.full(len(codes), OWN, dtype=np.int64)
    if len(categories):
        at = np.minimum(np.searchsorted(categories, codes, sorter=order), len(categories) - 1)
        same = categories[order[at]] == codes
        cells[same] = order[at][same]
    cells[codes == 0] = OWN + 1
    return cells


def chance_index(reference: int, recent: int, cells: int, level: float = 0.95) -> float:
    """What the index of two samples of the same rows stays below with this chance, if rows are independent: chi-squared with one degree
    less than cells, over the harmonic size (Yurdakul, 2018). Rows that come in clusters go further."""
    from scipy.stats import chi2

    return float(chi2.ppf(level, max(cells - 1, 1)) * (1.0 / reference + 1.0 / recent))


def _index(reference: NDArray[np.int64], recent: NDArray[np.int64], width: int) -> tuple[float, int]:
    before, after = (np.bincount(cells, minlength=width).astype(np.float64) for cells in (reference, recent))
    return math.exp(float(log_psi(after[None], before[None])[0])), int(((before > 0) | (after > 0)).sum())
