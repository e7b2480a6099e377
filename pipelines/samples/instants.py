"""The instants at which samples are known, and which of them a revision concerns."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.samples.events import Int64, Revisions, published_instants
from finflow.pipelines.samples.observed import Observed

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition


@dataclass(frozen=True, eq=False)
class Instants:
    """When the sample that ends with each row is known.

    Steps are the places of instants among the samples' own, ascending: who is known before step i knows less than `own[i]`, and what was
    known at `own[i - 1]` is all that any of them may read.

    Attributes:
        known: int64, [rows]; nanoseconds.
        rank: int64, [rows]; the place of each in `own`.
        own: int64, ascending; the instants of all samples.
        earliest: int64, [rows]; the least rank of the samples that may read the row.
    """

    known: Int64
    rank: Int64
    own: Int64
    earliest: Int64

    def step(self, instant: Int64) -> Int64:
        """int64: how many of the samples' instants lie before each instant (nanoseconds)."""
        return np.searchsorted(self.own, instant, side="left")

    @cached_property
    def until(self) -> NDArray[np.datetime64]:
        """datetime64[ns], [steps + 1]: the instant of each step; one after all for what no sample knows."""
        return np.append(self.own, self.own[-1] + 1).astype("datetime64[ns]")


def instants_of(definition: Definition, base: Observed, revisions: Revisions, across: bool) -> Instants:
    """When samples are known.

    Args:
        base: the rows that samples end with.
        revisions: of the clean rows that `base` was made of.
        across: whether a row may be read by samples of other entities.
    """
    published = published_instants(definition, base.time)
    arrived = revisions.known[revisions.begins]
    known = np.maximum(published, _arrived(base, revisions, arrived))
    own, rank = np.unique(known, return_inverse=True)
    earliest = _least_from(base.time, rank) if across else _least_ahead(base.first, rank)
    return Instants(known, rank, own, earliest)


def _arrived(base: Observed, revisions: Revisions, arrived: Int64) -> Int64:
    """int64, [rows]: when each row was first known; where it is made of several clean rows, of all of its time."""
    time = revisions.frame["time"].to_numpy("datetime64[ns]")[revisions.begins]
    if np.array_equal(time, base.time):
        return arrived
    times, place = np.unique(time, return_inverse=True)
    latest = np.full(len(times), np.iinfo(np.int64).min)
    np.maximum.at(latest, place, arrived)
    return latest[np.searchsorted(times, base.time)]


def _least_ahead(first: Int64, rank: Int64) -> Int64:
    """int64, [rows]: the least rank of the entity's rows from each on."""
    offset = np.repeat(np.arange(len(first) - 1), np.diff(first)) * (rank.max(initial=0) + 1)
    return np.minimum.accumulate((offset + rank)[::-1])[::-1] - offset


def _least_from(time: NDArray[np.datetime64], rank: Int64) -> Int64:
    """int64, [rows]: the least rank of all rows from each one's time on."""
    times, place = np.unique(time, return_inverse=True)
    least = np.full(len(times), np.iinfo(np.int64).max)
    np.minimum.at(least, place, rank)
    return np.minimum.accumulate(least[::-1])[::-1][place]
