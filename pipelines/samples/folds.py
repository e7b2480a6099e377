"""Walk-forward folds: test periods anchored to the calendar, and the samples of each part, purged by label span."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.samples import Int64, SampleIndex
from finflow.pipelines.core.errors import DefinitionError, NotEnoughHistoryError
from finflow.pipelines.core.manifests import Dealt, Fold
from finflow.pipelines.samples.stratified import deal, stratified_folds

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.settings.parts import Folds


#: a fold with fewer samples in these parts is no basis for a fit
MINIMUM_TRAIN = 50
MINIMUM_VALIDATION = 10

PRODUCTION = "production"


@dataclass(frozen=True, eq=False)
class Positions:
    """int64 positions into a sample index, ascending."""

    train: Int64
    validation: Int64
    test: Int64


def make_folds(definition: Definition, index: SampleIndex, as_of: pd.Timestamp) -> tuple[Fold, ...]:
    """The test periods that have begun by the as-of and hold enough labelled test dates, oldest first.

    A period's dates come from `folds.first_test` and `folds.months` alone, so that newer data never move an older fold; the newest period
    may still be filling up.

    Raises:
        NotEnoughHistoryError: no period has enough test dates, or one has too little to train on; says what is needed.
    """
    settings = definition.folds
    if settings.kind == "stratified":
        _require_no_time(definition, index)
        dealt = stratified_folds(settings, definition.seed)
        for fold in dealt:
            _require_training(definition, index, fold)
        return dealt
    last = _date(as_of)
    found = []
    counts = []
    for number in range(100_000):
        fold = period_of(settings, number)
        if np.datetime64(fold.test_start) > last:
            break
        dates = tested_dates(index, select(fold, index, settings.embargo))
        counts.append((fold, dates))
        if dates >= settings.minimum_test:
            found.append(fold)
    if not found:
        raise NotEnoughHistoryError(_no_period(definition, index, counts, last))
    found = found[-settings.count :] if settings.count else found
    for fold in found:
        _require_training(definition, index, fold)
    return tuple(found)


def production_fold(definition: Definition, index: SampleIndex, as_of: pd.Timestamp) -> Fold:
    """The fold of the model that is registered: trained on all that is known, its last `validation_months` for early stopping.

    That slice is at most the last fifth of the labelled dates. Where next to no label is known of so recent a past (old rows that were
    corrected today; outcomes that take longer), it ends with the newest labelled date instead.

    Raises:
        NotEnoughHistoryError: too few labelled samples.
    """
    if definition.folds.kind == "stratified":
        settings = definition.folds
        fold = Fold(PRODUCTION, "", "", "", Dealt(settings.parts, -1, 0, definition.seed, settings.validation))
        _require_training(definition, index, fold)
        return fold
    end = pd.Timestamp(_date(as_of)) + pd.Timedelta(days=1)
    fold = _production(end - pd.DateOffset(months=time_folds(definition).validation_months), end)
    chosen = select(fold, index, definition.folds.embargo)
    if len(chosen.validation) < MINIMUM_VALIDATION and index.labelled.any():
        newest = pd.Timestamp(day_of(index.time[index.labelled]).max()) + pd.Timedelta(days=1)
        fold = _production(newest - pd.DateOffset(months=time_folds(definition).validation_months), end)
        chosen = select(fold, index, definition.folds.embargo)
    if len(chosen.train) < 4 * len(chosen.validation) and len(index):
        labelled = np.unique(day_of(index.time[index.labelled]))
        if len(labelled):
            fifth = pd.Timestamp(labelled[len(labelled) - max(len(labelled) // 5, 1)])
            if fifth > pd.Timestamp(fold.validation_start):
                fold = _production(fifth, end)
    _require_training(definition, index, fold)
    return fold


def select(fold: Fold, index: SampleIndex, embargo: int) -> Positions:
    """The samples of each part of a fold.

    A training label ends before the validation part begins, and before the last `embargo` sessions ahead of it; a validation label likewise
    ends before the test part. Test samples are labelled ones. A session is a date on which some sample of the index stands.
    Nothing of the training or validation part depends on samples later than the test part's beginning.

    Args:
        embargo: sessions.
    """
    if fold.stratified is not None:
        return Positions(*deal(fold.stratified, index))
    labelled = index.labelled
    days = day_of(index.time)
    end = day_of(index.label_end)
    sessions = np.unique(days)
    validation_start, test_start, test_end = (np.datetime64(text, "D") for text in (fold.validation_start, fold.test_start, fold.test_end))
    train_limit = label_limit(sessions, validation_start, embargo)
    validation_limit = test_start if fold.name == PRODUCTION else label_limit(sessions, test_start, embargo)
    train = labelled & (days < validation_start) & (end < train_limit)
    validation = labelled & (days >= validation_start) & (days < test_start) & (end < validation_limit)
    test = labelled & (days >= test_start) & (days <= test_end)
    if fold.name == PRODUCTION:
        test[:] = False
    return Positions(np.flatnonzero(train), np.flatnonzero(validation), np.flatnonzero(test))


def label_limit(sessions: NDArray[np.datetime64], start: np.datetime64, embargo: int) -> np.datetime64:
    """The date before which a label must end: `start`, or the `embargo`-th session before it."""
    before = int(np.searchsorted(sessions, start))
    if embargo == 0:
        return start
    return sessions[before - embargo] if before >= embargo else np.datetime64("0001-01-01", "D")


def time_folds(definition: Definition) -> Folds:
    """The definition's walk-forward splits.

    Raises:
        DefinitionError: its rows have no time.
    """
    if definition.folds.kind == "stratified":
        raise DefinitionError(
            f"{definition.name}: its folds are stratified, because its rows have no time: there is no walk forward and no period of one."
        )
    return definition.folds


def _require_no_time(definition: Definition, index: SampleIndex) -> None:
    """Raises DefinitionError: the rows have a time after all, and dealing them out would let later ones teach about earlier ones."""
    days = np.unique(day_of(index.time))
    if len(days) > 1:
        raise DefinitionError(
            f"{definition.name}: folds.kind is stratified, which is for rows without a time; these are of {len(days):,} dates, {days[0]} "
            f"to {days[-1]}: set folds.first_test instead, so that models are tested on what came later."
        )


def tested_dates(index: SampleIndex, parts: Positions) -> int:
    """How many dates the test part has."""
    return len(np.unique(day_of(index.time[parts.test])))


def is_trainable(parts: Positions) -> bool:
    """Whether there is a basis for a fit."""
    return len(parts.train) >= MINIMUM_TRAIN and len(parts.validation) >= MINIMUM_VALIDATION


def period_of(settings: Folds, number: int) -> Fold:
    """The test period of that number, from 0, and the dates of its other parts."""
    anchor = pd.Timestamp(settings.first_test)
    # each from the anchor itself: adding a month to 31 January twice would drift to the 28th for good
    start = anchor + pd.DateOffset(months=number * settings.months)
    end = anchor + pd.DateOffset(months=(number + 1) * settings.months) - pd.Timedelta(days=1)
    validation = anchor + pd.DateOffset(months=number * settings.months - settings.validation_months)
    name = f"{start:%Y-%m}" if start.day == 1 else f"{start:%Y-%m-%d}"
    return Fold(name=name, validation_start=f"{validation:%Y-%m-%d}", test_start=f"{start:%Y-%m-%d}", test_end=f"{end:%Y-%m-%d}")


def _production(validation_start: pd.Timestamp, end: pd.Timestamp) -> Fold:
    return Fold(name=PRODUCTION, validation_start=f"{validation_start:%Y-%m-%d}", test_start=f"{end:%Y-%m-%d}", test_end=f"{end:%Y-%m-%d}")


def _require_training(definition: Definition, index: SampleIndex, fold: Fold) -> None:
    chosen = select(fold, index, definition.folds.embargo)
    if is_trainable(chosen):
        return
    if fold.stratified is not None:
        raise NotEnoughHistoryError(
            f"{definition.name}: fold {fold.name} has {len(chosen.train)} training samples (needs {MINIMUM_TRAIN}) and "
            f"{len(chosen.validation)} validation samples (needs {MINIMUM_VALIDATION}) of {int(index.labelled.sum())} labelled rows: give "
            "more rows, or change folds.validation; where no row is labelled, see when an outcome counts as known (known_after_days)."
        )
    remedy = "lower folds.validation_months, folds.embargo or window.length"
    if len(chosen.train) >= MINIMUM_TRAIN:
        remedy = "raise folds.validation_months above the time after which labels are known (the outcome window)"
    first = f"the first sample is of {day_of(index.time).min()}" if len(index) else "there is no sample"
    raise NotEnoughHistoryError(
        f"{definition.name}: fold {fold.name} has {len(chosen.train)} training samples whose labels end before {fold.validation_start} "
        f"(needs {MINIMUM_TRAIN}) and {len(chosen.validation)} validation samples before {fold.test_start} "
        f"(needs {MINIMUM_VALIDATION}); {first}. Give more history, set "
        f"folds.first_test later, or {remedy}."
    )


def _no_period(definition: Definition, index: SampleIndex, counts: list[tuple[Fold, int]], last: np.datetime64) -> str:
    settings = time_folds(definition)
    if not counts:
        return (
            f"{definition.name}: folds.first_test {settings.first_test} lies after the as-of date {last}: "
            f"a test period needs {settings.minimum_test} labelled dates from then on. Give more history, or set folds.first_test earlier."
        )
    fold, dates = max(counts, key=lambda pair: pair[1])
    reach = f"samples reach from {day_of(index.time).min()} to {day_of(index.time).max()}" if len(index) else "there is no sample"
    return (
        f"{definition.name}: no test period has {settings.minimum_test} labelled dates by {last}; the fullest, {fold.test_start} to "
        f"{fold.test_end}, has {dates} and needs {settings.minimum_test - dates} more ({reach}). Give more history, set folds.first_test "
        "earlier, or lower folds.minimum_test."
    )


def day_of(times: NDArray[np.datetime64]) -> NDArray[np.datetime64]:
    """datetime64[D]."""
    return times.astype("datetime64[D]")


def _date(as_of: pd.Timestamp) -> np.datetime64:
    """The as-of's UTC date."""
    moment = as_of.tz_convert("UTC").tz_localize(None) if as_of.tzinfo else as_of
    return np.datetime64(moment, "D")
