"""in_sample, at the edge of a training: literal dates, with and without a calendar."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from finflow.pipelines.core.calendars import published_at
from finflow.pipelines.scoring.rows import in_sample
from tests.support.pipelines.fit_support import definition

FRIDAY, SATURDAY, SUNDAY, MONDAY = "2018-01-05", "2018-01-06", "2018-01-07", "2018-01-08"


def flagged(calendar: str | None, sample: str, first_target: str, trained: str) -> bool:
    made = definition(calendar=calendar)
    index = SimpleNamespace(time=np.array([sample], "datetime64[ns]"), target_time=np.array([[first_target]], "datetime64[ns]"))
    samples: Any = SimpleNamespace(index=index)
    as_of = published_at(calendar, made.publication_lag_minutes, pd.DatetimeIndex([trained]))[0]
    return bool(in_sample(made, samples, as_of)[0])


@pytest.mark.parametrize(
    ("calendar", "sample", "first_target", "trained", "expected"),
    [
        ("XNYS", FRIDAY, MONDAY, FRIDAY, False),
        ("XNYS", FRIDAY, MONDAY, MONDAY, True),
        (None, FRIDAY, MONDAY, FRIDAY, False),
        (None, FRIDAY, MONDAY, MONDAY, True),
        # a series that trades at weekends: Saturday's row was Friday's target, and the training knew it
        (None, FRIDAY, MONDAY, SATURDAY, True),
        (None, SATURDAY, MONDAY, SUNDAY, True),
        (None, SATURDAY, MONDAY, SATURDAY, False),
        # a label that comes ninety days later is not known the day after
        (None, FRIDAY, "2018-04-05", SATURDAY, False),
    ],
)
def test_the_first_target_decides(calendar: str | None, sample: str, first_target: str, trained: str, expected: bool) -> None:
    assert flagged(calendar, sample, first_target, trained) is expected
