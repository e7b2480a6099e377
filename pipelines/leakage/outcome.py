"""Whether a single column says too much about an outcome: it may be known only afterwards (the length of the call that made the sale)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import CATEGORIES, Float64, Samples
from finflow.pipelines.samples.features import categorical_features, numeric_features
from finflow.pipelines.statistics.delong import placements

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


#: a column that separates the classes so well all by itself holds the outcome
CERTAIN = 0.95
#: one that does so well, and so much better than every other, is likely to
SUSPICIOUS, AHEAD = 0.75, 0.03
_BINS = 20
_MOST_SAMPLES = 100_000
_FEWEST = 20


def telling_columns(definition: Definition, samples: Samples, seed: int) -> dict[str, str]:
    """Features that alone separate the classes of an outcome suspiciously well, with the evidence; `known_before` vouches for some.

    Each feature is turned into the rate of the last class in its bins (20 of equal count for a number, one a category; missing ones their
    own), learnt on a random half of the samples and judged by its AUC on the other half, both ways.
    """
    areas = single_areas(definition, samples, seed)
    found = {}
    first, second = (*sorted(areas.values(), reverse=True), 0.5, 0.5)[:2]
    for name, area in areas.items():
        best = second if area == first else first  # of the others
        if name in definition.problem.known_before:
            continue
        if area >= CERTAIN:
            found[name] = f"{name} alone separates the classes almost without error (AUC {area:.3f}): it holds the outcome"
        elif area >= SUSPICIOUS and area >= best + AHEAD:
            found[name] = (
                f"{name} alone separates the classes with an AUC of {area:.3f}, the next column with {best:.3f}: is it known before the "
                "outcome? If not, list it under problem.afterwards; if it is, under problem.known_before"
            )
    return found


def single_areas(definition: Definition, samples: Samples, seed: int) -> dict[str, float]:
    """By feature, the AUC of what it alone says; empty where a class hardly is there."""
    labelled = np.flatnonzero(samples.index.labelled)
    random = np.random.default_rng(seed)
    if len(labelled) > _MOST_SAMPLES:
        came = samples.index.target[labelled, 0] == 1
        kept = np.where(came, True, random.random(len(labelled)) < _MOST_SAMPLES / len(labelled))
        labelled = labelled[kept]
    code = samples.index.target[labelled, 0].astype(np.float64)
    if min(code.sum(), len(code) - code.sum()) < _FEWEST:
        return {}
    row = samples.own_places[labelled]
    half = np.zeros(len(code), dtype=bool)
    for value in (0.0, 1.0):
        mine = random.permutation(np.flatnonzero(code == value))
        half[mine[::2]] = True
    columns = {name: _bins(samples.observations.values[row, samples.column(name)]) for name in numeric_features(definition)}
    names = categorical_features(definition)
    if names:
        codes = np.asarray(samples.observations.blocks[CATEGORIES][row])
        columns |= {name: np.unique(codes[:, place], return_inverse=True)[1] for place, name in enumerate(names)}
    return {name: (_area(bins, code, half) + _area(bins, code, ~half)) / 2 for name, bins in columns.items()}


def _bins(values: NDArray[np.float32]) -> NDArray[np.int64]:
    """int64, [n]: the bin of each value, 0 where it is missing."""
    known = np.isfinite(values)
    if not known.any():
        return np.zeros(len(values), dtype=np.int64)
    edges = np.unique(np.quantile(values[known], np.arange(1, _BINS) / _BINS))
    return np.where(known, np.searchsorted(edges, values, side="left") + 1, 0)


def _area(bins: NDArray[np.int64], code: Float64, learn: NDArray[np.bool_]) -> float:
    """AUC, where it is not learnt, of the rate of each bin where it is (smoothed by one sample of the base rate)."""
    base = code[learn].mean()
    count = np.bincount(bins[learn], minlength=bins.max() + 1)
    score = ((np.bincount(bins[learn], weights=code[learn], minlength=bins.max() + 1) + base) / (count + 1))[bins[~learn]]
    return placements(score, code[~learn].astype(np.int64))[1]
