"""Batches of encoded rows, or of an entity's last rows, gathered by index. Plain numpy."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from finflow.models.revised import ABSENT
from finflow.models.row_networks.row_encoding import RowEncoding, check_finite
from finflow.models.rows.categories import MISSING
from finflow.models.samples import CATEGORIES, Float32, Int64, Samples

#: rows that are encoded at once
ROWS = 65_536


class RowBatches:
    """Draws encoded windows of samples: [batch, length, width], one contiguous stretch of `prepared` each.

    Before an entity's first row stand `length - 1` rows of noughts. For sequences a last column says which rows hold anything at all: a
    served model is given rows of nothing before an entity's first, and cannot know them otherwise.

    Attributes:
        prepared: float32, [rows, width]; every row that a window may read, encoded once.
        starts: int64, [samples]; where each sample's window begins in it.
    """

    def __init__(self, prepared: Float32, starts: Int64, length: int) -> None:
        self.prepared, self.starts, self.length = prepared, starts, length
        row, item = prepared.shape[1] * prepared.itemsize, prepared.itemsize
        count = max(len(prepared) - length + 1, 0)
        self._windows = as_strided(prepared, (count, length, prepared.shape[1]), (row, row, item), writeable=False)

    def __len__(self) -> int:
        return len(self.starts)

    def draw(self, positions: Int64) -> Float32:
        """float32, [batch, length, width]."""
        return np.asarray(self._windows[self.starts[positions]])

    def places(self, positions: Int64) -> Int64:
        """int64, [batch, length]: where the rows of these windows stand in `prepared`."""
        return np.asarray(self.starts[positions, None] + np.arange(self.length))


def row_batches(samples: Samples, encoding: RowEncoding, features: Int64, length: int) -> RowBatches:
    """Encode what the samples read.

    Args:
        features: int64; positions of the features among the columns.
        length: rows that a sample reaches back over, its own among them; 1: its own alone, without the column of real rows.
    """
    if length == 1:
        return RowBatches(encode_rows(samples, samples.own_places, encoding, features), np.arange(len(samples)), 1)
    observations = samples.observations
    if len(samples) * length < observations.rows or observations.behind[samples.index.row].any():
        return _each_window(samples, encoding, features, length)
    entities, own = np.unique(samples.index.entity, return_inverse=True)
    first, after = observations.first[entities], observations.first[entities + 1]
    counts = after - first
    # Each entity that has a sample: the rows before its first, then its own.
    begins = np.concatenate([[0], np.cumsum(counts + length - 1)]).astype(np.int64)
    prepared = np.zeros((int(begins[-1]), encoding.width + 1), dtype=np.float32)
    rows = np.concatenate([np.arange(a, b) for a, b in zip(first, after, strict=True)]) if len(entities) else np.zeros(0, dtype=np.int64)
    target = rows + np.repeat(begins[:-1] + length - 1 - first, counts)
    prepared[target, :-1] = encode_rows(samples, rows, encoding, features)
    prepared[target, -1] = _holds_anything(samples, rows)
    starts = samples.index.row - first[own] + begins[:-1][own]
    return RowBatches(prepared, starts.astype(np.int64), length)


def _each_window(samples: Samples, encoding: RowEncoding, features: Int64, length: int) -> RowBatches:
    """One window after the other: less work where samples are few among many rows, and needed where they knew earlier versions of some."""
    wanted = samples.places(length=length).ravel()
    real = wanted != ABSENT
    prepared = np.zeros((len(wanted), encoding.width + 1), dtype=np.float32)
    prepared[real, :-1] = encode_rows(samples, wanted[real], encoding, features)
    prepared[real, -1] = _holds_anything(samples, wanted[real])
    return RowBatches(prepared, np.arange(len(samples), dtype=np.int64) * length, length)


def _holds_anything(samples: Samples, places: Int64) -> NDArray[np.bool_]:
    """bool, [n]: a value of any column, or a category."""
    found = ~np.isnan(samples.observations.values[places]).all(axis=1)
    block = samples.observations.blocks.get(CATEGORIES)
    return np.asarray(found if block is None else found | (block[places] != MISSING).any(axis=1))


def encode_rows(samples: Samples, places: Int64, encoding: RowEncoding, features: Int64) -> Float32:
    """float32, [n, width]: what stands at those places of the observations, encoded.

    Raises:
        ValueError: a number is infinite; the message names the feature.
    """
    block = samples.observations.blocks.get(CATEGORIES)
    names = [samples.columns[place] for place in features]
    found = np.empty((len(places), encoding.width), dtype=np.float32)
    for start in range(0, len(places), ROWS):
        part = places[start : start + ROWS]
        codes = np.zeros((len(part), 0), dtype=np.int64) if block is None else np.asarray(block[part])
        numbers = np.asarray(samples.observations.values[part])
        numbers = numbers if len(features) == numbers.shape[1] else numbers[:, features]
        check_finite(numbers, names)
        found[start : start + ROWS] = encoding.encode(numbers, codes)
    return found
