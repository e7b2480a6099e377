"""Observations that were revised: which version of a row a sample may read, by the instant at which the sample was known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Int64 = NDArray[np.int64]
Times = NDArray[np.datetime64]

#: the place of an observation that is not there
ABSENT = -1
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, eq=False)
class Revised:
    """Earlier versions of observations. The rows themselves are the latest; version v stands in the same arrays, behind all rows, at
    `len(known) + v`.

    Attributes:
        known: datetime64[ns], [rows]; the instant at which a sample that ends with the row is known, and up to which it knows.
        row: int64, [versions], ascending; the row that each is a version of.
        until: datetime64[ns], [versions], ascending within a row; who knows less than this reads the first version that still held then.
        absent: bool, [versions]; the row was not there yet, or not any more.
    """

    known: Times
    row: Int64
    until: Times
    absent: NDArray[np.bool_]

    def at(self, rows: Int64, known: Times) -> Int64:
        """int64, the shape of both together: the places of `rows` as they were known at `known`, ABSENT where they were not there."""
        rows, told = np.broadcast_arrays(rows, known.astype("datetime64[ns]").astype(np.int64))
        later = np.flatnonzero((self._last[rows] > told).ravel())
        if not len(later):
            return np.array(rows)
        found = rows.flatten()
        wanted = found[later] * self._width + np.searchsorted(self._instants, told.ravel()[later], side="right")
        version = np.searchsorted(self._keys, wanted)
        found[later] = np.where(self.absent[version], ABSENT, len(self.known) + version)
        return found.reshape(rows.shape)

    def windows(self, last: Int64, first: Int64, length: int) -> Int64:
        """int64, [n, length]: the places of the last `length` observations up to each of the rows `last`, as known at that row's own
        instant, oldest first; ABSENT before the first of them.

        Args:
            first: int64, [n]; where the rows of each one's entity begin.
        """
        places = self._reached(last, first, length)
        if not self.absent.any():
            return places
        reach = length
        short = np.flatnonzero((places == ABSENT).any(axis=1) & (last - length >= first))
        places = _to_the_right(places, length)
        while len(short):
            reach *= 2
            wider = self._reached(last[short], first[short], reach)
            places[short] = _to_the_right(wider, length)
            short = short[((wider != ABSENT).sum(axis=1) < length) & (last[short] - reach >= first[short])]
        return places

    def _reached(self, last: Int64, first: Int64, length: int) -> Int64:
        rows = last[:, None] + np.arange(1 - length, 1)
        places = self.at(np.maximum(rows, first[:, None]), self.known[last][:, None])
        places[rows < first[:, None]] = ABSENT
        return places

    def reaching(self, last: Int64, first: Int64, length: int) -> Int64:
        """int64, [n]: the first row that `length` observations up to each of the rows `last` may stand in, whoever reads them."""
        steady = np.flatnonzero(~self._ever_absent)
        place = np.searchsorted(steady, last, side="right") - length
        return np.maximum(np.where(place >= 0, np.append(steady, 0)[np.maximum(place, -1)], 0), first)

    def behind(self, first: Int64) -> Int64:
        """int64, [rows]: the latest `until` among the rows of its entity up to each; a sample that knows as much reads no version.

        Args:
            first: int64, [entities + 1]; as of the observations.
        """
        rank = np.searchsorted(self._instants, self._last) + (self._last > _NEVER)
        entity = np.repeat(np.arange(len(first) - 1), np.diff(first)) * (len(self._instants) + 1)
        highest = np.maximum.accumulate(entity + rank) - entity
        return np.append(_NEVER, self._instants)[highest]

    def row_of(self, places: Int64) -> Int64:
        """int64: the row that stands at each place, itself or a version of it."""
        if not len(self.row):
            return places
        return np.where(places < len(self.known), places, self.row[np.maximum(places - len(self.known), 0)])

    @cached_property
    def _ever_absent(self) -> NDArray[np.bool_]:
        """bool, [rows]: somebody does not see the row."""
        found = np.zeros(len(self.known), dtype=bool)
        found[self.row[self.absent]] = True
        return found

    @cached_property
    def _until(self) -> Int64:
        return self.until.astype("datetime64[ns]").astype(np.int64)

    @cached_property
    def _instants(self) -> Int64:
        return np.unique(self._until)

    @cached_property
    def _width(self) -> int:
        return len(self._instants) + 1

    @cached_property
    def _keys(self) -> Int64:
        """int64, [versions], ascending: row and instant in one number."""
        return self.row * self._width + np.searchsorted(self._instants, self._until)

    @cached_property
    def _last(self) -> Int64:
        """int64, [rows]: the last `until` of each row, the least number where it was never revised."""
        found = np.full(len(self.known), _NEVER)
        found[self.row] = self._until  # the last of a row's stands
        return found


def _to_the_right(places: Int64, length: int) -> Int64:
    """int64, [n, length]: the last `length` that are there, at the right end."""
    order = np.argsort(places != ABSENT, axis=1, kind="stable")[:, -length:]
    return np.take_along_axis(places, order, axis=1)
