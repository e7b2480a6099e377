"""A small training as far as its evaluation, carried out once a test process: for tests of versions, tracking and reports."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from finflow.models.base import Hardware
from finflow.models.zoo import ZOO
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import Evaluation, FitResult, PredictionResult, SampleManifest
from finflow.pipelines.data.contract import validate
from finflow.pipelines.data.ingest import ingest
from finflow.pipelines.data.knowledge import resolve_as_of
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import Definition, problem_of
from finflow.pipelines.evaluation.evaluation import evaluate
from finflow.pipelines.evaluation.inputs import EvaluationRequest
from finflow.pipelines.evaluation.plots.training import draw_training
from finflow.pipelines.fits.fits import carry_out_all, fit_all, plan_fits, read_predictions, read_report
from finflow.pipelines.lake.lake import Lake
from finflow.pipelines.lake.promotions import PromotionRow, Promotions
from finflow.pipelines.registry.versions import RegisteredVersion, register
from finflow.pipelines.samples.folds import production_fold
from finflow.pipelines.samples.windows import open_samples, store_samples
from finflow.pipelines.settings.parts import Recipe
from finflow.pipelines.tracking.store import prepare_store, store_client
from finflow.pipelines.training.conclusion import Conclusion, conclude_training, evaluate_training
from finflow.pipelines.training.plan import TrainingPlan, plan_training
from tests.support.pipelines.fit_support import MODELS, definition, folds_of, kept_clean, market, recipes, stored

RECIPES = recipes(noisy={"model": "noisy"}, ridge={"model": "ridge"}, **{"random-walk": {"model": "random_walk"}})


@dataclass(frozen=True)
class Trained:
    """A training: what went in, its evaluation, its fits, and the production fits of each recipe."""

    definition: Definition
    home: Home
    samples: SampleManifest
    evaluation: Evaluation
    fits: tuple[FitResult, ...]
    production: dict[str, tuple[FitResult, ...]]

    @property
    def context(self) -> Context:
        return open_context(self.definition, self.home)

    def plan(self, run_key: str) -> TrainingPlan:
        """As `plan_training` would have made it, but for the specs: what remains to do is the conclusion."""
        folds = self.evaluation.folds
        recipes = {one.candidate: Recipe.model_validate(one.recipe) for one in self.evaluation.candidates}
        baselines = tuple(self.definition.baselines)
        return TrainingPlan(
            run_key, self.evaluation.as_of, self.samples, folds, recipes, baselines, self.evaluation.champion, (1, 2), Hardware(), ()
        )

    def conclude(self, run_key: str = "run", definition: Definition | None = None) -> Conclusion:
        """Decide, register, record and log, as the end of a training does."""
        evaluation = replace(self.evaluation, run_key=run_key)
        return conclude_training(open_context(definition or self.definition, self.home), self.plan(run_key), evaluation, {}, self.fits)

    def moved(self, home: Home) -> Trained:
        """The same in another home, for a test to write to; with an MLflow store that holds nothing yet."""
        shutil.copytree(self.home.root, home.root)
        folder = home.evaluations / Path(self.evaluation.folder).name
        return replace(self, home=home, evaluation=replace(self.evaluation, folder=str(folder)))


def train_and_draw(root: Path) -> Trained:
    """The training itself, with its plots, in a home at `root`."""
    home = Home(root, str(root / "lake"), f"sqlite:///{root / 'mlflow' / 'mlflow.db'}", None)
    prepare_store(home)
    made = train(home)
    plots = problem_of(made.definition).plots
    draw_training(made.evaluation, plots, {fit: read_report(fit) for fit in made.fits}, Path(made.evaluation.folder) / "plots")
    return made


def train(home: Home, chosen: dict[str, Recipe] = RECIPES, run_key: str = "run") -> Trained:
    with pytest.MonkeyPatch.context() as patch:
        for name, place in MODELS.items():
            patch.setitem(ZOO, name, place)
        return _train(home, chosen, run_key)


def _train(home: Home, chosen: dict[str, Recipe], run_key: str) -> Trained:
    made = definition(
        candidates={"noisy": {"model": "noisy"}},
        baselines={"ridge": {"model": "ridge"}, "random-walk": {"model": "random_walk"}},
    )
    manifest = kept_clean(stored(made, home, market()), home, market())
    samples = open_samples(manifest.folder)
    folds = folds_of(made, manifest)
    specs = plan_fits(open_context(made, home), manifest, folds, chosen, Hardware(), (1, 2))
    done = [result for result in carry_out_all(specs, home) if isinstance(result, PredictionResult)]
    assert len(done) == len(specs)
    predictions: dict[str, dict[str, dict[int, object]]] = {}
    for spec, result in zip(specs, done, strict=True):
        predictions.setdefault(spec.candidate, {}).setdefault(spec.fold.name, {})[spec.seed] = read_predictions(result)
    request = EvaluationRequest(
        definition=made,
        problem=problem_of(made),
        samples=samples,
        folds=folds,
        predictions=predictions,  # type: ignore[arg-type]
        recipes=chosen,
        run_key=run_key,
        as_of=manifest.clean.as_of,
        folder=home.evaluations / run_key,
        level=made.gate.level,
        replications=199,
    )
    evaluation = evaluate(request)
    fold = production_fold(made, samples.index, pd.Timestamp(manifest.clean.as_of))
    ends = fit_all(plan_fits(open_context(made, home), manifest, [fold], chosen, Hardware(), (1, 2)), home)
    production = {name: tuple(fit for fit in ends if isinstance(fit, FitResult) and fit.candidate == name) for name in chosen}
    return Trained(made, home, manifest, evaluation, tuple(result.fit for result in done), production)


def registered(trained: Trained, candidate: str, run_key: str = "run") -> RegisteredVersion:
    """Register the production fits of a candidate."""
    evaluation = replace(trained.evaluation, run_key=run_key)
    return register(trained.context, evaluation, candidate, trained.production[candidate], trained.samples, "a-run")


def folder_of(trained: Trained, version: int) -> Path:
    """Where the store keeps a version's files."""
    source = store_client(trained.home).get_model_version_download_uri(trained.definition.name, str(version))
    return Path(source.removeprefix("file://"))


def promote(trained: Trained, made: RegisteredVersion, candidate: str, verdict: str = "promoted", run_key: str = "run") -> Promotions:
    """Record that a version became champion."""
    promotions = Promotions(Lake(trained.home.lake), trained.definition.name)
    before = promotions.champion_row()
    row = PromotionRow(
        run_key=run_key,
        verdict=verdict,
        candidate=candidate,
        family="test",
        version=made.version,
        previous_version=None if before is None else before.version,
        effective_as_of=trained.evaluation.as_of,
        reason="it was better",
        manifest_digest=made.manifest_digest,
    )
    promotions.record(row, promotions.snapshot()[1])
    return promotions


def train_as_of(definition: Definition, home: Home, date: str | None = "2017-06-30") -> dict[str, Any]:
    """A training as the flow does it, as of a date (None: the newest); its outcome."""
    raw = ingest(open_context(definition, home))
    clean = validate(open_context(definition, home), raw, resolve_as_of(open_context(definition, home), date))
    plan = plan_training(open_context(definition, home), store_samples(open_context(definition, home), clean))
    answers = carry_out_all(plan.specs, home)
    evaluation, failed = evaluate_training(open_context(definition, home), plan, answers)
    fits = [answer.fit for answer in answers if isinstance(answer, PredictionResult)]
    return conclude_training(open_context(definition, home), plan, evaluation, failed, fits).outcome
