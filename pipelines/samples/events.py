"""Which rows changed after somebody had read them: revisions, laid out beside the rows, and the instants at which samples were known."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.lake.as_of import CORRECTED, WITHDRAWN

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

Int64 = NDArray[np.int64]

_KEYS = ("entity", "time", "known_at", CORRECTED)
#: kinds of features that read what came of earlier rows
_OF_OUTCOMES = ("outcome_count_before", "outcome_rate_before")


@dataclass(frozen=True, eq=False)
class Revisions:
    """Every revision of some rows, sorted by entity, time and known_at.

    Attributes:
        frame: the revisions, index 0..n-1.
        begins: bool, [revisions]; the first of its row.
        known: int64, [revisions]; nanoseconds.
        gone: bool, [revisions]; it says that the row is withdrawn.
    """

    frame: pd.DataFrame
    begins: NDArray[np.bool_]
    known: Int64
    gone: NDArray[np.bool_]

    @cached_property
    def row(self) -> Int64:
        """int64, [revisions]: which of the rows, counted in their order, each is a revision of."""
        return np.cumsum(self.begins) - 1

    def known_by(self, row: Int64, instant: Int64) -> Int64:
        """int64: of each row the place of the latest revision known by an instant (nanoseconds); -1 where there was none yet, or the
        row was withdrawn."""
        width = len(self._instants) + 1
        place = np.searchsorted(self._keys, row * width + np.searchsorted(self._instants, instant, side="right")) - 1
        found = np.maximum(place, 0)
        return np.where((place >= 0) & (self.row[found] == row) & ~self.gone[found], place, -1)

    @cached_property
    def _instants(self) -> Int64:
        return np.unique(self.known)

    @cached_property
    def _keys(self) -> Int64:
        """int64, [revisions], ascending: row and instant in one number."""
        return self.row * (len(self._instants) + 1) + np.searchsorted(self._instants, self.known)

    def changed(self, definition: Definition) -> NDArray[np.bool_]:
        """bool, [revisions]: it says something else than the revision before of its row, of what features may read.

        What came of a row (the problem's outcome) is read from the instant at which it was known, whichever revision brought it. Only where
        a revision takes back what another had said does a feature of earlier outcomes read otherwise afterwards.
        """
        problem = problem_of(definition)
        later = np.flatnonzero(~self.begins)
        found = np.zeros(len(self.begins), dtype=bool)
        if not len(later):
            return found
        outcome = None if problem.outcome_values is None else problem.outcome_values[0]
        told = {outcome, getattr(problem.settings, "known_column", None)}
        for name in self.frame.columns:
            if name in _KEYS:
                continue
            column = self.frame[name]
            now, before = column.iloc[later].array, column.iloc[later - 1].array
            other = ~(
                np.asarray(pd.Series(now == before).fillna(False), dtype=bool) | (np.asarray(pd.isna(now)) & np.asarray(pd.isna(before)))
            )
            if name in told:
                reads = any(feature.kind in _OF_OUTCOMES for feature in definition.features)
                other &= ~np.asarray(pd.isna(before)) & reads
            found[later] |= other
        return found


def lay_out(frame: pd.DataFrame) -> Revisions:
    """Sort revisions, where they are not sorted yet."""
    if not _in_order(frame):
        frame = frame.sort_values(["entity", "time", "known_at"], kind="stable", ignore_index=True)
    entity, time = frame["entity"].array, frame["time"].to_numpy()
    begins = np.ones(len(frame), dtype=bool)
    begins[1:] = np.asarray(entity[1:] != entity[:-1], dtype=bool) | (time[1:] != time[:-1])
    gone = frame[WITHDRAWN].fillna(False).to_numpy(dtype=bool) if WITHDRAWN in frame else np.zeros(len(frame), dtype=bool)
    return Revisions(frame, begins, nanoseconds(frame["known_at"]), gone)


def _in_order(frame: pd.DataFrame) -> bool:
    entity, time, known = frame["entity"].array, frame["time"].to_numpy(), nanoseconds(frame["known_at"])
    more = np.asarray(entity[1:] > entity[:-1], dtype=bool)
    same = np.asarray(entity[1:] == entity[:-1], dtype=bool)
    ascends = (time[1:] > time[:-1]) | ((time[1:] == time[:-1]) & (known[1:] >= known[:-1]))
    return bool((more | (same & ascends)).all())


def nanoseconds(instants: pd.Series | pd.DatetimeIndex) -> Int64:
    """int64: aware instants in UTC."""
    index = pd.DatetimeIndex(instants)
    return np.asarray(index.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[ns]").astype(np.int64))


def published_instants(definition: Definition, time: NDArray[np.datetime64]) -> Int64:
    """int64, nanoseconds: when the session of each time is published."""
    days, place = np.unique(time, return_inverse=True)
    return nanoseconds(published(definition, pd.DatetimeIndex(days.astype("datetime64[us]"))))[place]
