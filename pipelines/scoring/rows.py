"""From samples and a served version to prediction rows; live scoring and backfill share it, so that both give the same rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from finflow.models.base import Prediction
from finflow.models.samples import Samples
from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.lake.predictions import COLUMNS, REASONS
from finflow.pipelines.registry.task_signature import check_task
from finflow.pipelines.samples.digests import UInt64, as_column, window_digests
from finflow.pipelines.samples.narrowing import narrow
from finflow.pipelines.scoring.reasons import reason_texts

if TYPE_CHECKING:
    from pandas.api.extensions import ExtensionArray

    from finflow.pipelines.registry.served import ServedModel

#: samples that go through a model at once; what lies in memory grows with this, not with the table
SLICE = 65_536


@dataclass(frozen=True)
class _About:
    """What all rows of a call share."""

    version: int
    context: int
    trained_as_of: pd.Timestamp
    scored_at: pd.Timestamp
    backfill_id: str | None
    restated: bool


def prediction_rows(
    context: Context,
    served: ServedModel,
    samples: Samples,
    *,
    trained_as_of: pd.Timestamp,
    scored_at: pd.Timestamp,
    backfill_id: str | None = None,
    restated: bool = False,
    digests: UInt64 | None = None,
) -> pd.DataFrame:
    """Predict every sample and lay the answers out as rows of the predictions table (see `predictions.Predictions`).

    Args:
        samples: without the future: targets are not read, target dates are those that the as-of date knew.
        trained_as_of: what was known by then may have trained the version.
        restated: the samples were made from rows as corrected since.
        digests: the `window_digests` of these samples over the version's context, where they are at hand.

    Raises:
        RegistryError: the version was trained for another task.
        FinflowError: the model cannot answer these samples.
    """
    check_task(context.definition, served, samples.columns)
    about = _About(served.version, served.model.context, trained_as_of, scored_at, backfill_id, restated)
    parts = []
    wanted = context.problem.reasons
    size = max(1, SLICE // served.model.task.weight)
    for start in range(0, len(samples), size):
        stop = min(start + size, len(samples))
        part = narrowed(samples.take(np.arange(start, stop)), about.context)
        texts = as_column(window_digests(part, about.context) if digests is None else digests[start:stop])
        rows = _rows(context, about, part, _answer(context.definition, served, part), texts)
        if wanted is not None:
            rows[REASONS] = pd.array(reason_texts(served, part, wanted), dtype="str")
        parts.append(rows)
    return pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]


def _answer(definition: Definition, served: ServedModel, samples: Samples) -> Prediction:
    try:
        return served.model.predict(samples)
    except ValueError as error:
        raise FinflowError(f"version {served.version} of {definition.name} gives no usable answer: {error}") from error


def narrowed(samples: Samples, context: int) -> Samples:
    """The same samples over no more observations than they read: of each entity those from its first window's beginning to its last's end.

    A model scales, and a digest hashes, every observation that it is given; a slice of many dates needs few of them.

    Args:
        context: observations up to a sample's time that are read.
    """
    observations, index = samples.observations, samples.index
    entities, rows = len(observations.entities), observations.rows
    begin, end = np.full(entities, rows), np.zeros(entities, dtype=np.int64)
    np.minimum.at(begin, index.entity, index.row)
    np.maximum.at(end, index.entity, index.row + 1)
    begin = np.where(end > 0, observations.first_read(begin, np.arange(entities), context), 0)
    count = end - begin
    if 2 * int(count.sum()) > rows:
        return samples
    first = np.concatenate(([0], np.cumsum(count)))
    shift = begin - first[:-1]
    kept = np.arange(first[-1]) + np.repeat(shift, count)
    fewer = narrow(observations, index, kept)
    narrower = replace(
        observations,
        values=np.ascontiguousarray(observations.values[fewer.places]),
        first=first,
        time=observations.time[kept],
        blocks={name: np.asarray(block)[fewer.places] for name, block in observations.blocks.items()},
        revised=fewer.revised,
    )
    return replace(samples, observations=narrower, index=replace(index, row=index.row - shift[index.entity]))


def _rows(context: Context, about: _About, samples: Samples, prediction: Prediction, digests: ExtensionArray) -> pd.DataFrame:
    rows = context.problem.rows(prediction, samples.index, samples.observations.entities)
    owner = _owners(rows, samples)
    count, values = len(rows), [str(name) for name in rows.columns if name not in COLUMNS]
    broken = np.asarray(~np.isfinite(prediction.values).reshape(len(samples), -1).all(axis=1))
    columns: dict[str, Any] = {
        "entity": rows["entity"].array,
        "time": rows["time"].to_numpy("datetime64[us]"),
        "target_time": rows["target_time"].to_numpy("datetime64[us]"),
        "horizon": rows["horizon"].to_numpy(np.int64),
    }
    for name in values:
        column = rows[name].to_numpy(np.float64)
        # what is not finite must stay so: a price of exp(-inf) would look like a number
        columns[name] = np.where(broken[owner], np.nan, column) if broken.any() else column
    columns |= {
        "version": np.full(count, about.version, dtype=np.int64),
        "input_digest": digests.take(owner),
        "in_sample": in_sample(context.definition, samples, about.trained_as_of)[owner],
        "restated": np.full(count, about.restated),
        "scored_at": pd.array([about.scored_at.as_unit("us")]).take(np.zeros(count, dtype=np.int64)),
        "backfill_id": pd.array([about.backfill_id], dtype="str").take(np.zeros(count, dtype=np.int64)),
        "period": _months(samples.index.time, owner),
    }
    return pd.DataFrame(columns, copy=False)


def in_sample(definition: Definition, samples: Samples, trained_as_of: pd.Timestamp) -> np.ndarray:
    """bool, [n]: some of the sample's targets were known when the version was trained, so that it may have learnt from them."""
    first = samples.index.target_time.min(axis=1).astype("datetime64[D]")
    if definition.calendar is None:
        # Without a calendar the first target's date is the next weekday by assumption; the rows themselves may have gone on the next day.
        day = samples.index.time.astype("datetime64[D]")
        assumed = np.busday_offset(day, 1, roll="backward")
        first = np.where(first == assumed, np.minimum(first, day + np.timedelta64(1, "D")), first)
    dates, inverse = np.unique(first, return_inverse=True)
    known = published(definition, pd.DatetimeIndex(dates.astype("datetime64[us]"))) <= trained_as_of
    return np.asarray(known)[inverse]


def unusable_dates(rows: pd.DataFrame) -> dict[str, str]:
    """By ISO date, why its rows must not be kept: a value that is not finite."""
    values = [column for column in rows.columns if column not in (*COLUMNS, REASONS)]
    broken = rows[~np.isfinite(rows[values].to_numpy(dtype=np.float64)).all(axis=1)]
    found = {}
    for time, group in broken.groupby("time"):
        named = ", ".join(sorted(set(group["entity"]))[:5])
        found[f"{time:%Y-%m-%d}"] = f"version {group['version'].iloc[0]} gave a value that is not finite for {named}"
    return found


def _owners(rows: pd.DataFrame, samples: Samples) -> np.ndarray:
    """int64, [rows]: the sample that each prediction row belongs to, whatever order the problem wrote them in."""
    count, index = len(samples), samples.index
    known = pd.array(list(samples.observations.entities), dtype="str")
    time = index.time.astype("datetime64[us]")
    row_time = rows["time"].to_numpy("datetime64[us]")
    each = len(rows) // count
    if each * count == len(rows):
        for owner in (np.repeat(np.arange(count), each), np.tile(np.arange(count), each)):
            if np.array_equal(row_time, time[owner]) and bool((rows["entity"].array == known.take(index.entity[owner])).all()):
                return owner
    names, row_names = known.take(index.entity), rows["entity"].array
    keys = pd.MultiIndex.from_arrays([names, time])
    owner = keys.get_indexer(pd.MultiIndex.from_arrays([row_names, row_time]))
    if (owner < 0).any():
        place = int(np.flatnonzero(owner < 0)[0])
        raise FinflowError(f"the problem gave a prediction row for {row_names[place]} at {row_time[place]}, which is no sample.")
    return owner


def _months(time: np.ndarray, owner: np.ndarray) -> Any:
    """YYYY-MM of each row's sample, as text."""
    months, inverse = np.unique(time.astype("datetime64[M]"), return_inverse=True)
    return pd.array(months.astype(str).tolist(), dtype="str").take(inverse[owner])
