"""Trainings from samples to a recorded decision, without a fit: what is predicted is the outcome, by a share that the test names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from finflow.models.base import Hardware, Prediction
from finflow.pipelines.core.home import Home
from finflow.pipelines.core.manifests import Evaluation, SampleManifest
from finflow.pipelines.definitions.context import Context, open_context
from finflow.pipelines.definitions.definition import parse_definition
from finflow.pipelines.evaluation.evaluation import evaluate
from finflow.pipelines.evaluation.sight import Opening
from finflow.pipelines.samples.folds import select
from finflow.pipelines.samples.windows import open_samples
from finflow.pipelines.training.conclusion import evaluation_request
from finflow.pipelines.training.decisions import Ruling, promotion_row, training_decision
from finflow.pipelines.training.looking import take_look
from finflow.pipelines.training.plan import TrainingPlan
from tests.support import tiny_values
from tests.support.pipelines.fit_support import folds_of, kept_clean, market, stored

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
SPREAD = np.array([-0.03, -0.01, 0.0, 0.01, 0.03])
#: by recipe, the share of the outcome that it knows, at every time or as a function of it
Shares = Mapping[str, float | Callable[[NDArray[np.datetime64]], NDArray[np.float64]]]
#: what the models of `tiny` know, if nothing else is said
NOTHING: Shares = {"random-walk": 0.0, "ridge": -0.05, "dense": -0.05}


def bars(days: int, entities: tuple[str, ...] = ("ALPHA",), seed: int = 5) -> pd.DataFrame:
    """Daily bars from 2015-01-05 on; more days only add rows."""
    return market(days, entities, seed)


class Desk:
    """A home in which trainings come one after another, each with a run key of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.trained = 0

    def context(self, name: str = "tiny", **changes: Any) -> Context:
        gate = {"loss": "mae", "minimum_dates": 50, **changes.pop("gate", {})}
        return open_context(parse_definition(tiny_values(name=name, gate=gate, **changes)), self.home)

    def plan(self, context: Context, clean: pd.DataFrame, run_key: str | None = None) -> TrainingPlan:
        """The plan of a training on these rows, as of their last day."""
        self.trained += 1
        key = run_key or f"run{self.trained}"
        as_of = f"{clean['time'].max():%Y-%m-%d}T23:00:00+00:00"
        samples = kept_clean(stored(context.definition, self.home, clean, key, as_of), self.home, clean)
        recipes = dict(context.definition.recipes)
        champion = next((row.candidate for row in context.promotions.rows()[::-1] if row.moves), None)
        folds = folds_of(context.definition, samples)
        return TrainingPlan(key, as_of, samples, folds, recipes, ("random-walk", "ridge"), champion, (1,), Hardware(), ())

    def predictions(self, context: Context, plan: TrainingPlan, shares: Shares | None = None) -> dict[str, Any]:
        """What each recipe says of the test samples of each fold."""
        index, embargo = open_samples(plan.samples.folder).index, context.definition.folds.embargo
        found: dict[str, Any] = {}
        for name, share in {**NOTHING, **(shares or {})}.items():
            for fold in plan.folds:
                test = select(fold, index, embargo).test
                known = share(index.time[test])[:, None] if callable(share) else share
                median = known * index.target[test].astype(np.float64)
                prediction = Prediction("quantiles", (median[:, :, None] + SPREAD).astype(np.float32), LEVELS)
                found.setdefault(name, {})[fold.name] = {1: (test, prediction)}
        return found

    def look(self, clean: pd.DataFrame, run_key: str | None = None, name: str = "tiny", **changes: Any) -> Opening:
        """Record a look and compute nothing: as a run that is killed then."""
        context = self.context(name, **changes)
        plan = self.plan(context, clean, run_key)
        return take_look(context, plan, self.predictions(context, plan))

    def evaluate(
        self, clean: pd.DataFrame, shares: Shares | None = None, name: str = "tiny", run_key: str | None = None, **changes: Any
    ) -> tuple[Context, TrainingPlan, Evaluation]:
        """Look and evaluate."""
        context = self.context(name, **changes)
        plan = self.plan(context, clean, run_key)
        predictions = self.predictions(context, plan, shares)
        look = take_look(context, plan, predictions)
        request = evaluation_request(context, plan, predictions, {}, self.home.evaluations / plan.run_key, look)
        evaluation = evaluate(replace(request, replications=199))
        return context, plan, evaluation

    def train(self, clean: pd.DataFrame, shares: Shares | None = None, **named: Any) -> Ruling:
        """Look, evaluate, decide and record."""
        context, plan, evaluation = self.evaluate(clean, shares, **named)
        ruling = training_decision(context, evaluation)
        record(context, plan.samples, ruling)
        return ruling


def record(context: Context, samples: SampleManifest, ruling: Ruling) -> None:
    """Record a ruling, whose version is as many as there are decisions."""
    version = len(context.promotions.rows()) + 1
    row = promotion_row(ruling, samples.clean, version=version, manifest_digest=f"m{version}", code_version="code")
    context.promotions.record(row, ruling.expected_version)


def dates_in(folder: str | Path) -> set[np.datetime64]:
    """Every date in what is shown of an evaluation: losses, samples and predictions."""
    paths = [*Path(folder).glob("losses.parquet"), *Path(folder).glob("samples.parquet"), *Path(folder).glob("predictions/*.parquet")]
    return {day for path in paths for day in pd.read_parquet(path)["time"].to_numpy().astype("datetime64[D]")}


def renamed(clean: pd.DataFrame, entity: str) -> pd.DataFrame:
    """The same rows of one entity by another name."""
    return clean.assign(entity=entity)


__all__ = ["NOTHING", "Desk", "bars", "dates_in", "record", "renamed"]
