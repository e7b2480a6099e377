"""Training samples enriched with generated ones: what a person may set, and the test that generated samples must pass to be kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from finflow.models.samples import Float64


class Augmentation(BaseModel):
    """Generated training samples beside the real ones, wherever the validation part says that they help."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    share: float = Field(default=0.5, strict=True, gt=0, le=4, description="generated samples beside each real one, in every gradient step")
    seeds: int = Field(default=5, strict=True, ge=3, le=100, description="pairs of trainings, without and with them, that are compared")
    steps: int = Field(default=2000, strict=True, ge=1, le=100_000, description="gradient steps of the generator")
    level: float = Field(
        default=0.05, strict=True, gt=0, le=0.05, description="of each of the two one-sided tests that their gain must pass"
    )


@dataclass(frozen=True)
class AugmentationVerdict:
    """What the validation part says of generated samples.

    Attributes:
        kept: whether the network is trained with them.
        reason: why, in words.
        gains: by pair of trainings, by how much generated samples lowered the validation loss (in its own scaled unit); empty: there was no
            comparison.
        loss: the validation loss without them, the mean over the pairs.
        p_seeds, p_blocks: of the two tests of `judge`; None where one cannot be had.
    """

    kept: bool
    reason: str
    gains: tuple[float, ...] = ()
    loss: float | None = None
    p_seeds: float | None = None
    p_blocks: float | None = None

    def notes(self, settings: Augmentation) -> dict[str, Any]:
        """For the fit's report."""
        gain = float(np.mean(self.gains)) if self.gains else None
        return {
            "kept": self.kept,
            "reason": self.reason,
            "share": settings.share,
            "gain": gain,
            "gains": list(self.gains),
            "loss": self.loss,
            "p_seeds": self.p_seeds,
            "p_blocks": self.p_blocks,
        }


def judge(without: Float64, with_them: Float64, sizes: NDArray[np.int64], level: float) -> AugmentationVerdict:
    """Whether generated samples lowered the validation loss, by two one-sided t-tests that must both pass at `level`.

    Over the pairs of trainings (same seed, so same first weights and same order): the gain is no accident of a seed. Seeds are few, and a
    t-test over three to five of them leans on normality that nobody can check; and since all pairs share one validation part, a small
    luck of that part would repeat itself in every pair and pass. So it alone decides nothing.

    Over blocks of the validation part, in time order, each the mean over the pairs: the gain is no accident of the dates. A t-test over a
    few such means holds its level under dependence within blocks and unequal variances (Ibragimov and Mueller, 2010), and is rather too
    strict than too lax. Early stopping chose the epochs on this part in both trainings alike. A pass says nothing of later years:
    that is the gate's question.

    Args:
        without, with_them: float64, [pairs, blocks]; validation losses without and with generated samples.
        sizes: int64, [blocks]; samples in each block.
    """
    if not (np.isfinite(without).all() and np.isfinite(with_them).all()):
        return AugmentationVerdict(False, "a validation loss is not finite")
    gain, weights = without - with_them, sizes / sizes.sum()
    by_pair = gain @ weights
    p_seeds, p_blocks = one_sided(by_pair), one_sided(gain.mean(axis=0))
    against = _objection(float(by_pair.mean()), p_seeds, p_blocks, level)
    reason = against or "the validation loss is lower with generated samples, over seeds and over dates"
    return AugmentationVerdict(against is None, reason, tuple(by_pair.tolist()), float((without @ weights).mean()), p_seeds, p_blocks)


def _objection(gain: float, p_seeds: float | None, p_blocks: float | None, level: float) -> str | None:
    if not gain > 0:
        return "the validation loss is no lower with generated samples"
    if p_seeds is None or p_seeds > level:
        return "the gain may be an accident of the seeds"
    if p_blocks is None:
        return "the validation part is too short to tell a gain from an accident of its dates"
    if p_blocks > level:
        return "the gain may be an accident of the validation part's dates"
    return None


def one_sided(values: Float64) -> float | None:
    """The p-value of "the mean is not positive"; None for fewer than two values, or ones without spread."""
    from scipy import stats

    if len(values) < 2 or not values.std() > 0:
        return None
    return float(stats.ttest_1samp(values, 0.0, alternative="greater").pvalue)
