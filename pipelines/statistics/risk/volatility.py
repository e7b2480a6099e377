"""Risk from a volatility forecast: filtered historical simulation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finflow.pipelines.statistics.risk.measures import CONFIDENCES, Float64, Risks
from finflow.pipelines.statistics.risk.paths import risks_of_paths


def risks_of_volatility(
    volatility: Float64, shocks: Float64, confidences: Sequence[float] = CONFIDENCES, *, mean: float | Float64 = 0.0
) -> Risks:
    """Yesterday's shocks at today's volatility (Hull and White 1998; Barone-Adesi, Giannopoulos and Vosper 1999).

    Args:
        volatility: float64, [n]; the forecast standard deviation of the next loss (the root of a variance forecast).
        shocks: float64, [m], or [n, m] where each sample has a history of its own; past losses less their mean, each divided by the
            volatility that was *forecast for its day*. Shocks of a model that knew them are too small.
        mean: of the loss.

    Raises:
        ValueError: a volatility that is not positive, shocks that are not finite, or fewer of them than `risks_of_paths` needs.
    """
    scale, past = np.asarray(volatility, dtype=np.float64), np.asarray(shocks, dtype=np.float64)
    if scale.ndim != 1 or not (scale > 0).all():
        raise ValueError("expected one volatility above 0 for each sample")
    if past.ndim not in (1, 2) or not np.isfinite(past).all() or (past.ndim == 2 and len(past) != len(scale)):
        raise ValueError(f"expected finite shocks, [m] or [{len(scale)}, m], got shape {past.shape}")
    middle = np.broadcast_to(np.asarray(mean, dtype=np.float64), scale.shape)
    return risks_of_paths(middle[:, None] + scale[:, None] * np.broadcast_to(past, (len(scale), past.shape[-1])), confidences)
