"""The batch that rules judge: sorted by entity and time, with entities as codes and each date's place among the sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

SESSION = "__session"
ENDS_AT = "__ends_at"
KNOWN_AT = "known_at"
PERIOD = "period"
KEYS = ("entity", "time")
NOT_VALUES = (*KEYS, KNOWN_AT, PERIOD, SESSION, ENDS_AT)
NO_SESSION = -1


def prepare(
    frame: pd.DataFrame, sessions: NDArray[np.datetime64] | None, ends_at: Callable[[pd.Series], NDArray[np.datetime64]] | None = None
) -> pd.DataFrame:
    """A batch as rules expect it.

    Args:
        frame: `entity` (text), `time` (datetime64), value columns, and `known_at` where there are several revisions; any order.
        sessions: the calendar's dates over the span of `time`, ascending; None takes the dates that occur in the batch.
        ends_at: of times, the first instants (UTC, naive) at which what their rows tell can be known.

    Returns:
        A new frame, index 0..n-1, sorted by entity, time and known_at (ties keep their order); `entity` as a categorical whose categories
        are sorted; `__session` (int32): the place of the row's date among the sessions, -1 where it is none; and with `ends_at` also
        `__ends_at` (datetime64[us]).
    """
    prepared = frame.assign(entity=_categorical(frame["entity"]))
    order = _order(prepared)
    prepared = prepared.reset_index(drop=True) if order is None else prepared.take(order).reset_index(drop=True)
    prepared[SESSION] = _places(prepared["time"].to_numpy(), sessions)
    if ends_at is not None:
        prepared[ENDS_AT] = ends_at(prepared["time"])
    return prepared


def _categorical(entity: pd.Series) -> pd.Categorical:
    if isinstance(entity.dtype, pd.CategoricalDtype):
        entity = entity.cat.remove_unused_categories()
        return pd.Categorical(entity, categories=sorted(entity.cat.categories))
    places, names = pd.factorize(entity)
    ranks = np.argsort(np.argsort(np.asarray(names, dtype=object)))
    chosen: NDArray[np.int64] = np.append(ranks, -1)[places]
    return pd.Categorical.from_codes(chosen, categories=pd.Index(sorted(str(name) for name in names), dtype=object))


def _order(batch: pd.DataFrame) -> NDArray[np.int64] | None:
    """The sorting permutation, or None where the rows are in order already (the usual case: it saves a copy)."""
    keys = [codes(batch), batch["time"].to_numpy().view("int64")]
    if KNOWN_AT in batch:
        keys.append(batch[KNOWN_AT].to_numpy(dtype="datetime64[us]").view("int64"))
    ordered = np.ones(max(len(batch) - 1, 0), dtype=bool)
    for key in reversed(keys):
        ordered = (key[1:] > key[:-1]) | ((key[1:] == key[:-1]) & ordered)
    return None if ordered.all() else np.lexsort(keys[::-1])


def _places(times: NDArray[np.datetime64], sessions: NDArray[np.datetime64] | None) -> NDArray[np.int32]:
    days = times.astype("datetime64[D]")
    if sessions is None:
        known = np.unique(days[~np.isnat(days)])
    else:
        known = np.asarray(sessions).astype("datetime64[D]")
    if not len(known):
        return np.full(len(days), NO_SESSION, dtype=np.int32)
    # A table over the span of days is several times faster than a search for every row.
    first, last = known[0], known[-1]
    table = np.full(int((last - first).astype("int64")) + 1, NO_SESSION, dtype=np.int32)
    table[(known - first).astype("int64")] = np.arange(len(known), dtype=np.int32)
    inside = (days >= first) & (days <= last)
    offsets = np.where(inside, (days - first).astype("int64"), 0)
    return np.where(inside, table[offsets], np.int32(NO_SESSION)).astype(np.int32)


def codes(batch: pd.DataFrame) -> NDArray[np.int32]:
    """Entity codes, int32, [rows]; -1 where the entity is missing."""
    return batch["entity"].cat.codes.to_numpy().astype(np.int32, copy=False)


def follows(batch: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a row is of the same entity as the row before it: bool, [rows]."""
    entity = codes(batch)
    same = np.zeros(len(batch), dtype=bool)
    same[1:] = entity[1:] == entity[:-1]
    return same


def numeric(batch: pd.DataFrame, columns: Sequence[str] | None = None) -> Iterator[tuple[str, NDArray]]:
    """The numeric value columns (of `columns`, where given) that the batch has."""
    for column in batch.columns if columns is None else columns:
        if column in batch and column not in NOT_VALUES and pd.api.types.is_numeric_dtype(batch[column].dtype):
            yield column, batch[column].to_numpy()


def traded(batch: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a row's market was open for its entity: bool, [rows].

    A volume of zero (or none) is a suspension, but only for an entity that has volume at all: many indices and currencies never do.
    """
    found = dict(numeric(batch, ["volume"]))
    if "volume" not in found:
        return np.ones(len(batch), dtype=bool)
    active = found["volume"] > 0
    entity = codes(batch)
    has_volume = np.zeros(entity.max(initial=-1) + 2, dtype=bool)
    has_volume[entity[active]] = True
    return active | ~has_volume[entity]
