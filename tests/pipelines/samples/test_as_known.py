"""Samples as each was known: nothing of what came after it stands in them."""

from __future__ import annotations

import numpy as np
import pytest

from finflow.pipelines.samples.as_known import without_future
from finflow.pipelines.samples.windows import build_samples
from tests.support.pipelines.bars import bars, definition


@pytest.mark.parametrize("calendar", [None, "XNYS"])
def test_without_the_future_no_target_is_left_and_dates_come_from_the_calendar(calendar: str | None) -> None:
    wanted, frame = definition(calendar=calendar), bars(60)
    samples = build_samples(wanted, frame)
    assert np.isfinite(samples.index.target).any(), "there are targets to leave out"
    alone = without_future(wanted, samples, frame)
    assert np.isnan(alone.index.target).all()
    assert np.isnat(alone.index.label_start).all()
    assert np.isnat(alone.index.label_end).all()
    np.testing.assert_array_equal(alone.index.time, samples.index.time)
    np.testing.assert_array_equal(alone.index.origin, samples.index.origin)
    assert not np.isnat(alone.index.target_time).any()
    assert (alone.index.target_time > alone.index.time[:, None]).all()


def test_without_the_future_later_rows_change_nothing() -> None:
    wanted, frame = definition(), bars(60)
    later = frame.assign(close=frame["close"].where(frame["time"] < frame["time"].iloc[40], 1.0))
    known, changed = (without_future(wanted, build_samples(wanted, view), view) for view in (frame, later))
    early = known.index.time < frame["time"].iloc[40].to_datetime64()
    assert early.any()
    for field in ("target", "target_time", "label_end", "origin"):
        np.testing.assert_array_equal(getattr(known.index, field)[early], getattr(changed.index, field)[early])
