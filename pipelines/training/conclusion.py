"""How a training ends: its evaluation, the gate's decision, the version registered for it, and its record."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.models.base import Prediction
from finflow.models.samples import Int64
from finflow.pipelines.core.code import code_version
from finflow.pipelines.core.errors import FitError, FitLostError
from finflow.pipelines.core.manifests import Decision, Evaluation, FitResult, PredictionResult
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.evaluation.evaluation import evaluate, read_evaluation
from finflow.pipelines.evaluation.inputs import EvaluationRequest, FoldPredictions
from finflow.pipelines.evaluation.sight import Opening
from finflow.pipelines.fits.fits import fit_all, plan_fits, read_predictions, read_report
from finflow.pipelines.fits.needs import add_fits
from finflow.pipelines.lake.conflicts import retry_conflicts
from finflow.pipelines.lake.pending import describe_pending
from finflow.pipelines.lake.promotions import champion_row
from finflow.pipelines.registry.versions import register, repair_aliases, withdraw
from finflow.pipelines.samples.folds import production_fold
from finflow.pipelines.samples.windows import open_samples
from finflow.pipelines.training.decided import keep_decided
from finflow.pipelines.training.decisions import promotion_row, training_decision
from finflow.pipelines.training.described import describe_evaluation
from finflow.pipelines.training.incumbent import Incumbent, answers_another_task, incumbent
from finflow.pipelines.training.look_words import look_figures
from finflow.pipelines.training.looking import take_look
from finflow.pipelines.training.plan import TrainingPlan
from finflow.pipelines.training.report import write_report
from finflow.pipelines.training.spending import level_to_spend
from finflow.pipelines.training.tracking import log_decision, log_training

if TYPE_CHECKING:
    from finflow.pipelines.lake.promotions import PromotionRow, Promotions
    from finflow.pipelines.leakage.check import LeakageReport
    from finflow.pipelines.training.decisions import Ruling

Answer = PredictionResult | BaseException


@dataclass(frozen=True)
class Conclusion:
    """How a training ended: the decision, and the outcome that a command prints."""

    decision: Decision
    outcome: dict[str, Any]


def evaluate_training(context: Context, plan: TrainingPlan, answers: Sequence[Answer]) -> tuple[Evaluation, dict[str, str]]:
    """Record a look and evaluate what was predicted; a run that was decided before gets the evaluation that it was decided on.

    Returns:
        The evaluation, and the candidates that could not be fitted, with the reason.

    Raises:
        NotEnoughHistoryError: every test date is sealed (see `looking.take_look`).
        FitError: a baseline or the champion's recipe could not be fitted; the latter only where what is asked has not changed since the
            champion's version was made, for then it goes.
    """
    folder = context.home.evaluations / plan.run_key
    predictions, failed = completed(plan, answers, spared=functools.cache(lambda: answers_another_task(context)))
    if context.promotions.find(plan.run_key) is not None and (folder / "evaluation.json").is_file():
        return read_evaluation(folder), failed
    look = take_look(context, plan, predictions)  # recorded before any figure is computed: who is killed from here on has spent it
    return evaluate(evaluation_request(context, plan, predictions, failed, folder, look)), failed


def evaluation_request(
    context: Context,
    plan: TrainingPlan,
    predictions: FoldPredictions,
    failed: Mapping[str, str],
    folder: Path,
    look: Opening | None = None,
) -> EvaluationRequest:
    """What the evaluation of a plan is asked, to be kept in `folder`.

    Args:
        look: what may be shown and what decides; None, of a trial: everything is shown, and nothing decides.
    """
    level = context.definition.gate.level
    return EvaluationRequest(
        definition=context.definition,
        problem=context.problem,
        samples=open_samples(plan.samples.folder),
        folds=plan.folds,
        predictions=predictions,
        recipes=plan.recipes,
        run_key=plan.run_key,
        as_of=plan.as_of,
        folder=folder,
        level=level if look is None else level_to_spend(look.sight.level or level, look.sight.challenges),
        champion=None if plan.champion_recipe in failed else plan.champion_recipe,
        failed=failed,
        opening=look,
    )


def completed(
    plan: TrainingPlan, answers: Sequence[Answer], *, spared: Callable[[], bool] = lambda: False
) -> tuple[dict[str, dict[str, dict[int, tuple[Int64, Prediction]]]], dict[str, str]]:
    """Predictions by candidate, fold and seed; and for each candidate without a full set the reason.

    Args:
        spared: asked where the champion's recipe could not be fitted: whether it may be decided without it.

    Raises:
        FitError: a baseline, the champion's recipe or every candidate is not complete, or a process was lost (which another try may
            mend): nothing can be decided, and no challenge is spent.
    """
    failed = {spec.candidate: str(answer) for spec, answer in zip(plan.specs, answers, strict=True) if isinstance(answer, BaseException)}
    for spec, answer in zip(plan.specs, answers, strict=True):
        if isinstance(answer, BaseException) and not isinstance(answer, FitError):
            raise answer
        lost = isinstance(answer, FitLostError)
        needed = spec.candidate in plan.baselines or (spec.candidate == plan.champion_recipe and (lost or not spared()))
        if isinstance(answer, FitError) and needed:
            raise FitError(f"{answer} Without {spec.candidate} nothing can be decided.")
        if lost:
            raise FitLostError(
                f"{answer} Nothing was decided, and the fits that ended are kept: run the command again, or leave {spec.candidate} out "
                "with --candidates."
            )
    extra = {"champion"} & {plan.champion_recipe}  # the champion's recipe, where the definition no longer names it
    candidates = [name for name in plan.recipes if name not in plan.baselines and name not in extra]
    if candidates and all(name in failed for name in candidates):
        raise FitError(f"No candidate could be fitted, so nothing was decided. {'; '.join(failed[name] for name in candidates)}")
    found: dict[str, dict[str, dict[int, tuple[Int64, Prediction]]]] = {}
    for spec, answer in zip(plan.specs, answers, strict=True):
        if isinstance(answer, PredictionResult) and spec.candidate not in failed:
            found.setdefault(spec.candidate, {}).setdefault(spec.fold.name, {})[spec.seed] = read_predictions(answer)
    return found, failed


def conclude_training(
    context: Context,
    plan: TrainingPlan,
    evaluation: Evaluation,
    failed: dict[str, str],
    fits: Sequence[FitResult],
    *,
    leakage: LeakageReport | None = None,
    tags: dict[str, str] | None = None,
) -> Conclusion:
    """Decide, register what is accepted, record the decision, let the alias follow, log and report.

    A run that was decided before gets its recorded decision back; only what a crash left undone is done.

    Args:
        failed: the candidates that could not be fitted, with the reason.
        fits: every fit of every candidate, for the log.
        leakage: what the leakage check found, as evidence; a training whose check failed does not come here (see `refuse_leaks`).
        tags: further tags of the MLflow runs.

    Raises:
        ConflictError: other trainings decided first, time and again.
        FitError: the accepted recipe could not be fitted on all that is known.
    """
    shown = {fold.name for fold in evaluation.folds}  # a fold whose dates are all sealed was validated on dates as new
    logged_fits = [fit for fit in fits if fit.fold in shown]
    logged = log_training(context, evaluation, logged_fits, plan.samples, tags=tags)
    told = f"{context.name}: other decisions kept coming first while this one was being made: run the command again."
    retry_conflicts(functools.partial(_decide, context, plan, evaluation, failed, logged.children, leakage), told)
    repair_aliases(context)
    # Registered for a decision that another training forestalled.
    withdraw(context, plan.run_key)
    row, champion = _recorded(context.promotions, plan.run_key)
    plots = {caption: Path(path) for caption, path in logged.plots.items()}
    reports = [(fit, read_report(fit)) for fit in logged_fits]
    report = write_report(context, evaluation, row, champion, plan.samples, failed=failed, plots=plots, reports=reports)
    log_decision(context.home, logged, row, champion, report)
    waiting = describe_pending(context.name, context.promotions.rows())
    outcome = {
        **describe(context.definition, plan, evaluation, row, champion, fits, failed),
        "looks": look_figures(evaluation, row.evidence),
        "waiting": None if waiting is None else waiting.to_dict(),
        "run_id": logged.run_id,
        "report": str(report),
    }
    return Conclusion(row.decision, outcome)


def _decide(
    context: Context,
    plan: TrainingPlan,
    evaluation: Evaluation,
    failed: Mapping[str, str],
    runs: Mapping[str, str],
    leakage: LeakageReport | None,
) -> None:
    """Decide, and record it under the condition that nobody decided in between.

    Args:
        runs: by candidate, its MLflow run.

    Raises:
        ConflictError: somebody did: look again.
    """
    recorded = context.promotions.find(plan.run_key) is not None
    found = Incumbent() if recorded else incumbent(context, plan, evaluation, failed)
    ruling = training_decision(context, evaluation, found, leakage)
    if ruling.recorded is None:
        row = replace(_row(context, plan, ruling, runs), decided_on=keep_decided(context, ruling.evaluation, ruling.safety))
        context.promotions.record(row, ruling.expected_version)


def _row(context: Context, plan: TrainingPlan, ruling: Ruling, runs: Mapping[str, str]) -> PromotionRow:
    """The row of a ruling; the recipe that it accepts is fitted on all that is known at the as-of, and registered."""
    version, digest = None, ""
    if ruling.registers:
        entry = str(ruling.decision.evidence["entry"])
        members = production_fits(context, plan, entry)
        made = register(context, ruling.evaluation, entry, members, plan.samples, runs[entry])
        version, digest = made.version, made.manifest_digest
    return promotion_row(ruling, plan.samples.clean, version=version, manifest_digest=digest, code_version=code_version())


def production_fits(context: Context, plan: TrainingPlan, entry: str) -> list[FitResult]:
    """Fit a recipe of the plan on all that is known at the as-of, one fit a seed.

    Raises:
        FitError: it could not be fitted.
    """
    fold = production_fold(context.definition, open_samples(plan.samples.folder).index, pd.Timestamp(plan.as_of))
    specs = plan_fits(context, plan.samples, [fold], {entry: plan.recipes[entry]}, plan.hardware, plan.seeds)
    add_fits(context.home, plan.run_key, [spec.key for spec in specs])
    members = fit_all(specs, context.home)
    for member in members:
        if isinstance(member, FitError):
            raise member
    return [member for member in members if isinstance(member, FitResult)]


def _recorded(promotions: Promotions, run_key: str) -> tuple[PromotionRow, PromotionRow | None]:
    """The run's row, and that of who was champion once it was recorded."""
    rows = promotions.rows()
    place = next(place for place, row in enumerate(rows) if row.run_key == run_key)
    return rows[place], champion_row(rows[: place + 1])


def describe(
    definition: Definition,
    plan: TrainingPlan,
    evaluation: Evaluation,
    row: PromotionRow,
    champion: PromotionRow | None,
    fits: Sequence[FitResult],
    failed: dict[str, str],
) -> dict[str, Any]:
    """A training as JSON-able values: what `finflow train --json` prints.

    Args:
        row: its recorded decision.
        champion: the row of who was champion after it.
    """
    return {
        **describe_evaluation(definition, plan, evaluation, fits, failed),
        "decision": {
            "verdict": row.verdict,
            "promoted": row.moves,
            "version": row.version,
            "champion": {
                "name": definition.name,
                "version": None if champion is None else champion.version,
                "candidate": None if champion is None else champion.candidate,
            },
            "reason": row.reason,
        },
        "leakage": row.evidence.get("leakage"),
    }
