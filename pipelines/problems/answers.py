"""Stored prediction rows read back as the answers they were laid out from, and what an answer says in a few numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Prediction, Task
from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import FinflowError

if TYPE_CHECKING:
    import pandas as pd

    from finflow.pipelines.problems.base import Problem
    from finflow.pipelines.statistics.metric_parts import Float64

_KEYS = ["entity", "time", "horizon"]
_BESIDE = {*_KEYS, "target_time"}
#: samples whose layout is found at once: the places of their values must be exact as float32
_SLICE = 4_096


def ordered_values(
    rows: pd.DataFrame, index: SampleIndex, horizon: NDArray[np.int64], entities: tuple[str, ...], columns: Sequence[str]
) -> Float64:
    """The values of `rows` for these samples and steps ahead, in that order: float64, [n, columns].

    Args:
        horizon: int, [n].

    Raises:
        FinflowError: a column, or a row, is missing.
    """
    import pandas as pd

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
    shape: tuple[int, ...] = (task.outputs, len(task.levels)) if task.kind == "quantiles" else (task.outputs,)
    if task.kind == "probabilities":
        shape = (len(task.classes),)
    each = int(np.prod(shape))
    parts: list[Any] = [np.empty((0, *shape), dtype=np.float32)]
    for start in range(0, len(index), _SLICE):
        part = index.take(np.arange(start, min(start + _SLICE, len(index))))
        places = np.arange(len(part) * each, dtype=np.float32).reshape(len(part), *shape)
        laid = problem.rows(Prediction(task.kind, places, task.levels), part, entities)
        columns = [str(name) for name in laid.columns if name not in _BESIDE]
        cell = laid[columns].to_numpy(dtype=np.float64).ravel()
        if not np.array_equal(np.sort(cell), np.arange(len(part) * each)):
            raise FinflowError(
                f"{type(problem).__name__} changes its answers as it lays them out in `rows`: give it `answers`, the inverse."
            )
        sample = cell.reshape(len(laid), -1)[:, 0].astype(np.int64) // each
        found = ordered_values(rows, part.take(sample), laid["horizon"].to_numpy(), entities, columns)
        values = np.empty(len(part) * each, dtype=np.float32)
        values[cell.astype(np.int64)] = found.ravel()
        parts.append(values.reshape(len(part), *shape))
    return Prediction(task.kind, np.concatenate(parts), task.levels)


def about_nothing(task: Task) -> tuple[Prediction, SampleIndex]:
    """An answer to no sample, and the index of none."""
    shapes = {"quantiles": (task.outputs, len(task.levels)), "probabilities": (len(task.classes),), "paths": (task.paths, task.outputs)}
    counts, times = np.empty(0, dtype=np.int64), np.empty(0, dtype="datetime64[ns]")
    columns = 1 if task.kind == "probabilities" else task.outputs
    index = SampleIndex(
        row=counts,
        time=times,
        label_start=times,
        label_end=times,
        entity=counts,
        target=np.empty((0, columns), dtype=np.float32),
        target_time=np.empty((0, columns), dtype="datetime64[ns]"),
        origin=np.empty(0),
    )
    return Prediction(task.kind, np.empty((0, *shapes.get(task.kind, (task.outputs,))), dtype=np.float32), task.levels), index


def signals_of(prediction: Prediction, classes: tuple[str, ...]) -> dict[str, Float64]:
    """See `Problem.signals`."""
    values = prediction.values.astype(np.float64)
    if prediction.kind == "probabilities":
        return {name: values[:, number] for number, name in enumerate(classes) if number or len(classes) == 1}
    if prediction.kind == "scores":
        return {"score": values.mean(axis=1)}
    if prediction.kind == "variances":
        with np.errstate(all="ignore"):
            return {"log_variance": np.log(values[:, 0])}
    last = values[:, -1, :] if prediction.kind == "quantiles" else values[:, :, -1]
    if prediction.kind == "paths":
        return {"mean": last.mean(axis=1), "deviation": last.std(axis=1)}
    found = {"median": last[:, prediction.levels.index(0.5)]} if 0.5 in prediction.levels else {}
    lower = next((n for n, level in enumerate(prediction.levels) if level < 0.5 and _mirrored(prediction.levels, level) is not None), None)
    upper = None if lower is None else _mirrored(prediction.levels, prediction.levels[lower])
    return found if lower is None or upper is None else {**found, "width": last[:, upper] - last[:, lower]}


def _mirrored(levels: Sequence[float], level: float) -> int | None:
    """The position of 1 - level."""
    return next((number for number, other in enumerate(levels) if abs(other + level - 1.0) < 1e-9), None)
