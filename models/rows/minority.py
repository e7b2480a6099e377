"""Generated rows of the rare class: what a person may set, and the test that they must pass to be kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from finflow.models.augmentation import one_sided
from finflow.models.rows.precision import average_precision, bootstrap_precision
from finflow.models.samples import Float64, Int64

#: what is compared: rows as they are, rows between neighbours (SMOTE), rows of the generator
NONE, SMOTE, GENERATED = "none", "smote", "generated"
RIVALS = (NONE, SMOTE)
#: bootstrap samples of the validation part
DRAWS = 1000


class MinorityAugmentation(BaseModel):
    """Generated rows of the rare class beside the real ones, wherever the validation part says that they help."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(default=1.0, strict=True, gt=0, le=100, description="generated rows beside each real one of the rare class")
    seeds: int = Field(default=5, strict=True, ge=3, le=100, description="triples of fits: without, with SMOTE, with generated rows")
    steps: int = Field(default=3000, strict=True, ge=1, le=1_000_000, description="gradient steps of the generator")
    neighbours: int = Field(default=5, strict=True, ge=1, le=1000, description="of a row, that SMOTE draws between")
    level: float = Field(default=0.05, strict=True, gt=0, le=0.05, description="of each of the one-sided tests that their gain must pass")


@dataclass(frozen=True)
class MinorityVerdict:
    """What the validation part says of generated rows.

    Attributes:
        kept: whether the model is fitted with them.
        reason: why, in words.
        rows: generated rows beside the real ones, where they are kept.
        precision: by what is compared, the average precision of the rare class seed by seed; empty: there was no comparison.
        p_seeds, p_rows: by rival, of the two tests of `judge_precision`; None where one cannot be had.
    """

    kept: bool
    reason: str
    rows: int = 0
    precision: dict[str, tuple[float, ...]] = field(default_factory=dict)
    p_seeds: dict[str, float | None] = field(default_factory=dict)
    p_rows: dict[str, float] = field(default_factory=dict)

    def gains(self, rival: str) -> list[float]:
        """Seed by seed, the average precision with generated rows less the rival's."""
        pairs = zip(self.precision.get(GENERATED, ()), self.precision.get(rival, ()), strict=True)
        return [ours - other for ours, other in pairs]

    def notes(self, settings: MinorityAugmentation) -> dict[str, Any]:
        """For the fit's report."""
        gains = self.gains(NONE)
        return {
            "kept": self.kept,
            "reason": self.reason,
            "share": settings.share,
            "rows": self.rows,
            "average_precision": {name: float(np.mean(values)) for name, values in self.precision.items()},
            "gain": float(np.mean(gains)) if gains else None,
            "gains": gains,
            "gain_over_smote": float(np.mean(self.gains(SMOTE))) if gains else None,
            "p_seeds": dict(self.p_seeds),
            "p_rows": dict(self.p_rows),
        }


def judge_precision(scores: dict[str, Float64], positive: NDArray[np.bool_], cluster: Int64, level: float) -> MinorityVerdict:
    """Whether generated rows raised the average precision of the rare class, over none and over SMOTE alike: each by two one-sided tests
    that must both pass at `level`.

    Over seeds, a paired t-test: the gain is no accident of a seed. All seeds share one validation part, whose luck would repeat itself in
    each, so over its rows, too, a paired bootstrap of the gain's mean over the seeds; rows of one cluster (a date) are drawn together.

    Args:
        scores: by name (`none`, `smote`, `generated`), float64 [seeds, rows]; higher where a row is rather of the rare class.
        positive: bool, [rows]; of the rare class.
        cluster: int64, [rows]; from 0.
    """
    if not all(np.isfinite(values).all() for values in scores.values()):
        return MinorityVerdict(False, "a score is not finite")
    precision = {name: tuple(average_precision(row, positive) for row in values) for name, values in scores.items()}
    drawn = {name: bootstrap_precision(values, positive, cluster, DRAWS, seed=0) for name, values in scores.items()}
    p_seeds = {name: one_sided(np.subtract(precision[GENERATED], precision[name])) for name in RIVALS}
    p_rows = {name: float((1 + (drawn[GENERATED] <= drawn[name]).sum()) / (1 + DRAWS)) for name in RIVALS}
    verdict = MinorityVerdict(False, "", 0, precision, p_seeds, p_rows)
    for rival in RIVALS:
        against = _objection(rival, float(np.mean(verdict.gains(rival))), p_seeds[rival], p_rows[rival], level)
        if against:
            return MinorityVerdict(False, against, 0, precision, p_seeds, p_rows)
    reason = "the average precision is higher with generated rows than without and than with SMOTE, over seeds and over rows"
    return MinorityVerdict(True, reason, 0, precision, p_seeds, p_rows)


def _objection(rival: str, gain: float, p_seeds: float | None, p_rows: float, level: float) -> str | None:
    over = "without" if rival == NONE else "with SMOTE"
    if not gain > 0:
        return f"the average precision is no higher than {over}"
    if p_seeds is None or p_seeds > level:
        return f"the gain over the fits {over} may be an accident of the seeds"
    if p_rows > level:
        return f"the gain over the fits {over} may be an accident of the validation part's rows"
    return None
