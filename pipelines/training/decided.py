"""What a decision was made on, kept in the lake before the decision is: the losses a date, and the terms on which they were compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finflow.pipelines.definitions.context import Context
from finflow.pipelines.evaluation.decided import terms_of
from finflow.pipelines.evaluation.store import compared_losses, safety_losses
from finflow.pipelines.lake.decided_losses import Dates, DecidedLosses, Losses

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Evaluation

#: what the run key of losses on all test dates ends with, by which a champion stands or goes (see `finflow.pipelines.evaluation.safety`)
SAFETY = "-safety"


def keep_decided(context: Context, evaluation: Evaluation, safety: Evaluation | None = None) -> dict[str, Any]:
    """Keep the losses that an evaluation's decision rests on; what the decision's row says of them (`PromotionRow.decided_on`).

    Args:
        safety: the champion's recipe and the baselines on all test dates, where that is not the evaluation itself.

    Returns:
        Where the losses lie and their digests (see `DecidedLosses.keep`), the terms of `evaluation.decided.Terms`, the gate as it was
        written, and by entry that could not be compared (`invalid`) or failed checks (`failed_checks`), why; where there is a `safety`, the
        same of its losses under that name.
    """
    kept = _keep(context, evaluation.run_key, evaluation, *compared_losses(evaluation))
    if safety is not None and safety is not evaluation:
        kept["safety"] = _keep(context, evaluation.run_key + SAFETY, safety, *safety_losses(evaluation))
    return {
        **kept,
        "gate": context.definition.gate.model_dump(mode="json"),
        "invalid": {one.candidate: one.invalid for one in evaluation.candidates if one.invalid},
        "failed_checks": {one.candidate: [check.name for check in one.failed_checks] for one in evaluation.candidates if one.failed_checks},
    }


def _keep(context: Context, key: str, evaluation: Evaluation, dates: Dates, losses: Losses) -> dict[str, Any]:
    logarithmic = context.problem.logarithmic(evaluation.loss)
    terms = terms_of(evaluation, losses, seed=context.definition.seed, logarithmic=logarithmic)
    return {**DecidedLosses(context.lake, context.promotions.name).keep(key, dates, losses), **terms.to_dict()}
