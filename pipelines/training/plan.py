"""What a training will do, before it does it: folds, recipes, fits, and the key under which its decision is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd

from finflow.models.base import Hardware, Task
from finflow.models.errors import FitFailure
from finflow.models.zoo import model_class
from finflow.pipelines.core.code import decision_code_digest
from finflow.pipelines.core.digest import digest_json
from finflow.pipelines.core.errors import DefinitionError, StateError
from finflow.pipelines.core.manifests import FitSpec, Fold, JsonRecord, SampleManifest
from finflow.pipelines.definitions.context import Context
from finflow.pipelines.definitions.definition import Definition, problem_of
from finflow.pipelines.fits.fits import plan_fits
from finflow.pipelines.fits.needs import TRAINING, TRIAL, record_needs
from finflow.pipelines.samples.folds import make_folds
from finflow.pipelines.samples.windows import open_samples
from finflow.pipelines.settings.parts import Recipe
from finflow.pipelines.tracking.store import reach_store

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class TrainingPlan(JsonRecord):
    """Everything that a training will do, before it does it.

    Attributes:
        run_key: the same data, definition, settings and code give the same key; its recorded decision is then returned.
        recipes: by name; the champion's recipe is among them, under its own or as `champion`.
        specs: the fits of every recipe on every fold.
    """

    run_key: str
    as_of: str
    samples: SampleManifest
    folds: tuple[Fold, ...]
    recipes: dict[str, Recipe]
    baselines: tuple[str, ...]
    champion_recipe: str | None
    seeds: tuple[int, ...]
    hardware: Hardware
    specs: tuple[FitSpec, ...] = field(repr=False)


def plan_training(
    context: Context,
    samples: SampleManifest,
    *,
    candidates: Sequence[str] | None = None,
    seed: int | None = None,
    hardware: Hardware | None = None,
    kind: str = TRAINING,
) -> TrainingPlan:
    """Folds, recipes and fits of a training as of the samples' clean batch; what it will need is recorded for `finflow prune`.

    Args:
        kind: what it is recorded as: training, walk or trial (see `fits.needs`).

    Raises:
        DefinitionError: a candidate that the definition does not have, or a deciding loss that its problem does not have; or
            one of its recipes cannot answer what it asks.
        NotEnoughHistoryError: no test period has enough dates.
        UnreachableError: no MLflow server answers: said before the fits, and not after hours of them.
    """
    definition = context.definition
    check_loss(definition)
    reach_store(context.home)
    hardware = hardware or Hardware()
    own = chosen_recipes(definition, candidates)
    recipes = dict(own)
    check_recipes(own, Task.from_dict(samples.task))
    champion_recipe = add_champion_recipe(context, recipes)
    as_of = pd.Timestamp(samples.clean.as_of)
    folds = make_folds(definition, open_samples(samples.folder).index, as_of)
    first = definition.seed if seed is None else seed
    seeds = tuple(range(first, first + definition.seeds))
    specs = plan_fits(context, samples, folds, recipes, hardware, seeds)
    key: dict[str, object] = {
        "definition": meaning(definition),
        "as_of": samples.clean.as_of,
        "data": samples.clean.digest,
        "recipes": {name: recipe.digest for name, recipe in own.items()},
        # Not the champion's: the same command again, after it made a champion, is the same run.
        "fits": [spec.key for spec in specs if spec.candidate in own],
        "code": decision_code_digest(type(context.problem)),
    }
    if kind == TRIAL:  # no training has its key, and it is another trial once there is another champion to compare with
        key |= {"kind": kind, "champion": champion_recipe and recipes[champion_recipe].digest}
    plan = TrainingPlan(
        run_key=digest_json(key),
        as_of=samples.clean.as_of,
        samples=samples,
        folds=folds,
        recipes=recipes,
        baselines=tuple(definition.baselines),
        champion_recipe=champion_recipe,
        seeds=seeds,
        hardware=hardware,
        specs=specs,
    )
    record_needs(context.home, definition.name, plan.run_key, [spec.key for spec in plan.specs], plan.samples, kind)
    return plan


def chosen_recipes(definition: Definition, candidates: Sequence[str] | None) -> dict[str, Recipe]:
    """The candidates asked for (all by default), and every baseline."""
    unknown = sorted(set(candidates or ()) - set(definition.recipes))
    if unknown:
        raise DefinitionError(f"{definition.name} has no candidate {', '.join(unknown)}: there are {', '.join(definition.candidates)}.")
    if candidates is not None and not set(candidates) & set(definition.candidates):
        named = ", ".join(candidates)
        raise DefinitionError(
            f"--candidates names {f'only baselines ({named}), which run anyway' if named else 'nothing'}: name some of "
            f"{', '.join(definition.candidates)}, or leave the option out for all of them."
        )
    wanted = definition.candidates if candidates is None else {n: r for n, r in definition.candidates.items() if n in candidates}
    return {**wanted, **definition.baselines}


def check_loss(definition: Definition) -> None:
    """See that the problem has the loss that is to decide: said before the fits, and not after hours of them.

    Raises:
        DefinitionError: it has not; names those there are.
    """
    there = problem_of(definition).loss_names
    if definition.gate.loss not in there:
        raise DefinitionError(
            f"gate.loss {definition.gate.loss!r} is not a loss of the problem {definition.problem.kind!r}: there are {', '.join(there)}."
        )


def check_recipes(recipes: Mapping[str, Recipe], task: Task) -> None:
    """See that every recipe can answer what is asked: said before the fits, and not after hours of them.

    Raises:
        DefinitionError: one cannot, whatever the data.
    """
    for name, recipe in recipes.items():
        model = model_class(recipe.model)
        try:
            model(model.Settings.model_validate(recipe.settings), task).check_task()
        except FitFailure as failure:
            raise DefinitionError(f"{name}: {failure}.") from None


def meaning(definition: Definition) -> dict[str, Any]:
    """The parts of a definition that bear on a decision: not its texts, its source's address, how rows arrive, or how it is operated."""
    arrival = {"source", "tolerance", "missing_rows", "maximum_withdrawn", "moved_from"}
    return definition.model_dump(mode="json", exclude={"title", "description", "schedule", "monitoring", "sink", *arrival})


def add_champion_recipe(context: Context, recipes: dict[str, Recipe]) -> str | None:
    """Add the champion's recipe to `recipes` if it is not there; return the name it competes under, or None without a champion.

    Raises:
        StateError: this finflow has no such model any more, or the model no such settings.
    """
    from pydantic import ValidationError

    recorded = context.promotions.champion_recipe()
    if recorded is None:
        return None
    champion = Recipe.model_validate(recorded)
    for name, recipe in recipes.items():
        if recipe.digest == champion.digest:
            return name
    try:
        model_class(champion.model).Settings.model_validate(champion.settings)
    except (KeyError, ValidationError) as error:
        raise StateError(
            f"{context.name}: the champion's recipe ({champion.model}) cannot be fitted by this finflow: "
            f"{' '.join(str(error).split())}. Put the model back, or an earlier champion: finflow rollback {context.name}."
        ) from None
    recipes["champion"] = champion
    return "champion"
