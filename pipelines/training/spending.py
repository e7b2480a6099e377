"""Whether a challenge opens on some data, and what it spends of their level."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.manifests import Evaluation
from finflow.pipelines.training import gate_words as words

if TYPE_CHECKING:
    from finflow.pipelines.settings.parts import Gate


def level_to_spend(level: float, challenges: int) -> float:
    """The level of the next challenge after `challenges` decided ones; over all of them it adds up to `level`."""
    return level * 6.0 / (math.pi * (challenges + 1)) ** 2


def closed(gate: Gate, dates: int, unseen: int, looks: int) -> str | None:
    """Why no challenge opens, or None if one does.

    Args:
        dates: test dates in all, sealed or not.
        unseen: those that nobody had looked at.
        looks: at these data before.
    """
    if dates < gate.minimum_dates:
        return f"No challenge was decided: there are {dates} test dates, and the gate decides from {gate.minimum_dates} on."
    if looks and unseen < gate.new_dates:
        return words.sealed(dates, unseen, looks, gate.new_dates)
    return None


def decided_dates(evaluation: Evaluation) -> dict[str, Any]:
    """On how many dates a challenge was decided, the first and the last."""
    if evaluation.sight is None or not evaluation.sight.decided:
        return {"dates": evaluation.dates, "first": evaluation.first_date, "last": evaluation.last_date}
    return {"dates": evaluation.sight.decided, "first": evaluation.sight.first, "last": evaluation.sight.last}
