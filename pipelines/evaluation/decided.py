"""The comparisons of a decision, from nothing but the losses that it was made on: for who decides, and for who verifies it later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from finflow.models.samples import Float64
from finflow.pipelines.core.manifests import Evaluation, JsonRecord
from finflow.pipelines.evaluation.comparisons import REPLICATIONS, Compared, compare_all

#: raised whenever the same losses give other figures than before: decisions of another method cannot be recomputed, and are no forgeries
METHOD = 1


@dataclass(frozen=True)
class Terms(JsonRecord):
    """What a decision's figures depend on beside the losses.

    Attributes:
        loss: the name of the loss.
        baselines: by entry that was compared, whether it is a baseline.
        champion: the entry that was the champion's recipe, or None.
        horizon: dates that a label spans.
        replications: bootstrap draws of the corrected p-values.
        logarithmic: see `comparisons.compare`.
        method: see `METHOD`.
    """

    loss: str
    baselines: dict[str, bool]
    champion: str | None
    reference: str
    horizon: int
    seed: int
    replications: int = REPLICATIONS
    logarithmic: bool = False
    method: int = METHOD

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Terms:
        """The terms that `to_dict` wrote, among other values."""
        return cls(**{name: values[name] for name in cls.__dataclass_fields__})


def compare_decided(losses: Mapping[str, Float64], terms: Terms) -> dict[str, Compared]:
    """Every comparison that the decision rests on, by entry.

    Args:
        losses: by entry, float64, [dates], in order of the dates that decided.
    """
    return compare_all(
        {name: losses[name] for name in terms.baselines},
        terms.baselines,
        terms.champion,
        terms.reference,
        horizon=terms.horizon,
        seed=terms.seed,
        replications=terms.replications,
        logarithmic=terms.logarithmic,
    )


def terms_of(evaluation: Evaluation, compared: Mapping[str, Float64], *, seed: int, logarithmic: bool) -> Terms:
    """The terms of an evaluation's comparisons.

    Args:
        compared: what has losses, by entry.
    """
    return Terms(
        loss=evaluation.loss,
        baselines={one.candidate: one.baseline for one in evaluation.candidates if one.candidate in compared},
        champion=evaluation.champion,
        reference=evaluation.reference,
        horizon=evaluation.horizon,
        seed=seed,
        replications=evaluation.replications,
        logarithmic=logarithmic,
    )
