"""From the predictions of every candidate to one leaderboard: metrics with intervals, losses a date, comparisons.

Everything is walk-forward: only test parts of folds are here. A network's seeds are averaged into one forecast first, and that is what
is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.base import Prediction
from finflow.models.samples import Float64, Samples
from finflow.models.zoo import model_class
from finflow.pipelines.core.digest import digest_arrays, digest_json
from finflow.pipelines.core.errors import FitError
from finflow.pipelines.core.manifests import CandidateEvaluation, Check, Evaluation, Metric
from finflow.pipelines.evaluation.comparisons import Compared, daily_means, days_of, superior, units_of
from finflow.pipelines.evaluation.inputs import EvaluationPanel, EvaluationRequest, make_panel
from finflow.pipelines.evaluation.measures import Measured, measure
from finflow.pipelines.evaluation.safety import write_safety
from finflow.pipelines.evaluation.store import read_evaluation, store_evaluation, stored_evaluation
from finflow.pipelines.evaluation.tables import day, protocol, write_tables
from finflow.pipelines.problems.base import Problem, Tested
from finflow.pipelines.samples.features import categorical_features, numeric_features
from finflow.pipelines.statistics import model_confidence_set, superior_predictive_ability

__all__ = ["evaluate", "read_evaluation"]

INTERVAL = 0.95
#: of the model confidence set and the test of superior predictive ability, which decide nothing
CONFIDENCE_REPLICATIONS = 999


def evaluate(request: EvaluationRequest) -> Evaluation:
    """Evaluate every candidate on the same test samples, and keep the result in the request's folder.

    The same predictions again return what lies there. The folder holds evaluation.json; losses.parquet (time, entity, fold,
    candidate, every loss); samples.parquet (position, time, entity, fold, origin, target_1 ...); predictions/<candidate>.parquet (the
    problem's prediction rows with `fold`, and `actual`: for quantiles and variances what came, on their scale, for probabilities the
    class); tables/<name>.parquet and .csv (what the problem's `tables` adds).

    Raises:
        FitError: predictions are missing, or are for different samples; or the reference's are not finite.
        NotEnoughHistoryError: there is no test sample.
        DefinitionError: the gate's loss is not one of the problem's.
    """
    unknown = sorted((set(request.predictions) | set(request.failed)) - set(request.recipes))
    if unknown:
        raise FitError(f"predictions of {', '.join(unknown)}, which the definition {request.definition.name} does not name.")
    whole = make_panel(request.samples, request.folds, request.predictions)
    inputs = _inputs_digest(request, whole)
    stored = stored_evaluation(request.folder, inputs)
    if stored is not None:
        return stored
    opening = request.opening
    panel = whole if opening is None else whole.take(opening.shown)
    decides = None if opening is None else opening.decides[opening.shown]
    measured = measure(request, panel, decides)
    evaluation = _evaluation(request, panel, measured, _leaderboard(request, panel, measured))
    tables = request.problem.tables(_tested(request, panel, measured, evaluation))

    def write(target: Path) -> None:
        write_tables(target, request.problem, panel, measured.losses, tables, decides)
        if opening is not None and not opening.shown.all():
            write_safety(target, request, whole, evaluation)

    store_evaluation(evaluation, inputs, write)
    return evaluation


def _inputs_digest(request: EvaluationRequest, panel: EvaluationPanel) -> str:
    """Of all that the evaluation depends on."""
    definition = request.definition
    recipes = {name: recipe.digest for name, recipe in request.recipes.items()}
    champion, replications, failed = request.champion, request.replications, dict(request.failed)
    settings = [request.run_key, request.as_of, request.level, definition.seed, champion, replications, failed, recipes]
    if request.opening is not None:
        settings += [vars(request.opening.sight), request.opening.looks, digest_arrays({"shown": request.opening.shown})]
    written = definition.model_dump(mode="json", exclude={"source", "schedule", "monitoring", "sink"})
    return digest_json([settings, written, _digest(panel)])


def _leaderboard(request: EvaluationRequest, panel: EvaluationPanel, measured: Measured) -> tuple[CandidateEvaluation, ...]:
    """Every recipe that was predicted or failed, the lowest loss first, those that cannot be compared last."""
    confidence = _confidence(measured.valid, measured.block, request.definition.seed)
    found = [
        _entry(request, panel, measured, name, confidence.get(name))
        for name in request.recipes
        if name in panel.forecasts or name in request.failed
    ]
    mean = {name: float(values.mean()) for name, values in measured.daily.items()}
    return tuple(sorted(found, key=lambda one: (one.invalid is not None, mean.get(one.candidate, np.inf))))


def _entry(
    request: EvaluationRequest, panel: EvaluationPanel, measured: Measured, name: str, confidence_p: float | None
) -> CandidateEvaluation:
    """A recipe's row of the leaderboard."""
    definition, recipe, wrong = request.definition, request.recipes[name], measured.invalid.get(name)
    checks: tuple[Check, ...] = ()
    if not wrong:
        checks = request.problem.checks(panel.forecasts[name].ensemble, panel.index, definition.gate, definition.seed)
    return CandidateEvaluation(
        candidate=name,
        family=model_class(recipe.model).family,
        model=recipe.model,
        baseline=name in definition.baselines,
        recipe=recipe.model_dump(mode="json"),
        recipe_digest=recipe.digest,
        seeds=0 if name in request.failed else len(panel.forecasts[name].seeds),
        metrics=() if wrong else _metrics(request.problem, panel, measured, name),
        fold_losses={} if wrong else _fold_losses(panel, measured.losses[name][definition.gate.loss]),
        seed_losses={} if wrong else _seed_losses(request, panel, name),
        invalid=wrong,
        confidence_p=confidence_p,
        checks=checks,
        **vars(measured.compared.get(name, Compared((), (), None))),
    )


def _evaluation(
    request: EvaluationRequest, panel: EvaluationPanel, measured: Measured, found: tuple[CandidateEvaluation, ...]
) -> Evaluation:
    definition, entries, opening = request.definition, measured.entries, request.opening
    candidates = [name for name, baseline in entries.items() if not baseline]
    return Evaluation(
        run_key=request.run_key,
        definition=definition.name,
        as_of=request.as_of,
        loss=definition.gate.loss,
        dates=measured.dates,
        first_date=day(panel.index.time.min()),
        last_date=day(panel.index.time.max()),
        folds=panel.folds,
        candidates=found,
        superior=superior(measured.compared, entries, request.level),
        folder=str(request.folder),
        protocol=protocol(request, panel, measured.horizon),
        reference=definition.reference,
        horizon=measured.horizon,
        champion=request.champion,
        spa_p=_no_skill(measured.valid, candidates, definition.reference, measured.block, definition.seed),
        replications=request.replications,
        looks_before=0 if opening is None else opening.looks,
        decided_after=None if opening is None else opening.decided_after,
        sealed=0 if opening is None else opening.sealed,
        sight=None if opening is None else opening.sight,
    )


def _tested(request: EvaluationRequest, panel: EvaluationPanel, measured: Measured, evaluation: Evaluation) -> Tested:
    """What the problem's own tables are made of."""
    definition = request.definition
    return Tested(
        forecasts={one.candidate: panel.forecasts[one.candidate].ensemble for one in evaluation.candidates if not one.invalid},
        index=panel.index,
        fold=panel.fold,
        folds=panel.folds,
        train=measured.train,
        samples=request.samples,
        features=numeric_features(definition),
        categories=categorical_features(definition),
        draws=measured.draws,
        reference=definition.reference,
        champion=request.champion if request.champion in measured.valid else None,
    )


def date_losses(problem: Problem, loss: str, prediction: Prediction, samples: Samples) -> pd.Series[float]:
    """One loss a date of a prediction for labelled samples: float64, indexed by date; what `training_decision` takes as `frozen`."""
    dates, values = daily_means(problem.losses(prediction, samples.index)[loss], days_of(samples.index.time))
    return pd.Series(values, index=pd.DatetimeIndex(dates), name=loss)


def _digest(panel: EvaluationPanel) -> str:
    arrays: dict[str, NDArray[Any]] = {
        "positions": panel.positions,
        "fold": panel.fold,
        "target": panel.index.target,
        "time": panel.index.time,
    }
    for name, forecast in panel.forecasts.items():
        arrays.update({f"{name}/{seed}": prediction.values for seed, prediction in forecast.seeds.items()})
    return digest_arrays(arrays)


def _confidence(daily: Mapping[str, Float64], block: int, seed: int) -> dict[str, float]:
    """By valid entry, the p-value of the model confidence set over all of them."""
    return model_confidence_set(daily, block=block, replications=CONFIDENCE_REPLICATIONS, seed=seed)


def _no_skill(daily: Mapping[str, Float64], candidates: Sequence[str], reference: str, block: int, seed: int) -> float | None:
    """The p-value of "no candidate is better than the reference"; None without a valid candidate."""
    own = {name: daily[name] for name in candidates if name in daily}
    if not own:
        return None
    return superior_predictive_ability(daily[reference], own, block=block, replications=CONFIDENCE_REPLICATIONS, seed=seed)


def _metrics(problem: Problem, panel: EvaluationPanel, measured: Measured, name: str) -> tuple[Metric, ...]:
    found, answer = [], panel.forecasts[name].ensemble
    with np.errstate(all="ignore"):
        memory = problem.memory(answer, panel.index, panel.fold, measured.train)
        for parts in (*problem.metrics(answer, panel.index, measured.scale), *memory):
            found.append(Metric(parts.name, *measured.draws.interval(parts, INTERVAL), parts.better, parts.target))
    return tuple(found)


def _fold_losses(panel: EvaluationPanel, losses: Float64) -> dict[str, float]:
    """The deciding loss of each fold, a date counting once."""
    found, units = {}, units_of(panel.index, panel.folds)
    for number, fold in enumerate(panel.folds):
        here = panel.fold == number
        if here.any():
            found[fold.name] = float(daily_means(losses[here], units[here])[1].mean())
    return found


def _seed_losses(request: EvaluationRequest, panel: EvaluationPanel, name: str) -> dict[str, float]:
    """The deciding loss of each seed alone: the spread that averaging hides."""
    found = {}
    for seed, prediction in panel.forecasts[name].seeds.items():
        values = np.asarray(request.problem.losses(prediction, panel.index)[request.definition.gate.loss], dtype=np.float64)
        found[str(seed)] = float(daily_means(values, units_of(panel.index, panel.folds))[1].mean())
    return found
