"""Rows as numbers of 64 bits, so that a million of them are compared at once; and which of those that differ do so by noise alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.lake.as_of import KEY, is_withdrawn

Prints = NDArray[np.uint64]
FACTOR = np.uint64(1_000_003)
_WITHDRAWN = np.uint64(0x9E3779B97F4A7C15)


def row_prints(frame: pd.DataFrame, names: Sequence[str]) -> Prints:
    """A number a row, equal where the columns `names` hold equal values; one that says that its row is withdrawn equals no other."""
    rows = np.zeros(len(frame), dtype=np.uint64)
    for name in names:
        column = frame[name]
        if column.dtype.kind == "M":
            aware = isinstance(column.dtype, pd.DatetimeTZDtype)
            instants = column.dt.tz_convert("UTC").dt.tz_localize(None) if aware else column
            values = instants.to_numpy("datetime64[us]")  # whatever the unit, the same instant is the same value
        elif column.dtype.kind in "biuf":
            values = column.to_numpy()
        else:
            values = column.astype("object").where(column.notna(), "\0").to_numpy()
        rows = rows * FACTOR + pd.util.hash_array(values, categorize=True)
    return np.where(is_withdrawn(frame), rows ^ _WITHDRAWN, rows)


def row_keys(frame: pd.DataFrame) -> Prints:
    """A number for each row's entity and time, whether the row is withdrawn or not."""
    return row_prints(frame[KEY], KEY)


def newest(keys: Prints, frame: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether a row is of its key's latest revision (by known_at): bool, [rows]."""
    known = pd.Series(frame["known_at"].to_numpy("datetime64[us]").view("int64"))
    return (known == known.groupby(keys).transform("max")).to_numpy()


def standing_places(keys: Prints, stored: pd.DataFrame) -> NDArray[np.bool_]:
    """One row for each key that stands: of its latest revision (the first of copies), unless that withdraws it: bool, [rows]."""
    places = np.flatnonzero(newest(keys, stored) & ~is_withdrawn(stored))
    found = np.zeros(len(stored), dtype=bool)
    found[places[~pd.Index(keys[places]).duplicated()]] = True
    return found


def without_noise(
    batch: pd.DataFrame, prints: Prints, stored: pd.DataFrame, there: Prints, values: Sequence[str], tolerance: Mapping[str, float]
) -> Prints:
    """`prints` of the batch, where a row differs from a stored one by no more than the tolerances that of the stored row.

    It is compared with what is stored and not with the last reading: a drift in small steps is a restatement once it has gone beyond the
    tolerance. With vintages the stored row is that of the same vintage, or else the latest one; without, the latest.

    Args:
        prints, there: of the values of `batch` and `stored`, see `row_prints`.
        values: the columns that are compared.
        tolerance: by column of numbers, the relative difference that is none.
    """
    if not len(stored) or not any(tolerance.values()):
        return prints
    keys, known = row_keys(batch), row_keys(stored)
    settled, eligible = prints.copy(), ~is_withdrawn(stored)
    if "known_at" not in batch:
        places = _unlike(keys, prints, known, there, newest(known, stored) & eligible)
        _settle(settled, *_paired(keys, places, known, newest(known, stored) & eligible, stored, values), batch, stored, there, tolerance)
        return settled
    vintages = (
        keys * FACTOR + row_prints(batch[["known_at"]], ["known_at"]),
        known * FACTOR + row_prints(stored[["known_at"]], ["known_at"]),
    )
    places = _unlike(vintages[0], prints, vintages[1], there, eligible)
    _settle(settled, *_paired(vintages[0], places, vintages[1], eligible, stored, values), batch, stored, there, tolerance)
    left = places[settled[places] == prints[places]]
    if len(left):  # what an earlier run took in as a correction of that vintage
        others = np.flatnonzero(eligible & pd.Index(known).isin(keys[left]) & ~pd.Index(vintages[1]).duplicated())
        pairs = pd.DataFrame({"key": keys[left], "place": left}).merge(pd.DataFrame({"key": known[others], "other": others}), on="key")
        mine, other = pairs["place"].to_numpy(), pairs["other"].to_numpy()
        later = (stored["known_at"].iloc[other].to_numpy() >= batch["known_at"].iloc[mine].to_numpy()).astype(bool)
        _settle(settled, mine[later], other[later], values, batch, stored, there, tolerance)
    return settled


def _unlike(keys: Prints, prints: Prints, known: Prints, there: Prints, eligible: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The batch's rows whose key is among the eligible stored rows, with other values."""
    said = pd.Index((known * FACTOR + there)[eligible])
    return np.flatnonzero(pd.Index(keys).isin(known[eligible]) & ~pd.Index(keys * FACTOR + prints).isin(said))


def _paired(
    keys: Prints, places: NDArray[np.intp], known: Prints, eligible: NDArray[np.bool_], stored: pd.DataFrame, values: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.intp], Sequence[str]]:
    """Rows of the batch and of `stored` that share a key, the first with the first and so on in the order of their values."""
    others = np.flatnonzero(eligible & pd.Index(known).isin(keys[places]))
    if pd.Index(known[others]).has_duplicates:
        others = others[np.asarray(stored.iloc[others].reset_index(drop=True).sort_values([*KEY, *values]).index)]
    pairs = _numbered(keys, places).merge(_numbered(known, others), on=["key", "number"])
    return pairs["place_x"].to_numpy(), pairs["place_y"].to_numpy(), values


def _settle(
    prints: Prints,
    mine: NDArray[np.intp],
    others: NDArray[np.intp],
    values: Sequence[str],
    batch: pd.DataFrame,
    stored: pd.DataFrame,
    there: Prints,
    tolerance: Mapping[str, float],
) -> None:
    """Let the rows `mine` of the batch take over the prints of those of `stored` that they differ from by noise."""
    alike = _alike(batch.iloc[mine], stored.iloc[others], values, tolerance)
    prints[mine[alike]] = there[others[alike]]


def _numbered(keys: Prints, places: NDArray[np.intp]) -> pd.DataFrame:
    """Key, place, and which of its key's rows it is."""
    frame = pd.DataFrame({"key": keys[places], "place": places})
    return frame.assign(number=frame.groupby("key").cumcount())


def _alike(left: pd.DataFrame, right: pd.DataFrame, values: Sequence[str], tolerance: Mapping[str, float]) -> NDArray[np.bool_]:
    """Whether rows of equal place agree, numbers within the tolerance of their column; missing equals missing."""
    alike = np.ones(len(left), dtype=bool)
    for name in values:
        one, other = left[name].to_numpy(), right[name].to_numpy()
        same = (one == other) | (pd.isna(one) & pd.isna(other))
        allowed = tolerance.get(name, 0.0)
        if allowed and left[name].dtype.kind == right[name].dtype.kind == "f":
            with np.errstate(invalid="ignore"):
                same |= np.abs(one - other) <= allowed * np.maximum(np.abs(one), np.abs(other))
        alike &= np.asarray(same, dtype=bool)
    return alike
