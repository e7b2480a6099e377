"""Which test samples an evaluation may show, and which decide: dates that nobody has looked at stay sealed until there are enough of them.

An outcome is looked at when its label has come to light. So a sample is unseen if its label begins after the last day looked at, and shown
before a challenge opens if its label had ended by then; what lies between (labels longer than a date overlap) waits with the sealed ones
and decides nothing. Where rows have no time, an entity is unseen if its row was not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import SampleIndex
from finflow.pipelines.core.sight import Sight

Mask = NDArray[np.bool_]
Days = NDArray[np.datetime64]


@dataclass(frozen=True, eq=False)
class Opening:
    """What is shown of n test samples, and what decides.

    Attributes:
        shown, decides: bool, [n].
        dates: distinct test dates (or entities) in all, shown or not.
        sealed: those of them that are unseen and not shown.
        looks: at these data before.
        decided_after: ISO date, after which all that decides lies; None: all that is shown decides, or would.
        challenge: the number of the challenge that opens; 0: none.
        closed: why none opens, in words; None where one does.
    """

    shown: Mask
    decides: Mask
    dates: int
    sealed: int
    looks: int
    decided_after: str | None
    challenge: int
    closed: str | None
    sight: Sight


@dataclass(frozen=True)
class Before:
    """What was looked at before.

    Attributes:
        looks: how many.
        challenges, level, spent: as in `Sight`.
        until: the last day looked at; None: nobody looked.
        entities: of rows without a time, the entities looked at.
    """

    looks: int
    challenges: int
    level: float
    spent: float
    until: np.datetime64 | None
    entities: frozenset[str] = frozenset()


#: why no challenge opens, of how many dates in all, unseen ones and looks before; None: one does
Closed = Callable[[int, int, int], str | None]


def outcome_days(index: SampleIndex, *, independent: bool) -> tuple[Days, Days]:
    """The first and the last day whose outcome each sample shows, datetime64[D]: of its label, or the sample's own where labels are of
    different things, however long until they are known."""
    first, last = (index.time, index.time) if independent else (index.label_start, index.label_end)
    return first.astype("datetime64[D]"), last.astype("datetime64[D]")


def opening(
    index: SampleIndex, entities: NDArray[np.str_], before: Before, closed: Closed, *, independent: bool, stratified: bool
) -> Opening:
    """What may be shown of test samples, and whether a challenge opens.

    Args:
        index: of the n test samples, labelled.
        entities: text, [n].
    """
    first, last = outcome_days(index, independent=independent)
    units = entities if stratified else index.time.astype("datetime64[D]")
    everything = np.ones(len(index), dtype=bool)
    if not before.looks:
        seen, unseen = np.zeros(len(index), dtype=bool), everything
    elif stratified:
        seen = np.isin(entities, sorted(before.entities))
        unseen = ~seen
    else:
        until = np.datetime64("0001-01-01", "D") if before.until is None else before.until
        seen, unseen = last <= until, first > until
        touched = units[~unseen]
        unseen = units > touched.max() if len(touched) else unseen
    dates, fresh = len(np.unique(units)), len(np.unique(units[unseen]))
    why = closed(dates, fresh, before.looks)
    sight = Sight(before.challenges, fresh, before.level, before.spent)
    if why is not None:
        shown = seen if before.looks else everything
        sight = replace(sight, until=str(last[shown].max()) if shown.any() else "")
        return Opening(shown, np.zeros(len(index), dtype=bool), dates, fresh if before.looks else 0, before.looks, None, 0, why, sight)
    days = np.sort(index.time[unseen]).astype("datetime64[D]")
    sight = replace(sight, decided=fresh, first=str(days[0]), last=str(days[-1]), until=str(last.max()))
    after = None if stratified or unseen.all() else str(pd.Timestamp(units[~unseen].max()).date())
    return Opening(everything, unseen, dates, 0, before.looks, after, before.challenges + 1, None, sight)
