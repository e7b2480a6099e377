"""Risk from sample paths: sorted outcomes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from finflow.pipelines.statistics.risk.measures import CONFIDENCES, Float64, Risks, check_confidences


def risks_of_paths(losses: Float64, confidences: Sequence[float] = CONFIDENCES) -> Risks:
    """Risks of equally likely outcomes. The expected shortfall is the mean of the worst (1 - confidence) of them, the one on the border
    counting in part (Acerbi and Tasche 2002). There is nothing beyond the worst outcome: too few paths give too little risk.

    Args:
        losses: float64, [n, paths]; positive is a loss.

    Raises:
        ValueError: fewer paths than one beyond the highest confidence.
    """
    checked = check_confidences(confidences)
    values = np.asarray(losses, dtype=np.float64)
    count = values.shape[1] if values.ndim == 2 else 0
    if count * (1.0 - checked[-1]) < 1.0 - 1e-9:
        raise ValueError(
            f"{count} paths say nothing of the worst {100 * (1 - checked[-1]):g} %: draw {round(1 / (1 - checked[-1]))} at least"
        )
    ordered = -np.sort(-values, axis=1)
    added = np.cumsum(ordered, axis=1)
    at_risk, shortfall = np.empty((len(values), len(checked))), np.empty((len(values), len(checked)))
    for place, confidence in enumerate(checked):
        worst = count * (1.0 - confidence)
        whole = int(np.floor(worst + 1e-9))
        part = max(worst - whole, 0.0)
        # every value between two outcomes is a quantile where the border falls between them: the middle is as good as any
        at_risk[:, place] = ordered[:, whole] if part > 1e-9 else 0.5 * (ordered[:, whole - 1] + ordered[:, whole])
        shortfall[:, place] = (added[:, whole - 1] + part * ordered[:, whole]) / worst
    return Risks(checked, at_risk, shortfall)
