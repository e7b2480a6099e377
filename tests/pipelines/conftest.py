"""Fixtures of the tests of the stages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from finflow.models.samples import SampleIndex
from tests.support.pipelines.fit_support import own_models

__all__ = ["own_models"]


@pytest.fixture
def index_of() -> Callable[..., SampleIndex]:
    """Makes a labelled sample index of one entity on consecutive days."""

    def make(horizon: int, dates: int) -> SampleIndex:
        time = np.datetime64("2020-01-01", "ns") + np.arange(dates) * np.timedelta64(1, "D")
        ahead = time[:, None] + np.arange(1, max(horizon, 1) + 1) * np.timedelta64(1 if horizon else 0, "D")
        return SampleIndex(
            row=np.arange(dates),
            time=time,
            label_start=ahead[:, 0],
            label_end=ahead[:, -1],
            entity=np.zeros(dates, dtype=np.int64),
            target=np.zeros((dates, max(horizon, 1)), dtype=np.float32),
            target_time=ahead,
            origin=np.full(dates, 100.0),
        )

    return make
