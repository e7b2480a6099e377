"""A trial: recipes compared on development folds, to choose among them. It decides and registers nothing, and looks at no test date."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finflow.pipelines.core.manifests import Evaluation, FitResult, PredictionResult
from finflow.pipelines.evaluation.evaluation import evaluate
from finflow.pipelines.fits.fits import read_report
from finflow.pipelines.fits.needs import TRIAL
from finflow.pipelines.training.conclusion import completed, evaluation_request
from finflow.pipelines.training.described import describe_evaluation
from finflow.pipelines.training.looking import take_trial_look
from finflow.pipelines.training.tracking import log_training, log_trial_end
from finflow.pipelines.training.trial_report import write_trial_report

if TYPE_CHECKING:
    from finflow.pipelines.definitions.context import Context
    from finflow.pipelines.samples.development import Development
    from finflow.pipelines.training.conclusion import Answer
    from finflow.pipelines.training.plan import TrainingPlan


def evaluate_trial(context: Context, plan: TrainingPlan, answers: Sequence[Answer]) -> tuple[Evaluation, dict[str, str]]:
    """Compare what was predicted on the development folds; kept under `home.trials`, apart from what trainings are decided on.

    Args:
        context: of the trial (see `finflow.pipelines.samples.development.develop`).
        plan: made with `kind=TRIAL`; the champion's recipe is in it for information, and may fail.

    Returns:
        The evaluation, and the recipes that could not be fitted, with the reason.

    Raises:
        FitError: a baseline or every candidate could not be fitted, or a process was lost.
    """
    predictions, failed = completed(plan, answers, spared=lambda: True)
    take_trial_look(context, plan, predictions)  # before any figure is computed
    return evaluate(evaluation_request(context, plan, predictions, failed, context.home.trials / plan.run_key)), failed


def conclude_trial(
    context: Context,
    plan: TrainingPlan,
    allowed: Development,
    answers: Sequence[Answer],
    *,
    tags: dict[str, str] | None = None,
) -> tuple[Evaluation, dict[str, Any]]:
    """Evaluate, log and report a trial; the same trial again changes nothing.

    Args:
        tags: further tags of the MLflow runs.

    Returns:
        The evaluation, and what `finflow try --json` prints.

    Raises:
        FitError: see `evaluate_trial`.
    """
    evaluation, failed = evaluate_trial(context, plan, answers)
    fits: list[FitResult] = [answer.fit for answer in answers if isinstance(answer, PredictionResult)]
    logged = log_training(context, evaluation, fits, plan.samples, tags=tags, kind=TRIAL)
    plots = {caption: Path(path) for caption, path in logged.plots.items()}
    reports = [(fit, read_report(fit)) for fit in fits]
    report = write_trial_report(context, evaluation, plan.samples, allowed, failed=failed, plots=plots, reports=reports)
    log_trial_end(context.home, logged, report)
    return evaluation, {
        **describe_evaluation(context.definition, plan, evaluation, fits, failed),
        "first_test": allowed.first_test,
        "test_periods": allowed.periods,
        "run_id": logged.run_id,
        "report": str(report),
    }
