"""Whole comparisons without servers, tables or processes: simulate, window, fit here, evaluate, decide."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from finflow.models.base import Hardware, Prediction
from finflow.models.samples import Int64, Samples
from finflow.pipelines.core.manifests import Decision, Fold
from finflow.pipelines.definitions.definition import Definition, parse_definition
from finflow.pipelines.evaluation.evaluation import evaluate
from finflow.pipelines.evaluation.inputs import EvaluationRequest
from finflow.pipelines.training.gate import History, decide


def simulated_definition(process: str, seed: int, **changes: Any) -> Definition:
    """One simulated series of 1,500 days, four half-year folds of test dates before its end, the usual baselines, tiny networks."""
    network = {"hidden": [16, 16], "epochs": 30, "batch": 128, "learning_rate": 0.01, "patience": 6}
    values: dict[str, Any] = {
        "name": "skill",
        "simulated": True,
        "source": {
            "kind": "simulated",
            "process": process,
            "entities": 1,
            "days": 1500,
            "r_squared": 0.1,
            "volatility": 0.01,
            "start": "2010-01-04",
            "seed": seed,
        },
        "features": [{"kind": "log_return", "column": "close", "name": "log_return"}],
        "window": {"length": 4, "horizon": 1},
        "problem": {"kind": "forecast", "column": "close", "transform": "log"},
        "folds": {"first_test": "2012-01-01", "months": 12, "validation_months": 6, "embargo": 1},
        "candidates": {"dense": {"model": "dense", "settings": network}},
        "baselines": {
            "random-walk": {"model": "random_walk"},
            "historical-mean": {"model": "historical_mean"},
            "arima": {"model": "arima", "settings": {"order": [1, 0, 0]}},
            "ridge": {"model": "ridge"},
        },
        "reference": "random-walk",
        "seed": 1,
        "seeds": 2,
    }
    return parse_definition({**values, **changes})


def decide_on(definition: Definition, folder: Path) -> Decision:
    """The first decision of a definition on its simulated source."""
    from finflow.pipelines.definitions.definition import problem_of
    from finflow.pipelines.samples.folds import make_folds
    from finflow.pipelines.samples.windows import build_samples

    clean = definition.source.read().sort_values(["entity", "time"], ignore_index=True)
    samples = build_samples(definition, clean)
    as_of = pd.Timestamp(clean["time"].max(), tz="UTC") + pd.Timedelta(days=1)
    folds = make_folds(definition, samples.index, as_of)
    predictions = {name: _predictions(definition, name, samples, folds) for name in definition.recipes}
    request = EvaluationRequest(
        definition=definition,
        problem=problem_of(definition),
        samples=samples,
        folds=folds,
        predictions=predictions,
        recipes=definition.recipes,
        run_key=definition.name,
        as_of=as_of.isoformat(),
        folder=folder / "evaluation",
        level=definition.gate.level,
    )
    evaluation = evaluate(request)
    return decide(evaluation, definition.gate, None, History(challenges=0, new_dates=evaluation.dates))


def _predictions(
    definition: Definition, name: str, samples: Samples, folds: Sequence[Fold]
) -> dict[str, dict[int, tuple[Int64, Prediction]]]:
    from finflow.models.zoo import model_class
    from finflow.pipelines.definitions.definition import problem_of
    from finflow.pipelines.samples.folds import select

    recipe = definition.recipes[name]
    kind = model_class(recipe.model)
    task = problem_of(definition).task(samples.columns, tuple(feature.label for feature in definition.features))
    found: dict[str, dict[int, tuple[Int64, Prediction]]] = {}
    for fold in folds:
        positions = select(fold, samples.index, definition.folds.embargo)
        train, validation = samples.take(positions.train), samples.take(positions.validation)
        found[fold.name] = {}
        for seed in range(definition.seed, definition.seed + definition.seeds) if kind.seeded else (0,):
            model = kind(kind.Settings.model_validate(recipe.settings), task)
            model.fit(train, validation, seed=seed, hardware=Hardware())
            found[fold.name][seed] = (positions.test, model.predict(samples.take(positions.test)))
    return found
