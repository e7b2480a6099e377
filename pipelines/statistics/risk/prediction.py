"""Risk from what a model of the zoo answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from finflow.models.base import Prediction
from finflow.pipelines.statistics.risk.measures import CONFIDENCES, Risks
from finflow.pipelines.statistics.risk.paths import risks_of_paths
from finflow.pipelines.statistics.risk.quantiles import SHAPE, loss_quantiles, risks_of_quantiles

Of = Literal["loss", "return", "log_return"]


def risks_of_prediction(
    prediction: Prediction,
    confidences: Sequence[float] = CONFIDENCES,
    *,
    of: Of = "loss",
    short: bool = False,
    output: int = -1,
    shape: float = SHAPE,
) -> Risks:
    """Risks of quantiles or sample paths, at one of the steps ahead.

    Args:
        of: what is predicted: a position's loss, or a plain or logarithmic return (`forecast` with `transform: log`).
        short: of a return: the position loses where it is positive.
        output: which step; the last by default. The answer of `forecast` at step h is the change over all h steps.
        shape: of the tail beyond the highest quantile; paths need none.

    Raises:
        ValueError: probabilities, scores and variances say nothing of a loss by themselves (a variance needs shocks: see
            `risks_of_volatility`).
    """
    values = prediction.values.astype(np.float64)
    if prediction.kind == "quantiles":
        chosen, levels = values[:, output, :], prediction.levels
        if of != "loss":
            chosen, levels = loss_quantiles(chosen, levels, logarithmic=of == "log_return", short=short)
        return risks_of_quantiles(chosen, levels, confidences, shape=shape)
    if prediction.kind == "paths":
        drawn = values[:, :, output]
        if of != "loss":
            plain = np.expm1(drawn) if of == "log_return" else drawn
            drawn = plain if short else -plain
        return risks_of_paths(drawn, confidences)
    raise ValueError(f"risk needs quantiles or sample paths, and this prediction holds {prediction.kind}")
