"""How the classical models read the past out of samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from finflow.models.errors import FitFailure
from finflow.models.revised import ABSENT
from finflow.models.samples import ARRAYS, Float64, SampleIndex, Samples

STATE = "state.safetensors"
#: samples looked at together, so that memory grows with them and not with all
CHUNK = 4096


def labelled_together(train: Samples, validation: Samples) -> Samples:
    """The labelled samples of both, in that order.

    Raises:
        FitFailure: none is labelled, or the two are not views of the same observations.
    """
    if train.observations is not validation.observations:
        raise FitFailure("train and validation must be views of the same observations")
    parts = [part.index if part.index.labelled.all() else part.index.take(part.index.labelled) for part in (train, validation)]
    joined = {name: np.concatenate([getattr(part, name) for part in parts]) for name in ARRAYS}
    groups = {name: np.concatenate([part.groups[name] for part in parts]) for name in parts[0].groups}
    together = replace(train, index=SampleIndex(**joined, groups=groups))
    if len(together) == 0:
        count = len(train) + len(validation)
        raise FitFailure(f"none of the {count} training samples is labelled: every target is missing or not finite")
    return together


def past(samples: Samples, column: str, length: int) -> Float64:
    """The last `length` values of one column up to each sample's row, as known at its instant: float64, [n, length], oldest first.

    Values before an entity's first row are NaN.
    """
    places = samples.places(length=length)
    values = samples.observations.values[np.maximum(places, 0), samples.column(column)].astype(np.float64)
    values[places == ABSENT] = np.nan
    return values


def known_rows(samples: Samples) -> list[NDArray[np.int64]]:
    """Where the rows stand that these samples may read, an array an entity: from the entity's first to its last sample's, all as they were
    known at that last sample's instant."""
    observations = samples.observations
    first, revised = observations.first, observations.revised
    last = np.full(len(first) - 1, -1, dtype=np.int64)
    np.maximum.at(last, samples.index.entity, samples.index.row)
    found = [np.arange(first[entity], last[entity] + 1) for entity in np.flatnonzero(last >= 0)]
    if revised is None:
        return found
    places = [revised.at(rows, revised.known[rows[-1]]) for rows in found]
    return [one[one != ABSENT] for one in places]


def chunks(samples: Samples, size: int = CHUNK) -> list[Samples]:
    """Views of consecutive samples, so that memory grows with the chunk."""
    return [samples.take(np.arange(start, min(start + size, len(samples)))) for start in range(0, len(samples), size)]
