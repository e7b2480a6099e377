"""Batches of windows, gathered by index from the observations as they are drawn. Plain numpy."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from models.base import Task
from models.samples import Float32, Int64, Samples
from models.scaling import Scaling

#: Observations of up to this many bytes are scaled once, ahead of training; larger ones batch by batch. The bits are the same.
PREPARED_BYTES = 2 * 1024**3


class Batches:
    """Draws scaled windows of samples.

    A window is one contiguous stretch of the observations, so a batch is gathered as that many block copies from an overlapping view:
    the cost depends neither on the length of the series nor on their number. Observations may be memory-mapped.

    Args:
        samples: the samples to draw from.
        scaling: applied to every window drawn.
        task: which columns are features.
        prepare: scale the feature columns once, ahead, where they fit into `PREPARED_BYTES`.

    Raises:
        ValueError: the samples have other columns, or another window length, than the task.
    """

    def __init__(self, samples: Samples, scaling: Scaling, task: Task, *, prepare: bool = False) -> None:
        check_samples(samples, task)
        self.scaling = scaling
        self.length = task.length
        self.starts: Int64 = samples.index.row - (task.length - 1)
        positions = task.feature_positions
        values = samples.observations.values
        self.prepared: Float32 | None = None
        self._columns: NDArray[np.int64] | slice = _as_slice(positions)
        if prepare and len(values) * len(positions) * 4 <= PREPARED_BYTES:
            values = self.prepared = scaling.features(np.array(values[:, positions], dtype=np.float32, order="C"))
            self._columns = slice(0, len(positions))
        self._whole = self._columns == slice(0, values.shape[1])
        row, item = values.shape[1] * values.itemsize, values.itemsize
        count = max(len(values) - task.length + 1, 0)
        self._windows = as_strided(values, (count, task.length, values.shape[1]), (row, row, item), writeable=False)

    def __len__(self) -> int:
        return len(self.starts)

    def draw(self, positions: Int64) -> Float32:
        """float32, [batch, length, features]: the scaled windows of the samples at `positions`."""
        batch = self._windows[self.starts[positions]]
        if self.prepared is not None:
            return batch
        if not self._whole:
            batch = np.ascontiguousarray(batch[:, :, self._columns])
        count, length, features = batch.shape
        return self.scaling.features(batch.reshape(count, length * features)).reshape(count, length, features)


def check_samples(samples: Samples, task: Task) -> None:
    """Raises ValueError: the samples have other columns, or another window length, than the task."""
    if samples.columns != task.columns:
        raise ValueError(f"samples have columns {list(samples.columns)}; the model was made for {list(task.columns)}, in that order")
    if samples.length != task.length:
        raise ValueError(f"samples have windows of {samples.length}; the model was made for {task.length}")
    values = samples.observations.values
    if values.dtype != np.float32 or not values.flags.c_contiguous:
        raise ValueError(f"observations must be contiguous float32; these are {values.dtype}")


def _as_slice(positions: NDArray[np.int64]) -> NDArray[np.int64] | slice:
    """Neighbouring columns as a slice, which numpy copies faster."""
    first = int(positions[0])
    if np.array_equal(positions, np.arange(first, first + len(positions))):
        return slice(first, first + len(positions))
    return positions
