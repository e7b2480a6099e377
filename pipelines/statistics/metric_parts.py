"""A metric as a function of means, so that dates can be resampled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Cells:
    """Which of `width` cells each sample lies in: a component whose mean is the part of the samples in every cell.

    So whatever is a function of a distribution (the area under a ROC curve, a Kolmogorov-Smirnov distance) is one of means too.

    Attributes:
        code: int64, [n]; 0 to width - 1.
    """

    code: NDArray[np.int64]
    width: int

    def __len__(self) -> int:
        return len(self.code)


@dataclass(frozen=True, eq=False)
class MetricParts:
    """A metric as a function of means, so that a bootstrap can resample dates.

    Attributes:
        components: each float64, [n], one value a sample, where NaN counts nothing; or the samples' cells.
        combine: takes one array of means a component (any shape, the replicates; of cells one axis more, of `width` parts, which is the
            last) and returns the metric of that shape.
        better: lower, higher, or nearer to `target`.
        pooled: every sample counts once; else every date does, however many samples it has.
        exact: the metric's value, where components hold it only to a grid: the interval is moved by what that misses. None: they hold it.
    """

    name: str
    components: tuple[Float64 | Cells, ...]
    combine: Callable[..., Any]
    better: Literal["lower", "higher", "target"]
    target: float | None = None
    pooled: bool = False
    exact: float | None = None
