"""What a decision was made on, kept in the lake before the decision is: the losses a date, and the terms on which they were compared."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from finflow.pipelines.definitions.context import Context
from finflow.pipelines.evaluation.decided import terms_of
from finflow.pipelines.evaluation.store import daily_losses
from finflow.pipelines.lake.decided_losses import DecidedLosses

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import Evaluation


def keep_decided(context: Context, evaluation: Evaluation) -> dict[str, Any]:
    """Keep the losses that an evaluation's decision rests on; what the decision's row says of them (`PromotionRow.decided_on`).

    Returns:
        Where the losses lie and their digests (see `DecidedLosses.keep`), the terms of `evaluation.decided.Terms`, the gate as it was
        written, and by entry that could not be compared (`invalid`) or failed checks (`failed_checks`), why.
    """
    dates, losses = daily_losses(evaluation)
    definition = context.definition
    logarithmic = context.problem.logarithmic(evaluation.loss)
    return {
        **DecidedLosses(context.lake, context.promotions.name).keep(evaluation.run_key, dates, losses),
        **terms_of(evaluation, losses, seed=definition.seed, logarithmic=logarithmic).to_dict(),
        "gate": definition.gate.model_dump(mode="json"),
        "invalid": {one.candidate: one.invalid for one in evaluation.candidates if one.invalid},
        "failed_checks": {one.candidate: [check.name for check in one.failed_checks] for one in evaluation.candidates if one.failed_checks},
    }
