"""Scores of risk forecasts: what is lowest, on average, where the forecast is right."""

from __future__ import annotations

import numpy as np

from finflow.pipelines.statistics.risk.measures import Float64


def joint_score(losses: Float64, value_at_risk: Float64, expected_shortfall: Float64, confidence: float) -> Float64:
    """FZ0, which scores value at risk and expected shortfall together: float64, [n]; neither scores expected shortfall alone.

    Fissler and Ziegel (2016), in the form whose differences do not hang on the unit (Patton, Ziegel and Chen 2019), with losses positive:

        FZ0 = max(L - VaR, 0) / ((1 - confidence) * ES) + VaR / ES + log(ES) - 1

    It is logarithmic: a difference of 0.01 is a factor of 1.01 in scale, and its level means nothing. NaN where the expected shortfall is
    no loss (0 or less), for there it is not defined.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.maximum(losses - value_at_risk, 0.0) / ((1.0 - confidence) * expected_shortfall)
        score = score + value_at_risk / expected_shortfall + np.log(expected_shortfall) - 1.0
    return np.where(expected_shortfall > 0, score, np.nan)
