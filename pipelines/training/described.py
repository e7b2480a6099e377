"""An evaluation as JSON-able values: what commands print of it, a training's and a trial's alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, FitResult

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.training.plan import TrainingPlan


def describe_evaluation(
    definition: Definition, plan: TrainingPlan, evaluation: Evaluation, fits: Sequence[FitResult], failed: Mapping[str, str]
) -> dict[str, Any]:
    """On which data, with which folds and fits, and the leaderboard."""
    clean = plan.samples.clean
    return {
        "definition": definition.name,
        "title": definition.title or definition.name,
        "simulated": definition.simulated,
        "as_of": plan.as_of,
        "data": {
            "table": clean.table,
            "version": clean.version,
            "digest": clean.digest,
            "rows": clean.rows,
            "quarantined": clean.quarantined,
        },
        "samples": plan.samples.samples,
        "folds": [fold.to_dict() for fold in evaluation.folds],
        "loss": evaluation.loss,
        "protocol": evaluation.protocol,
        "spa_p": evaluation.spa_p,
        "leaderboard": [_leaderboard_row(entry) for entry in evaluation.candidates],
        "fitted": sum(not fit.reused for fit in fits),
        "reused": sum(fit.reused for fit in fits),
        "failed": dict(failed),
    }


def _leaderboard_row(entry: CandidateEvaluation) -> dict[str, Any]:
    return {
        "candidate": entry.candidate,
        "family": entry.family,
        "baseline": entry.baseline,
        "seeds": entry.seeds,
        "invalid": entry.invalid,
        "metrics": {metric.name: {"value": metric.value, "low": metric.low, "high": metric.high} for metric in entry.metrics},
        "p_value": {comparison.against: comparison.p_value for comparison in entry.comparisons},
        "effect": {comparison.against: comparison.effect for comparison in entry.comparisons},
        "best_dates_share": {comparison.against: comparison.best_dates_share for comparison in entry.comparisons},
        "adjusted_p": entry.adjusted_p,
        "confidence_p": entry.confidence_p,
        "seed_losses": entry.seed_losses,
        "checks": [{"name": check.name, "passed": check.passed, "words": check.words, **check.figures} for check in entry.checks],
    }
