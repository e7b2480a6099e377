"""Stored prediction rows read back as the answers they were laid out from, and what came laid out as they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.answers import ANSWERS
from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import FinflowError

if TYPE_CHECKING:
    from finflow.pipelines.problems.base import Problem
    from finflow.pipelines.statistics.metric_parts import Float64

_KEYS = ["entity", "time", "horizon"]
_BESIDE = {*_KEYS, "target_time"}
#: samples, and values, whose layout is found at once: the places of values must be exact as float32
_SLICE, _EXACT = 4_096, 2**24


def ordered_values(
    rows: pd.DataFrame, index: SampleIndex, horizon: NDArray[np.int64], entities: tuple[str, ...], columns: Sequence[str]
) -> Float64:
    """The values of `rows` for these samples and steps ahead, in that order: float64, [n, columns].

    Args:
        horizon: int, [n].

    Raises:
        FinflowError: a column, or a row, is missing.
    """
    absent = [name for name in columns if name not in rows.columns]
    if absent:
        raise FinflowError(
            f"the stored predictions have no column {', '.join(absent)}: the definition's problem was another when they were made."
        )
    names = np.asarray(entities, dtype=object)[index.entity]
    wanted = pd.MultiIndex.from_arrays([names, index.time.astype("datetime64[us]"), np.asarray(horizon, dtype=np.int64)])
    there = pd.MultiIndex.from_arrays([rows["entity"].astype(object), rows["time"].to_numpy("datetime64[us]"), rows["horizon"].to_numpy()])
    place = there.get_indexer(wanted)
    if (place < 0).any():
        entity, time, step = wanted[int(np.flatnonzero(place < 0)[0])]
        raise FinflowError(f"the stored predictions have no row of {entity} at {time:%Y-%m-%d}, {step} ahead.")
    return rows[list(columns)].to_numpy(dtype=np.float64)[place]


def read_back(problem: Problem, rows: pd.DataFrame, index: SampleIndex, entities: tuple[str, ...]) -> Prediction:
    """The answers that `problem.rows` laid out as `rows`. Where each value stands is found by laying out the values' own places.

    Raises:
        FinflowError: see `ordered_values`; or `problem.rows` does more than lay out.
    """
    task = problem.task((), ())
    shape = ANSWERS[task.kind].shape(task)
    each = int(np.prod(shape))
    parts: list[Any] = [np.empty((0, *shape), dtype=np.float32)]
    step = max(1, min(_SLICE, _EXACT // max(each, 1)))
    for start in range(0, len(index), step):
        part = index.take(np.arange(start, min(start + step, len(index))))
        places = np.arange(len(part) * each, dtype=np.float32).reshape(len(part), *shape)
        laid = problem.rows(Prediction(task.kind, places, task.levels), part, entities)
        columns = [str(name) for name in laid.columns if name not in _BESIDE]
        cell = laid[columns].to_numpy(dtype=np.float64).ravel()
        if not np.array_equal(np.sort(cell), np.arange(len(part) * each)):
            raise FinflowError(
                f"{type(problem).__name__} changes its answers as it lays them out in `rows`: give it `answers`, the inverse."
            )
        sample = cell.reshape(len(laid), -1)[:, 0].astype(np.int64) // each
        ordered = ordered_values(rows, part.take(sample), laid["horizon"].to_numpy(), entities, columns)
        values = np.empty(len(part) * each, dtype=np.float32)
        values[cell.astype(np.int64)] = ordered.ravel()
        parts.append(values.reshape(len(part), *shape))
    return Prediction(task.kind, np.concatenate(parts), task.levels)


def about_nothing(task: Task) -> tuple[Prediction, SampleIndex]:
    """An answer to no sample, and the index of none."""
    counts, times = np.empty(0, dtype=np.int64), np.empty(0, dtype="datetime64[ns]")
    index = SampleIndex(
        row=counts,
        time=times,
        label_start=times,
        label_end=times,
        entity=counts,
        target=np.empty((0, task.outputs), dtype=np.float32),
        target_time=np.empty((0, task.outputs), dtype="datetime64[ns]"),
        origin=np.empty(0),
    )
    return Prediction(task.kind, np.empty((0, *ANSWERS[task.kind].shape(task)), dtype=np.float32), task.levels), index


def actual_of(problem: Problem, prediction: Prediction, index: SampleIndex, entities: tuple[str, ...]) -> NDArray[Any] | None:
    """What came, one a row of `problem.rows`: a class's name, or on the scale of the rows' first value, those of a forecast that knew it.

    None for answers that do not tell the targets one by one (scores, paths).
    """
    classes = problem.task((), ()).classes
    if classes:
        return np.array(classes, dtype=object)[index.target[:, 0].astype(np.int64)]
    actual = ANSWERS[prediction.kind].known(index.target.astype(np.float32), prediction.levels)
    if actual is None:
        return None
    rows = problem.rows(Prediction(prediction.kind, actual, prediction.levels), index, entities)
    return rows[next(name for name in map(str, rows.columns) if name not in _BESIDE)].to_numpy(dtype=np.float64)
