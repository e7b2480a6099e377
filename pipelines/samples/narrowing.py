"""A few rows of observations with all that some samples read of them, and nothing that these samples did not know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from finflow.models.revised import ABSENT, Revised
from finflow.models.samples import Int64, Observations, SampleIndex

#: the `until` of a row that nobody who is asked knew of
_ALWAYS = np.datetime64(np.iinfo(np.int64).max, "ns")


@dataclass(frozen=True, eq=False)
class Narrowed:
    """What stands where in narrowed observations.

    Attributes:
        places: int64, [kept rows + versions]; the places in the wide observations that are copied, in that order.
        revised: as of the narrowed observations.
    """

    places: Int64
    revised: Revised | None


def narrow(observations: Observations, index: SampleIndex, rows: Int64) -> Narrowed:
    """Keep `rows`: each as the last sample of its entity knew it, and behind them the earlier versions that the others may have read.

    Args:
        index: the samples that are to read them.
        rows: int64, ascending; of entities that have samples.
    """
    revised = observations.revised
    if revised is None or not observations.behind[index.row].any():
        return Narrowed(rows, None)
    known = revised.known.astype("datetime64[ns]").astype(np.int64)[index.row]
    last = np.full(len(observations.entities), np.iinfo(np.int64).min)
    least = np.full(len(observations.entities), np.iinfo(np.int64).max)
    np.maximum.at(last, index.entity, known)
    np.minimum.at(least, index.entity, known)
    entity = np.searchsorted(observations.first, rows, side="right") - 1
    latest = revised.at(rows, last[entity].astype("datetime64[ns]"))
    # of who reads the versions: those before the last sample's, from the first sample's on
    place = np.searchsorted(rows, revised.row)
    mine = np.flatnonzero((place < len(rows)) & (rows[np.minimum(place, len(rows) - 1)] == revised.row))
    until = revised.until.astype("datetime64[ns]").astype(np.int64)[mine]
    of = entity[place[mine]]
    kept = mine[(until <= last[of]) & (until > least[of])]
    unseen = np.flatnonzero(latest == ABSENT)
    blank = observations.rows + int(np.argmax(revised.absent))  # the values of an absent version are missing
    latest[unseen] = blank
    row = np.concatenate([place[kept], unseen])
    stands = np.concatenate([revised.until[kept], np.full(len(unseen), _ALWAYS)])
    order = np.lexsort((stands, row))
    absent: NDArray[np.bool_] = np.concatenate([revised.absent[kept], np.ones(len(unseen), dtype=bool)])
    behind = np.concatenate([observations.rows + kept, np.full(len(unseen), blank)])
    if not len(row):
        return Narrowed(latest, None)
    found = Revised(revised.known[rows], row[order].astype(np.int64), stands[order], absent[order])
    return Narrowed(np.concatenate([latest, behind[order]]).astype(np.int64), found)
