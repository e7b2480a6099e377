"""From the predictions of every candidate to one leaderboard: metrics with intervals, losses a date, comparisons.

Everything is walk-forward: only test parts of folds are here. A network's seeds are averaged into one forecast first, and that is what
is compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import Prediction
from finflow.models.samples import SampleIndex, Samples
from finflow.pipelines.core.digest import digest_arrays, digest_json
from finflow.pipelines.core.errors import DefinitionError, FitError
from finflow.pipelines.core.manifests import CandidateEvaluation, Evaluation, Fold, Metric
from finflow.pipelines.definitions.definition import Definition
from finflow.pipelines.evaluation.comparisons import REPLICATIONS, Compared, compare_all, daily_means, days_of, overlap, superior, units_of
from finflow.pipelines.evaluation.inputs import Panel, Predictions, make_panel
from finflow.pipelines.evaluation.store import read_evaluation, store_evaluation, stored_evaluation
from finflow.pipelines.evaluation.tables import day, protocol, write_tables
from finflow.pipelines.problems.base import Problem, Tested
from finflow.pipelines.samples.features import categorical_features, numeric_features
from finflow.pipelines.settings.parts import Recipe
from finflow.pipelines.statistics.bootstrap import Resampling

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["evaluate", "read_evaluation"]

Float64 = NDArray[np.float64]
INTERVAL = 0.95
INTERVAL_REPLICATIONS = 1_000
#: of the model confidence set and the test of superior predictive ability, which decide nothing
CONFIDENCE_REPLICATIONS = 999


def evaluate(
    definition: Definition,
    problem: Problem,
    samples: Samples,
    folds: Sequence[Fold],
    predictions: Predictions,
    *,
    run_key: str,
    as_of: pd.Timestamp | str,
    folder: Path | str,
    level: float | None = None,
    seed: int | None = None,
    recipes: Mapping[str, Recipe] | None = None,
    champion: str | None = None,
    failed: Mapping[str, str] | None = None,
    replications: int = REPLICATIONS,
) -> Evaluation:
    """Evaluate every candidate on the same test samples, and keep the result in `folder`.

    The same predictions again return what lies there. `folder` holds evaluation.json; losses.parquet (time, entity, fold, candidate, every
    loss); samples.parquet (position, time, entity, fold, origin, target_1 ...); predictions/<candidate>.parquet (the problem's prediction
    rows with `fold`, and `actual`: for quantiles and variances what came, on their scale, for probabilities the class);
    tables/<name>.parquet and .csv (what the problem's `tables` adds).

    Args:
        samples: all samples of the run; positions point into them.
        predictions: candidate -> fold name -> seed -> (positions, prediction).
        level: the level that `superior` is about (see `finflow.pipelines.training.decisions.level_to_spend`); the gate's own by default.
        seed: of the bootstraps; the definition's by default.
        recipes: by name, what was fitted; the definition's by default.
        champion: the name among `predictions` of the champion's recipe.
        failed: candidates without predictions, with the reason; they are listed, and cannot be promoted.

    Raises:
        FitError: predictions are missing, or are for different samples; or the reference's are not finite.
        NotEnoughHistoryError: there is no test sample.
        DefinitionError: the gate's loss is not one of the problem's.
    """
    recipes = dict(definition.recipes if recipes is None else recipes)
    failed = dict(failed or {})
    level = definition.gate.level if level is None else level
    seed = definition.seed if seed is None else seed
    unknown = sorted((set(predictions) | set(failed)) - set(recipes))
    if unknown:
        raise FitError(f"predictions of {', '.join(unknown)}, which the definition {definition.name} does not name.")
    panel = make_panel(samples, folds, predictions)
    instant = as_of if isinstance(as_of, str) else as_of.isoformat()
    settings = [run_key, instant, level, seed, champion, replications, failed, {name: recipe.digest for name, recipe in recipes.items()}]
    inputs = digest_json(
        [settings, definition.model_dump(mode="json", exclude={"source", "schedule", "monitoring", "sink"}), _digest(panel)]
    )
    stored = stored_evaluation(Path(folder), inputs)
    if stored is not None:
        return stored

    losses = _losses(definition, problem, panel)
    deciding = {name: found[definition.gate.loss] for name, found in losses.items()}
    units = units_of(panel.index, panel.folds)
    dates = np.unique(units)
    daily = {name: daily_means(values, units)[1] for name, values in deciding.items()}
    invalid = {**_invalid(panel, losses), **failed}
    if definition.reference in invalid:
        why = invalid[definition.reference]
        raise FitError(f"the reference {definition.reference} cannot be evaluated, and nothing can be decided without it: {why}.")
    horizon = 1 if problem.independent else overlap(panel.index)
    entries = {name: name in definition.baselines for name in recipes if name in panel.forecasts}
    compared = compare_all(
        daily,
        entries,
        champion,
        definition.reference,
        horizon=horizon,
        seed=seed,
        replications=replications,
        logarithmic=problem.logarithmic(definition.gate.loss),
    )
    train = _training_parts(definition, samples, panel)
    scale = _scales(problem, panel, train)
    block = _block(len(dates), horizon)
    draws = Resampling(units, block=block, replications=INTERVAL_REPLICATIONS, seed=seed)
    valid = {name: values for name, values in daily.items() if name not in invalid}
    confidence = _confidence(valid, block, seed)

    found: list[CandidateEvaluation] = []
    for name in recipes:
        if name not in panel.forecasts and name not in failed:
            continue
        wrong = invalid.get(name)
        beside = compared.get(name, Compared((), (), None))
        found.append(
            CandidateEvaluation(
                candidate=name,
                family=_model(recipes[name]).family,
                model=recipes[name].model,
                baseline=name in definition.baselines,
                recipe=recipes[name].model_dump(mode="json"),
                recipe_digest=recipes[name].digest,
                seeds=0 if name in failed else len(panel.forecasts[name].seeds),
                metrics=() if wrong else _metrics(problem, panel, name, train, scale, draws),
                fold_losses={} if wrong else _fold_losses(panel, deciding[name]),
                seed_losses={} if wrong else _seed_losses(definition, problem, panel, name),
                invalid=wrong,
                confidence_p=confidence.get(name),
                checks=() if wrong else problem.checks(panel.forecasts[name].ensemble, panel.index, definition.gate, seed),
                **vars(beside),
            )
        )
    mean = {name: float(values.mean()) for name, values in daily.items()}
    found.sort(key=lambda one: (one.invalid is not None, mean.get(one.candidate, np.inf)))
    evaluation = Evaluation(
        run_key=run_key,
        definition=definition.name,
        as_of=instant,
        loss=definition.gate.loss,
        dates=len(dates),
        first_date=day(panel.index.time.min()),
        last_date=day(panel.index.time.max()),
        folds=panel.folds,
        candidates=tuple(found),
        superior=superior(compared, entries, level),
        folder=str(folder),
        protocol=protocol(definition, panel, horizon, replications, INTERVAL_REPLICATIONS),
        reference=definition.reference,
        horizon=horizon,
        champion=champion,
        spa_p=_no_skill(valid, [name for name, baseline in entries.items() if not baseline], definition.reference, block, seed),
    )
    tables = problem.tables(
        Tested(
            forecasts={one.candidate: panel.forecasts[one.candidate].ensemble for one in found if not one.invalid},
            index=panel.index,
            fold=panel.fold,
            folds=panel.folds,
            train=train,
            samples=samples,
            features=numeric_features(definition),
            categories=categorical_features(definition),
            draws=draws,
            reference=definition.reference,
            champion=champion if champion in valid else None,
        )
    )
    store_evaluation(evaluation, inputs, lambda target: write_tables(target, problem, panel, losses, tables))
    return evaluation


def date_losses(problem: Problem, loss: str, prediction: Prediction, samples: Samples) -> pd.Series[float]:
    """One loss a date of a prediction for labelled samples: float64, indexed by date; what `training_decision` takes as `frozen`."""
    import pandas as pd

    dates, values = daily_means(problem.losses(prediction, samples.index)[loss], days_of(samples.index.time))
    return pd.Series(values, index=pd.DatetimeIndex(dates), name=loss)


def _digest(panel: Panel) -> str:
    arrays: dict[str, NDArray[Any]] = {
        "positions": panel.positions,
        "fold": panel.fold,
        "target": panel.index.target,
        "time": panel.index.time,
    }
    for name, forecast in panel.forecasts.items():
        arrays.update({f"{name}/{seed}": prediction.values for seed, prediction in forecast.seeds.items()})
    return digest_arrays(arrays)


def _losses(definition: Definition, problem: Problem, panel: Panel) -> dict[str, dict[str, Float64]]:
    """By candidate and loss: float64, [n]. NaN throughout where a prediction is not finite."""
    found: dict[str, dict[str, Float64]] = {}
    for name, forecast in panel.forecasts.items():
        with np.errstate(all="ignore"):
            values = {key: np.asarray(value, dtype=np.float64) for key, value in problem.losses(forecast.ensemble, panel.index).items()}
        if definition.gate.loss not in values:
            raise DefinitionError(
                f"gate.loss {definition.gate.loss!r} is not a loss of this kind of problem: there are {', '.join(values)}."
            )
        found[name] = {key: np.full(len(value), np.nan) if forecast.invalid else value for key, value in values.items()}
    return found


def _invalid(panel: Panel, losses: Mapping[str, Mapping[str, Float64]]) -> dict[str, str]:
    """Why candidates cannot be compared."""
    found: dict[str, str] = {}
    for name, forecast in panel.forecasts.items():
        infinite = [loss for loss, values in losses[name].items() if not np.isfinite(values).all()]
        if forecast.invalid:
            found[name] = forecast.invalid
        elif infinite:
            found[name] = f"its loss {infinite[0]} is not finite on every test sample"
    return found


def _training_parts(definition: Definition, samples: Samples, panel: Panel) -> list[SampleIndex]:
    """By fold, its training samples."""
    from finflow.pipelines.samples.folds import select

    return [samples.index.take(select(fold, samples.index, definition.folds.embargo).train) for fold in panel.folds]


def _scales(problem: Problem, panel: Panel, train: Sequence[SampleIndex]) -> Float64:
    """Each test sample's scale for scaled errors, from the training part of its own fold: float64, [n]."""
    scale = np.ones(len(panel.index))
    for number, part in enumerate(train):
        scales = problem.scale_of(part)
        here = np.flatnonzero(panel.fold == number)
        codes, place = np.unique(panel.index.entity[here], return_inverse=True)
        scale[here] = np.array([_scale_of(scales, int(code)) for code in codes])[place]
    return scale


def _scale_of(scales: Mapping[int, float], code: int) -> float:
    """1 for an entity that the problem gives no scale."""
    try:
        return scales[code]  # a default dictionary answers for what it does not hold
    except KeyError:
        return 1.0


def _block(dates: int, horizon: int) -> int:
    from finflow.pipelines.statistics import default_block

    return default_block(dates, horizon)


def _confidence(daily: Mapping[str, Float64], block: int, seed: int) -> dict[str, float]:
    """By valid entry, the p-value of the model confidence set over all of them."""
    from finflow.pipelines.statistics import model_confidence_set

    return model_confidence_set(daily, block=block, replications=CONFIDENCE_REPLICATIONS, seed=seed)


def _no_skill(daily: Mapping[str, Float64], candidates: Sequence[str], reference: str, block: int, seed: int) -> float | None:
    """The p-value of "no candidate is better than the reference"; None without a valid candidate."""
    from finflow.pipelines.statistics import superior_predictive_ability

    own = {name: daily[name] for name in candidates if name in daily}
    if not own:
        return None
    return superior_predictive_ability(daily[reference], own, block=block, replications=CONFIDENCE_REPLICATIONS, seed=seed)


def _metrics(
    problem: Problem, panel: Panel, name: str, train: Sequence[SampleIndex], scale: Float64, draws: Resampling
) -> tuple[Metric, ...]:
    found, answer = [], panel.forecasts[name].ensemble
    with np.errstate(all="ignore"):
        for parts in (*problem.metrics(answer, panel.index, scale), *problem.memory(answer, panel.index, panel.fold, train)):
            found.append(Metric(parts.name, *draws.interval(parts, INTERVAL), parts.better, parts.target))
    return tuple(found)


def _fold_losses(panel: Panel, losses: Float64) -> dict[str, float]:
    """The deciding loss of each fold, a date counting once."""
    found, units = {}, units_of(panel.index, panel.folds)
    for number, fold in enumerate(panel.folds):
        here = panel.fold == number
        if here.any():
            found[fold.name] = float(daily_means(losses[here], units[here])[1].mean())
    return found


def _seed_losses(definition: Definition, problem: Problem, panel: Panel, name: str) -> dict[str, float]:
    """The deciding loss of each seed alone: the spread that averaging hides."""
    found = {}
    for seed, prediction in panel.forecasts[name].seeds.items():
        values = np.asarray(problem.losses(prediction, panel.index)[definition.gate.loss], dtype=np.float64)
        found[str(seed)] = float(daily_means(values, units_of(panel.index, panel.folds))[1].mean())
    return found


def _model(recipe: Recipe) -> Any:
    from finflow.models.zoo import model_class

    return model_class(recipe.model)
