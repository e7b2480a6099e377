"""Versions of rows whose features may read any other row (by key), or that are made of several: the world before each step, one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.lake.as_of import latest_known
from finflow.pipelines.samples.events import Int64, Revisions
from finflow.pipelines.samples.instants import Instants
from finflow.pipelines.samples.observed import Observed, observe
from finflow.pipelines.samples.versions import Versions, absent_versions, joined, same_rows, taken

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


def world_versions(
    definition: Definition, base: Observed, revisions: Revisions, instants: Instants, withdrawn: NDArray[np.bool_]
) -> list[Versions]:
    """What the rows were before each step at which somebody knew less of them. Costs a pass over all rows for each such step.

    Args:
        withdrawn: bool, [rows]; not there any more.
    """
    problem = problem_of(definition)
    outcome = None if problem.outcome_values is None else problem.outcome_values[0]
    times, place = np.unique(base.time, return_inverse=True)
    earliest = np.full(len(times) + 1, len(instants.own))
    earliest[place] = instants.earliest
    step = instants.step(revisions.known)
    from_here = earliest[np.searchsorted(times, revisions.frame["time"].to_numpy("datetime64[ns]"))]
    concerns = (revisions.begins | revisions.changed(definition)) & (step > from_here)
    found: list[Versions] = []
    # what who knows more reads: the place of each row's next version, or of the row itself, in all that was found so far
    columns, current, absent = base.columns, np.arange(len(base.time)), withdrawn.copy()
    for number in np.unique(step[concerns])[::-1]:
        instant = instants.own[number - 1]
        readable = base.time <= base.time[instants.rank < number].max()
        known = revisions.frame[revisions.known <= instant]
        known = known[known["time"].to_numpy("datetime64[ns]") <= base.time[readable].max()]
        world = observe(definition, latest_known(known, outcome=outcome))
        row = _rows_of(world, base)
        gone = readable.copy()
        gone[row] = False
        differs = ~same_rows(world.columns, taken(columns, current[row])) | absent[row]
        fresh = Versions(row[differs], np.full(differs.sum(), number), np.zeros(differs.sum(), dtype=bool), taken(world.columns, differs))
        gone &= ~absent
        vanished = np.flatnonzero(gone)
        found += [fresh, absent_versions(vanished, np.full(len(vanished), number), base.columns)]
        current[fresh.row] = len(columns.values) + np.arange(len(fresh.row))
        columns = joined([columns, fresh.columns])
        absent[fresh.row], absent[vanished] = False, True
    return found


def _rows_of(world: Observed, base: Observed) -> Int64:
    """int64: which of the base's rows each of the world's is."""
    keys = pd.MultiIndex.from_frame(base.rows[["entity", "time"]])
    return np.asarray(keys.get_indexer(pd.MultiIndex.from_frame(world.rows[["entity", "time"]])), dtype=np.int64)
