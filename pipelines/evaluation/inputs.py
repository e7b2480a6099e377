"""What is to be evaluated: the request, and the predictions of every candidate, fold and seed side by side over the same test samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from finflow.models.base import Prediction
from finflow.models.ensemble import average
from finflow.models.samples import Int64, SampleIndex, Samples
from finflow.pipelines.core.errors import FitError, NotEnoughHistoryError
from finflow.pipelines.core.manifests import Fold
from finflow.pipelines.evaluation.comparisons import REPLICATIONS
from finflow.pipelines.evaluation.sight import Mask, Opening

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.problems.base import Problem
    from finflow.pipelines.settings.parts import Recipe

#: bootstrap draws of a metric's interval
INTERVAL_REPLICATIONS = 1_000
#: candidate -> fold name -> seed -> positions (int64, into the samples) and the prediction for them
FoldPredictions = Mapping[str, Mapping[str, Mapping[Any, tuple[Int64, Prediction]]]]


@dataclass(frozen=True, eq=False, kw_only=True)
class EvaluationRequest:
    """What `evaluate` is asked.

    Attributes:
        problem: the definition's, bound.
        samples: all samples of the run; positions point into them.
        predictions: candidate -> fold name -> seed -> (positions, prediction).
        recipes: by name, what was fitted.
        as_of: ISO instant.
        folder: where the result is kept.
        level: the level that `superior` is about (see `finflow.pipelines.training.spending.level_to_spend`).
        champion: the name among `predictions` of the champion's recipe.
        failed: candidates without predictions, with the reason; they are listed, and cannot be promoted.
        replications: bootstrap draws of the tests.
        opening: what of the test samples, in the order of `tested_positions`, is shown and decides; None: nobody looked before, and all do.
    """

    definition: Definition
    problem: Problem
    samples: Samples
    folds: Sequence[Fold]
    predictions: FoldPredictions
    recipes: Mapping[str, Recipe]
    run_key: str
    as_of: str
    folder: Path
    level: float
    champion: str | None = None
    failed: Mapping[str, str] = field(default_factory=dict)
    replications: int = REPLICATIONS
    opening: Opening | None = None


@dataclass(frozen=True, eq=False)
class CandidateForecast:
    """What one candidate predicts for every test sample.

    Attributes:
        ensemble: the average over seeds: what is compared, and registered if it wins.
        seeds: each seed alone.
        invalid: why it cannot be compared, or None.
    """

    ensemble: Prediction
    seeds: Mapping[int, Prediction]
    invalid: str | None

    def take(self, chosen: Mask) -> CandidateForecast:
        """That of the samples that a mask chooses."""
        seeds = {seed: prediction.take(chosen) for seed, prediction in self.seeds.items()}
        return CandidateForecast(self.ensemble.take(chosen), seeds, self.invalid)


@dataclass(frozen=True, eq=False)
class EvaluationPanel:
    """The test samples of all folds, fold after fold, and every candidate's forecast of them.

    Attributes:
        positions: int64, [n], into the samples.
        index: the n samples.
        fold: int64, [n]; which of `folds` each belongs to.
    """

    positions: Int64
    index: SampleIndex
    fold: Int64
    folds: tuple[Fold, ...]
    entities: tuple[str, ...]
    forecasts: Mapping[str, CandidateForecast]

    def take(self, chosen: Mask, names: Sequence[str] | None = None) -> EvaluationPanel:
        """The test samples that a mask chooses, and the folds that have some; of these candidates alone, if any are named."""
        kept, fold = np.unique(self.fold[chosen], return_inverse=True)
        return EvaluationPanel(
            positions=self.positions[chosen],
            index=self.index.take(chosen),
            fold=fold.astype(np.int64),
            folds=tuple(self.folds[number] for number in kept),
            entities=self.entities,
            forecasts={name: one.take(chosen) for name, one in self.forecasts.items() if names is None or name in names},
        )


def make_panel(samples: Samples, folds: Sequence[Fold], predictions: FoldPredictions) -> EvaluationPanel:
    """Check that all candidates predict the same test samples, and average each one's seeds.

    Raises:
        NotEnoughHistoryError: no fold has a test sample.
        FitError: a prediction is missing, or covers other samples than the rest, or samples whose targets are not known.
    """
    folds = tuple(fold for fold in folds if fold.name != "production")
    if not folds or not predictions:
        raise NotEnoughHistoryError(
            "no test period has predictions: nothing can be evaluated. Give `folds.first_test` an earlier date, or more history."
        )
    expected = _expected_positions(folds, predictions)
    positions = np.concatenate([expected[fold.name] for fold in folds])
    repeats = {fold.stratified.repeat for fold in folds if fold.stratified is not None}
    if not repeats and len(np.unique(positions)) != len(positions):
        raise FitError("test periods overlap: a sample is tested in two folds. Fits and evaluation disagree about the folds.")
    if not len(positions):
        raise NotEnoughHistoryError("the test periods hold no sample whose targets are known: nothing can be evaluated.")
    index = samples.index.take(positions)
    if not index.labelled.all():
        raise FitError(f"{int((~index.labelled).sum())} test samples have targets that are not known: they cannot be evaluated.")
    entities = samples.observations.entities
    return EvaluationPanel(
        positions=positions,
        index=index,
        fold=np.repeat(np.arange(len(folds)), [len(expected[fold.name]) for fold in folds]),
        folds=folds,
        entities=entities,
        forecasts={name: _forecast(name, found, folds, expected, index, entities) for name, found in predictions.items()},
    )


def tested_positions(folds: Sequence[Fold], predictions: FoldPredictions) -> Int64:
    """Positions of the test samples, fold after fold, as `make_panel` orders them.

    Raises:
        FitError: as `make_panel`.
    """
    tested = [fold for fold in folds if fold.name != "production"]
    expected = _expected_positions(tested, predictions) if predictions else {}
    return np.concatenate([np.zeros(0, dtype=np.int64), *(expected[fold.name] for fold in tested if fold.name in expected)])


def _expected_positions(folds: Sequence[Fold], predictions: FoldPredictions) -> dict[str, Int64]:
    """By fold, the test positions, ascending: those of the first candidate, whom all others must equal."""
    first = next(iter(predictions))
    expected: dict[str, Int64] = {}
    for fold in folds:
        for name, found in predictions.items():
            if not found.get(fold.name):
                raise FitError(f"{name} has no prediction for fold {fold.name}: run the command again to make it.")
            for seed, (positions, prediction) in found[fold.name].items():
                if len(positions) != len(prediction):
                    raise FitError(f"{name}, fold {fold.name}, seed {seed}: {len(prediction)} predictions for {len(positions)} samples.")
                ordered = np.sort(np.asarray(positions, dtype=np.int64))
                if not np.array_equal(expected.setdefault(fold.name, ordered), ordered):
                    raise FitError(
                        f"fold {fold.name}: {name} (seed {seed}) predicts other test samples than {first}; they cannot be compared."
                    )
    return expected


def _forecast(
    name: str,
    found: Mapping[str, Mapping[Any, tuple[Int64, Prediction]]],
    folds: Sequence[Fold],
    expected: Mapping[str, Int64],
    index: SampleIndex,
    entities: tuple[str, ...],
) -> CandidateForecast:
    seeds = sorted(found[folds[0].name], key=int)
    for fold in folds:
        if sorted(found[fold.name], key=int) != seeds:
            raise FitError(
                f"{name}: fold {fold.name} has seeds {sorted(found[fold.name])}, fold {folds[0].name} has {seeds}; they must be the same."
            )
    by_seed = {int(seed): _concatenate([_ordered(*found[fold.name][seed]) for fold in folds]) for seed in seeds}
    wrong = [seed for seed, prediction in by_seed.items() if not np.isfinite(prediction.values).all()]
    invalid = None
    if wrong:
        broken = ~np.isfinite(by_seed[wrong[0]].values).reshape(len(index), -1).all(axis=1)
        at = int(np.flatnonzero(broken)[0])
        where = f"{entities[index.entity[at]]}, {np.datetime_as_string(index.time[at], unit='D')}"
        invalid = f"{int(broken.sum())} of {len(index)} predictions of seed {wrong[0]} are not finite (the first: {where})"
    return CandidateForecast(ensemble=average(list(by_seed.values())), seeds=by_seed, invalid=invalid)


def _ordered(positions: Int64, prediction: Prediction) -> Prediction:
    return prediction.take(np.argsort(np.asarray(positions), kind="stable"))


def _concatenate(parts: Sequence[Prediction]) -> Prediction:
    return Prediction(parts[0].kind, np.concatenate([part.values for part in parts]), parts[0].levels)
