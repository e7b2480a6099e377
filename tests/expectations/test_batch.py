"""Preparing a batch: order, codes, places among the sessions."""

from __future__ import annotations

import numpy as np
import pandas as pd

from finflow.expectations.batch import SESSION, codes, prepare, traded
from tests.support.expectations.bars import bars, weekdays


def test_the_order_of_rows_makes_no_difference() -> None:
    frame = bars(("BBB", "AAA", "000001", "茅台"))
    sorted_once = prepare(frame, weekdays(frame))
    shuffled = prepare(frame.sample(frac=1.0, random_state=3), weekdays(frame))
    pd.testing.assert_frame_equal(sorted_once, shuffled)
    assert sorted_once["entity"].drop_duplicates().tolist() == ["000001", "AAA", "BBB", "茅台"]


def test_revisions_follow_each_other() -> None:
    frame = bars(("AAA",))
    later = frame.iloc[[7]].assign(close=1.0, known_at=frame["known_at"].iloc[[7]] + pd.Timedelta(days=3))
    prepared = prepare(pd.concat([later, frame], ignore_index=True), None)
    assert prepared["close"][8] == 1.0
    assert prepared["time"][7] == prepared["time"][8]


def test_the_frame_given_is_left_as_it_was() -> None:
    frame = bars().sample(frac=1.0, random_state=3)
    before = frame.copy()
    prepare(frame, None)
    pd.testing.assert_frame_equal(frame, before)


def test_sessions_are_counted_and_other_days_marked() -> None:
    frame = bars(("AAA",), days=10)
    sessions = np.delete(frame["time"].to_numpy().astype("datetime64[D]"), 4)
    assert prepare(frame, sessions)[SESSION].tolist() == [0, 1, 2, 3, -1, 4, 5, 6, 7, 8]
    assert prepare(frame, None)[SESSION].tolist() == list(range(10))


def test_dates_outside_the_sessions_and_missing_ones_are_marked() -> None:
    frame = bars(("AAA",), days=4)
    frame.loc[3, "time"] = pd.NaT
    prepared = prepare(frame, frame["time"].to_numpy()[1:2])
    assert prepared.sort_values("close")[SESSION].tolist().count(-1) == 3


def test_missing_entities_have_a_code_of_their_own() -> None:
    frame = bars(days=3)
    frame.loc[2, "entity"] = None
    assert codes(prepare(frame, None)).tolist() == [-1, 0, 0, 1, 1, 1]


def test_no_volume_is_a_suspension_only_where_there_is_volume() -> None:
    frame = bars(days=3)
    frame["volume"] = [5.0, 0.0, np.nan, 0.0, 0.0, 0.0]
    assert traded(prepare(frame, None)).tolist() == [True, False, False, True, True, True]
