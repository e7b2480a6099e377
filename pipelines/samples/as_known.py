"""Samples of many dates, each made only of rows known at its own date, from as few passes over the data as that allows.

Dates whose knowledge differs only by the rows that were published date by date share one pass: features and windows read the past alone, so
that the window ending at a date is the same whether later rows are there or not. This is not believed but tried, on the first date of each
stretch; where it does not hold (a feature that peeks), each date gets a pass of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from finflow.models.samples import SampleIndex, Samples
from finflow.pipelines.core.manifests import CleanManifest, JsonRecord
from finflow.pipelines.data.knowledge import published
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition, problem_of
from finflow.pipelines.features.panel import first_rows
from finflow.pipelines.lake.as_of import latest_known, read_revisions
from finflow.pipelines.samples.windows import KnownRows, build_samples, outcome_column


@dataclass(frozen=True)
class Stretch(JsonRecord):
    """Consecutive dates that one pass serves; `shared` is False where each date needs its own.

    Attributes:
        first, last: ISO dates, both included.
        as_of: ISO instant at which the last date's session is published: nothing known later enters. Where `restated`, the instant up to
            which corrections count, for every date.
    """

    first: str
    last: str
    as_of: str
    shared: bool
    restated: bool = False


def view_as_known(context: Context, clean: CleanManifest, as_of: pd.Timestamp, date: pd.Timestamp) -> pd.DataFrame:
    """Clean rows known at `as_of` and dated not after `date`, the latest revision of each, sorted by entity and time, index 0..n-1."""
    return rows_as_known(context, clean, as_of, date).latest


def rows_as_known(context: Context, clean: CleanManifest, as_of: pd.Timestamp, date: pd.Timestamp) -> KnownRows:
    """As `view_as_known`, with every revision known at `as_of`."""
    frame = read_revisions(context.lake, clean.table, as_of, clean.version)
    if len(frame) and frame["time"].max() >= date + pd.Timedelta(days=1):
        frame = frame[frame["time"] < date + pd.Timedelta(days=1)].reset_index(drop=True)
    return KnownRows(latest_known(frame, outcome=outcome_column(context.definition)), frame)


def find_stretches(context: Context, clean: CleanManifest, dates: Sequence[str], restated: bool = False) -> tuple[Stretch, ...]:
    """Split ascending ISO `dates` where a row was learnt late, and try whether the dates of each part may share a pass.

    Args:
        restated: every date reads rows as known at the batch's as-of, whenever they were corrected; never a row of a later date.
    """
    if not dates:
        return ()
    days = pd.DatetimeIndex(list(dates))
    if restated:
        now = pd.Timestamp(clean.as_of)
        shared = len(days) == 1 or _may_share(context, clean, days, pd.DatetimeIndex([now] * len(days)))
        return (Stretch(_iso(days[0]), _iso(days[-1]), clean.as_of, shared, restated=True),)
    instants = published(context.definition, days)
    rows = context.lake.read(clean.table, version=clean.version, columns=["time", "known_at"])
    cuts = late_cuts(rows["time"], rows["known_at"], days, instants)
    edges = [0, *cuts, len(days)]
    found = []
    for start, end in pairwise(edges):
        shared = end - start == 1 or _may_share(context, clean, days[start:end], instants[start:end])
        found.append(Stretch(_iso(days[start]), _iso(days[end - 1]), instants[end - 1].isoformat(), shared))
    return tuple(found)


def late_cuts(time: pd.Series, known_at: pd.Series, days: pd.DatetimeIndex, instants: pd.DatetimeIndex) -> list[int]:
    """Positions p in `days` such that a row belonging to an earlier date became known between the as-of of p - 1 and that of p.

    A row of time t, known at k, is missing from the views of the dates d >= t whose as-of is before k; the first date that sees it
    starts a part.
    """
    if not len(time):
        return []
    lowest = np.searchsorted(days.to_numpy("datetime64[ns]"), time.dt.normalize().to_numpy("datetime64[ns]"), side="left")
    seen = np.searchsorted(_utc(instants), _utc(pd.DatetimeIndex(known_at)), side="left")
    late = (lowest < seen) & (seen < len(days))
    return [int(cut) for cut in np.unique(seen[late])]


def samples_as_known(
    context: Context, clean: CleanManifest, stretches: Sequence[Stretch], dates: Sequence[str], entity: str | None = None
) -> Iterator[Samples]:
    """Samples of `dates`, each as known at its date, its targets left out: one view for each pass over the data.

    Dates without a sample (no row that day, too little history) are simply absent.
    """
    for stretch in stretches:
        wanted = pd.DatetimeIndex(sorted(date for date in dates if stretch.first <= date <= stretch.last))
        if not len(wanted):
            continue
        passes = [wanted] if stretch.shared else [wanted[position : position + 1] for position in range(len(wanted))]
        for days in passes:
            last = pd.Timestamp(stretch.last) if stretch.shared else days[-1]
            as_of = pd.Timestamp(stretch.as_of) if stretch.shared or stretch.restated else published(context.definition, days)[-1]
            found = _pass(context, clean, as_of, last, days, entity)
            if len(found):
                yield found


def _pass(
    context: Context,
    clean: CleanManifest,
    as_of: pd.Timestamp,
    last: pd.Timestamp,
    days: pd.DatetimeIndex,
    entity: str | None,
) -> Samples:
    view, samples = _VIEWS.get(context, clean, as_of, last)
    return without_future(context.definition, on_dates(samples, days, entity), view)


class _Views:
    """The newest views and the samples built of them, so that the chunks of a backfill read and build once.

    A view is of one version of a table, which never changes, so what is kept is what would be read. Safe to use from threads.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: dict[tuple[str, ...], tuple[pd.DataFrame, Samples]] = {}

    def get(self, context: Context, clean: CleanManifest, as_of: pd.Timestamp, date: pd.Timestamp) -> tuple[pd.DataFrame, Samples]:
        parts = context.definition.model_dump_json(include={"name", "features", "window", "problem", "calendar"})
        key = (parts, context.lake.location, clean.table, str(clean.version), as_of.isoformat(), date.isoformat())
        with self._lock:
            if key not in self._kept:
                view = view_as_known(context, clean, as_of, date)
                self._kept = {**dict(list(self._kept.items())[1 - _KEPT :]), key: (view, build_samples(context.definition, view))}
            return self._kept[key]

    def forget(self) -> None:
        with self._lock:
            self._kept = {}


#: views kept at a time: that of the stretch that runs, and one beside it
_KEPT = 2
_VIEWS = _Views()


def forget_views() -> None:
    """Let go of what is kept between the chunks of a backfill."""
    _VIEWS.forget()


def on_dates(samples: Samples, days: pd.DatetimeIndex, entity: str | None = None) -> Samples:
    """The view of the samples whose time falls on one of `days` (and that belong to `entity`)."""
    chosen = np.isin(samples.index.time.astype("datetime64[D]"), days.to_numpy("datetime64[D]"))
    if entity is not None:
        codes = [code for code, name in enumerate(samples.observations.entities) if name == entity]
        chosen &= np.isin(samples.index.entity, codes)
    return samples.take(np.flatnonzero(chosen))


def without_future(definition: Definition, samples: Samples, view: pd.DataFrame) -> Samples:
    """The same samples as each would be if its row were its entity's last: no target, and target dates from the calendar alone.

    Each row is shown to the problem as an entity of its own, so that nothing after it can be seen.
    """
    if not len(samples):
        return samples
    index, problem = samples.index, problem_of(definition)
    view = problem.arrange(view)
    alone = view.iloc[_places(samples, view)].reset_index(drop=True)
    alone["entity"] = pd.array(pa.array(np.arange(len(alone)) + 10**10).cast(pa.large_string()), dtype="str")
    target_time = problem.targets(alone, definition.calendar).target_time
    nat = np.full(len(index), np.datetime64("NaT", "ns"))
    blank = np.full_like(index.target, np.nan)
    return replace(samples, index=replace(index, target=blank, label_start=nat, label_end=nat, target_time=target_time))


def _places(samples: Samples, view: pd.DataFrame) -> NDArray[np.int64]:
    """int64, [n]: where each sample's last observation stands in the view that the samples were built of."""
    index, observations = samples.index, samples.observations
    first = first_rows(view)
    if np.array_equal(first, observations.first) and np.array_equal(view["time"].to_numpy("datetime64[ns]"), observations.time):
        return index.row
    names = np.asarray(observations.entities, dtype=object)[index.entity]
    keys = pd.MultiIndex.from_frame(view[["entity", "time"]])
    return np.asarray(keys.get_indexer(pd.MultiIndex.from_arrays([names, pd.DatetimeIndex(index.time).as_unit("us")])))


def _may_share(context: Context, clean: CleanManifest, days: pd.DatetimeIndex, instants: pd.DatetimeIndex) -> bool:
    """Whether the first date's observations and samples are bit for bit the same with the stretch's later rows there as without them."""
    view, whole = _VIEWS.get(context, clean, instants[-1], days[-1])
    early_view = view[view["time"] < days[0] + pd.Timedelta(days=1)]
    if (early_view["known_at"] > instants[0]).any():  # a revision that came later stands there
        early_view = view_as_known(context, clean, instants[0], days[0])
    if early_view.empty:
        return True
    return same_past(whole, build_samples(context.definition, early_view.reset_index(drop=True)), days[0])


def same_past(whole: Samples, early: Samples, date: pd.Timestamp) -> bool:
    """Whether what `whole` holds up to `date` is, bit for bit, what `early` holds."""
    end = np.datetime64(date.normalize() + pd.Timedelta(days=1), "ns")
    kept = whole.observations.time < end
    names = np.asarray(whole.observations.entities, dtype=object)[whole.observations.entity[kept]]
    if not np.array_equal(names, np.asarray(early.observations.entities, dtype=object)[early.observations.entity]):
        return False
    if not np.array_equal(whole.observations.time[kept], early.observations.time):
        return False
    blocks = [(whole.observations.values, early.observations.values)]
    blocks += [(array, early.observations.blocks[name]) for name, array in whole.observations.blocks.items()]
    for long, short in blocks:
        if not _equal(np.asarray(long)[kept], np.asarray(short)):
            return False
    past = whole.index.take(np.flatnonzero(whole.index.time < end))
    return _same_samples(whole, past, early)


def _same_samples(whole: Samples, past: SampleIndex, early: Samples) -> bool:
    long_names = np.asarray(whole.observations.entities, dtype=object)[past.entity]
    short_names = np.asarray(early.observations.entities, dtype=object)[early.index.entity]
    return (
        np.array_equal(past.time, early.index.time)
        and np.array_equal(long_names, short_names)
        and _equal(np.asarray(past.origin), np.asarray(early.index.origin))
    )


def _equal(left: NDArray, right: NDArray) -> bool:
    if left.shape != right.shape or left.dtype != right.dtype:
        return False
    return bool(np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))


def _utc(instants: pd.DatetimeIndex) -> NDArray[np.datetime64]:
    """datetime64[ns] of aware instants, in UTC."""
    return instants.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[ns]")


def _iso(date: pd.Timestamp) -> str:
    return f"{date:%Y-%m-%d}"
