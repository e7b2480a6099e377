"""Whether samples hold what was known at their own instant: some of them made again of nothing else, and how much was revised since."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import Samples
from finflow.pipelines.data.contract_rules import columns_read
from finflow.pipelines.lake.as_of import latest_known
from finflow.pipelines.samples.events import Revisions, lay_out, published_instants
from finflow.pipelines.samples.features import categorical_features
from finflow.pipelines.samples.windows import build_samples, outcome_column

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition

#: parts of all dates, and of those of rows that were revised later, at which dates are tried
_SHARES = (0.5, 0.75, 0.95)
_INSTANTS = 3  # of a date: samples whose rows came late are known later than the others


@dataclass(frozen=True)
class AsKnown:
    """What was found.

    Attributes:
        samples: how many were made again.
        dates: on which, ISO.
        changed: by column of the observations, how many of these samples held something else than what was known; `(samples)`: they are
            there and should not be, or the other way round.
        revised: by clean column, how many rows were revised after the instant at which their own sample was known.
        late: how many rows came after the publication of their session.
        rows: how many there are.
    """

    samples: int
    dates: tuple[str, ...]
    changed: dict[str, int]
    revised: dict[str, int]
    late: int
    rows: int

    @property
    def told(self) -> str:
        """In words."""
        if self.revised:
            parts = [f"{name} of {count:,} of {self.rows:,} rows" for name, count in self.revised.items()]
            words = f"{', '.join(parts)} was revised after the instant at which the row's own sample was known"
        else:
            words = f"none of {self.rows:,} rows was revised after the instant at which its own sample was known"
        return words + (f"; {self.late:,} rows came only after the publication of their session" if self.late else "")


def compare_with_known(definition: Definition, revisions: pd.DataFrame, samples: Samples) -> AsKnown:
    """Make the samples of a few dates again, each of nothing but the rows known at its own instant, and compare them to the bit.

    Args:
        revisions: every revision of the clean rows that `samples` were made of, with `known_at`.
        samples: of the run.
    """
    laid = lay_out(revisions)
    time = laid.frame["time"].to_numpy("datetime64[ns]")[laid.begins]
    arrived = laid.known[laid.begins]
    published = published_instants(definition, time)
    known = np.maximum(arrived, published)
    changed: dict[str, int] = {}
    tried, dates = 0, _dates(laid, time, known)
    for date in dates:
        on_date = time.astype("datetime64[D]") == date
        for instant in np.unique(known[on_date])[:_INSTANTS]:
            names = set(laid.frame["entity"].array[np.flatnonzero(laid.begins)[on_date & (known == instant)]])
            tried += _compare(definition, laid, samples, date, instant, names, changed)
    revised = _revised(definition, laid, known)
    return AsKnown(tried, tuple(map(str, dates)), changed, revised, int((arrived > published).sum()), len(time))


def _dates(laid: Revisions, time: NDArray[np.datetime64], known: NDArray[np.int64]) -> list[np.datetime64]:
    """datetime64[D]: some of all, and some on which a row was first known that was revised after its sample was."""
    later = np.unique(laid.row[(~laid.begins) & (laid.known > known[laid.row])])
    found = set()
    for times in (time, time[later]):
        days = np.unique(times.astype("datetime64[D]"))
        found |= {days[min(int(share * len(days)), len(days) - 1)] for share in _SHARES if len(days)}
    return sorted(found)


def _compare(
    definition: Definition, laid: Revisions, samples: Samples, date: np.datetime64, instant: int, names: set[str], changed: dict[str, int]
) -> int:
    """Count, by column, samples of a date that hold something else than what was known at the instant; how many were compared."""
    frame = laid.frame[(laid.known <= instant) & (laid.frame["time"].to_numpy("datetime64[D]") <= date)]
    alone = build_samples(definition, latest_known(frame, outcome=outcome_column(definition)))
    expected, found = _on(alone, date), _on(samples, date)
    if set(laid.frame["entity"]) >= set(samples.observations.entities):  # else samples are made of several entities
        expected, found = ({key: place for key, place in one.items() if key[0] in names} for one in (expected, found))
    shared = [key for key in expected if key in found]
    odd = len(expected) + len(found) - 2 * len(shared)
    if odd:
        changed["(samples)"] = changed.get("(samples)", 0) + odd
    if not shared:
        return odd
    mine, theirs = (np.array([places[key] for key in shared]) for places in (found, expected))
    same = _same(samples.gather(mine), alone.gather(theirs))
    codes = _same(samples.gather_categories(mine), alone.gather_categories(theirs))
    columns = [*samples.columns, *categorical_features(definition)]
    for name, kept in zip(columns, np.hstack([same, codes]).T, strict=True):
        if not kept.all():
            changed[name] = changed.get(name, 0) + int((~kept).sum())
    return len(shared) + odd


def _on(samples: Samples, date: np.datetime64) -> dict[tuple[str, np.datetime64], int]:
    places = np.flatnonzero(samples.index.time.astype("datetime64[D]") == date)
    names = samples.observations.entities
    return {(names[samples.index.entity[place]], samples.index.time[place]): int(place) for place in places}


def _same(left: NDArray[np.generic], right: NDArray[np.generic]) -> NDArray[np.bool_]:
    """bool, [samples, columns]: every observation of the window is the same."""
    equal = left == right
    if left.dtype.kind == "f":
        equal |= np.isnan(left) & np.isnan(right)
    return np.asarray(equal.all(axis=1))


def _revised(definition: Definition, laid: Revisions, known: NDArray[np.int64]) -> dict[str, int]:
    """By clean column that is read, how many rows hold something else now than when their own sample was known."""
    rows = np.arange(len(known))
    then = laid.known_by(rows, known)
    now = np.append(np.flatnonzero(laid.begins)[1:], len(laid.begins)) - 1
    later = np.flatnonzero(then != now)
    counts = {}
    for name in columns_read(definition):
        if name in ("entity", "time", "known_at", outcome_column(definition)):
            continue
        before, after = laid.frame[name].iloc[then[later]], laid.frame[name].iloc[now[later]]
        same = (before.array == after.array) | (before.isna().to_numpy() & after.isna().to_numpy())
        count = int((~np.asarray(pd.Series(same).fillna(False), dtype=bool)).sum())
        if count:
            counts[name] = count
    return counts
