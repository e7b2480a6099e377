"""Walk-forward folds, as literal dates, and the properties that must hold for any data."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from finflow.models.samples import SampleIndex
from finflow.pipelines.core.errors import NotEnoughHistoryError
from finflow.pipelines.core.manifests import Fold
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.samples.folds import Positions, make_folds, production_fold, select
from tests.support.pipelines.bars import definition

DAY = np.timedelta64(1, "D")


def sessions(start: str, end: str) -> np.ndarray:
    return pd.bdate_range(start, end).to_numpy().astype("datetime64[ns]")


def index_of(times: np.ndarray, horizon: int, entities: int = 1) -> SampleIndex:
    """A sample an entity and session; the label ends `horizon` sessions later, and the last ones are not known yet."""
    count = len(times)
    last = np.arange(count) + horizon
    end = np.where(last < count, times[np.minimum(last, count - 1)], np.datetime64("NaT", "ns"))
    target = np.where(np.isnat(end), np.nan, 0.5).astype(np.float32)[:, None]
    one = {"time": times, "label_start": end, "label_end": end, "target": target, "target_time": end[:, None], "origin": np.ones(count)}
    tiled = {name: np.concatenate([values] * entities) for name, values in one.items()}
    return SampleIndex(row=np.arange(count * entities), entity=np.repeat(np.arange(entities), count), **tiled)


def folded(**folds: Any) -> Definition:
    return definition(folds=folds)


def as_of(date: str) -> pd.Timestamp:
    return pd.Timestamp(date + " 22:00", tz="UTC")


def span(index: SampleIndex, positions: np.ndarray) -> tuple[str, str]:
    times = index.time[positions]
    return str(times.min())[:10], str(times.max())[:10]


def parts(index: SampleIndex, fold: Fold, embargo: int) -> tuple[tuple[str, str], ...]:
    chosen = select(fold, index, embargo)
    return span(index, chosen.train), span(index, chosen.validation), span(index, chosen.test)


def test_years_as_literal_dates() -> None:
    index = index_of(sessions("2010-01-04", "2017-12-29"), horizon=5)
    folds = make_folds(folded(first_test="2015-01-01", months=12, validation_months=12), index, as_of("2017-12-29"))
    assert folds == (
        Fold("2015-01", "2014-01-01", "2015-01-01", "2015-12-31"),
        Fold("2016-01", "2015-01-01", "2016-01-01", "2016-12-31"),
        Fold("2017-01", "2016-01-01", "2017-01-01", "2017-12-31"),
    )


def test_parts_without_embargo_end_where_their_labels_do() -> None:
    index = index_of(sessions("2012-01-02", "2016-06-30"), horizon=5)
    fold = Fold("2015-01", "2014-01-01", "2015-01-01", "2015-12-31")
    # a label of 24 December 2013 ends five sessions later, on the 31st; that of the 25th ends in the validation part
    assert parts(index, fold, 0) == (("2012-01-02", "2013-12-24"), ("2014-01-01", "2014-12-24"), ("2015-01-01", "2015-12-31"))


def test_an_embargo_leaves_out_sessions_beside_the_purge() -> None:
    index = index_of(sessions("2012-01-02", "2016-06-30"), horizon=5)
    fold = Fold("2015-01", "2014-01-01", "2015-01-01", "2015-12-31")
    # five sessions before 1 January begin on 25 December, so labels end on the 24th at the latest
    assert parts(index, fold, 5) == (("2012-01-02", "2013-12-17"), ("2014-01-01", "2014-12-17"), ("2015-01-01", "2015-12-31"))
    assert parts(index, fold, 1) == (("2012-01-02", "2013-12-23"), ("2014-01-01", "2014-12-23"), ("2015-01-01", "2015-12-31"))


def test_test_samples_are_labelled_ones() -> None:
    index = index_of(sessions("2012-01-02", "2015-12-31"), horizon=5)
    assert parts(index, Fold("2015-01", "2014-01-01", "2015-01-01", "2015-12-31"), 0)[2] == ("2015-01-01", "2015-12-24")


def test_the_newest_period_counts_once_it_has_enough_dates() -> None:
    wanted = folded(first_test="2015-01-01", months=12, validation_months=6, minimum_test=20)
    # 20 sessions with labels of 5: 1 January 2016 to the 28th have labels by 4 February
    late = make_folds(wanted, index_of(sessions("2013-01-01", "2016-02-04"), 5), as_of("2016-02-04"))
    early = make_folds(wanted, index_of(sessions("2013-01-01", "2016-02-03"), 5), as_of("2016-02-03"))
    assert [fold.name for fold in late] == ["2015-01", "2016-01"]
    assert [fold.name for fold in early] == ["2015-01"]
    assert late[1].test_end == "2016-12-31", "the period's own end, though the data are not there yet"


def test_only_the_last_periods_if_so_wished() -> None:
    index = index_of(sessions("2010-01-04", "2017-12-29"), horizon=1)
    folds = make_folds(folded(first_test="2013-01-01", months=6, validation_months=6, count=2), index, as_of("2017-12-29"))
    assert [fold.name for fold in folds] == ["2017-01", "2017-07"]


def test_periods_from_the_end_of_a_month_do_not_drift() -> None:
    index = index_of(sessions("2010-01-04", "2014-06-30"), horizon=1)
    folds = make_folds(folded(first_test="2014-01-31", months=1, validation_months=1, minimum_test=5), index, as_of("2014-06-30"))
    assert [fold.test_start for fold in folds] == ["2014-01-31", "2014-02-28", "2014-03-31", "2014-04-30", "2014-05-31"]
    assert [fold.test_end for fold in folds] == ["2014-02-27", "2014-03-30", "2014-04-29", "2014-05-30", "2014-06-29"]
    assert folds[0].name == "2014-01-31"


def test_the_production_fold_uses_everything_known() -> None:
    times = sessions("2010-01-04", "2017-12-29")
    index = index_of(times, horizon=5)
    fold = production_fold(folded(first_test="2015-01-01", validation_months=12, embargo=5), index, as_of("2017-12-29"))
    assert fold == Fold("production", "2016-12-30", "2017-12-30", "2017-12-30")
    chosen = select(fold, index, 5)
    assert span(index, chosen.validation) == ("2016-12-30", "2017-12-22"), "every label that is known, no embargo before nothing"
    assert span(index, chosen.train) == ("2010-01-04", "2016-12-15")
    assert not len(chosen.test)


def test_a_short_history_keeps_four_fifths_for_training() -> None:
    index = index_of(sessions("2016-01-04", "2017-12-29"), horizon=1)
    fold = production_fold(folded(first_test="2017-01-01", validation_months=12), index, as_of("2017-12-29"))
    chosen = select(fold, index, 0)
    assert len(chosen.validation) == pytest.approx(len(index) / 5, abs=2)
    assert len(chosen.train) == pytest.approx(len(index) * 4 / 5, abs=2)


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2010-01-04", "2014-12-31", "first_test 2015-01-01 lies after the as-of date 2014-12-31"),
        (
            "2010-01-04",
            "2015-01-14",
            "no test period has 20 labelled dates by 2015-01-14.*2015-01-01 to 2015-12-31, has 9 and needs 11 more",
        ),
        ("2014-02-03", "2015-06-30", "fold 2015-01 has 0 training samples whose labels end before 2014-01-01 .needs 50.*of 2014-02-03"),
        ("2013-12-02", "2015-06-30", "fold 2015-01 has 21 training samples"),
    ],
)
def test_too_little_history_says_how_much_is_needed(start: str, end: str, expected: str) -> None:
    index = index_of(sessions(start, end), horizon=1)
    with pytest.raises(NotEnoughHistoryError, match=expected):
        make_folds(folded(first_test="2015-01-01", validation_months=12), index, as_of(end))


def test_no_sample_at_all_is_told_so() -> None:
    index = index_of(sessions("2015-01-01", "2015-01-02"), horizon=1).take(np.zeros(0, dtype=np.int64))
    with pytest.raises(NotEnoughHistoryError, match="there is no sample"):
        make_folds(folded(first_test="2015-01-01"), index, as_of("2015-06-30"))
    with pytest.raises(NotEnoughHistoryError, match="there is no sample"):
        production_fold(folded(first_test="2015-01-01"), index, as_of("2015-06-30"))


@st.composite
def cases(draw: st.DrawFn) -> tuple[SampleIndex, Fold, int, np.ndarray]:
    """Samples on irregular dates with label spans of any length, a fold, an embargo, and which samples are there at an earlier time."""
    days = np.array(sorted(draw(st.sets(st.integers(0, 400), min_size=5, max_size=80))))
    entities = draw(st.integers(1, 3))
    time = np.tile(np.datetime64("2020-01-01", "ns") + days * DAY, entities)
    count = len(time)
    spans = np.array(draw(st.lists(st.integers(0, 60), min_size=count, max_size=count)))
    known = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    end = np.where(known, time + spans * DAY, np.datetime64("NaT", "ns"))
    index = SampleIndex(
        row=np.arange(count),
        time=time,
        label_start=time,
        label_end=end,
        entity=np.repeat(np.arange(entities), len(days)),
        target=np.where(known, 0.0, np.nan).astype(np.float32)[:, None],
        target_time=end[:, None],
        origin=np.ones(count),
    )
    places = sorted(draw(st.lists(st.integers(0, 420), min_size=3, max_size=3)))
    texts = [str(np.datetime64("2020-01-01", "D") + place) for place in places]
    return index, Fold("x", *texts), draw(st.integers(0, 10)), days


def dates(text: str) -> np.datetime64:
    return np.datetime64(text, "ns")


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_parts_stand_in_time_order_and_no_label_span_reaches_into_the_next(case: tuple[SampleIndex, Fold, int, np.ndarray]) -> None:
    index, fold, embargo, _ = case
    chosen: Positions = select(fold, index, embargo)
    for part in (chosen.train, chosen.validation, chosen.test):
        assert part.dtype == np.int64
        assert (np.diff(part) > 0).all()
        assert index.labelled[part].all()
    assert (index.label_end[chosen.train] < dates(fold.validation_start)).all()
    assert (index.time[chosen.train] < dates(fold.validation_start)).all()
    assert (index.time[chosen.validation] >= dates(fold.validation_start)).all()
    assert (index.label_end[chosen.validation] < dates(fold.test_start)).all()
    assert (index.time[chosen.test] >= dates(fold.test_start)).all()
    assert (index.time[chosen.test] < dates(fold.test_end) + DAY).all()
    known = np.unique(index.time)
    for part, start in ((chosen.train, fold.validation_start), (chosen.validation, fold.test_start)):
        for end in index.label_end[part]:
            between = ((known > end) & (known < dates(start))).sum()
            assert between >= embargo, "as many sessions as the embargo lie between a label's end and the next part"


@settings(max_examples=150, deadline=None)
@given(case=cases())
def test_nothing_is_left_out_without_a_reason(case: tuple[SampleIndex, Fold, int, np.ndarray]) -> None:
    index, fold, _, _ = case
    chosen = select(fold, index, 0)
    train = index.labelled & (index.label_end < dates(fold.validation_start))
    assert chosen.train.tolist() == np.flatnonzero(train).tolist()
    validation = index.labelled & (index.time >= dates(fold.validation_start)) & (index.label_end < dates(fold.test_start))
    assert chosen.validation.tolist() == np.flatnonzero(validation).tolist()


@settings(max_examples=150, deadline=None)
@given(case=cases(), later=st.integers(0, 120))
def test_what_a_fold_trains_on_does_not_change_when_later_data_arrive(case: tuple[SampleIndex, Fold, int, np.ndarray], later: int) -> None:
    index, fold, embargo, _ = case
    arrived = np.datetime64(fold.test_start, "ns") + later * DAY
    earlier = index.take(index.time < arrived)
    unknown = ~(earlier.label_end < arrived)
    earlier.label_end[unknown] = np.datetime64("NaT")
    earlier.target[unknown] = np.nan
    before, after = select(fold, earlier, embargo), select(fold, index, embargo)
    assert earlier.row[before.train].tolist() == index.row[after.train].tolist()
    assert earlier.row[before.validation].tolist() == index.row[after.validation].tolist()
    assert set(earlier.row[before.test].tolist()) <= set(index.row[after.test].tolist())


@pytest.mark.parametrize("day", ["2017-12-27", "2017-12-28", "2017-12-29"])
def test_folds_stay_where_they_are_from_one_day_to_the_next(day: str) -> None:
    wanted = folded(first_test="2013-01-01", months=12, validation_months=12, embargo=5)
    today = make_folds(wanted, index_of(sessions("2008-01-01", day), 5), as_of(day))
    last = make_folds(wanted, index_of(sessions("2008-01-01", "2018-06-29"), 5), as_of("2018-06-29"))
    assert last[: len(today)] == today


def test_the_production_fold_of_rows_whose_labels_end_long_before_the_as_of() -> None:
    """A file that ends in 2017 is corrected in 2026: its last year stops the training, not the empty one before the correction."""
    index = index_of(sessions("2010-01-04", "2017-12-29"), horizon=5)
    fold = production_fold(folded(first_test="2015-01-01", validation_months=12, embargo=5), index, as_of("2026-11-25"))
    assert fold == Fold("production", "2016-12-23", "2026-11-26", "2026-11-26")
    chosen = select(fold, index, 5)
    assert span(index, chosen.train)[1] < "2016-12-16", "purged and with embargo"
    assert span(index, chosen.validation) == ("2016-12-23", "2017-12-22")
