"""From samples and a served version to prediction rows; live scoring and backfill share it, so that both give the same rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from models.base import Prediction
from models.samples import Samples
from pipelines.definition import Definition
from pipelines.errors import FinflowError, RegistryError
from pipelines.predictions import COLUMNS
from pipelines.window_digests import as_text, window_digests

if TYPE_CHECKING:
    from pipelines.registry import ServedModel

#: samples that go through a model at once; what lies in memory grows with this, not with the table
SLICE = 65_536


def check_task(definition: Definition, served: ServedModel, columns: tuple[str, ...]) -> None:
    """See that a version answers what the definition asks now.

    Raises:
        RegistryError: naming what differs and what to do.
    """
    from pipelines.windows import task_of

    now = task_of(definition, columns).to_dict()
    then = served.task.to_dict()
    changed = [f"{key} was {then[key]}, is {now[key]}" for key in now if then.get(key) != now[key]]
    if changed:
        raise RegistryError(
            f"version {served.version} of {definition.name} was trained for another task ({'; '.join(changed)}): "
            f"restore the definition, or train again: finflow train {definition.name}"
        )


def prediction_rows(
    definition: Definition,
    served: ServedModel,
    samples: Samples,
    *,
    trained_as_of: pd.Timestamp,
    scored_at: pd.Timestamp,
    backfill_id: str | None = None,
) -> pd.DataFrame:
    """Predict every sample and lay the answers out as rows of the predictions table (see `predictions.Predictions`).

    Args:
        samples: without the future: targets are not read, target dates are those that the as-of date knew.
        trained_as_of: what was known by then may have trained the version.

    Raises:
        RegistryError: the version was trained for another task.
        FinflowError: the model cannot answer these samples.
    """
    check_task(definition, served, samples.columns)
    parts = []
    for start in range(0, len(samples), SLICE):
        part = samples.take(np.arange(start, min(start + SLICE, len(samples))))
        parts.append(_rows(definition, served, part, _answer(definition, served, part), trained_as_of))
    rows = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    rows["version"] = np.int64(served.version)
    rows["scored_at"] = scored_at.as_unit("us")
    rows["backfill_id"] = pd.Series([backfill_id], dtype="str").reindex(np.zeros(len(rows), dtype=int)).to_numpy()
    rows["backfill_id"] = rows["backfill_id"].astype("str")
    values = [column for column in rows.columns if column not in COLUMNS]
    head = ["entity", "time", "target_time", "horizon"]
    return rows[[*head, *values, *[name for name in COLUMNS if name not in head]]]


def _answer(definition: Definition, served: ServedModel, samples: Samples) -> Prediction:
    try:
        return served.model.predict(samples)
    except ValueError as error:
        raise FinflowError(f"version {served.version} of {definition.name} gives no usable answer: {error}") from error


def _rows(
    definition: Definition, served: ServedModel, samples: Samples, prediction: Prediction, trained_as_of: pd.Timestamp
) -> pd.DataFrame:
    from pipelines.problems import problem_of

    index, entities = samples.index, samples.observations.entities
    rows = problem_of(definition).rows(prediction, index, entities)
    owner = _owners(rows, samples)
    digests = np.array(as_text(window_digests(samples, served.model.context)), dtype=object)
    time = pd.DatetimeIndex(index.time).as_unit("us")
    shared = pd.DataFrame(
        {
            "input_digest": pd.array(digests, dtype="str"),
            "in_sample": in_sample(definition, samples, trained_as_of),
            "period": pd.array(_months(time), dtype="str"),
        }
    )
    spread = shared.take(owner).reset_index(drop=True)
    rows = rows.reset_index(drop=True)
    for name in ("time", "target_time"):
        rows[name] = rows[name].astype("datetime64[us]")
    rows["horizon"] = rows["horizon"].astype(np.int64)
    broken = np.asarray(~np.isfinite(prediction.values).reshape(len(samples), -1).all(axis=1))
    if broken.any():  # a price of exp(-inf) would look finite
        for name in [name for name in rows.columns if name not in COLUMNS]:
            rows[name] = rows[name].mask(broken[owner])
    return pd.concat([rows, spread], axis=1)


def in_sample(definition: Definition, samples: Samples, trained_as_of: pd.Timestamp) -> np.ndarray:
    """bool, [n]: some of the sample's targets were known when the version was trained, so that it may have learnt from them."""
    from pipelines.as_known import published

    first = samples.index.target_time.min(axis=1)
    dates, inverse = np.unique(first.astype("datetime64[D]"), return_inverse=True)
    known = published(definition, pd.DatetimeIndex(dates.astype("datetime64[us]"))) <= trained_as_of
    return np.asarray(known)[inverse]


def unusable_dates(rows: pd.DataFrame) -> dict[str, str]:
    """By ISO date, why its rows must not be kept: a value that is not finite."""
    values = [column for column in rows.columns if column not in COLUMNS]
    broken = rows[~np.isfinite(rows[values].to_numpy(dtype=np.float64)).all(axis=1)]
    found = {}
    for time, group in broken.groupby("time"):
        named = ", ".join(sorted(set(group["entity"]))[:5])
        found[f"{time:%Y-%m-%d}"] = f"version {group['version'].iloc[0]} gave a value that is not finite for {named}"
    return found


def _owners(rows: pd.DataFrame, samples: Samples) -> np.ndarray:
    """int64, [rows]: the sample that each prediction row belongs to, whatever order the problem wrote them in."""
    count, index = len(samples), samples.index
    names = np.asarray(samples.observations.entities, dtype=object)[index.entity]
    time = index.time.astype("datetime64[us]")
    each = len(rows) // count
    row_names, row_time = rows["entity"].to_numpy(dtype=object), rows["time"].to_numpy("datetime64[us]")
    if each * count == len(rows):
        for owner in (np.repeat(np.arange(count), each), np.tile(np.arange(count), each)):
            if np.array_equal(row_time, time[owner]) and np.array_equal(row_names, names[owner]):
                return owner
    keys = pd.MultiIndex.from_arrays([names, time])
    owner = keys.get_indexer(pd.MultiIndex.from_arrays([row_names, row_time]))
    if (owner < 0).any():
        place = int(np.flatnonzero(owner < 0)[0])
        raise FinflowError(f"the problem gave a prediction row for {row_names[place]} at {row_time[place]}, which is no sample.")
    return owner


def _months(time: pd.DatetimeIndex) -> np.ndarray:
    months, inverse = np.unique(time.to_numpy().astype("datetime64[M]"), return_inverse=True)
    return months.astype(str).astype(object)[inverse]
