"""Sample indices for tests of problems."""

from __future__ import annotations

import numpy as np

from finflow.models.samples import SampleIndex


def index_of(target: np.ndarray, *, entity: list[int] | None = None, times: list[str] | None = None, origin: float = 100.0) -> SampleIndex:
    count, outputs = target.shape
    time = np.array(times or [f"2020-01-{day + 1:02d}" for day in range(count)], dtype="datetime64[ns]")
    return SampleIndex(
        row=np.arange(count),
        time=time,
        label_start=time,
        label_end=time,
        entity=np.array(entity or [0] * count),
        target=target.astype(np.float32),
        target_time=time[:, None] + np.arange(1, outputs + 1).astype("timedelta64[D]"),
        origin=np.full(count, origin),
    )
