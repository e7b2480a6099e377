"""Versions of rows whose features read their own entity alone, and only so far back: all in one pass over the rows that it concerns.

For each step and entity, the rows that a revised one reaches are laid out with as many before them as their features read, as known then.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.samples.events import Int64, Revisions
from finflow.pipelines.samples.features import feature_reach
from finflow.pipelines.samples.instants import Instants
from finflow.pipelines.samples.observed import Observed, observe_runs
from finflow.pipelines.samples.rows import missing_sessions, session_days
from finflow.pipelines.samples.versions import Versions, absent_versions, taken

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

#: rows that are laid out at once, about; what lies in memory grows with this
_ROWS = 500_000


@dataclass(frozen=True, eq=False)
class _Stretches:
    """Runs of rows that are observed once more, each as known before a step.

    Attributes:
        first, last: int64, [stretches]; rows, both included.
        step: int64, [stretches].
        begin, end: int64, [events]; of each event the rows that it reaches, both included.
        owner: int64, [events], ascending; the stretch that each belongs to.
    """

    first: Int64
    last: Int64
    step: Int64
    begin: Int64
    end: Int64
    owner: Int64

    def parts(self) -> list[_Stretches]:
        """The same in parts of about `_ROWS` rows."""
        size = np.cumsum(self.last - self.first + 1) // _ROWS
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(size)) + 1, [len(size)]])
        found = []
        for low, high in pairwise(cuts):
            mine = (self.owner >= low) & (self.owner < high)
            found.append(
                _Stretches(
                    self.first[low:high], self.last[low:high], self.step[low:high], self.begin[mine], self.end[mine], self.owner[mine] - low
                )
            )
        return found


def entity_versions(definition: Definition, base: Observed, revisions: Revisions, instants: Instants) -> list[Versions]:
    """What the rows were before each step at which somebody knew less of them."""
    row, step, late = _events(definition, revisions, instants)
    if not len(row):
        return []
    stretches = _stretches(definition, base, instants, row, step, late)
    shown = _Shown(definition, base, revisions, instants, late)
    found = [shown.observed(part) for part in stretches.parts()]
    there = revisions.known_by(row, instants.own[step - 1]) >= 0
    found.append(absent_versions(row[~there], step[~there], base.columns))
    return found


def _events(definition: Definition, revisions: Revisions, instants: Instants) -> tuple[Int64, Int64, NDArray[np.bool_]]:
    """Rows and the steps before which they were otherwise, for somebody: int64 [events] each, by step and row. And bool, [rows]: somebody
    who might have read the row did not see it, for it came late or was withdrawn."""
    step = instants.step(revisions.known)
    concerns = (revisions.begins | revisions.changed(definition)) & (step > instants.earliest[revisions.row])
    late = np.zeros(len(instants.known), dtype=bool)
    late[revisions.row[(concerns & revisions.begins) | revisions.gone]] = True
    events = np.unique(step[concerns] * len(late) + revisions.row[concerns])
    return events % len(late), events // len(late), late


def _stretches(definition: Definition, base: Observed, instants: Instants, row: Int64, step: Int64, late: NDArray[np.bool_]) -> _Stretches:
    """Which rows each event reaches, those of one entity and step that meet together."""
    reach = max(feature_reach(definition), problem_of(definition).reach, 1)
    steady = np.flatnonzero(~late)  # there for everybody who may read them, so that they count in every world
    before = np.searchsorted(steady, row, side="left")
    after = np.searchsorted(steady, row, side="right")
    entity = np.searchsorted(base.first, row, side="right") - 1
    padded = np.append(steady, len(late))
    first = np.where(before >= reach, padded[np.maximum(before - reach, 0)], 0)
    first = np.maximum(first, base.first[entity])
    end = np.minimum(padded[np.minimum(after + reach - 1, len(steady))], base.first[entity + 1] - 1)
    # rows that everybody who may read them knows from this step on need no version
    width = len(instants.own) + 1
    owners = np.repeat(np.arange(len(base.first) - 1), np.diff(base.first))
    end = np.minimum(end, np.searchsorted(owners * width + instants.earliest, entity * width + step, side="left") - 1)
    starts = np.ones(len(row), dtype=bool)
    starts[1:] = (step[1:] != step[:-1]) | (first[1:] > end[:-1])
    owner = np.cumsum(starts) - 1
    begins = np.flatnonzero(starts)
    ends = np.append(begins[1:], len(row)) - 1
    return _Stretches(first[begins], end[ends], step[begins], row, end, owner)


class _Shown:
    """Shows stretches of rows as they were known."""

    def __init__(self, definition: Definition, base: Observed, revisions: Revisions, instants: Instants, late: NDArray[np.bool_]) -> None:
        self.definition, self.base, self.revisions, self.instants = definition, base, revisions, instants
        self.days = session_days(base.time, definition.calendar)
        self.late_days = _late_days(base.time, revisions, instants) if definition.calendar is None and late.any() else None

    def observed(self, part: _Stretches) -> Versions:
        """The rows that events reach, as they were known before their steps."""
        count = part.last - part.first + 1
        offset = np.cumsum(count) - count
        row = np.arange(count.sum()) + np.repeat(part.first - offset, count)
        stretch = np.repeat(np.arange(len(count)), count)
        edges = np.zeros(len(row) + 1, dtype=np.int64)
        shift = offset[part.owner] - part.first[part.owner]
        np.add.at(edges, part.begin + shift, 1)
        np.add.at(edges, part.end + shift + 1, -1)
        reached = np.cumsum(edges[:-1]) > 0
        place = self.revisions.known_by(row, self.instants.own[part.step - 1][stretch])
        there = place >= 0
        row, stretch, reached, place = row[there], stretch[there], reached[there], place[there]
        fresh = np.ones(len(row), dtype=bool)
        fresh[1:] = stretch[1:] != stretch[:-1]
        step = part.step[stretch]
        breaks = self._breaks(row, step, fresh)
        frame = self.revisions.frame.iloc[place].reset_index(drop=True)
        columns = observe_runs(self.definition, frame, breaks, breaks | fresh)
        kept = np.flatnonzero(reached)
        return Versions(row[kept], step[kept], np.zeros(len(kept), dtype=bool), taken(columns, kept))

    def _breaks(self, row: Int64, step: Int64, fresh: NDArray[np.bool_]) -> NDArray[np.bool_]:
        found = np.zeros(len(row), dtype=bool)
        if problem_of(self.definition).independent or not len(row):
            return found
        time = self.base.time[row]
        maximum = self.definition.window.maximum_gap
        missing = missing_sessions(time[:-1], time[1:], self.days)
        found[1:] = missing > maximum
        found[fresh] = False
        if self.late_days is not None:  # a date that nobody had a row of yet was no session
            days, since = self.late_days
            for place in np.flatnonzero(found):
                low, high = np.searchsorted(days, [time[place - 1].astype("datetime64[D]"), time[place].astype("datetime64[D]")])
                unknown = int((since[low:high] > self.instants.own[step[place] - 1]).sum())
                found[place] = missing[place - 1] - unknown > maximum
        return found


def _late_days(time: NDArray[np.datetime64], revisions: Revisions, instants: Instants) -> tuple[NDArray[np.datetime64], Int64]:
    """datetime64[D], ascending, and int64 nanoseconds: dates, and when the first row of each was known."""
    days, place = np.unique(time.astype("datetime64[D]"), return_inverse=True)
    since = np.full(len(days), np.iinfo(np.int64).max)
    np.minimum.at(since, place, revisions.known[revisions.begins])
    return days, since
