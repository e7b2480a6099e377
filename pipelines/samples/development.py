"""Development folds: test periods that end before the first test date, where recipes are chosen without a look at the test part.

A trial reads what was known before the test part begins and nothing later, so that its folds are made of an older state of the data by the
rules of every other fold: no outcome of the test part can enter, in whatever part of the program it would be used.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import ContractError, DefinitionError, NotEnoughHistoryError
from finflow.pipelines.core.manifests import Fold, JsonRecord, RawManifest, SampleManifest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.samples.folds import (
    MINIMUM_TRAIN,
    MINIMUM_VALIDATION,
    Positions,
    day_of,
    is_trainable,
    label_limit,
    period_of,
    select,
    tested_dates,
)
from finflow.pipelines.samples.windows import needed_history, open_samples

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.settings.parts import Folds

Dates = NDArray[np.datetime64]


@dataclass(frozen=True)
class Development(JsonRecord):
    """What a trial may read.

    Attributes:
        as_of: ISO instant (UTC) whose knowledge it uses: before the first test date, and before the embargo ahead of it.
        first_test: ISO date at which the test part begins.
        periods: development folds that are wanted: as many as the test part has periods.
    """

    as_of: str
    first_test: str
    periods: int


def development_settings(definition: Definition) -> Folds:
    """The definition's walk-forward splits, before which development folds lie.

    Raises:
        DefinitionError: its rows have no time, so that every row is tested in some fold.
    """
    if definition.folds.kind == "stratified":
        raise DefinitionError(
            f"{definition.name}: its rows have no time (folds.kind: stratified) and every one of them is tested in some fold, so there is "
            "no part to try recipes on without a look at what a training decides on. Set rows aside in a file and a definition of their "
            "own, and choose recipes by training that; or, if the rows do have a time, set folds.first_test."
        )
    return definition.folds


def open_development(context: Context, raw: RawManifest, as_of: str | None) -> Development:
    """What a trial of this raw table may read; of what stands there from the first test date on, only the dates are counted.

    Args:
        as_of: see `resolve_as_of`; where it lies in the test part, it only says how many test periods there are.

    Raises:
        DefinitionError: see `development_settings`.
        NotEnoughHistoryError: too few dates lie before the test part for a single sample.
        FinflowError: see `resolve_as_of`.
    """
    settings = development_settings(context.definition)
    asked = resolve_as_of(context, as_of, version=raw.version)
    rows = context.lake.read(raw.table, version=raw.version, columns=["time"])
    dates = np.unique(rows["time"].to_numpy().astype("datetime64[D]"))
    first_test = np.datetime64(settings.first_test, "D")
    before = dates[dates < first_test]
    if len(before) < needed_history(context.definition) + settings.embargo:
        raise NotEnoughHistoryError(_no_history(context.definition, settings, dates, len(before)))
    end = label_limit(dates, first_test, settings.embargo)
    last = (pd.Timestamp(end) - pd.Timedelta(microseconds=1)).tz_localize("UTC").as_unit("us")
    reached = dates[dates <= np.datetime64(asked.tz_localize(None), "D")]
    return Development(min(asked, last).isoformat(), str(first_test), walk_forward_periods(settings, reached))


def walk_forward_periods(settings: Folds, dates: Dates) -> int:
    """How many test periods a training has, judged by its dates alone (its labels are not read); at least one.

    Args:
        dates: datetime64[D], distinct and ascending: those of the data.
    """
    found = 0
    for number in count():
        fold = period_of(settings, number)
        if not len(dates) or np.datetime64(fold.test_start) > dates[-1]:
            break
        first, stop = np.searchsorted(dates, np.array([fold.test_start, fold.test_end], dtype="datetime64[D]") + np.array([0, 1]))
        found += bool(stop - first >= settings.minimum_test)
    return max(1, min(found, settings.count or found))


def development_folds(definition: Definition, index: SampleIndex, wanted: int) -> Folds:
    """Settings of folds whose periods are counted back from the first test date: the `wanted` newest that have enough labelled test dates,
    or fewer where the history before them is too short to train on.

    Args:
        index: of samples of which nothing from the first test date on is known.

    Raises:
        NotEnoughHistoryError: there is not one such period; says what is needed.
    """
    settings = development_settings(definition)
    anchor = pd.Timestamp(settings.first_test)
    oldest = index.time.min() if len(index) else np.datetime64(anchor)
    found = 0
    chosen: Folds | None = None
    newest: tuple[Fold, Positions, int] | None = None  # the newest that has its dates, or else the newest
    for back in count(1):
        moved = settings.model_copy(update={"first_test": (anchor - pd.DateOffset(months=back * settings.months)).date(), "count": None})
        fold = period_of(moved, 0)
        if np.datetime64(fold.test_end) < oldest or found == wanted:
            break
        parts = select(fold, index, settings.embargo)
        tested = tested_dates(index, parts)
        if newest is None or newest[2] < settings.minimum_test <= tested:
            newest = (fold, parts, tested)
        if tested < settings.minimum_test:
            continue  # its labels were not known yet
        if not is_trainable(parts):
            break
        found, chosen = found + 1, moved
    if chosen is None:
        raise NotEnoughHistoryError(_too_short(definition, index, newest))
    return chosen


def develop(context: Context, samples: SampleManifest, allowed: Development) -> Context:
    """The context of a trial: the same definition with development folds in the place of its own.

    Args:
        samples: built of what was known at `allowed.as_of`.

    Raises:
        ContractError: rows of the test part were known before it began.
        NotEnoughHistoryError: see `development_folds`.
    """
    view = open_samples(samples.folder)
    early = int(np.count_nonzero(day_of(view.observations.time) >= np.datetime64(allowed.first_test)))
    if early:
        raise ContractError(
            f"{context.name}: {early:,} rows dated {allowed.first_test} (folds.first_test) or later have a known_at before that date, so a "
            "trial would read test dates. Give them a known_at not before the close of their session, or set folds.first_test later."
        )
    folds = development_folds(context.definition, view.index, allowed.periods)
    return replace(context, definition=context.definition.model_copy(update={"folds": folds}))


def _no_history(definition: Definition, settings: Folds, dates: Dates, before: int) -> str:
    reach = f"the data reach from {dates[0]} to {dates[-1]}" if len(dates) else "there are no data"
    return (
        f"{definition.name}: {reach}, so {before:,} dates lie before folds.first_test {settings.first_test}: too few for a trial. The "
        f"first labelled sample needs {needed_history(definition)} of them (features, window and horizon), folds.embargo "
        f"{settings.embargo} more. Give older history, or set folds.first_test later: {_instead(definition)}"
    )


def _too_short(definition: Definition, index: SampleIndex, newest: tuple[Fold, Positions, int] | None) -> str:
    settings = development_settings(definition)
    reach = f"samples reach from {day_of(index.time).min()} to {day_of(index.time).max()}" if len(index) else "there is no sample"
    head = f"{definition.name}: the history before folds.first_test {settings.first_test} is too short for a development fold"
    if newest is None:
        return f"{head} of {settings.months} months ({reach}). Give older history, or set folds.first_test later: {_instead(definition)}"
    fold, parts, tested = newest
    return (
        f"{head}. The newest, {fold.test_start} to {fold.test_end}, has {tested} labelled test dates (needs {settings.minimum_test}), "
        f"{len(parts.train)} training samples whose labels end before {fold.validation_start} (needs {MINIMUM_TRAIN}) and "
        f"{len(parts.validation)} validation samples (needs {MINIMUM_VALIDATION}); {reach}. Give older history, set folds.first_test "
        f"later, or lower folds.months, folds.validation_months or window.length: {_instead(definition)}"
    )


def _instead(definition: Definition) -> str:
    return f"do so before the first `finflow train {definition.name}`, which looks at the test part."
