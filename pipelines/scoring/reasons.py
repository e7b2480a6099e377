"""Reasons beside scores: the features that moved a row's score most, with signs, for whoever must say why (adverse action notices)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from finflow.models.base import Contributions
from finflow.models.samples import Samples
from finflow.pipelines.core.errors import FinflowError

if TYPE_CHECKING:
    from finflow.pipelines.registry.served import ServedModel

#: the parts of a score must add up to it within this part of its size (and of one)
COMPLETENESS = 0.02


def reason_texts(served: ServedModel, samples: Samples, count: int) -> list[str | None]:
    """For every sample the `count` largest contributions as JSON: [{"feature": name, "effect": signed part of the score}, ...].

    A positive effect moves the score towards the last class. None where `count` is 0, and for a model that has no contributions (a base
    rate).

    Raises:
        FinflowError: the contributions do not add up to the score.
    """
    if not count:
        return [None] * len(samples)
    contributions = served.model.contributions(samples)
    if contributions is None:
        return [None] * len(samples)
    check_completeness(contributions, served.version)
    names = (*served.model.task.features, *served.model.task.categories)
    order = np.argsort(-np.abs(contributions.values), axis=1, kind="stable")[:, :count]
    effects = np.take_along_axis(contributions.values, order, axis=1)
    return [
        json.dumps(
            [{"feature": names[place], "effect": float(f"{effect:.4g}")} for place, effect in zip(places, row, strict=True) if effect]
        )
        for places, row in zip(order.tolist(), effects.tolist(), strict=True)
    ]


def check_completeness(contributions: Contributions, version: int) -> None:
    """Raises FinflowError: the parts do not add up to the score."""
    error = np.abs(contributions.error)
    wrong = ~(error <= COMPLETENESS * np.maximum(np.abs(contributions.score), 1.0))
    if wrong.any():
        raise FinflowError(
            f"the reasons of version {version} do not add up to the score for {int(wrong.sum())} of {len(error)} rows (the worst misses it "
            f"by {float(np.nanmax(error)) if np.isfinite(error).any() else float('nan'):.3g}): no reasons can be given with it. Set "
            "problem.reasons to 0, or train another model."
        )
