"""Risk of a position over drawn paths, and over the most volatile of them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from finflow.pipelines.statistics.risk.measures import Risks
from finflow.pipelines.statistics.risk.paths import risks_of_paths


def stressed_risks(paths: NDArray[np.float32], confidences: Sequence[float], share: float) -> dict[str, Risks]:
    """Value at risk and expected shortfall of a position bought at the start and held until each step: by prefix of their columns, "" over
    all paths and "stressed_" over the `share` of each sample's paths that have the largest realised volatility over the whole path.

    A stressed value at risk is one under the assumption that a volatile period begins now; Basel's (2009) takes a volatile past instead,
    which scenarios drawn as of a day in such a past give.

    Args:
        paths: float32, [n, paths, outputs]; cumulative log returns.

    Returns:
        Risks of n * outputs rows, sample after sample; parts of the position's value.

    Raises:
        ValueError: fewer paths than one beyond the highest confidence, the stressed ones counted alone.
    """
    count, drawn, outputs = paths.shape
    kept = math.ceil(round(share * drawn, 9))  # as `paths` is checked when a definition is read
    steps = np.diff(paths.astype(np.float64), axis=2, prepend=0.0)
    volatile = np.argsort(-(steps**2).sum(axis=2), axis=1, kind="stable")[:, :kept]
    losses = -np.expm1(paths.astype(np.float64))
    chosen = {"": losses, "stressed_": np.take_along_axis(losses, volatile[:, :, None], axis=1)}
    return {kind: risks_of_paths(values.transpose(0, 2, 1).reshape(count * outputs, -1), confidences) for kind, values in chosen.items()}
