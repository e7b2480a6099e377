"""Walking forward: for each month or quarter the model that would have been champion then, trained on what was known then.

A walk begins with the first period after `folds.first_test`, whatever range is asked for, with no champion; so that the answer for a date
depends neither on the range nor on the order of requests. At each period's start every recipe competes on the folds known by then, and the
same gate decides over the walk's own decisions; the recipe that stands is fitted on all that was known, and answers the period. Nobody is
asked for approval, and the live champion plays no part: its recipe may have been chosen by what came later. Every period's training is a
look at its test outcomes (see `finflow.pipelines.lake.looks`): what a walk has shown decides nothing any more in a training after it.

The decisions are a table of their own, `walk-<every>/<definition>`. A decision's key is a digest of what it depends on: the definition, the
code, the raw rows known at every start so far. When one of these changes, the walk is decided anew from there on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from finflow.models.base import Hardware
from finflow.pipelines.backfill.choice import RETRAIN_PREFIX, Choice
from finflow.pipelines.backfill.walk_periods import Period, periods, unasked
from finflow.pipelines.backfill.walk_run import walk_run
from finflow.pipelines.core.code import code_version
from finflow.pipelines.core.errors import ContractError, FinflowError, FitError, NotEnoughHistoryError
from finflow.pipelines.core.manifests import CleanManifest, JsonRecord, RawManifest, SampleManifest
from finflow.pipelines.data.contract import validate
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.evaluation.evaluation import evaluate
from finflow.pipelines.evaluation.inputs import EvaluationRequest
from finflow.pipelines.fits.fits import carry_out_all
from finflow.pipelines.fits.needs import WALK
from finflow.pipelines.lake.promotions import PromotionRow
from finflow.pipelines.lake.walks import DecidedBefore, WalkRecord
from finflow.pipelines.registry.versions import register
from finflow.pipelines.samples.folds import make_folds, time_folds
from finflow.pipelines.samples.windows import open_samples, store_samples
from finflow.pipelines.tracking.store import store_client
from finflow.pipelines.training.conclusion import completed, production_fits
from finflow.pipelines.training.decisions import promotion_row, training_decision
from finflow.pipelines.training.looking import take_walk_look
from finflow.pipelines.training.plan import plan_training
from finflow.pipelines.training.spending import level_to_spend

if TYPE_CHECKING:
    from finflow.pipelines.training.plan import TrainingPlan

#: why a period has no model, by what that depends on: asked several times a run
_closed: dict[tuple[str, str], str | None] = {}


@dataclass(frozen=True)
class WalkStep(JsonRecord):
    """A period to train. `keys` are those of the periods before it; `registers` is False where only the decision is needed."""

    every: str
    period: Period
    keys: tuple[str, ...]
    registers: bool
    raw: RawManifest


def walk_choices(
    context: Context,
    every: str,
    dates: Sequence[str],
    clean: CleanManifest,
    failures: Mapping[str, str],
) -> dict[str, Choice]:
    """By date, the version of its period; pending where that is to be trained first.

    Args:
        context: its promotions are the walk's.
        failures: by a period's start, why its model could not be trained: no later one can be then.
    """
    walked = periods(context, clean.raw, every, dates[-1])
    starts = [period.start for period in walked]
    by_period: dict[int, Choice] = {}
    choices = {}
    for date in dates:
        place = int(np.searchsorted(starts, date, side="right")) - 1
        if place not in by_period:
            by_period[place] = _choice(context, clean.raw, walked[place] if place >= 0 else None, failures)
        choices[date] = by_period[place]
    return choices


def _choice(
    context: Context,
    raw: RawManifest,
    period: Period | None,
    failures: Mapping[str, str],
) -> Choice:
    if period is None or period.as_of is None or period.start <= f"{time_folds(context.definition).first_test:%Y-%m-%d}":
        return Choice(None, f"the walk begins after folds.first_test, {time_folds(context.definition).first_test:%Y-%m-%d}")
    assert isinstance(context.promotions, WalkRecord)
    row, failed = context.promotions.of(period.key), min(failures, default=None)
    if row is not None and row.version is not None:
        return Choice(row.version)
    if failed is not None and period.start >= failed:
        return Choice(None, failures[failed], pending=True)
    if row is None:
        place = (context.lake.location, period.key)
        if place not in _closed:
            _closed[place] = _why_closed(context, raw, period)
        if _closed[place] is not None:
            return Choice(None, str(_closed[place]))
    return Choice(None, pending=True)


def _why_closed(context: Context, raw: RawManifest, period: Period) -> str | None:
    """Why no model can be trained at a period's start, or None if one can."""
    try:
        samples = _samples(context, raw, period)
        make_folds(context.definition, open_samples(samples.folder).index, pd.Timestamp(str(period.as_of)))
    except (NotEnoughHistoryError, ContractError) as error:
        return f"no model could be trained as of {str(period.as_of)[:10]}: {error}"
    return None


def walk_steps(context: Context, model: str, untrained: Sequence[str], raw: RawManifest) -> tuple[WalkStep, ...]:
    """What is to be trained, in order, before the dates that wait for it can be answered; nothing where every model is there.

    Args:
        model: the selector of a backfill (see `BackfillPlan`).
        untrained: ISO dates whose model is not there.
    """
    if not model.startswith(RETRAIN_PREFIX) or not untrained:
        return ()

    every = model.removeprefix(RETRAIN_PREFIX)
    record = WalkRecord(context.lake, context.name, every)
    steps: list[WalkStep] = []
    walked = periods(context, raw, every, max(untrained))
    for place, period in enumerate(walked):
        if period.as_of is None or period.start <= f"{time_folds(context.definition).first_test:%Y-%m-%d}":
            continue
        needed = any(period.start <= date <= period.end for date in untrained)
        row = record.of(period.key)
        if row is None or (needed and row.version is None):
            steps.append(WalkStep(every, period, tuple(one.key for one in walked[:place]), needed, raw))
    return tuple(steps)


def train_walk(context: Context, steps: Sequence[WalkStep]) -> dict[str, str]:
    """Train the steps in order, up to the first that cannot be; by its period's start, why (see `choose_versions`)."""
    for step in steps:
        reason = try_period(context, step)
        if reason is not None:
            return {step.period.start: reason}
    return {}


def try_period(context: Context, step: WalkStep) -> str | None:
    """`train_period`; why it could not be done, where a fit or its data are at fault."""
    try:
        train_period(context, step)
    except (FitError, NotEnoughHistoryError, ContractError) as error:
        return f"no model could be trained as of {str(step.period.as_of)[:10]}: {error}"
    return None


def train_period(context: Context, step: WalkStep) -> PromotionRow | None:
    """Decide a period's champion and, if its dates are asked for, fit and register it. What is there already is used again.

    Returns:
        The decision; None where a period that only leads in has too little history to decide anything.

    Raises:
        NotEnoughHistoryError, ContractError: the data of a period that is asked for.
        FitError: a fit without which nothing can be decided.
    """
    record = WalkRecord(context.lake, context.name, step.every)
    walk = replace(context, definition=unasked(context.definition), promotions=DecidedBefore(record, step.keys))
    try:
        samples = _samples(walk, step.raw, step.period)
        plan, evaluation = _evaluate(walk, step, samples)
    except (NotEnoughHistoryError, ContractError):
        if step.registers:
            raise
        return None
    ruling = _always_refreshed(walk, evaluation, step)
    recorded = record.of(step.period.key)
    if recorded is not None:
        ruling = replace(ruling, decision=recorded.decision)
    version, digest = _register(walk, step, plan, evaluation, ruling.decision) if step.registers else (None, "")
    row = promotion_row(ruling, samples.clean, version=version, manifest_digest=digest, code_version=code_version())
    return record.append(row)


def _samples(context: Context, raw: RawManifest, period: Period) -> SampleManifest:
    return store_samples(context, validate(context, raw, pd.Timestamp(str(period.as_of))))


def _evaluate(context: Context, step: WalkStep, samples: SampleManifest) -> tuple[TrainingPlan, Any]:
    """Fit and predict every recipe on every fold known at the period's start, and compare them."""
    plan = plan_training(context, samples, hardware=Hardware(), kind=WALK)
    predictions, failed = completed(plan, carry_out_all(plan.specs, context.home))
    look = take_walk_look(context, plan, predictions, step.period.key)
    request = EvaluationRequest(
        definition=context.definition,
        problem=context.problem,
        samples=open_samples(samples.folder),
        folds=plan.folds,
        predictions=predictions,
        recipes=plan.recipes,
        run_key=step.period.key,
        as_of=plan.as_of,
        folder=context.home.evaluations / step.period.key,
        level=level_to_spend(context.definition.gate.level, look.sight.challenges),
        champion=plan.champion_recipe,
        failed=failed,
        opening=look,
    )
    return plan, evaluate(request)


def _always_refreshed(context: Context, evaluation: Any, step: WalkStep) -> Any:
    """The gate's ruling; where the champion's recipe stands, it is fitted anew all the same: that is what was asked for."""
    ruling = training_decision(context, evaluation)
    decision = ruling.decision
    if decision.promoted:
        return ruling
    if "entry" not in decision.evidence:
        raise FinflowError(f"{context.name}: the walk cannot go on at {step.period.start}: {decision.reason}")
    reason = f"Fitted again as of {evaluation.as_of[:10]}, as the walk asks. {decision.reason}"
    return replace(ruling, decision=replace(decision, verdict="refreshed", promoted=True, reason=reason))


def _register(context: Context, step: WalkStep, plan: TrainingPlan, evaluation: Any, decision: Any) -> tuple[int, str]:
    """Fit the standing recipe on all that was known, and register it: version and the digest of its manifest."""
    entry = str(decision.evidence["entry"])
    members = production_fits(context, plan, entry)
    run_id = walk_run(context, step.every, evaluation, decision)
    made = register(context, evaluation, entry, members, plan.samples, run_id)
    client = store_client(context.home)
    for name, value in {"finflow.walk": step.every, "finflow.walk_period": step.period.start}.items():
        client.set_model_version_tag(context.name, str(made.version), name, value)
    return made.version, made.manifest_digest
