"""Keeping the clean table and the quarantine equal to what the contract says, with as few commits as that takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.core.errors import ConflictError
from finflow.pipelines.lake.conflicts import kept_writing, retry_conflicts
from finflow.pipelines.lake.lake import PARTITION, Lake, literal


def write_clean(lake: Lake, table: str, rows: pd.DataFrame, as_of: pd.Timestamp) -> int:
    """Make the rows of `table` known by `as_of` those of `rows`. The same rows again write nothing.

    Usually rows are only added. Where rows must go (the contract changed), the periods that hold them are replaced in one commit.
    Rows known after `as_of` stay as they are.

    Args:
        rows: entity, time, values, known_at (not after `as_of`); every revision that met the contract.

    Returns:
        the version of the table that holds them.

    Raises:
        ConflictError: other runs kept writing to the table.
    """

    def attempt() -> int:
        version = lake.version(table)
        there = lake.read(table, version=version, where=f"known_at <= {literal(as_of)}") if version is not None else rows.iloc[:0]
        # A first write (the usual large one) compares with nothing.
        if there.empty:
            added, gone = np.ones(len(rows), dtype=bool), np.zeros(0, dtype=bool)
        else:
            wanted, present = _fingerprints(rows, there)
            added, gone = ~_among(wanted, present), ~_among(present, wanted)
        if version is not None and gone.any():
            return _replace(lake, table, rows, there, added, gone, version)
        return lake.append(table, as_stored(rows[added] if not added.all() else rows), expected_version=version)

    return retry_conflicts(attempt, kept_writing(table))


def write_quarantine(lake: Lake, table: str, rows: pd.DataFrame, as_of: pd.Timestamp) -> int | None:
    """Append the quarantined `rows` that are not recorded yet (copies count); returns the table's version, None where there is no table.

    A record stays when a row is corrected, or the contract eased, later.

    Raises:
        ConflictError: other runs kept writing to the table.
    """

    def attempt() -> int | None:
        version = lake.version(table)
        if rows.empty:
            return version
        there = lake.read(table, version=version, where=f"known_at <= {literal(as_of)}") if version is not None else rows.iloc[:0]
        wanted, present = _fingerprints(rows, there)
        return lake.append(table, as_stored(rows[~_among(_numbered(wanted), _numbered(present))]), expected_version=version)

    return retry_conflicts(attempt, kept_writing(table))


def as_stored(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with entities as text, and the column that the lake partitions by: the year, as text."""
    years = rows["time"].to_numpy().astype("datetime64[Y]")
    unique, places = np.unique(years, return_inverse=True)
    texts = pd.array([str(year) for year in unique], dtype="str")
    stored = rows.assign(entity=rows["entity"].astype("str"))
    stored[PARTITION] = texts.take(places)
    return stored


def _replace(
    lake: Lake,
    table: str,
    rows: pd.DataFrame,
    there: pd.DataFrame,
    added: NDArray[np.bool_],
    gone: NDArray[np.bool_],
    version: int,
) -> int:
    """Take the rows `gone` out and put those `added` in.

    Periods without a row to take out only get rows added, in a second commit.

    Raises:
        ConflictError: another run wrote in between.
    """
    periods = sorted(set(there.loc[gone, PARTITION]))
    predicate = f"{PARTITION} IN ({', '.join(literal(period) for period in periods)})"
    whole = lake.read(table, version=version, where=predicate)
    present, removed = _fingerprints(whole, there[gone])
    fresh = as_stored(rows[added])
    inside = fresh[PARTITION].isin(periods)
    kept = whole[~_among(present, removed)]
    if lake.version(table) != version:
        raise ConflictError(f"table {table}: another run wrote after version {version}.")
    replaced = lake.replace(table, pd.concat([kept, fresh[inside]], ignore_index=True), predicate)
    outside = fresh[~inside]
    return lake.append(table, outside) if len(outside) else replaced


def _fingerprints(left: pd.DataFrame, right: pd.DataFrame) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
    """A number for each row, equal where rows are equal; a column that one side lacks counts as missing there."""
    names: Sequence[str] = sorted((set(left.columns) | set(right.columns)) - {PARTITION})
    texts = {name for name in names if any(name in side and not _plain(side[name]) for side in (left, right))}
    return _fingerprint(left, names, texts), _fingerprint(right, names, texts)


def _fingerprint(frame: pd.DataFrame, names: Sequence[str], texts: set[str]) -> NDArray[np.uint64]:
    total = np.zeros(len(frame), dtype=np.uint64)
    for name in names:
        if name in texts:
            column = frame[name] if name in frame else pd.Series([None] * len(frame), dtype="str")
            codes, unique = pd.factorize(column)
            hashed = pd.util.hash_array(np.asarray([str(text) for text in unique] + ["\0"], dtype=object))[codes]
        else:
            column = frame[name] if name in frame else pd.Series(np.full(len(frame), np.nan))
            aware = isinstance(column.dtype, pd.DatetimeTZDtype)
            values = (column.dt.tz_convert("UTC").dt.tz_localize(None) if aware else column).to_numpy()
            if values.dtype.kind == "M":
                values = values.astype("datetime64[us]")
            elif values.dtype.kind in "biuf":
                values = values.astype(np.float64) + 0.0  # -0.0 is 0.0
            hashed = pd.util.hash_array(values)
        total = total * np.uint64(6364136223846793005) + hashed
    return total


def _plain(column: pd.Series) -> bool:
    return column.dtype.kind in "biufM"


def _numbered(prints: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The same numbers, with the second, third ... of equal ones changed, so that copies are told apart."""
    count = pd.Series(prints).groupby(prints).cumcount().to_numpy().astype(np.uint64)
    return prints + count * np.uint64(0x9E3779B97F4A7C15)


def _among(values: NDArray[np.uint64], others: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """Whether each value occurs among the others."""
    if len(values) == len(others) and np.array_equal(values, others):
        return np.ones(len(values), dtype=bool)
    return pd.Index(values).isin(others)
