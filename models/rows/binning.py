"""Bins of a feature whose event rates rise or fall all the way, and what each says about an event: its weight of evidence.

The weight of evidence of a bin is the log odds of an event in it less those of all rows (Good 1950; for credit Siddiqi 2006, who turns the
sign round). The information value of a feature is the difference of the bins' shares of events and of others, weighed by it: the symmetric
Kullback-Leibler divergence of the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from finflow.models.samples import Float64, Int64


@dataclass(frozen=True)
class Least:
    """What every bin must hold.

    Attributes:
        rows: rows of a bin, at least.
        events: events of a bin, and rows that are none, at least.
    """

    rows: float
    events: float


@dataclass(frozen=True)
class Evidence:
    """How events are counted: their share of all rows, and the rows at that share that are added to each bin before its rate is taken."""

    share: float
    added: float

    @classmethod
    def of(cls, events: Int64, smoothing: float) -> Self:
        """Of 0 and 1, [n]; `smoothing` is how many rows of the rarer class are added, with as many of the other as go with them."""
        share = float(events.mean())
        return cls(share, smoothing / min(share, 1 - share))

    def rate(self, events: float, rows: float) -> float:
        """The smoothed event rate of a bin; the share of all rows for an empty one."""
        return (events + self.added * self.share) / (rows + self.added) if rows + self.added else self.share

    def weight(self, events: Float64, rows: Float64) -> Float64:
        """The weights of evidence of bins: 0 of an empty one.

        Without smoothing a bin without events, or with nothing else, has an infinite one.
        """
        total = rows + self.added
        rate = np.where(total > 0, (events + self.added * self.share) / np.where(total > 0, total, 1.0), self.share)
        with np.errstate(divide="ignore"):
            return np.log(rate) - np.log1p(-rate) - (np.log(self.share) - np.log1p(-self.share))


def information_value(events: Float64, rows: Float64, weight: Float64) -> float:
    """Of bins' events, rows and weights of evidence. Below 0.02 a feature says nothing, from 0.3 much (Siddiqi 2006)."""
    others = rows - events
    return float(((events / (events.sum() or 1.0) - others / (others.sum() or 1.0)) * weight).sum())


def fine_edges(values: Float64, bins: int) -> Float64:
    """float64, ascending: the upper ends of all bins but the last, of about equal numbers of known values. A bin holds its upper end."""
    present = values[~np.isnan(values)]
    if not len(present):
        return np.zeros(0)
    edges = np.unique(np.quantile(present, np.arange(1, bins) / bins, method="lower"))
    return edges[edges < present.max()]


def places(values: NDArray, edges: Float64) -> Int64:
    """int64, [n]: which bin each value is in; the one behind the last is that of missing values."""
    return np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values, side="left"))


def rising(events: Float64, rows: Float64, least: Least, rate: Callable[[float, float], float]) -> Int64:
    """int64, [bins]: the number of the group that each bin joins, so that the groups' rates rise and each holds enough.

    Neighbours whose rates do not rise are pooled (Ayer et al. 1955), then the smallest group that holds too little joins the neighbour
    whose rate is nearer, as long as there is one.
    """
    groups = _pooled([(float(event), float(row), 1) for event, row in zip(events, rows, strict=True)], rate)
    while len(groups) > 1:
        short = [n for n, (event, row, _) in enumerate(groups) if row < least.rows or min(event, row - event) < least.events]
        if not short:
            break
        one = min(short, key=lambda number: groups[number][1])
        rate_of_one = rate(*groups[one][:2])
        other = min(
            (n for n in (one - 1, one + 1) if 0 <= n < len(groups)), key=lambda number: abs(rate(*groups[number][:2]) - rate_of_one)
        )
        first = min(one, other)
        groups[first : first + 2] = [_sum(groups[first], groups[first + 1])]
        groups = _pooled(groups, rate)
    return np.repeat(np.arange(len(groups)), [count for _, _, count in groups])


def monotone(events: Float64, rows: Float64, least: Least, evidence: Evidence) -> Int64:
    """As `rising`, or with rates that fall, whichever has the greater information value."""
    ways = []
    for way in (slice(None), slice(None, None, -1)):
        group = rising(events[way], rows[way], least, evidence.rate)
        together = counted(group, events[way]), counted(group, rows[way])
        joined = (group.max() - group[::-1]) if way.step else group
        ways.append((information_value(*together, evidence.weight(*together)), joined))
    return ways[0][1] if ways[0][0] >= ways[1][0] else ways[1][1]


def counted(group: Int64, weights: Float64, size: int = 0) -> Float64:
    """float64, [groups]: the sum of the weights of each group; `size` groups at least."""
    return np.bincount(group, weights, minlength=size).astype(np.float64)


Group = tuple[float, float, int]


def _sum(one: Group, other: Group) -> Group:
    return one[0] + other[0], one[1] + other[1], one[2] + other[2]


def _pooled(groups: list[Group], rate: Callable[[float, float], float]) -> list[Group]:
    pooled: list[Group] = []
    for group in groups:
        pooled.append(group)
        while len(pooled) > 1 and rate(*pooled[-1][:2]) <= rate(*pooled[-2][:2]):
            pooled[-2:] = [_sum(pooled[-2], pooled[-1])]
    return pooled
