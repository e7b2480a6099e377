"""What a definition has so far, as pandas frames: predictions, decisions, and the leaderboard and losses of a training."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.pipelines.core.errors import FinflowError
from finflow.pipelines.core.options import parse_range
from finflow.pipelines.evaluation.store import NAME, read_evaluation
from finflow.pipelines.lake.looks import Look
from finflow.pipelines.lake.predictions import Predictions
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.training.looking import looks_at

if TYPE_CHECKING:
    from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation
    from finflow.pipelines.definitions.context import Context


def prediction_frame(context: Context, start: str | None, end: str | None, restated: bool) -> pd.DataFrame:
    """See `UseCase.predictions`."""
    first, last = parse_range(start or "1700-01-01", end or "2200-12-31")
    return Predictions(context.lake, context.name).latest(first, last, restated=restated).drop(columns="period", errors="ignore")


def decision_frame(context: Context) -> pd.DataFrame:
    """See `UseCase.decisions`."""

    rows = [row.to_dict() for row in context.promotions.rows()]
    frame = pd.DataFrame(rows, columns=[field.name for field in fields(PromotionRow)])
    for name in ("version", "previous_version", "data_version"):
        frame[name] = frame[name].astype("Int64")
    for name in ("effective_as_of", "recorded_at"):
        frame[name] = pd.to_datetime(frame[name], utc=True, format="ISO8601")
    return frame


def look_frame(context: Context) -> pd.DataFrame:
    """See `UseCase.looks`."""
    frame = pd.DataFrame([look.to_dict() for look in looks_at(context)], columns=[field.name for field in fields(Look)])
    frame["recorded_at"] = pd.to_datetime(frame["recorded_at"], utc=True, format="ISO8601")
    return frame


def leaderboard_frame(evaluation: Evaluation) -> pd.DataFrame:
    """See `UseCase.leaderboard`."""
    baselines = [entry.candidate for entry in evaluation.candidates if entry.baseline]
    return pd.DataFrame([_leaderboard_row(entry, baselines) for entry in evaluation.candidates]).set_index("candidate")


def evaluation_of(context: Context, run_key: str | None = None) -> Evaluation:
    """The evaluation that a training was decided on; without a key, that of the training that was decided last.

    Raises:
        FinflowError: no training has been decided, none with that key, or `finflow prune` freed what it left.
    """
    name, evaluations = context.name, context.home.evaluations
    decided = [row.run_key for row in context.promotions.rows()]
    if run_key is not None and run_key not in decided:
        raise FinflowError(
            f"{name} has no decision with the run key {str(run_key)[:64]!a}: the column run_key of its decisions holds them all."
        )
    # Approvals and rollbacks are decisions too, without an evaluation of their own.
    wanted = decided[::-1] if run_key is None else [run_key]
    for key in wanted:
        if (evaluations / key / NAME).is_file():
            return read_evaluation(evaluations / key)
    if not decided:
        raise FinflowError(f"No decision has been made for {name}: finflow train {name}")
    raise FinflowError(f"{name}: the evaluation is not there (an approval or a rollback has none; `finflow prune` may have freed it).")


def _leaderboard_row(entry: CandidateEvaluation, baselines: list[str]) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(entry, name) for name in ("candidate", "family", "model", "baseline", "seeds", "invalid")}
    for metric in entry.metrics:
        row |= {metric.name: metric.value, f"{metric.name}_low": metric.low, f"{metric.name}_high": metric.high}
    compared = {comparison.against: comparison for comparison in entry.comparisons}
    for name in baselines:
        one = compared.get(name)
        row |= {f"effect_{name}": one and one.effect, f"p_value_{name}": one and one.p_value}
    passed = all(check.passed for check in entry.checks) if entry.checks else None
    share = entry.closest and entry.closest.best_dates_share
    return {**row, "best_dates_share": share, "adjusted_p": entry.adjusted_p, "confidence_p": entry.confidence_p, "checks_passed": passed}
