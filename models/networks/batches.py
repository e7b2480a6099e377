"""Batches of windows, gathered by index from the observations as they are drawn. Plain numpy."""

from __future__ import annotations

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from finflow.models.base import Task
from finflow.models.networks.scaling import Scaling
from finflow.models.samples import Float32, Int64, Samples

#: Observations of up to this many bytes are scaled once, ahead; larger ones batch by batch.
PREPARED_BYTES = 1024**3


class Batches:
    """Draws scaled windows of samples.

    A window is one contiguous stretch of the observations, so a batch is gathered as that many block copies from an overlapping view:
    the cost depends neither on the length of the series nor on their number. Only a window of which a sample knew an earlier version is
    gathered observation by observation. Observations may be memory-mapped.

    Args:
        samples: the samples to draw from.
        scaling: applied to every window drawn.
        task: which columns are features.
        prepared: what `prepare` made of the same observations; without it every batch is scaled as it is drawn. The bits are the same.

    Raises:
        ValueError: the samples have other columns, or another window length, than the task.
    """

    def __init__(self, samples: Samples, scaling: Scaling, task: Task, *, prepared: Float32 | None = None) -> None:
        check_samples(samples, task)
        self.scaling = scaling
        self.length = task.length
        self._samples = samples
        self._starts: Int64 = samples.index.row - (task.length - 1)
        self._behind = samples.observations.behind[samples.index.row]
        self._any_behind = bool(self._behind.any())
        positions = task.feature_positions
        values = samples.observations.values
        self.prepared = prepared
        self._columns: NDArray[np.int64] | slice = _as_slice(positions)
        if prepared is not None:
            values = prepared
        self._values = values
        self._whole = np.array_equal(positions, np.arange(values.shape[1]))
        row, item = values.shape[1] * values.itemsize, values.itemsize
        count = max(len(values) - task.length + 1, 0)
        self._windows = as_strided(values, (count, task.length, values.shape[1]), (row, row, item), writeable=False)

    def __len__(self) -> int:
        return len(self._starts)

    def draw(self, positions: Int64) -> Float32:
        """float32, [batch, length, features]: the scaled windows of the samples at `positions`."""
        if self._any_behind and self._behind[positions].any():
            batch = np.asarray(self._values[self.places(positions)])
        else:
            batch = self._windows[self._starts[positions]]
        if self.prepared is not None:
            return batch
        if not self._whole:
            batch = np.ascontiguousarray(batch[:, :, self._columns])
        count, length, features = batch.shape
        return self.scaling.features(batch.reshape(count, length * features)).reshape(count, length, features)

    def places(self, positions: Int64) -> Int64:
        """int64, [batch, length]: where the observations of these windows stand in the samples' own and in `prepared`."""
        return self._samples.places(positions)


def prepare(samples: Samples, scaling: Scaling, task: Task) -> Float32 | None:
    """float32, [rows + versions, features]: every observation scaled once.

    None where that is more than `PREPARED_BYTES`, or no less work than scaling window by window, because the samples are few.
    """
    values = samples.observations.values
    if len(values) * len(task.features) * 4 > PREPARED_BYTES or len(values) >= len(samples) * task.length:
        return None
    return scaling.features(np.array(values[:, task.feature_positions], dtype=np.float32, order="C"))


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
