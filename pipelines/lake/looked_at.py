"""Which rows were looked at before: fingerprints found again, and the series that they are of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.lake.fingerprints import Int64, OutcomeRows

#: rows that must be found again for data to be the same, and the part of their span that they must be: by chance some always are
LEAST, PART = 10, 0.05


@dataclass(frozen=True, eq=False)
class LookedAt:
    """All fingerprints that looks have left.

    Attributes:
        hashes: int64, ascending, each once.
        day, series: int64, of each; `series` points into `names`.
        names: of the series.
    """

    hashes: Int64
    day: Int64
    series: Int64
    names: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Found:
    """What of some rows was looked at before.

    Attributes:
        names: by series of the rows, the names of the looked-at series that are the same data.
        again: bool, [rows]; the row itself was looked at.
        until: the last day (since 1970) on which any of these series was; None: nobody looked at them.
    """

    names: dict[int, tuple[str, ...]]
    again: NDArray[np.bool_]
    until: int | None

    @property
    def series(self) -> set[str]:
        """The names of all series that are the same data."""
        return {name for names in self.names.values() for name in names}


#: what a look left: hashes (int64), days (int32), places (int32) in its list of series, and that list
Left = tuple[bytes, bytes, bytes, Sequence[str]]


def join_looked_at(parts: Sequence[Left]) -> LookedAt:
    """What looks left, the oldest first, as one."""
    names: dict[str, int] = {}
    found: list[tuple[Int64, Int64, Int64]] = []
    for hashes, days, places, listed in parts:
        codes = np.array([names.setdefault(name, len(names)) for name in listed], dtype=np.int64)
        if hashes:
            place = np.frombuffer(places, dtype="<i4").astype(np.int64)
            found.append((np.frombuffer(hashes, dtype="<i8"), np.frombuffer(days, dtype="<i4").astype(np.int64), codes[place]))
    if not found:
        nothing = np.zeros(0, dtype=np.int64)
        return LookedAt(nothing, nothing, nothing, tuple(names))
    joined, day, series = (np.concatenate([part[number] for part in found]) for number in range(3))
    unique, first = np.unique(joined, return_index=True)
    return LookedAt(unique, day[first], series[first], tuple(names))


def find_again(rows: OutcomeRows, looked: LookedAt) -> Found:
    """Hold rows against what was looked at.

    A series was looked at before where ten of its rows at least are found again and they are a twentieth of its rows over their span; of
    fewer than ten rows, all.
    """
    nothing = Found({}, np.zeros(len(rows.day), dtype=bool), None)
    if not len(looked.hashes) or not len(rows.day):
        return nothing
    place = np.minimum(np.searchsorted(looked.hashes, rows.hashes), len(looked.hashes) - 1)
    hit = (looked.hashes[place] == rows.hashes) & (rows.hashes != 0)
    row, column = np.nonzero(hit)
    row, other = np.divmod(np.unique(row * len(looked.names) + looked.series[place[row, column]]), len(looked.names))
    pairs = pd.DataFrame({"row": row, "other": other, "series": rows.series[row], "day": rows.day[row]})
    newest = np.full(len(looked.names), np.iinfo(np.int64).min)
    np.maximum.at(newest, looked.series, looked.day)
    names: dict[int, tuple[str, ...]] = {}
    again = nothing.again.copy()
    until: list[int] = []
    order = np.argsort(rows.series, kind="stable")
    bounds = np.searchsorted(rows.series[order], [0, *range(1, int(rows.series.max()) + 2)])
    for _, part in pairs.groupby(["series", "other"], sort=True):
        series, same = int(part["series"].iloc[0]), int(part["other"].iloc[0])
        days = rows.day[order[bounds[series] : bounds[series + 1]]]
        first, last = part["day"].min(), part["day"].max()
        if _is_same(len(part), len(days), int(((days >= first) & (days <= last)).sum())):
            names[series] = (*names.get(series, ()), looked.names[same])
            again[part["row"].to_numpy()] = True
            until.append(int(newest[same]))
    return Found(names, again, max(until, default=None))


def _is_same(found: int, rows: int, span: int) -> bool:
    return (found >= LEAST and found >= PART * span) or found == rows


def packed(rows: OutcomeRows, looked: LookedAt, place_of: dict[int, int]) -> dict[str, Any]:
    """The fingerprints among these that are not kept yet, as bytes.

    Args:
        place_of: by series of the rows, its place in the look's list.
    """
    width = rows.hashes.shape[1]
    hashes = rows.hashes.ravel()
    day = np.repeat(rows.day, width)
    place = np.repeat(np.array([place_of[int(one)] for one in rows.series], dtype=np.int64), width)
    unique, first = np.unique(hashes, return_index=True)
    new = (unique != 0) & ~np.isin(unique, looked.hashes)
    chosen = first[new]
    return {
        "hashes": unique[new].astype("<i8").tobytes(),
        "days": day[chosen].astype("<i4").tobytes(),
        "places": place[chosen].astype("<i4").tobytes(),
    }
