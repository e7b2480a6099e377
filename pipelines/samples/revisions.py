"""Earlier versions of observations: what samples read that were known before a row was revised, or came late.

A sample is known at the publication of its session, or as the first revision of its row arrives where that is later; it reads every row as
known then. So a revision matters to the samples that were known before it, and there only to the rows whose features reach the revised one.
These rows are observed once more, of what was known then; what comes out the same to the bit is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.revised import Revised
from finflow.models.samples import Observations
from finflow.pipelines.features.panel import first_rows
from finflow.pipelines.lake.as_of import latest_known
from finflow.pipelines.samples.entity_versions import entity_versions
from finflow.pipelines.samples.events import Revisions, lay_out, nanoseconds, published_instants
from finflow.pipelines.samples.instants import instants_of
from finflow.pipelines.samples.observed import Columns, Observed, observe
from finflow.pipelines.samples.versions import absent_versions, of_their_own, together
from finflow.pipelines.samples.world_versions import world_versions

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


@dataclass(frozen=True, eq=False)
class Earlier:
    """Versions of rows, in the order in which they stand behind them, and who reads them."""

    columns: Columns
    revised: Revised


def earlier_versions(definition: Definition, base: Observed, revisions: Revisions, withdrawn: NDArray[np.bool_]) -> Earlier | None:
    """What samples that were known earlier read in place of the rows; None where all read the rows themselves.

    Args:
        base: every row that ever was (see `with_withdrawn`).
        revisions: of the clean rows that `base` was made of.
        withdrawn: bool, [rows]; not there any more.
    """
    across = any(feature.key is not None for feature in definition.features) or not _are_rows(base, revisions)
    instants = instants_of(definition, base, revisions, across)
    if across:
        parts = world_versions(definition, base, revisions, instants, withdrawn)
    else:
        parts = entity_versions(definition, base, revisions, instants)
    last = len(instants.own)
    told = [part.row[part.step == last] for part in parts]
    absent = np.setdiff1d(np.flatnonzero(withdrawn), np.concatenate(told) if told else [])
    parts.append(absent_versions(absent, np.full(len(absent), last), base.columns))
    found = of_their_own(together(parts), base.columns)
    if not len(found.row):
        return None
    known = instants.known.astype("datetime64[ns]")
    return Earlier(found.columns, Revised(known, found.row, instants.until[found.step], found.absent))


def revisions_read(definition: Definition, base: Observed, frame: pd.DataFrame | None) -> Revisions | None:
    """The revisions laid out; None where no sample can know less of a row than is known now."""
    if frame is None or not len(base.time) or _came_in_time(definition, frame):
        return None
    return lay_out(frame)


def with_withdrawn(definition: Definition, base: Observed, revisions: Revisions) -> tuple[Observed, NDArray[np.int64]]:
    """The rows that are there and those that were withdrawn, which have missing values; int64: where each that is there stands."""
    if not revisions.gone.any():
        return base, np.arange(len(base.time))
    ever = observe(definition, latest_known(revisions.frame[~revisions.gone])).rows
    keys = pd.concat([base.rows[["entity", "time"]], ever[["entity", "time"]]]).drop_duplicates()
    keys = keys.sort_values(["entity", "time"], kind="stable", ignore_index=True)
    place = np.asarray(pd.MultiIndex.from_frame(keys).get_indexer(pd.MultiIndex.from_frame(base.rows[["entity", "time"]])), dtype=np.int64)
    columns = absent_versions(np.arange(len(keys)), np.zeros(len(keys), dtype=np.int64), base.columns).columns
    columns.values[place], columns.breaks[place] = base.columns.values, base.columns.breaks
    for name, block in base.columns.blocks.items():
        columns.blocks[name][place] = block
    return Observed(keys, first_rows(keys), keys["time"].to_numpy("datetime64[ns]"), columns), place


def _came_in_time(definition: Definition, frame: pd.DataFrame) -> bool:
    """Whether every revision was known by the publication of its row's session: then no sample knows less of it. Seen at little cost."""
    return bool((nanoseconds(frame["known_at"]) <= published_instants(definition, frame["time"].to_numpy("datetime64[ns]"))).all())


def with_versions(observations: Observations, earlier: Earlier) -> Observations:
    """The observations with versions behind their rows."""
    values = np.concatenate([observations.values, earlier.columns.values])
    blocks = {name: np.concatenate([block, earlier.columns.blocks[name]]) for name, block in observations.blocks.items()}
    return replace(observations, values=values, blocks=blocks, revised=earlier.revised)


def _are_rows(base: Observed, revisions: Revisions) -> bool:
    """Whether the rows are the clean ones, one for one, and not made of several."""
    clean = revisions.frame.loc[revisions.begins, ["entity", "time"]]
    if len(clean) != len(base.rows):
        return False
    same_time = np.array_equal(clean["time"].to_numpy("datetime64[ns]"), base.time)
    return same_time and bool(np.asarray(clean["entity"].array == base.rows["entity"].array, dtype=bool).all())
