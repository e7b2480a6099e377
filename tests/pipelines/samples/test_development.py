"""Development folds, as literal dates: where they lie, when they are fewer, and when there are none."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import ContractError, DefinitionError, NotEnoughHistoryError
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import Fold, RawManifest
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.samples.development import Development, develop, development_folds, open_development, walk_forward_periods
from finflow.pipelines.samples.folds import make_folds, select
from finflow.pipelines.settings.parts import Folds
from tests.support.pipelines.bars import definition
from tests.support.pipelines.fit_support import definition as small
from tests.support.pipelines.fit_support import market, stored


def index_of(start: str, end: str, horizon: int = 5) -> SampleIndex:
    """A sample a weekday, whose label ends `horizon` weekdays later; those that end after `end` are not known."""
    times = pd.bdate_range(start, end).to_numpy().astype("datetime64[ns]")
    ends = np.concatenate([times[horizon:], np.full(horizon, np.datetime64("NaT", "ns"))])
    target = np.where(np.isnat(ends), np.nan, 0.5).astype(np.float32)[:, None]
    zeros = np.zeros(len(times), dtype=np.int64)
    return SampleIndex(
        row=np.arange(len(times)),
        time=times,
        label_start=ends,
        label_end=ends,
        entity=zeros,
        target=target,
        target_time=ends[:, None],
        origin=np.ones(len(times)),
    )


def folded(**folds: Any) -> Definition:
    return definition(folds={"first_test": "2013-01-01", "months": 12, "validation_months": 12, **folds})


def folds_of(made: Definition, index: SampleIndex, wanted: int) -> tuple[Fold, ...]:
    """The development folds, as a trial makes them."""
    moved = made.model_copy(update={"folds": development_folds(made, index, wanted)})
    return make_folds(moved, index, pd.Timestamp("2012-12-31 23:59", tz="UTC"))


def test_years_as_literal_dates() -> None:
    assert folds_of(folded(), index_of("2005-01-03", "2012-12-31"), 3) == (
        Fold("2010-01", "2009-01-01", "2010-01-01", "2010-12-31"),
        Fold("2011-01", "2010-01-01", "2011-01-01", "2011-12-31"),
        Fold("2012-01", "2011-01-01", "2012-01-01", "2012-12-31"),
    )


def test_months_that_do_not_begin_with_a_year() -> None:
    found = folds_of(folded(first_test="2013-01-15", months=5, validation_months=3), index_of("2010-01-04", "2013-01-14"), 2)
    assert found == (
        Fold("2012-03-15", "2011-12-15", "2012-03-15", "2012-08-14"),
        Fold("2012-08-15", "2012-05-15", "2012-08-15", "2013-01-14"),
    )


def test_every_label_ends_before_the_test_part() -> None:
    index = index_of("2005-01-03", "2012-12-31")
    for fold in folds_of(folded(embargo=5), index, 5):
        parts = select(fold, index, 5)
        for positions in (parts.train, parts.validation, parts.test):
            assert index.label_end[positions].max() < np.datetime64("2013-01-01")


def test_there_are_fewer_where_the_history_is_short() -> None:
    # a year of validation before 2011, and from January 2009 a year to train on; of 2010 there is nothing to train on
    assert [fold.name for fold in folds_of(folded(), index_of("2009-01-05", "2012-12-31"), 5)] == ["2011-01", "2012-01"]


def test_a_period_whose_outcomes_were_not_known_yet_is_left_out() -> None:
    late = index_of("2003-01-01", "2012-12-31", horizon=255)
    found = folds_of(folded(validation_months=24), late, 2)
    assert [fold.name for fold in found] == ["2010-01", "2011-01"]


def test_a_number_of_test_periods_that_the_definition_limits() -> None:
    dates = pd.bdate_range("2005-01-03", "2018-06-29").to_numpy().astype("datetime64[D]")
    assert walk_forward_periods(Folds(first_test="2013-01-01"), dates) == 6
    assert walk_forward_periods(Folds(first_test="2013-01-01", count=2), dates) == 2
    assert walk_forward_periods(Folds(first_test="2013-01-01", minimum_test=200), dates) == 5
    assert walk_forward_periods(Folds(first_test="2019-01-01"), dates) == 1, "a trial is possible before there is a test part"


def test_a_history_too_short_for_one_fold_is_said_with_its_dates() -> None:
    expected = (
        "bars: the history before folds.first_test 2013-01-01 is too short for a development fold. The newest, 2012-01-01 to 2012-12-31, "
        "has 256 labelled test dates (needs 20), 0 training samples whose labels end before 2011-01-01 (needs 50) and 255 validation "
        "samples (needs 10); samples reach from 2011-01-03 to 2012-12-31. Give older history, set folds.first_test later, or lower "
        "folds.months, folds.validation_months or window.length: do so before the first `finflow train bars`, which looks at the test part."
    )
    made = folded()
    with pytest.raises(NotEnoughHistoryError) as refused:
        development_folds(made, index_of("2011-01-03", "2012-12-31"), 5)
    assert str(refused.value) == expected.replace("bars", made.name)


# From a raw table


def raw_of(context: Context, start: str, end: str) -> RawManifest:
    """A raw table of one entity, each row known at the end of its day."""
    times = pd.bdate_range(start, end).as_unit("us")
    known = (times + pd.Timedelta(days=1)).tz_localize("UTC")
    frame = pd.DataFrame({"entity": "a", "time": times, "close": 1.0, "known_at": known, "period": times.strftime("%Y-%m")})
    table = f"raw/{context.name}"
    version = context.lake.append(table, frame, expected_version=None)
    return RawManifest(table, version, len(frame), len(frame), str(times[0]), str(times[-1]))


@pytest.mark.parametrize(
    ("embargo", "asked", "as_of"),
    [
        (0, None, "2012-12-31T23:59:59.999999+00:00"),
        (5, None, "2012-12-24T23:59:59.999999+00:00"),  # the fifth weekday before 2013 is 25 December
        (5, "2014-06-30", "2012-12-24T23:59:59.999999+00:00"),
        (5, "2012-06-29T12:00", "2012-06-29T12:00:00+00:00"),
    ],
)
def test_what_a_trial_reads_ends_before_the_test_part_and_its_embargo(home: Home, embargo: int, asked: str | None, as_of: str) -> None:
    context = open_context(folded(embargo=embargo), home)
    allowed = open_development(context, raw_of(context, "2009-01-05", "2015-06-30"), asked)
    assert (allowed.as_of, allowed.first_test) == (as_of, "2013-01-01")
    assert allowed.periods == {None: 3, "2014-06-30": 2, "2012-06-29T12:00": 1}[asked]


def test_data_that_begin_with_the_test_part_are_refused_with_their_dates(home: Home) -> None:
    context = open_context(folded(), home)
    with pytest.raises(
        NotEnoughHistoryError, match=r"reach from 2012-12-31 to 2015-06-30, so 1 dates lie before folds\.first_test 2013-01-01"
    ):
        open_development(context, raw_of(context, "2012-12-31", "2015-06-30"), None)


def test_rows_without_a_time_are_refused_with_what_to_do(home: Home) -> None:
    made = folded().model_copy(update={"folds": small(folds={"kind": "stratified"}).folds})
    with pytest.raises(DefinitionError, match=r"every one of them is tested in some fold, .* Set rows aside in a file"):
        development_folds(made, index_of("2005-01-03", "2012-12-31"), 5)


def test_rows_of_the_test_part_that_were_known_before_it_are_refused(home: Home) -> None:
    made = small(folds={"first_test": "2016-07-01", "months": 6, "validation_months": 3})
    samples = stored(made, home, market())
    with pytest.raises(ContractError, match=r"rows dated 2016-07-01 \(folds\.first_test\) or later have a known_at before that date"):
        develop(open_context(made, home), samples, Development("2016-06-30T23:59:59+00:00", "2016-07-01", 2))
