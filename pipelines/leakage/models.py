"""Whether a model reads what it may not: the future in the tensor, the targets that it is asked for, or skill out of shuffled labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from finflow.models.base import FitReport, Hardware, Model, Prediction, Task
from finflow.models.errors import FitFailure
from finflow.models.samples import Samples
from finflow.models.zoo import model_class
from finflow.pipelines.core.manifests import Fold
from finflow.pipelines.definitions.definition import problem_of
from finflow.pipelines.evaluation.comparisons import daily_means, units_of
from finflow.pipelines.leakage.data import AlteredFuture
from finflow.pipelines.samples.folds import Positions, select
from finflow.pipelines.statistics.diebold_mariano import diebold_mariano

if TYPE_CHECKING:
    from finflow.pipelines.definitions.definition import Definition
    from finflow.pipelines.settings.parts import Recipe

_TRAIN, _VALIDATION, _ASKED = 1000, 250, 250
#: of a trial of generated samples
_BRIEF = {"seeds": 3, "steps": 20}
_SKILL_LEVEL = 0.001
_SKILL_EFFECT = 0.01

#: what is fitted on shuffled labels, by what the problem asks for: one linear model and one small network, against the mean of the labels;
#: of paths a small generator, against blocks of the past
SHUFFLED: Mapping[str, Mapping[str, dict[str, Any]]] = {
    "quantiles": {"ridge": {}, "dense": {"hidden": [16], "epochs": 3, "batch": 512}},
    "variances": {"har": {"form": "har"}, "dense": {"hidden": [16], "epochs": 3, "batch": 512, "loss": "qlike"}},
    "probabilities": {"logistic": {}, "dense": {"hidden": [16], "epochs": 3, "batch": 512, "loss": "cross_entropy"}},
    "rows": {"tabular_logistic": {}, "boosting": {}},
    "paths": {"scenario_gan": {"epochs": 2, "channels": 4, "layers": 4, "critic": 4}},
}
NO_INFORMATION: Mapping[str, str] = {"paths": "stationary_bootstrap", "rows": "class_frequency"}


def shuffled_models(task: Task) -> tuple[str, Mapping[str, dict[str, Any]]]:
    """The model that knows nothing of a sample, and those that are fitted on shuffled labels, with their settings."""
    kind = "rows" if task.missing else task.kind
    return NO_INFORMATION.get(kind, "historical_mean"), SHUFFLED.get(kind, SHUFFLED["quantiles"])


def quick_positions(samples: Samples, cut: np.datetime64, embargo: int, task: Task) -> Positions:
    """A small fold that ends with the cut: the last training and validation samples known by then, and the samples up to it to be asked.

    Labels that end after the cut are in no part; samples to be asked may be unlabelled.
    """
    days = samples.index.time.astype("datetime64[D]")
    # days too: among noise a later row may say that its outcome was known long ago
    known = samples.index.labelled & (days <= cut) & (samples.index.label_end.astype("datetime64[D]") <= cut)
    dates = np.unique(days[known])
    if not len(dates):
        empty = np.zeros(0, dtype=np.int64)
        return Positions(empty, empty, empty)
    validation_start = dates[max(int(0.8 * len(dates)), 0)]
    fold = Fold("leakage", str(validation_start), str(cut + 1), str(cut + 1))
    chosen = select(fold, samples.index, embargo)
    asked = np.flatnonzero(days <= cut)[-_ASKED:]
    if task.missing:
        return Positions(_some(samples, chosen.train, _TRAIN), _some(samples, chosen.validation, _VALIDATION), asked)
    return Positions(chosen.train[-_TRAIN:], chosen.validation[-_VALIDATION:], asked)


def _some(samples: Samples, positions: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Half as many of each class (all, where there are fewer), spread evenly over the part's time: one class may be rare."""
    order = positions[np.argsort(samples.index.time[positions], kind="stable")]
    code = samples.index.target[order, 0]
    kept = [np.zeros(0, dtype=np.int64)]
    for value in np.unique(code):
        mine = order[code == value]
        kept.append(mine[np.linspace(0, len(mine) - 1, min(len(mine), count // 2)).astype(np.int64)])
    return np.unique(np.concatenate(kept))


def peeking_candidates(definition: Definition, samples: Samples, world: AlteredFuture, task: Task) -> dict[str, str]:
    """Candidates and baselines whose predictions up to the cut depend on what came after it, with what did; fitted briefly.

    Each is fitted on the original data and in the other world (which has the same rows), in both with the whole tensor before its eyes, and
    asked for the same samples; in the other world their targets are blanked. What the fit reports must be the same too: generated samples
    that a trial refused leave the predictions alone, and show only in the losses that were compared.
    """
    faults = {}
    parts = quick_positions(samples, world.cut, definition.folds.embargo, task)
    there = quick_positions(world.samples, world.cut, definition.folds.embargo, task)
    for name, recipe in definition.recipes.items():
        try:
            expected, told = _answer(recipe, task, samples, parts, definition.seed, blank=False)
            found, retold = _answer(recipe, task, world.samples, there, definition.seed, blank=True)
            if not _same_bits(expected, found):
                faults[name] = f"{name}: predictions up to {world.cut} change when everything after it is {world.what}"
            elif repr(told) != repr(retold):
                faults[name] = f"{name}: what its fit up to {world.cut} reports changes when everything after it is {world.what}"
        except FitFailure as failure:
            faults[name] = f"{name} could not be fitted up to {world.cut}: {failure}"
    return faults


def skill_on_shuffled(definition: Definition, samples: Samples, fold: Fold, task: Task) -> dict[str, str]:
    """Models that still beat what knows nothing on the fold's test part after all labels were shuffled, with the evidence."""
    problem = problem_of(definition)
    shuffled = deal_labels(samples, definition.seed) if task.missing else shuffle_labels(samples, definition.seed)
    parts = select(fold, samples.index, definition.folds.embargo)
    index = shuffled.index.take(parts.test)
    losses = {}
    uninformed, tried = shuffled_models(task)
    for name, settings in {uninformed: {}, **tried}.items():
        try:
            model, _ = _fitted(name, settings, task, shuffled, parts, definition.seed)
        except FitFailure as failure:
            return {name: f"{name} could not be fitted on fold {fold.name}: {failure}"}
        prediction = model.predict(shuffled.take(parts.test))
        losses[name] = daily_means(problem.losses(prediction, index)[definition.gate.loss], units_of(index, [fold]))[1]
    faults = {}
    for name in tried:
        result = diebold_mariano(losses[name], losses[uninformed], horizon=task.outputs, alternative="less")
        if result.effect is not None and result.effect > _SKILL_EFFECT and result.p_value < _SKILL_LEVEL:
            faults[name] = (
                f"{name} beats {uninformed} on shuffled labels by {result.effect:.1%} (p = {result.p_value:.4f}, {result.dates} dates)"
            )
    return faults


def shuffle_labels(samples: Samples, seed: int) -> Samples:
    """The same samples with targets permuted among all labelled ones."""
    labelled = np.flatnonzero(samples.index.labelled)
    target = samples.index.target.copy()
    target[labelled] = target[np.random.default_rng(seed).permutation(labelled)]
    return replace(samples, index=replace(samples.index, target=target))


def deal_labels(samples: Samples, seed: int) -> Samples:
    """The same samples with the classes of all labelled ones dealt out anew, each class evenly over time.

    A permutation would leave the later validation part, which calibrates, with a share of a class that is by luck nearer to the test
    part's than the training part's is: skill of a kind, on every date at once, but no leak.
    """
    labelled = np.flatnonzero(samples.index.labelled)
    labelled = labelled[np.argsort(samples.index.time[labelled], kind="stable")]
    random = np.random.default_rng(seed)
    dealt = np.sort(samples.index.target[labelled, 0])
    _, first, counts = np.unique(dealt, return_index=True, return_counts=True)
    within = np.arange(len(dealt)) - np.repeat(first, counts)
    turn = (within + random.random(len(dealt))) / np.repeat(counts, counts)
    target = samples.index.target.copy()
    target[labelled, 0] = dealt[np.argsort(turn, kind="stable")]
    return replace(samples, index=replace(samples.index, target=target))


def _answer(recipe: Recipe, task: Task, samples: Samples, parts: Positions, seed: int, *, blank: bool) -> tuple[Prediction, FitReport]:
    settings = dict(recipe.settings)
    if "epochs" in model_class(recipe.model).Settings.model_fields:
        settings["epochs"] = 1
    if isinstance(settings.get("reduced"), dict):
        settings["reduced"] = {**settings["reduced"], "epochs": 1}
    if settings.get("augmentation") is not None:
        settings["augmentation"] = {**settings["augmentation"], **_BRIEF}
    asked = samples.take(parts.test)
    model, report = _fitted(recipe.model, settings, task, samples, parts, seed)
    return model.predict(_blank(asked) if blank else asked), report


def _fitted(model: str, settings: dict[str, Any], task: Task, samples: Samples, parts: Positions, seed: int) -> tuple[Model, FitReport]:
    found = model_class(model)
    fresh = found(found.Settings.model_validate(settings), task)
    return fresh, fresh.fit(samples.take(parts.train), samples.take(parts.validation), seed=seed, hardware=Hardware())


def _blank(samples: Samples) -> Samples:
    """Without targets: whoever is asked must not see the answer."""
    return replace(samples, index=replace(samples.index, target=np.full_like(samples.index.target, np.nan)))


def _same_bits(left: Prediction, right: Prediction) -> bool:
    return left.values.shape == right.values.shape and left.values.tobytes() == right.values.tobytes()
