"""The points of a scorecard: their scale, and the table that a person reads."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from finflow.models.base import ModelSettings, Task
from finflow.models.rows.categories import FIRST_PLACE, Vocabulary
from finflow.models.samples import Float64


class PointsSettings(ModelSettings):
    """The scale: at `base_odds` of the first class to the last a row has `base_score` points, and `double` more where they are doubled."""

    base_score: float = Field(default=600.0, ge=-1e6, le=1e6, description="points at the base odds")
    base_odds: float = Field(default=50.0, gt=0, le=1e9, description="odds of the first class to the last at the base score")
    double: float = Field(default=20.0, gt=0, le=1e6, description="points that double the odds")

    @property
    def factor(self) -> float:
        """Points of one unit of the log odds."""
        return self.double / float(np.log(2))

    def of_log_odds(self, score: Float64) -> Float64:
        """Points of log odds of the last class, of any shape."""
        return self.base_score - self.factor * (np.log(self.base_odds) + score)


def points_table(state: Mapping[str, NDArray], task: Task, settings: PointsSettings) -> dict[str, Any]:
    """What goes into points.json: the scale, and by feature that counts its bins with rows, event rate, weight of evidence and points.

    Points of a row's bins, one of each feature, add up to its score but for rounding. Categories stand there as the codes that a model sees
    (finflow.models.rows.categories.category_code of the text).
    """
    used = np.flatnonzero(state["weight"] > 0)
    names = (*task.features, *task.categories)
    start = float(settings.of_log_odds(np.array(state["intercept"][0]))) / max(len(used), 1)
    vocabulary = Vocabulary.from_arrays(dict(state))
    features = []
    for place in sorted(used.tolist(), key=lambda each: -state["information"][each]):
        here = slice(state["first_bin"][place], state["first_bin"][place + 1])
        labels = (
            _number_labels(state, place) if place < len(task.features) else _group_labels(state, place - len(task.features), vocabulary)
        )
        weight = float(state["weight"][place])
        rows, events, woe = state["rows"][here], state["events"][here], state["woe"][here]
        bins = [
            {
                "bin": label,
                "rows": int(row),
                "event_rate": float(f"{event / row:.6g}") if row else None,
                "weight_of_evidence": float(f"{evidence:.6g}"),
                "points": round(start - settings.factor * weight * float(evidence)),
            }
            for label, row, event, evidence in zip(labels, rows, events, woe, strict=True)
        ]
        information = float(f"{state['information'][place]:.6g}")
        features.append({"feature": names[place], "information_value": information, "weight": float(f"{weight:.6g}"), "bins": bins})
    scale = {"base_score": settings.base_score, "base_odds": settings.base_odds, "points_to_double_the_odds": settings.double}
    return {**scale, "first_class": task.classes[0], "last_class": task.classes[1], "features": features}


def _number_labels(state: Mapping[str, NDArray], place: int) -> list[str]:
    edges = state["edges"][state["first_edge"][place] : state["first_edge"][place + 1]]
    ends = ["-inf", *(f"{edge:.6g}" for edge in edges), "inf"]
    return [*(f"({low}, {high}]" for low, high in itertools.pairwise(ends)), "missing"]


def _group_labels(state: Mapping[str, NDArray], number: int, vocabulary: Vocabulary) -> list[str | list[int]]:
    group = state["group"][state["first_group"][number] : state["first_group"][number + 1]]
    codes = vocabulary.codes[number]
    labels: list[str | list[int]] = ["missing", "rare or unknown"]
    return labels + [codes[group[FIRST_PLACE:] == place].tolist() for place in range(FIRST_PLACE, int(group.max()) + 1)]
