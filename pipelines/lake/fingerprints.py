"""Fingerprints of rows whose outcomes were looked at: the same data are found again under another name, and nothing can be read from them.

Rows of a series (an entity with many rows) have two. By name: what is said of it, column, entity and time, which survives restated values.
By value: time and the last two changes of the logarithm, to five decimals, which survives another name and another unit; where a value is
not positive, the last three values to seven digits. A row after which nothing moved has none by value: it would be like many others.

Rows of a table (loans, claims: an entity is a row, or few) have three: by name; by entity, time and outcome, which survives another name of
the column; and by content, time, outcome and the row's numbers in order of size, which survives other names of entities and columns.

A fingerprint is a mixed 64-bit number (the finaliser of splitmix64: Steele, Lea and Flood, 2014); 0 stands for none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

UInt64 = NDArray[np.uint64]
Int64 = NDArray[np.int64]
Float64 = NDArray[np.float64]

DIGITS = 7
#: of a change of the logarithm
DECIMALS = 5
#: entities with fewer rows than this, in the middle, make a table and no series
SERIES = 10


@dataclass(frozen=True, eq=False)
class OutcomeRows:
    """Rows that hold outcomes, with their fingerprints.

    Attributes:
        hashes: int64, [rows, fingerprints of a row]; 0: none.
        day: int64, [rows]; days since 1970.
        series: int64, [rows]; which series each belongs to: 0 throughout for a table.
        entity: [rows], text.
    """

    hashes: Int64
    day: Int64
    series: Int64
    entity: NDArray[Any]

    def take(self, chosen: NDArray[np.bool_]) -> OutcomeRows:
        """The rows that a mask chooses."""
        return OutcomeRows(self.hashes[chosen], self.day[chosen], self.series[chosen], self.entity[chosen])


def outcome_rows(clean: pd.DataFrame, column: str, says: str, *, table: bool = False) -> OutcomeRows:
    """The fingerprints of every row whose value is known.

    Args:
        clean: entity, time, `column`, and for a table its other columns; sorted by entity and time.
        says: what is said of the column (see `Problem.says`): a look at the one is none at the other.
        table: rows are different things however they are named; else that is told from how many rows an entity has.
    """
    clean = clean[clean[column].notna()]
    entity, time = clean["entity"].to_numpy(dtype=object), clean["time"].to_numpy().astype("datetime64[us]")
    codes, names = pd.factorize(entity)
    table = table or (len(names) > 0 and float(np.median(np.bincount(codes))) < SERIES)
    ours, when = _texts([says])[0], time.astype(np.int64)
    own = _texts([str(name) for name in names])[codes] if len(names) else np.zeros(0, np.uint64)
    found = [_mixed(ours, _texts(["name", column])[0], _texts([column])[0], own, when)]
    if table:
        value = _values(clean[column])
        found.append(_mixed(ours, _texts(["entity"])[0], own, when, value) * _several_dates(when))
        found.append(_by_content(clean.drop(columns=["entity", "time", "known_at", column], errors="ignore"), ours, when, value))
    else:
        found.append(_by_moves(clean[column].to_numpy(dtype=np.float64), codes, ours, when))
    return OutcomeRows(
        hashes=np.column_stack(found).view(np.int64),
        day=time.astype("datetime64[D]").astype(np.int64),
        series=np.zeros(len(clean), dtype=np.int64) if table else codes.astype(np.int64),
        entity=entity,
    )


def _by_moves(value: Float64, codes: NDArray[Any], ours: Any, when: Int64) -> UInt64:
    """Of each row's last two moves; 0 where there are not three values, or nothing moved."""
    found = np.zeros(len(value), dtype=np.uint64)
    if len(value) < 3:
        return found
    now, before, first = value[2:], value[1:-1], value[:-2]
    same = (codes[2:] == codes[:-2]) & np.isfinite(now) & np.isfinite(before) & np.isfinite(first)
    positive = (now > 0) & (before > 0) & (first > 0)
    with np.errstate(all="ignore"):
        last, earlier = (np.round(np.log(one / other) * 10.0**DECIMALS) for one, other in ((now, before), (before, first)))
    moved = same & np.where(positive, (last != 0) | (earlier != 0), (now != before) | (before != first))
    scaled = _mixed(ours, _texts(["moves"])[0], when[2:], _whole(last), _whole(earlier))
    plain = _mixed(ours, _texts(["values"])[0], when[2:], *(_digits(one) for one in (now, before, first)))
    found[2:] = np.where(moved, np.where(positive, scaled, plain), np.uint64(0))
    return found


def _by_content(others: pd.DataFrame, ours: Any, when: Int64, value: UInt64) -> UInt64:
    """Of each row's numbers, in order of size, so that names and order of the columns do not matter; 0 where it has fewer than two."""
    numbers = [name for name in others.columns if pd.api.types.is_numeric_dtype(others[name])]
    if len(numbers) < 2:
        return np.zeros(len(others), dtype=np.uint64)
    sizes = np.sort(others[numbers].to_numpy(dtype=np.float64, na_value=np.nan), axis=1)
    return _mixed(ours, _texts(["content"])[0], when, value, *(_digits(sizes[:, place]) for place in range(sizes.shape[1])))


def _several_dates(when: Int64) -> np.uint64:
    """0 where all rows have one date: numbered rows of any two such tables would be the same by entity and time."""
    return np.uint64(len(when) > 0 and bool((when != when[0]).any()))


def _values(column: pd.Series[Any]) -> UInt64:
    if pd.api.types.is_numeric_dtype(column):
        return _digits(column.to_numpy(dtype=np.float64))
    codes, texts = pd.factorize(column.astype(str))
    return _texts([str(text) for text in texts])[codes]


def _digits(value: Float64) -> UInt64:
    """Of the value to seven digits; what is not finite is one value."""
    finite = np.isfinite(value) & (value != 0)
    safe = np.where(finite, value, 1.0)
    power = np.floor(np.log10(np.abs(safe)))
    whole = np.round(safe / 10.0 ** (power - DIGITS + 1))
    up = np.abs(whole) >= 10.0**DIGITS  # 9.9999999 is 10
    whole, power = np.where(up, whole / 10.0, whole), np.where(up, power + 1, power)
    found = _mixed(_whole(whole), _whole(power))
    return np.where(finite, found, np.where(np.isfinite(value), np.uint64(1), np.uint64(2)))


def _whole(value: Float64) -> Int64:
    return np.where(np.isfinite(value), value, 0.0).astype(np.int64)


def _texts(texts: Sequence[str]) -> UInt64:
    """One number a text."""
    return np.array([int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") for text in texts], dtype=np.uint64)


def _mixed(*parts: Any) -> UInt64:
    """One number of several, their order counting; never 0."""
    found: Any = np.uint64(0x9E3779B97F4A7C15)
    with np.errstate(over="ignore"):
        for part in parts:
            found = _finished(np.asarray(part).astype(np.uint64, copy=False) ^ (found * np.uint64(3) + np.uint64(0x9E3779B97F4A7C15)))
    return np.asarray(np.maximum(found, np.uint64(1)))


def _finished(value: UInt64) -> UInt64:
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(value ^ (value >> np.uint64(31)))
