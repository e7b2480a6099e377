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

from finflow.models.revised import Revised
from finflow.models.samples import Observations
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.samples.entity_versions import entity_versions
from finflow.pipelines.samples.events import Revisions, lay_out, nanoseconds, published_instants
from finflow.pipelines.samples.instants import instants_of
from finflow.pipelines.samples.observed import Columns, Observed
from finflow.pipelines.samples.versions import of_their_own
from finflow.pipelines.samples.world_versions import world_versions

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


@dataclass(frozen=True, eq=False)
class Earlier:
    """Versions of rows, in the order in which they stand behind them, and who reads them."""

    columns: Columns
    revised: Revised


def earlier_versions(definition: Definition, base: Observed, frame: pd.DataFrame) -> Earlier | None:
    """What samples that were known earlier read in place of the rows; None where all read the rows themselves.

    Args:
        frame: every revision of the clean rows that `base` was made of.
    """
    if not len(base.time) or _came_in_time(definition, frame):
        return None
    revisions = lay_out(frame)
    across = any(feature.key is not None for feature in definition.features) or not _are_rows(base, revisions)
    instants = instants_of(definition, base, revisions, across)
    if across:
        outcome = problem_of(definition).outcome_values
        found = world_versions(definition, base, revisions, instants, None if outcome is None else outcome[0])
    else:
        found = entity_versions(definition, base, revisions, instants)
    if found is None:
        return None
    found = of_their_own(found, base.columns)
    known = instants.known.astype("datetime64[ns]")
    return Earlier(found.columns, Revised(known, found.row, instants.until[found.step], found.absent)) if len(found.row) else None


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
